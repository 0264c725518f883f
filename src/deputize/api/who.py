"""Who speaks: what the door made of a request's token, and what each route asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Request

from deputize.api.body import read_object
from deputize.api.here import Here
from deputize.api.problem import Problem
from deputize.person import OWNER, Directory, Person

Kind = Literal["nobody", "project", "operator", "person"]

OPERATOR = "the operator's key"
"""In the place of a person's name, which has no space in it."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks: nobody in particular on this machine, whoever has the project's token or the operator's
    key, or a person, by the token of this id."""

    kind: Kind
    person: Person | None = None
    token: str = ""

    @property
    def name(self) -> str:
        """The person's name; empty where no person speaks."""
        return self.person.name if self.person is not None else ""


NOBODY = Speaker("nobody")


def needs_a_person(directory: Directory) -> Problem:
    """The answer to what only a person may do."""
    if not directory.people:
        return Problem(
            401,
            "only a person may do this, and deputize.toml names nobody: add [people.NAME], "
            "start `deputize up` again, then `deputize login NAME`",
        )
    return Problem(
        401,
        "only a person may do this: `deputize login NAME` first (`deputize people` lists them), "
        "or send a person's token: Authorization: Bearer dpt_…",
    )


async def read_decision(request: Request) -> dict[str, Any]:
    """The JSON object of a decision. Raises `Problem`, also for one that says whose it is."""
    body = await read_object(request)
    if "person" in body or "person" in request.query_params:
        raise Problem(422, "person is not to be given: the token says who decides", field="person")
    return body


async def _speaker(request: Request) -> Speaker:
    speaker: Speaker = request.state.speaker
    return speaker


async def _decider(request: Request, system: Here) -> str:
    speaker: Speaker = request.state.speaker
    if speaker.person is None:
        raise needs_a_person(system.kernel.parts.force.directory)
    return speaker.name


Speaking = Annotated[Speaker, Depends(_speaker)]
Decider = Annotated[str, Depends(_decider)]
"""The name of the person who decides; 401 where no person speaks."""


def may_give_tokens(speaker: Speaker) -> bool:
    """Whether people get their tokens from whoever speaks."""
    return speaker.kind == "operator" or (speaker.person is not None and OWNER in speaker.person.roles)

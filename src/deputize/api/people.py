"""People: who they are, and their tokens. A token is shown once, by the answer that makes it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from deputize import canonical
from deputize.api.here import Here
from deputize.api.problem import Problem, answer
from deputize.api.show import show_person
from deputize.api.who import OPERATOR, Speaker, Speaking, may_give_tokens
from deputize.suggest import did_you_mean
from deputize.system import System

router = APIRouter(prefix="/v1")


@router.get("/me")
async def get_me(system: Here, speaker: Speaking) -> Response:
    """Who speaks, by which token."""
    person = speaker.person
    told = None if person is None else show_person(person, system.kernel.parts.force.directory, [])
    if told is not None:
        del told["tokens"]
    return answer(system, {"kind": speaker.kind, "person": told, "token": speaker.token or None})


@router.get("/people")
async def list_people(system: Here) -> Response:
    """Everybody who may decide, with the ids of their tokens."""
    directory, tokens = system.kernel.parts.force.directory, system.kernel.tokens
    people = sorted(directory.people.values(), key=lambda person: person.name)
    return answer(system, {"people": [show_person(one, directory, tokens.of(one.name)) for one in people]})


@router.post("/people/{name}/tokens", status_code=201)
async def issue_token(system: Here, speaker: Speaking, name: str) -> Response:
    """A new token of a person's: `{"person", "id", "token"}`. It is never shown again."""
    if not may_give_tokens(speaker):
        raise _not_to_give(speaker)
    token, secret = await system.kernel.tokens.issue(_known(system, name), speaker.name or OPERATOR)
    # Not through `answer`, which takes out whatever looks like a token: this is the one place that shows it.
    body = canonical.encode({"person": name, "id": token.id, "token": secret})
    return Response(body, 201, {"Cache-Control": "no-store"}, media_type="application/json")


@router.delete("/people/{name}/tokens/{id}")
async def revoke_token(system: Here, speaker: Speaking, name: str, id: str) -> Response:
    """Take a token back. People may take back their own."""
    if not may_give_tokens(speaker) and speaker.name != name:
        raise _not_to_give(speaker)
    if all(token.id != id for token in system.kernel.tokens.of(_known(system, name))):
        raise Problem(404, f"{name} has no token {id!r}; GET /v1/people lists them")
    await system.kernel.tokens.revoke(name, id, speaker.name or OPERATOR)
    return answer(system, {"person": name, "id": id})


def _known(system: System, name: str) -> str:
    people = system.kernel.parts.force.directory.people
    if name not in people:
        said = did_you_mean(name, people) if people else ": add [people.NAME] and start again"
        raise Problem(404, f"deputize.toml names nobody called {name!r}{said}")
    return name


def _not_to_give(speaker: Speaker) -> Problem:
    if speaker.person is not None:
        return Problem(403, f"{speaker.name} is no owner: an owner, or the operator's key, gives tokens")
    return Problem(
        401,
        "tokens are given by the operator's key (operator.key in the data folder; "
        "`deputize token NAME` sends it) or by an owner: Authorization: Bearer …",
    )

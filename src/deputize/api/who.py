"""Who speaks: what the door made of a request's token or cookie, and what each route asks of it.

Every route says by one of the dependencies at the end of this file which act it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Request

from deputize.access import SAID, WITHOUT_A_PERSON, Act, Role, may, roles_for
from deputize.api.body import read_object
from deputize.api.problem import Problem
from deputize.person import Directory, Person
from deputize.system import System

Kind = Literal["nobody", "project", "operator", "local", "stranger", "person", "agent"]

OPERATOR = "the operator's key"
"""In the place of a person's name, which has no space in it."""

BACK_CHARS_MAX = 2_000

ROLE_TYPE = "deputize:role"
"""The `type` of the problem that a role may not do what was asked for."""

SESSION_TYPE = "deputize:session"
"""The `type` of the problem that a session has ended."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks: nobody in particular on this machine, whoever has the project's token or the operator's
    key, this machine's owner in a browser (`local`), a person, an `agent` that lives elsewhere, or a
    `stranger`, who is let see pages for everybody alone.

    A person speaks by the token of this id or in the `session` of this id, by which their `role` may be
    less than their own; a session may do what needs a password just given until `fresh_until` (ledger time).
    """

    kind: Kind
    person: Person | None = None
    token: str = ""
    role: Role | None = None
    session: str = ""
    fresh_until: int = 0
    agent: str = ""

    @property
    def name(self) -> str:
        """The person's name; empty where no person speaks."""
        return self.person.name if self.person is not None else ""

    def may(self, act: Act) -> bool:
        """Whether whoever speaks may do it."""
        if self.role is not None:
            return may(self.role, act)
        return act in WITHOUT_A_PERSON.get(self.kind, ())


NOBODY = Speaker("nobody")
STRANGER = Speaker("stranger")


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


def refused(speaker: Speaker, act: Act, directory: Directory) -> Problem:
    """The answer to whoever may not do it: which roles may, and whom one could ask."""
    if speaker.person is None or speaker.role is None:
        return _needs_the_key() if act == "admit" else needs_a_person(directory)
    roles, name = roles_for(act), speaker.name
    able = sorted(one.name for one in directory.people.values() if may(one.role, act) and one.name != name)
    if may(speaker.person.role, act):
        said = f"this token of {name}'s is for {_a(speaker.role)} alone"
    else:
        said = f"{name} is {_a(speaker.role)}"
    whom = f"ask {_or(able)}" if able else f"nobody else is one: see roles in [people.{name}]"
    detail = f"{said}, and only {_either(roles)} may {SAID[act]}; {whom}"
    return Problem(403, detail, type=ROLE_TYPE, act=act, roles=list(roles), people=able)


def allow(system: System, speaker: Speaker, act: Act) -> None:
    """Raises `Problem` where whoever speaks may not do it."""
    if not speaker.may(act):
        raise refused(speaker, act, system.kernel.parts.force.directory)


async def read_decision(request: Request) -> dict[str, Any]:
    """The JSON object of a decision. Raises `Problem`, also for one that says whose it is, and where whoever
    speaks was let out while the body came."""
    body = await read_object(request)
    still_in(request)
    if "person" in body or "person" in request.query_params:
        raise Problem(422, "person is not to be given: the token says who decides", field="person")
    return body


def still_in(request: Request) -> None:
    """Raises `Problem` 401 where the token or the session that a person speaks by has ended meanwhile."""
    speaker: Speaker = request.state.speaker
    kernel = request.app.state.system.kernel
    if speaker.session and not kernel.sessions.is_open(speaker.session):
        raise Problem(401, "this session has ended: log in again", type=SESSION_TYPE)
    if speaker.token and not kernel.tokens.is_good(speaker.name, speaker.token):
        raise Problem(401, "this token was taken back, or has ended, in this moment")


def acting(act: Act | None) -> Callable[[Request], Awaitable[Speaker]]:
    """The dependency of a route that is this act (open to all with None); it gives who speaks."""

    async def allowed(request: Request) -> Speaker:
        speaker: Speaker = request.state.speaker
        if act is not None:
            allow(request.app.state.system, speaker, act)
        return speaker

    vars(allowed)["act"] = act or "open"
    return allowed


def act_of(dependency: Callable[..., Any] | None) -> str | None:
    """The act that a dependency says (`open` for a route that is open to all); None where it says none."""
    return getattr(dependency, "act", None)


def _named(act: Act) -> Callable[..., Awaitable[str]]:
    allowed = acting(act)

    async def name(request: Request) -> str:
        return (await allowed(request)).name

    vars(name)["act"] = act
    return name


async def _visitor(request: Request) -> Speaker:
    """Whoever is let see a page. Raises `NeedsLogin` for everybody else."""
    speaker: Speaker = request.state.speaker
    if speaker.kind not in ("person", "local", "project") or not speaker.may("read"):
        raise NeedsLogin(request)
    return speaker


vars(_visitor)["act"] = "read"


class NeedsLogin(Exception):
    """A page was asked for by whoever has to log in first; `back` is where that leads afterwards."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        query = f"?{request.url.query}" if request.url.query else ""
        self.back = f"{request.url.path}{query}" if request.method == "GET" else "/"


def way_back(path: str) -> str:
    """Where a log-in leads: a path of this server, never another's address."""
    inside = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if inside and len(path) <= BACK_CHARS_MAX else "/"


OPEN_PAGES = ("/login", "/first")
"""With the files of pages (`/static/`) all that strangers are shown."""


OPEN = Depends(acting(None))
READS = Depends(acting("read"))
"""For the routes of a router; what else one of its routes does it says itself."""

VISITS = Depends(_visitor)
"""For the routers of pages: whoever has not come in is sent to the log-in."""

Visitor = Annotated[Speaker, VISITS]
Speaking = Annotated[Speaker, Depends(acting("read"))]
Own = Annotated[Speaker, Depends(acting("own"))]
Sender = Annotated[Speaker, Depends(acting("send"))]
Keeping = Annotated[Speaker, Depends(acting("keep"))]
Admitting = Annotated[Speaker, Depends(acting("admit"))]
Decider = Annotated[str, Depends(_named("decide"))]
"""The name of the person who decides; 401 where no person speaks, 403 where their role does not do it."""

Changer = Annotated[str, Depends(_named("change"))]
Operator = Annotated[str, Depends(_named("operate"))]
Mover = Annotated[str, Depends(_named("move"))]


def _a(role: Role) -> str:
    return f"{'a' if role == 'viewer' else 'an'} {role}"


def _either(roles: Sequence[Role]) -> str:
    return _or([_a(role) for role in roles])


def _or(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _needs_the_key() -> Problem:
    return Problem(
        401,
        "tokens are given by the operator's key (operator.key in the data folder; "
        "`deputize token NAME` sends it) or by an admin: Authorization: Bearer …",
    )

"""People: who they are, and their tokens. A token is shown once, by the answer that makes it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from deputize import canonical
from deputize.access import ACTS, ROLES, narrowed
from deputize.api.body import read_object, text_of
from deputize.api.fresh import need_fresh
from deputize.api.here import Here
from deputize.api.problem import Problem, answer
from deputize.api.show import show_person, show_token
from deputize.api.who import OPERATOR, READS, Admitting, Own, Speaking, refused, still_in
from deputize.clock import iso
from deputize.entering.links import LINK_US
from deputize.kernel.tokens import DAYS, DAYS_MAX
from deputize.person import Person
from deputize.suggest import did_you_mean
from deputize.system import System

FOR_CHARS_MAX = 200

router = APIRouter(prefix="/v1", dependencies=[READS])


@router.get("/me")
async def get_me(system: Here, speaker: Speaking) -> Response:
    """Who speaks, by which token or in which session, and what they may do."""
    person = speaker.person
    told = None if person is None else show_person(person, system.kernel.parts.force.directory, [])
    if told is not None:
        del told["tokens"]
    return answer(
        system,
        {
            "kind": speaker.kind,
            "person": told,
            "token": speaker.token or None,
            "session": speaker.session or None,
            "role": speaker.role,
            "may": [act for act in ACTS if speaker.may(act)],
            "fresh_until": iso(speaker.fresh_until) if speaker.session and person is not None else None,
        },
    )


@router.get("/people")
async def list_people(system: Here) -> Response:
    """Everybody who may decide, with the ids of their tokens."""
    directory, tokens = system.kernel.parts.force.directory, system.kernel.tokens
    people = sorted(directory.people.values(), key=lambda person: person.name)
    return answer(system, {"people": [show_person(one, directory, tokens.of(one.name)) for one in people]})


@router.post("/people/{name}/tokens", status_code=201)
async def issue_token(request: Request, system: Here, speaker: Admitting, name: str) -> Response:
    """A new token of a person's: `{"person", "id", "token", "scope", "ends_at", "for"}`, shown this once.

    Of the body `{"scope", "days", "for"}` nothing has to be given: a token may what its person may, or less
    where `scope` is a role that is less, for 90 days, or `days`; `for` says what it is for.
    """
    need_fresh(system, speaker, "giving a token")
    wanted = _wanted(_known(system, name), await read_object(request))
    still_in(request)
    by = speaker.name or OPERATOR
    token, secret = await system.kernel.tokens.issue(name, by, **wanted)
    # Not through `answer`, which takes out whatever looks like a token: here, and with links, it is shown.
    return _shown_once(show_token(token) | {"person": name, "token": secret})


@router.post("/people/{name}/links", status_code=201)
async def make_link(system: Here, speaker: Admitting, name: str) -> Response:
    """A one-time link by which a person sets a password and comes in: `{"person", "path", "url", "minutes"}`.

    `url` is null where the settings name no console's address. It is good once, and for so many minutes.
    """
    need_fresh(system, speaker, "giving a link")
    path = system.entrance.link(_known(system, name).name)
    notify = system.project.settings.notify
    url = notify.console + path if notify is not None and notify.console else None
    return _shown_once({"person": name, "path": path, "url": url, "minutes": LINK_US // 60_000_000})


@router.delete("/people/{name}/tokens/{id}")
async def revoke_token(system: Here, speaker: Own, name: str, id: str) -> Response:
    """Take a token back. People may take back their own."""
    whole = speaker.person is not None and speaker.role == speaker.person.role
    # A token that may less than its person ends itself alone.
    own = speaker.name == name and (whole or id == speaker.token)
    if not speaker.may("admit") and not own:
        raise refused(speaker, "admit", system.kernel.parts.force.directory)
    if all(token.id != id for token in system.kernel.tokens.of(_known(system, name).name)):
        raise Problem(404, f"{name} has no token {id!r}; GET /v1/people lists them")
    await system.kernel.tokens.revoke(name, id, speaker.name or OPERATOR)
    return answer(system, {"person": name, "id": id})


def _known(system: System, name: str) -> Person:
    people = system.kernel.parts.force.directory.people
    if name not in people:
        said = did_you_mean(name, people) if people else ": add [people.NAME] and start again"
        raise Problem(404, f"deputize.toml names nobody called {name!r}{said}")
    return people[name]


def _wanted(person: Person, body: dict[str, Any]) -> dict[str, Any]:
    """What is wanted of a new token. Raises `Problem` 422."""
    for key in body:
        if key not in ("scope", "days", "for"):
            raise Problem(
                422, f"{key} is nothing of a token{did_you_mean(key, ('scope', 'days', 'for'))}", field=key
            )
    scope, days = body.get("scope"), body.get("days", DAYS)
    if scope is not None and scope not in ROLES:
        near = did_you_mean(str(scope), ROLES)
        raise Problem(422, f"scope must be one of {', '.join(ROLES)}{near}", field="scope")
    if scope is not None and narrowed(person.role, scope) != scope:
        said = f"{person.name} has the role {person.role}, and no token of theirs may more: not {scope}"
        raise Problem(422, said, field="scope")
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= DAYS_MAX:
        raise Problem(422, f"days must be a number from 1 to {DAYS_MAX}", field="days")
    return {"scope": scope, "days": days, "about": text_of(body, "for", chars_max=FOR_CHARS_MAX, default="")}


def _shown_once(told: dict[str, Any]) -> Response:
    return Response(canonical.encode(told), 201, {"Cache-Control": "no-store"}, media_type="application/json")

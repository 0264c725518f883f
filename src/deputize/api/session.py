"""Sessions: coming in by a password or a one-time link, and leaving."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from deputize.api.body import read_object
from deputize.api.cookies import clear_session, cookies_of, set_session
from deputize.api.here import Here
from deputize.api.problem import Problem, answer
from deputize.api.who import OPEN, NeedsLogin, Own, Speaker, way_back
from deputize.clock import iso
from deputize.entering.entrance import Opened
from deputize.entering.passwords import CHARS_MAX
from deputize.session import Session
from deputize.system import System

LOGIN = "/login"
"""The page at which people come in."""

FIELD_CHARS_MAX = 20 * CHARS_MAX
"""Of a text that is looked at at all; what a password may be is said elsewhere."""

router = APIRouter(prefix="/v1/session")


@router.post("", dependencies=[OPEN])
async def log_in(request: Request, system: Here) -> Response:
    """Come in: `{"name", "password"}`. The answer sets the cookie of a new session; that of before ends."""
    body = await read_object(request)
    name, password = _text(body, "name"), _text(body, "password")
    opened = await system.entrance.open(name, password, place=place_of(request), before=before_of(request))
    return _opened(request, system, opened)


@router.post("/first", dependencies=[OPEN])
async def use_link(request: Request, system: Here) -> Response:
    """Use a one-time link up: `{"key", "password"}`. It sets the password of the person that it is for; the
    owner of this machine, where nobody is named, needs none. The answer sets the cookie of a session."""
    body = await read_object(request)
    key, password = _text(body, "key"), _text(body, "password", default="")
    return _opened(request, system, await system.entrance.use(key, password, before=before_of(request)))


@router.post("/fresh")
async def give_password(request: Request, system: Here, speaker: Own) -> Response:
    """Give the password once more, by which money may be approved for some minutes: `{"password"}`."""
    body, session = await read_object(request), _session(system, request, speaker)
    fresh = await system.entrance.freshen(session, request.state.cookie, _text(body, "password"))
    return answer(system, show_session(fresh))


@router.post("/password")
async def change_password(request: Request, system: Here, speaker: Own) -> Response:
    """Set another password: `{"password", "new"}`. All sessions of the person end, and a new one begins."""
    body, session = await read_object(request), _session(system, request, speaker)
    password, new = _text(body, "password"), _text(body, "new")
    return _opened(request, system, await system.entrance.change_password(session, password, new))


@router.delete("", dependencies=[OPEN])
async def log_out(request: Request, system: Here) -> Response:
    """Leave: the session ends, and the browser forgets it."""
    speaker: Speaker = request.state.speaker
    await leave(request, system)
    response = answer(system, {"person": speaker.name or None})
    clear_session(response, request)
    return response


async def leave(request: Request, system: System) -> None:
    """End the session in which a request was sent."""
    if request.state.cookie:
        await system.kernel.sessions.end(request.state.cookie, request.state.speaker.name)


def place_of(request: Request) -> str:
    """Where a log-in is tried from: the address of the other side, as a proxy on this machine tells it."""
    return request.client.host if request.client is not None else ""


def before_of(request: Request) -> bytes:
    """The cookie that a browser had before it came in."""
    return next(iter(cookies_of(request.scope["headers"])), b"")


def show_session(session: Session) -> dict[str, Any]:
    """A session: whose, until when, and until when money may be approved in it."""
    return {
        "person": session.person or None,
        "session": session.id,
        "ends_at": iso(session.ends_us),
        "fresh_until": iso(session.fresh_until_us) if session.fresh_us else None,
    }


async def to_login(request: Request, error: Exception) -> Response:
    """The answer to whoever has to log in first, before a page."""
    assert isinstance(error, NeedsLogin)
    return RedirectResponse(f"{LOGIN}?next={quote(way_back(error.back), safe='')}", 303)


def _opened(request: Request, system: System, opened: Opened) -> Response:
    response = answer(system, show_session(opened.session))
    set_session(response, opened.cookie, request)
    return response


def _session(system: System, request: Request, speaker: Speaker) -> Session:
    session = system.kernel.sessions.find(request.state.cookie) if speaker.session else None
    if session is None or not session.person:
        raise Problem(409, "this is for people in a browser, who have a password; a token is asked for none")
    return session


def _text(body: dict[str, Any], name: str, default: str | None = None) -> str:
    text = body.get(name, default)
    if not isinstance(text, str) or len(text) > FIELD_CHARS_MAX:
        raise Problem(422, f"{name} must be text of {FIELD_CHARS_MAX:,} characters at most", field=name)
    return text

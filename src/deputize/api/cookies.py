"""The cookie of a session: read from requests, set and taken away in answers.

It is `Lax` and not `Strict`, so that whoever follows a link from a mail is let in: nothing that changes
anything is a GET, and every other request has to come from a page of ours (`api/crosssite.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response

from deputize.session import WHOLE_US

COOKIE = "deputize_session"
TAKEN_MAX = 4
"""So many cookies of this name are looked at: other ledgers on this machine may have set theirs beside."""

_NAME = COOKIE.encode() + b"="
_HEADER = b"cookie"


def cookies_of(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """What the cookies of this name hold, in their order; an empty list for most requests."""
    found = []
    for name, value in headers:
        if name == _HEADER and _NAME in value:
            parts = (part.strip() for part in value.split(b";"))
            found += [part[len(_NAME) :].strip(b'"') for part in parts if part.startswith(_NAME)]
    return [one for one in found if one][:TAKEN_MAX]


def set_session(response: Response, cookie: str, request: Request) -> None:
    """Let the browser keep a session; for https alone where it was asked for by that."""
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=WHOLE_US // 1_000_000,
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="lax",
    )
    response.headers["Cache-Control"] = "no-store"


def clear_session(response: Response, request: Request) -> None:
    """Let the browser forget its session."""
    response.delete_cookie(COOKIE, path="/", secure=_is_secure(request), httponly=True, samesite="lax")


def _is_secure(request: Request) -> bool:
    """Whether the browser speaks https, which a proxy before this process may have taken off."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")

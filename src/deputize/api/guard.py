"""The door: who may speak to this process, and when it takes anything in."""

from __future__ import annotations

from hmac import compare_digest
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from deputize.api.here import Readiness
from deputize.api.problem import RETRY_SOON_S, Problem, problem
from deputize.config import is_loopback
from deputize.system import System

OPEN_TO_ALL = "/healthz"
SIGNED = "/v1/webhooks/"
"""Webhooks prove who sent them by their signature: their senders know neither token nor address."""

_READING = ("GET", "HEAD", "OPTIONS")


class Guard:
    """ASGI middleware: the host's name (against DNS rebinding), the origin (against other people's
    pages in a browser here), the token, and nothing new while starting or stopping."""

    def __init__(self, app: ASGIApp, system: System, readiness: Readiness, token: str | None) -> None:
        self._app = app
        self._system = system
        self._readiness = readiness
        self._token = f"Bearer {token}".encode() if token is not None else None
        self._local = is_loopback(system.project.settings.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = self._refusal(scope)
            if refusal is not None:
                await problem(self._system, refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers, path = Headers(scope=scope), scope["path"]
        writes = scope["method"] not in _READING
        if not path.startswith(SIGNED):
            if self._local and not _is_local(headers.get("host", "")):
                return Problem(421, "this address answers to localhost and 127.0.0.1 alone")
            if (
                writes
                and (origin := headers.get("origin"))
                and not self._own(origin, headers.get("host", ""))
            ):
                return Problem(403, "a page of another origin may not act here")
            if path != OPEN_TO_ALL and not self._knows(headers):
                return Problem(401, "send the project's token: Authorization: Bearer …")
        if writes and self._readiness.state != "ready":
            said = f"this process is {self._readiness.state}; send it again in a moment"
            return Problem(503, said, retry_after_s=RETRY_SOON_S)
        return None

    def _knows(self, headers: Headers) -> bool:
        if self._token is None:
            return True
        return compare_digest(headers.get("authorization", "").encode(), self._token)

    def _own(self, origin: str, host: str) -> bool:
        return origin.partition("://")[2].lower() == host.lower()


def _is_local(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name) and (name in ("localhost", "::1") or _is_address(name))


def _is_address(name: str) -> bool:
    """A name like 127.evil.example begins as an address does."""
    return all(part.isdigit() for part in name.split("."))

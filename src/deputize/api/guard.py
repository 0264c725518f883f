"""The door: who may speak to this process, and when it takes anything in."""

from __future__ import annotations

from hmac import compare_digest
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from deputize.api.here import Readiness
from deputize.api.problem import RETRY_SOON_S, Problem, problem
from deputize.api.who import NOBODY, Speaker
from deputize.config import is_loopback
from deputize.system import System

OPEN_TO_ALL = "/healthz"
SIGNED = "/v1/webhooks/"
"""Webhooks prove who sent them by their signature: their senders know neither token nor address."""

GIVING = "/v1/people/"
"""All that the operator's key may change."""

_READING = ("GET", "HEAD", "OPTIONS")
_HEADER = b"authorization"


class Guard:
    """ASGI middleware: the host's name (against DNS rebinding), the origin (against other people's
    pages in a browser here), who speaks, and nothing new while starting or stopping.

    `operator` is the operator's key; `token`, where given, or a person's, is asked of everyone.
    """

    def __init__(
        self, app: ASGIApp, system: System, readiness: Readiness, operator: str, token: str | None
    ) -> None:
        self._app = app
        self._system = system
        self._readiness = readiness
        self._operator = operator.encode()
        self._token = token.encode() if token is not None else None
        self._local = is_loopback(system.project.settings.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                scope.setdefault("state", {})["speaker"] = self._admitted(scope)
            except Problem as refusal:
                await problem(self._system, refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admitted(self, scope: Scope) -> Speaker:
        """Who speaks. Raises `Problem` for whoever may not, or not now."""
        headers, path = Headers(scope=scope), scope["path"]
        writes, speaker = scope["method"] not in _READING, NOBODY
        if not path.startswith(SIGNED):
            host, origin = headers.get("host", ""), headers.get("origin")
            if self._local and not _is_local(host):
                raise Problem(421, "this address answers to localhost and 127.0.0.1 alone")
            if writes and origin and not self._own(origin, host):
                raise Problem(403, "a page of another origin may not act here")
            if path != OPEN_TO_ALL:
                speaker = self._speaker([value for name, value in scope["headers"] if name == _HEADER])
            if speaker.kind == "operator" and writes and not path.startswith(GIVING):
                said = "the operator's key gives people their tokens, and decides nothing"
                raise Problem(401, f"{said}: `deputize login NAME`, and speak as a person")
        if writes and self._readiness.state != "ready":
            raise self._not_now()
        return speaker

    def _speaker(self, sent: list[bytes]) -> Speaker:
        if not sent and self._token is None:
            return NOBODY
        if len(sent) > 1:
            raise Problem(401, f"send one Authorization header, and not {len(sent)}")
        kind, _, token = sent[0].partition(b" ") if sent else (b"", b"", b"")
        if kind.lower() == b"bearer":
            if self._token is not None and compare_digest(token, self._token):
                return Speaker("project")
            if compare_digest(token, self._operator):
                return Speaker("operator")
            found = self._system.kernel.tokens.find(token)
            if found is not None:
                return Speaker("person", found[0], found[1].id)
            if self._readiness.state == "starting":
                # Which tokens there are is read from the ledger while it starts.
                raise self._not_now()
        if self._token is not None:
            said = "send the project's token, or a person's: Authorization: Bearer …"
            raise Problem(401, f"{said} (`deputize login NAME` gives a person one)")
        said = "this token is not known, or not any more: `deputize login NAME` gives a person a new one"
        raise Problem(401, f"{said}, `deputize logout` forgets it")

    def _not_now(self) -> Problem:
        said = f"this process is {self._readiness.state}; send it again in a moment"
        return Problem(503, said, retry_after_s=RETRY_SOON_S)

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

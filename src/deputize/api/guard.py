"""The door: who may speak to this process, and when it takes anything in."""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from deputize.access import narrowed
from deputize.api.cookies import cookies_of
from deputize.api.crosssite import host_of, refuse_foreign
from deputize.api.here import Readiness
from deputize.api.problem import RETRY_SOON_S, Problem, problem
from deputize.api.session import to_login
from deputize.api.strict import strictly
from deputize.api.who import NOBODY, OPEN_PAGES, SESSION_TYPE, STRANGER, NeedsLogin, Speaker
from deputize.clock import iso
from deputize.config import is_loopback
from deputize.session import LOCAL
from deputize.system import System

OPEN_TO_ALL = "/healthz"
ENTRANCES = ("/v1/session", "/v1/session/first")
"""Where whoever is nobody yet comes in."""

SIGNED = "/v1/webhooks/"
"""Webhooks prove who sent them by their signature: their senders know neither token nor address."""

GIVING = ("/v1/people/", "/v1/agents/")
"""All that the operator's key may change."""

CALLING = ("/v1/agents/", "/mcp/")
"""All that the token of an agent is for."""

_FOR_PROGRAMS = ("/metrics", "/readyz", "/openapi.json", OPEN_TO_ALL)
"""With all under /v1; everything else is a page."""

_READING = ("GET", "HEAD", "OPTIONS")
_HEADER = b"authorization"


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who speaks, and in a session the cookie that says so."""

    speaker: Speaker
    cookie: bytes = b""


class Guard:
    """ASGI middleware: the host's name (against DNS rebinding), where a request comes from (against other
    people's pages in a browser here), who speaks, and nothing new while starting or stopping.

    `operator` is the operator's key; `token`, where given, or a person's, is asked of everyone but of those
    who come in: from pages that are not for strangers they are sent to the log-in.
    """

    def __init__(
        self, app: ASGIApp, system: System, readiness: Readiness, operator: str, token: str | None
    ) -> None:
        self._app = app
        self._system = system
        self._readiness = readiness
        self._operator = operator.encode()
        self._token = token.encode() if token is not None else None
        settings = system.project.settings
        self._local = is_loopback(settings.host)
        self._console = host_of(settings.notify.console) if settings.notify is not None else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = strictly(send)
            try:
                admitted = self._admitted(scope)
            except Problem as refusal:
                await problem(self._system, refusal)(scope, receive, send)
                return
            except NeedsLogin as stranger:
                await (await to_login(Request(scope), stranger))(scope, receive, send)
                return
            state = scope.setdefault("state", {})
            state["speaker"], state["cookie"] = admitted.speaker, admitted.cookie
        await self._app(scope, receive, send)

    def _admitted(self, scope: Scope) -> Admitted:
        """Who speaks. Raises `Problem` for whoever may not, or not now."""
        headers, path = Headers(scope=scope), scope["path"]
        writes, admitted = scope["method"] not in _READING, Admitted(NOBODY)
        if not path.startswith(SIGNED):
            host, cookies = headers.get("host", ""), cookies_of(scope["headers"])
            if self._local and not _is_local(host):
                raise Problem(421, "this address answers to localhost and 127.0.0.1 alone")
            if writes:
                refuse_foreign(headers, frozenset({host.lower(), self._console} - {""}), cookie=bool(cookies))
            if path != OPEN_TO_ALL:
                sent = [value for name, value in scope["headers"] if name == _HEADER]
                admitted = self._by_token(sent) if sent else self._by_cookie(cookies, scope)
            if admitted.speaker.kind == "operator" and writes and not path.startswith(GIVING):
                said = "the operator's key gives people their tokens, and decides nothing"
                raise Problem(401, f"{said}: `deputize login NAME`, and speak as a person")
            speaker = admitted.speaker
            if speaker.kind == "agent" and not path.startswith(CALLING):
                raise Problem(
                    401, f"a token of {speaker.agent}'s calls for that agent, and does nothing else"
                )
        if writes and self._readiness.state != "ready":
            raise self._not_now()
        return admitted

    def _by_cookie(self, cookies: list[bytes], scope: Scope) -> Admitted:
        """Who speaks in a session, or without anything. Raises `NeedsLogin` before a page for others."""
        path = scope["path"]
        for cookie in cookies:
            speaker = self._in_session(cookie)
            if speaker is not None:
                return Admitted(speaker, cookie)
        page = not path.startswith("/v1/") and path not in _FOR_PROGRAMS
        if self._token is None and (page or path in ENTRANCES):
            return Admitted(NOBODY)
        if path in (*ENTRANCES, *OPEN_PAGES) or path.startswith("/static/"):
            return Admitted(STRANGER)
        if page:
            raise NeedsLogin(Request(scope))
        if cookies:
            if self._readiness.state == "starting":
                raise self._not_now()
            raise Problem(401, "this session has ended: log in again", type=SESSION_TYPE)
        if self._token is None:
            return Admitted(NOBODY)
        raise _needs_a_token()

    def _in_session(self, cookie: bytes) -> Speaker | None:
        kernel = self._system.kernel
        session = kernel.sessions.find(cookie)
        if session is None or (session.person == LOCAL and not self._local):
            return None
        if session.person == LOCAL:
            return Speaker("local", session=session.id)
        person = kernel.parts.force.directory.people[session.person]
        return Speaker("person", person, "", person.role, session.id, session.fresh_until_us)

    def _by_token(self, sent: list[bytes]) -> Admitted:
        """Who speaks by what stands in the Authorization headers."""
        if len(sent) > 1:
            raise Problem(401, f"send one Authorization header, and not {len(sent)}")
        kind, _, token = sent[0].partition(b" ")
        if kind.lower() == b"bearer":
            if self._token is not None and compare_digest(token, self._token):
                return Admitted(Speaker("project"))
            if compare_digest(token, self._operator):
                return Admitted(Speaker("operator"))
            tokens = self._system.kernel.tokens
            found, over = tokens.find(token), tokens.ended(token)
            if found is not None:
                person, known = found
                return Admitted(Speaker("person", person, known.id, narrowed(person.role, known.scope)))
            if over is not None:
                said = f"this token of {over.person}'s ended at {iso(over.ends_us or 0)}"
                raise Problem(401, f"{said}: `deputize token {over.person}` or a new login gives another")
            calls = self._system.kernel.agent_tokens.find(token)
            if calls is not None:
                return Admitted(Speaker("agent", token=calls.id, agent=calls.agent))
            if self._readiness.state == "starting":
                # Which tokens there are is read from the ledger while it starts.
                raise self._not_now()
        if self._token is not None:
            raise _needs_a_token()
        said = "this token is not known, or not any more: `deputize login NAME` gives a person a new one"
        raise Problem(401, f"{said}, `deputize logout` forgets it")

    def _not_now(self) -> Problem:
        said = f"this process is {self._readiness.state}; send it again in a moment"
        return Problem(503, said, retry_after_s=RETRY_SOON_S)


def _needs_a_token() -> Problem:
    said = "send the project's token, or a person's: Authorization: Bearer …"
    return Problem(401, f"{said} (`deputize login NAME` gives a person one)")


def _is_local(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name) and (name in ("localhost", "::1") or _is_address(name))


def _is_address(name: str) -> bool:
    """A name like 127.evil.example begins as an address does."""
    return all(part.isdigit() for part in name.split("."))

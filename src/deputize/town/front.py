"""The door of each service: the token, the faults, the access log; behind it the application."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from deputize.town.book import note_access
from deputize.town.faults import Fault, Faults
from deputize.town.wire import BODY_BYTES_MAX, Problem, request_hash
from deputize.town.world import Ask, World

JSON_TYPE = (b"content-type", b"application/json")
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Request:
    """One request, read to its end. `operation` is None where no route fits."""

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes
    route: str
    operation: str | None

    def header(self, name: bytes) -> str | None:
        """The first header of this (lower-case) name."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)

    @property
    def key(self) -> str | None:
        """The idempotency key, if there is one."""
        return self.header(b"idempotency-key") or None

    @property
    def writes(self) -> bool:
        """Whether the request asks for an effect."""
        return self.method == "POST"

    @property
    def hash(self) -> str:
        """The same for two requests for the same thing."""
        return request_hash(self.method, self.path, self.body)

    @property
    def token(self) -> str:
        """What tells this request from others when faults are drawn: its key, or what it asks for."""
        return self.key or f"{self.query.decode('latin-1')} {self.hash}"


@dataclass
class Reply:
    """What the application answered."""

    status: int = 0
    headers: Headers = field(default_factory=list)
    body: bytes = b""

    async def collect(self, message: Message) -> None:
        """Take in one ASGI message of the application."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


class Front:
    """One service as the outside world meets it (an ASGI application).

    The connection is closed by `scope["state"]["cut"]`, which the server puts there.
    """

    def __init__(self, service: str, app: FastAPI, world: World, faults: Faults, token: str | None) -> None:
        self._service = service
        self._app = app
        self._world = world
        self._faults = faults
        self._token = token
        self._routes = [route for route in app.routes if isinstance(route, APIRoute)]
        self.late_arrived: Callable[[], None] = lambda: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = await self._read(scope, receive)
        except Problem as problem:
            note_access(
                self._world, self._service, scope["method"], scope["path"], None, None, problem.status, None
            )
            await _send(send, _problem(problem))
            return
        if request is None:
            return
        refused = self._unauthorized(request)
        if refused is not None:
            self._log(request, refused.status, None)
            await _send(send, refused)
            return
        fault = None
        if request.operation is not None:
            fault = self._faults.meet(self._service, request.operation, request.writes, request.token)
        if fault is None:
            await self._answer(request, send, None)
        else:
            await self._meet(fault, request, scope, receive, send)

    async def run(self, request: Request, late_seq: int | None = None) -> Reply:
        """Let the application answer `request`, without a connection."""
        ask = Ask(self._service, request.operation or "", request.key, request.hash, late_seq)
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "raw_path": quote(request.path).encode(),
            "root_path": "",
            "query_string": request.query,
            "headers": request.headers,
            "client": None,
            "server": None,
            "state": {"world": self._world, "ask": ask},
        }

        async def receive() -> Message:
            return {"type": "http.request", "body": request.body, "more_body": False}

        reply = Reply()
        await self._app(scope, receive, reply.collect)
        return reply

    async def _read(self, scope: Scope, receive: Receive) -> Request | None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > BODY_BYTES_MAX:
                raise Problem(413, "too-large", f"a body has at most {BODY_BYTES_MAX} bytes")
        route, operation = self._route(scope)
        return Request(
            scope["method"],
            scope["path"],
            scope["query_string"],
            list(scope["headers"]),
            body,
            route,
            operation,
        )

    def _route(self, scope: Scope) -> tuple[str, str | None]:
        for route in self._routes:
            if route.matches(scope)[0] is Match.FULL:
                return route.path, route.operation_id
        return scope["path"], None

    def _unauthorized(self, request: Request) -> Reply | None:
        given = request.header(b"authorization") or ""
        if self._token is None or secrets.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return None
        reply = _problem(Problem(401, "unauthorized", "this service wants its bearer token"))
        reply.headers.append((b"www-authenticate", b"Bearer"))
        return reply

    def _log(self, request: Request, status: int | None, fault: str | None) -> None:
        note_access(
            self._world,
            self._service,
            request.method,
            request.route,
            request.operation,
            request.key,
            status,
            fault,
        )

    async def _answer(self, request: Request, send: Send, fault: str | None) -> None:
        reply = await self.run(request)
        self._log(request, reply.status, fault)
        await _send(send, reply)

    async def _meet(self, fault: Fault, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        match fault.kind:
            case "latency":
                await asyncio.sleep(fault.delay_s)
                await self._answer(request, send, fault.kind)
            case "error_500" | "error_502" | "too_many":
                if fault.effect and fault.kind != "too_many":
                    await self.run(request)
                reply = _error(fault)
                self._log(request, reply.status, fault.kind)
                await _send(send, reply)
            case "malformed":
                reply = await self.run(request)
                spoilt = reply.status == 200
                self._log(request, reply.status, fault.kind if spoilt else None)
                await _send(send, _spoil(reply, fault.pick) if spoilt else reply)
            case "late":
                self._keep_for_later(request, fault.delay_s)
                self._log(request, None, fault.kind)
                await _cut(scope, receive)
            case "cut_before" | "cut_after" | "lost":
                if fault.kind != "cut_before":
                    await self.run(request)
                self._log(request, None, fault.kind)
                if fault.kind == "lost":
                    await _until_gone(receive, fault.delay_s)
                await _cut(scope, receive)

    def _keep_for_later(self, request: Request, delay_s: float) -> None:
        headers = json.dumps([[k.decode("latin-1"), v.decode("latin-1")] for k, v in request.headers])
        self._world.db.execute(
            "INSERT INTO late (service, path, query, headers, body, due_s) VALUES (?,?,?,?,?,?)",
            (
                self._service,
                request.path,
                request.query,
                headers,
                request.body,
                self._world.now_s() + delay_s,
            ),
        )
        self.late_arrived()

    async def land(self, seq: int, path: str, query: bytes, headers: str, body: bytes) -> None:
        """Carry out a request that was kept for later; at most once, even if the town dies meanwhile."""
        raw = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in json.loads(headers)]
        route, operation = self._route({"type": "http", "method": "POST", "path": path, "root_path": ""})
        await self.run(Request("POST", path, query, raw, body, route, operation), late_seq=seq)
        self._world.db.execute("DELETE FROM late WHERE seq = ?", (seq,))


async def _send(send: Send, reply: Reply) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body})


async def _cut(scope: Scope, receive: Receive) -> None:
    scope["state"]["cut"]()
    await _until_gone(receive, timeout_s=5)


async def _until_gone(receive: Receive, timeout_s: float) -> None:
    gone: Awaitable[None] = _gone(receive)
    try:
        await asyncio.wait_for(gone, timeout_s)
    except TimeoutError:
        return


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # at most one message of the body is still to come


def _problem(problem: Problem) -> Reply:
    body = problem.body()
    return Reply(problem.status, [JSON_TYPE, (b"content-length", str(len(body)).encode())], body)


def _error(fault: Fault) -> Reply:
    if fault.kind == "too_many":
        wait = f"{fault.retry_after_s:g}"
        reply = _problem(Problem(429, "too-many-requests", f"try again in {wait} s"))
        reply.headers.append((b"retry-after", wait.encode()))
        return reply
    if fault.kind == "error_502":
        return _problem(Problem(502, "bad-gateway", "the service behind this one did not answer"))
    return _problem(Problem(500, "internal", "something went wrong here"))


def _spoil(reply: Reply, pick: int) -> Reply:
    """A 200 that no reader can use: cut short, no JSON at all, or without the fields that matter."""
    body = (
        reply.body[: len(reply.body) // 2],
        b"<html><body>It works!</body></html>",
        b'{"status": "ok"}',
    )[pick % 3]
    return Reply(200, [JSON_TYPE, (b"content-length", str(len(body)).encode())], body)

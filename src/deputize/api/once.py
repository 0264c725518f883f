"""Writes with an `Idempotency-Key`: a request is carried out once, and answered alike each time it is sent.

Keys are their sender's own. What was refused did nothing, so its key is free again. A key costs two small
commits; without one a request passes by here as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deputize import canonical
from deputize.api.body import read_body
from deputize.api.guard import SIGNED
from deputize.api.once_kept import ANSWER_BYTES_MAX, Full, Kept, Once
from deputize.api.problem import RETRY_SOON_S, Problem, of_error, problem, taken_by
from deputize.errors import DeputizeError, StoreError
from deputize.system import System

HEADER = "idempotency-key"
REPLAYED = "Idempotency-Replayed"
CHARS_MAX = 200
RETRY_LATER_S = 600

_WRITING = ("POST", "DELETE")
_HARMLESS = ("/v1/events", "/v1/ledger/", "/v1/erase")
"""What may be carried out again where nobody knows whether it was: twice comes to the same."""

_PART_OF_IT = ("content-type", "ce-specversion", "ce-source", "ce-id", "ce-type", "ce-subject", "ce-time")


class CarriedOutOnce:
    """ASGI middleware over all writes, behind the door: it has to be known who speaks."""

    def __init__(self, app: ASGIApp, system: System, routers: Sequence[APIRouter]) -> None:
        self._app = app
        self._routers = routers
        self._system = system
        self._kept = Kept(system)
        self._going: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _WRITING or scope["path"].startswith(SIGNED):
            await self._app(scope, receive, send)
            return
        keys = Headers(scope=scope).getlist(HEADER)
        if not keys or scope["method"] not in taken_by(self._routers, scope):
            await self._app(scope, receive, send)
            return
        try:
            await self._once(keys, scope, receive, send)
        except Problem as refusal:
            await problem(self._system, refusal)(scope, receive, send)
        except DeputizeError as error:
            await problem(self._system, of_error(error))(scope, receive, send)

    async def _once(self, keys: list[str], scope: Scope, receive: Receive, send: Send) -> None:
        name = _name(scope["state"]["speaker"], _key(keys))
        body = await read_body(Request(scope, receive))
        asked = _asked(scope, body)
        if name in self._going:
            said = f"a request with this {HEADER} is being carried out; send it again in a moment"
            raise Problem(409, said, retry_after_s=RETRY_SOON_S)
        self._going.add(name)
        try:
            kept = await self._begin(name, asked)
            if kept is not None and (again := _again(kept, asked, scope["path"])) is not None:
                await again(scope, receive, send)
                return
            answer = _Answer()
            await self._app(scope, _with_body(body, receive), answer.take)
            await self._end(name, asked, answer)
        finally:
            self._going.discard(name)
        for message in answer.messages:
            await send(message)

    async def _begin(self, name: str, asked: str) -> Once | None:
        try:
            return await self._kept.begin(name, asked)
        except Full:
            said = "as many idempotency keys are kept as may be: each is for 24 hours; "
            said += "send it without one, or later"
            raise Problem(429, said, retry_after_s=RETRY_LATER_S) from None

    async def _end(self, name: str, asked: str, answer: _Answer) -> None:
        once = answer.kept(asked, self._system.time.now_us())
        try:
            await self._kept.end(name, once)
        except StoreError:
            # It was done, and is answered so; sent again, it is one of which nobody knows what came of it.
            return


class _Answer:
    """An answer, held back until it is kept."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def take(self, message: Message) -> None:
        self.messages.append(message)

    def kept(self, asked: str, at_us: int) -> Once | None:
        """As it is kept; None where nothing was done."""
        start = self.messages[0]
        if not 200 <= start["status"] < 300:
            return None
        headers = Headers(raw=start["headers"])
        body = b"".join(message.get("body", b"") for message in self.messages[1:])
        shown_once = headers.get("cache-control") == "no-store" or len(body) > ANSWER_BYTES_MAX
        text = None if shown_once else body.decode()
        return Once(asked, at_us, start["status"], headers.get("content-type", ""), text)


def _again(kept: Once, asked: str, path: str) -> Response | None:
    """The answer to what was asked before; None where it is to be carried out once more. Raises `Problem`."""
    if kept.asked != asked:
        said = f"this {HEADER} was sent with another request in the last 24 hours; take a new one for this"
        raise Problem(422, said, field=HEADER)
    if not kept.status:
        if path.startswith(_HARMLESS):
            return None
        said = "a request with this key was cut short, and nobody knows whether it was carried out: look "
        raise Problem(409, f"{said}whether it was, and take a new {HEADER} if not")
    if kept.body is None:
        said = "this was carried out already, and its answer is not kept: take a new "
        raise Problem(409, f"{said}{HEADER} to have it done once more")
    return Response(kept.body, kept.status, {REPLAYED: "true"}, media_type=kept.media)


def _key(keys: list[str]) -> str:
    (key, *more) = keys
    if more or not 1 <= len(key) <= CHARS_MAX or not key.isascii() or not key.isprintable():
        raise Problem(400, f"{HEADER} must be one text of 1 to {CHARS_MAX} ASCII characters", field=HEADER)
    return key


def _name(speaker: Any, key: str) -> str:
    """The key of whoever speaks; as a digest, for a key may say anything."""
    return canonical.digest(canonical.encode([speaker.kind, speaker.name or speaker.agent, key]))


def _asked(scope: Scope, body: bytes) -> str:
    headers = Headers(scope=scope)
    about = [headers.get(name, "") for name in _PART_OF_IT]
    query = scope["query_string"].decode("latin-1")
    digest = hashlib.sha256(body).hexdigest()
    return canonical.digest(canonical.encode([scope["method"], scope["path"], query, about, digest]))


def _with_body(body: bytes, receive: Receive) -> Receive:
    """What was read is there to be read once more."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again

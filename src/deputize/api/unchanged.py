"""Reads have a strong `ETag`, and whoever has it already is answered 304 (RFC 9110, 8.8 and 13.1.2)."""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA = "application/json"
DIGITS = 32
_KEPT = (b"etag", b"cache-control")


class Unchanged:
    """ASGI middleware over all reads: what one is answered is compared with what its reader has.

    An answer that comes in several parts (a stream) is left alone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        begun: list[Message] = []

        async def compared(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_read(message):
                begun.append(message)
                return
            if begun:
                start, first = begun.pop(), message
                if not message.get("more_body", False):
                    start, first = _tagged(start, message, Headers(scope=scope).getlist("if-none-match"))
                await send(start)
                message = first
            await send(message)

        await self._app(scope, receive, compared)


def _is_read(start: Message) -> bool:
    return start["status"] == 200 and Headers(raw=start["headers"]).get("content-type") == MEDIA


def _tagged(start: Message, body: Message, known: list[str]) -> tuple[Message, Message]:
    """The answer with its tag; without its body where the reader knows it."""
    tag = f'"{hashlib.sha256(body.get("body", b"")).hexdigest()[:DIGITS]}"'
    headers = MutableHeaders(raw=list(start["headers"]))
    headers["ETag"] = tag
    # Kept by the reader alone, and asked about each time.
    headers.setdefault("Cache-Control", "private, no-cache")
    start = {**start, "headers": headers.raw}
    if not _matches(tag, known):
        return start, body
    kept = [(name, value) for name, value in headers.raw if name in _KEPT]
    return {**start, "status": 304, "headers": kept}, {**body, "body": b""}


def _matches(tag: str, known: list[str]) -> bool:
    """`*`, or a list of tags; compared weakly, as `If-None-Match` is."""
    tags = [one.strip().removeprefix("W/") for text in known for one in text.split(",")]
    return tag in tags or "*" in tags

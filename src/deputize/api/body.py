"""Request bodies: read in bounded chunks, and decoded with errors that say what to send instead."""

from __future__ import annotations

from typing import Any

from starlette.requests import ClientDisconnect, Request

from deputize import canonical
from deputize.api.problem import Problem

BODY_BYTES_MAX = 10_000_000


async def read_body(request: Request) -> bytes:
    """The body. Raises `Problem` 413 as soon as it is known to be too large."""
    too_large = Problem(413, f"a body may have {BODY_BYTES_MAX:,} bytes; send less at once")
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > BODY_BYTES_MAX:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > BODY_BYTES_MAX:
                raise too_large
            chunks.append(chunk)
    except ClientDisconnect:
        raise Problem(400, "the connection was closed before the body was whole; send it again") from None
    return b"".join(chunks)


def decode_json(body: bytes) -> Any:
    """JSON. Raises `Problem` 400 for what is none, saying where it ends to be."""
    if not body.strip():
        raise Problem(400, "the body is empty; send JSON")
    try:
        return canonical.decode(body)
    except ValueError as error:
        try:
            body.decode()
        except UnicodeDecodeError as text_error:
            raise Problem(400, f"the body is not UTF-8 (at byte {text_error.start}); send JSON") from None
        raise Problem(400, f"the body is not JSON: {error}") from None


async def read_object(request: Request) -> dict[str, Any]:
    """A JSON object, empty where there is no body. Raises `Problem`."""
    body = await read_body(request)
    value = decode_json(body) if body.strip() else {}
    if not isinstance(value, dict):
        raise Problem(400, 'the body must be a JSON object, {"name": value, …}')
    return value


def text_of(value: dict[str, Any], name: str, *, chars_max: int = 2_000, default: str | None = None) -> str:
    """A text field of a body. Raises `Problem` 422, naming it."""
    text = value.get(name, default)
    if not isinstance(text, str) or len(text) > chars_max or (default is None and not text.strip()):
        raise Problem(
            422,
            f"{name} must be text of {1 if default is None else 0} to {chars_max:,} characters",
            field=name,
        )
    return text

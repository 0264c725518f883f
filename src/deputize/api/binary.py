"""CloudEvents in binary mode: the attributes are headers (`ce-id`, …), and the body is the data alone.

Source: CloudEvents 1.0.2, HTTP protocol binding, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers

from deputize.api.body import decode_json
from deputize.api.problem import Problem

PREFIX = "ce-"
NEEDED = ("specversion", "source", "id", "type")
READ = (*NEEDED, "subject", "time")


def is_binary(headers: Headers) -> bool:
    """Whether an event's attributes are in its headers; a content type of CloudEvents' own says otherwise."""
    kind = headers.get("content-type", "").strip().lower()
    return not kind.startswith("application/cloudevents") and any(PREFIX + name in headers for name in NEEDED)


def is_json(kind: str) -> bool:
    """Whether a media type says JSON; nothing is said of no data."""
    return kind in ("", "application/json") or kind.endswith("+json")


def binary_event(headers: Headers, body: bytes, scrub: Callable[[str], str]) -> dict[str, Any]:
    """The same event as it is in structured mode; `scrub` takes secrets out of text. Raises `Problem`."""
    found: dict[str, Any] = {}
    for name in READ:
        values = headers.getlist(PREFIX + name)
        if len(values) > 1:
            raise Problem(400, f"{PREFIX}{name} is there {len(values)} times; send it once")
        if values:
            found[name] = scrub(_unquoted(PREFIX + name, values[0]))
    return found | ({"data": decode_json(body)} if body.strip() else {})


def _unquoted(name: str, value: str) -> str:
    """Text outside of ASCII is percent-encoded in headers."""
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise Problem(400, f"{name} is not UTF-8 once its %XX are read; percent-encode it as UTF-8") from None

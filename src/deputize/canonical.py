"""One byte form for every value that is digested, stored or sent."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

_OPTIONS = orjson.OPT_SORT_KEYS


def encode(value: Any) -> bytes:
    """Canonical JSON: UTF-8, keys sorted, no spaces. Raises `TypeError` for what JSON cannot hold."""
    return orjson.dumps(value, option=_OPTIONS)


def decode(data: bytes | str) -> Any:
    """The value of JSON bytes. Raises `ValueError`."""
    return orjson.loads(data)


def digest(data: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def name(*parts: str | int) -> str:
    """A 24-digit hexadecimal id that follows from its parts (96 bits of SHA-256)."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:24]

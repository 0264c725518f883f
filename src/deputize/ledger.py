"""The ledger: one append-only, hash-chained stream of entries per run, and one for the system.

An entry's hash covers the ledger, the stream, the version, the type, the time, the hash before it
and a keyed digest of its body. The key is the entry's own random salt, so that erasing body and
salt leaves the chain whole and the digest unguessable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

SYSTEM = 0
"""The number of the system stream; runs count from 1."""

SYSTEM_NAME = "system"
SALT_BYTES = 16
GENESIS = bytes(32)
INLINE_BYTES_MAX = 64_000

_BLOCK_BYTES = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))

EntryType = Literal[
    # a run
    "began",
    "ended",
    "stuck",
    "unstuck",
    "cancelling",
    "card",
    # an action
    "read",
    "rehearsed",
    "asked",
    "handed",
    "granted",
    "intent",
    "attempt",
    "receipt",
    "drift",
    "declined",
    "refused",
    "doubt",
    "abandoned",
    # undoing an ended run
    "unwinding",
    "unwound",
    "noted",
    # a wait
    "waiting",
    "woke",
    "sent",
    # the system stream
    "opened",
    "rules",
    "params",
    "halted",
    "resumed",
    "erased",
    "restored",
    "moved",
    "clock_back",
    "circuit",
    "lowered",
    "lifted",
    "neared",
    "proposed",
    "person",
]


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it has a place: its type and its body (plain data)."""

    type: EntryType
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it stands. `body` is None once erased; `at_us` is ledger time, which never runs back."""

    seq: int
    stream: int
    version: int
    type: EntryType
    at_us: int
    body: Mapping[str, Any] | None
    hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Flaw:
    """What `verify` found wrong, and where."""

    stream: str
    version: int
    what: str


def body_digest(salt: bytes, body: bytes) -> bytes:
    """HMAC-SHA-256 of an entry's stored body under its salt (of 64 bytes at most).

    By its definition, as two plain digests: in a run that stands alone OpenSSL's own takes twice as long.
    """
    key = salt.ljust(_BLOCK_BYTES, b"\0")
    inner = hashlib.sha256(key.translate(_INNER) + body).digest()
    return hashlib.sha256(key.translate(_OUTER) + inner).digest()


def entry_hash(
    before: bytes, ledger_id: str, stream: str, version: int, type: str, at_us: int, digest: bytes
) -> bytes:
    """SHA-256 of `before`, the entry's place and its body's digest (fields separated by newlines)."""
    head = f"{ledger_id}\n{stream}\n{version}\n{type}\n{at_us}\n"
    return hashlib.sha256(before + head.encode() + digest).digest()

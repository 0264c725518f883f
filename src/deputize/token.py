"""Tokens: by what a person, or whoever operates the process, is known at the door. Pure.

A token is 32 random bytes, so its plain SHA-256 is as good as any slow hash; that digest is all that is kept.
Both kinds have a shape of their own, by which they are taken out of whatever is stored or shown.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass

BYTES = 32
PERSON_PREFIX = "dpt_"
OPERATOR_PREFIX = "dpo_"
SHAPE = re.compile(rb"dp[to]_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token beside its digest: whose it is, the `id` that people call it by, and since when
    (ledger time)."""

    person: str
    id: str
    at_us: int


def written(prefix: str, random: bytes) -> str:
    """A token from `BYTES` random bytes."""
    return prefix + urlsafe_b64encode(random).rstrip(b"=").decode()


def is_one(text: str) -> bool:
    """Whether it is written as a token of either kind is."""
    return SHAPE.fullmatch(text.encode("utf-8", "replace")) is not None


def digest_of(token: bytes) -> str:
    """What a token is kept as: its SHA-256 in hex."""
    return hashlib.sha256(token).hexdigest()

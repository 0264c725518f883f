"""Tokens: by what a person, or whoever operates the process, is known at the door. Pure.

A token is 32 random bytes, so its plain SHA-256 is as good as any slow hash; that digest is all that is kept.
Every kind (a person's token, an agent's, the operator's key, a session, a one-time link) has a shape of its
own, by which they are taken out of whatever is stored or shown.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from deputize.access import Role

BYTES = 32

AGENT_DAYS, AGENT_DAYS_MAX = 90, 366
"""For how long a token of an agent's is good unless something else is said, and at most."""

PERSON_PREFIX = "dpt_"
OPERATOR_PREFIX = "dpo_"
SESSION_PREFIX = "dps_"
LINK_PREFIX = "dpf_"
AGENT_PREFIX = "dpa_"
PREFIXES = (PERSON_PREFIX, OPERATOR_PREFIX, SESSION_PREFIX, LINK_PREFIX, AGENT_PREFIX)
SHAPE = re.compile(rb"dp[tosfa]_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token beside its digest: whose it is, the `id` that people call it by, since when
    (ledger time), for how much of what they may (all of it with None), until when (None of those that were
    made before tokens ended), and what it is for."""

    person: str
    id: str
    at_us: int
    scope: Role | None = None
    ends_us: int | None = None
    about: str = ""

    def over(self, now_us: int) -> bool:
        """Whether it has ended by itself."""
        return self.ends_us is not None and now_us >= self.ends_us


def written(prefix: str, random: bytes) -> str:
    """A token from `BYTES` random bytes."""
    return prefix + urlsafe_b64encode(random).rstrip(b"=").decode()


def is_one(text: str) -> bool:
    """Whether it is written as a token of any kind is."""
    return SHAPE.fullmatch(text.encode("utf-8", "replace")) is not None


def digest_of(token: bytes) -> str:
    """What a token is kept as: its SHA-256 in hex."""
    return hashlib.sha256(token).hexdigest()

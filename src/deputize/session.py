"""Sessions: by what a person is known in a browser, after their password. Pure.

Like a token, a session is 32 random bytes of which the SHA-256 alone is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

IDLE_US = 12 * 3_600_000_000
"""A session that is not used for so long ends."""

WHOLE_US = 14 * 86_400_000_000
"""A session ends so long after it began, whatever is done in it."""

FRESH_US = 10 * 60_000_000
"""For so long after a password was given, money may be approved."""

SESSIONS_MAX = 20
"""Of one person at one time; the one that was not used for longest makes room."""

LOCAL = ""
"""Whose session it is where no person's: the owner of this machine, as long as nobody is named."""


@dataclass(frozen=True, slots=True)
class Session:
    """What is kept of a session beside its digest, in ledger time: whose it is (`LOCAL` for this machine's
    owner), the `id` that entries call it by, since when, when it was last used, and when its password was
    last given."""

    person: str
    id: str
    at_us: int
    seen_us: int
    fresh_us: int

    @property
    def ends_us(self) -> int:
        """When it ends, unless it is used before then."""
        return min(self.at_us + WHOLE_US, self.seen_us + IDLE_US)

    @property
    def fresh_until_us(self) -> int:
        """Until when money may be approved in it."""
        return self.fresh_us + FRESH_US

    def good(self, now_us: int) -> bool:
        """Whether it has not ended."""
        return now_us < self.ends_us

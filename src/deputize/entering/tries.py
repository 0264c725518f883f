"""How often a log-in may be tried: by name and place, by name, and in all. In memory, with bounded size.

Each key has a bucket of tries that fills again with time, so a limit never lasts for ever. One place's tries
use up its own bucket first, long before that of a name; and one-time links are not limited by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KEYS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Limit:
    """So many tries at once, and one more after each `every_s` seconds."""

    at_once: int
    every_s: float


OF_NAME_AND_PLACE = Limit(5, 30.0)
OF_NAME = Limit(20, 10.0)
OF_PLACE = Limit(20, 5.0)
IN_ALL = Limit(60, 1.0)
OF_SESSION = Limit(5, 30.0)

Key = tuple[str, ...]


class Tries:
    """The buckets; `now_s` is monotonic."""

    def __init__(self) -> None:
        self._full_at: dict[Key, float] = {}
        """When each bucket is full again; one that is not here is full."""

    def take(self, wanted: Sequence[tuple[Key, Limit]], now_s: float) -> float:
        """Take one try from each of these buckets. Where one is empty nothing is taken: in how many seconds
        there is a try again, 0 where it was taken."""
        wait_s = max(self._wait_s(key, limit, now_s) for key, limit in wanted)
        if wait_s > 0:
            return wait_s
        for key, limit in wanted:
            self._full_at[key] = max(self._full_at.pop(key, now_s), now_s) + limit.every_s
        while len(self._full_at) > KEYS_MAX:
            # The longest untried goes first: what it had used up has come back, or most of it.
            del self._full_at[next(iter(self._full_at))]
        return 0.0

    def forget(self, key: Key) -> None:
        """Fill a bucket: whoever tried had the right word."""
        self._full_at.pop(key, None)

    def __len__(self) -> int:
        return len(self._full_at)

    def _wait_s(self, key: Key, limit: Limit, now_s: float) -> float:
        missing_s = max(self._full_at.get(key, now_s) - now_s, 0.0)
        return max(0.0, missing_s - (limit.at_once - 1) * limit.every_s)

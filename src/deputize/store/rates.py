"""Rates: what the fold counts of how work goes, by automation and connector, of thoughts by model and agent,
too, and what follows from it.

Everything is a sum (see `sqlite/sums.py`): of `rate`, for each day; of `state` and `run`, what is remembered
from one entry to the next. Each thing seen is a *mark*, plain data that is told
from a run's own entries alone, so that an erased run's marks can be kept and seen again at the same place.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from deputize.health import AGENT, AUTOMATION, BOUNDS_S, CONNECTOR, DAY_US, MODEL

FAILURE, RUNS, FRESH, LOWERED, STREAK, DOWN = "failure", "runs", "fresh", "lowered", "streak", "down"
"""What `state` remembers of an automation: its failed runs (each with the number that it ended as), how many
have ended, at which of them the count began anew, the entry that lowered it, the cards since a run of it came
to a good end; and of both, since when it fails."""

BUDGET = "budget:"
WINDOW, LIMIT, NEARED = "window", "limit", "neared"
"""What it remembers of a budget: the window and the limit of which people were told last that they are nearly
used up, and the entry that told it."""

KNOWN_MAX = 20_000

Mark = tuple[Any, ...]


class Rated(Protocol):
    """Sums, to be added to and read."""

    def rate(self, name: str, subject: str, window: int, amount: int, spent: int) -> None:
        """Add to a rate."""
        ...

    def remember(self, name: str, subject: str, window: int, amount: int) -> None:
        """Add to what is remembered."""
        ...

    def remembered(self, name: str, subject: str, window: int = 0) -> int:
        """What is remembered."""
        ...


class Sums(Protocol):
    """What the fold adds up; `rates` sees how work goes."""

    rates: Rates

    def use(self, budget: str, window: int, held: int, spent: int) -> None:
        """Add to what a budget holds and has spent in a window."""
        ...

    def count(self, counter: str, subject: str, window: int, value: int) -> None:
        """Add to a fact."""
        ...

    def tally(self, state: str, n: int) -> None:
        """Add to the finished actions in a state, or to `RUNS_ENDED`."""
        ...


class Rates:
    """Sees marks. Entries up to `since` are not counted: what counted nothing wrote them. `noted`, where
    there is one, takes every mark down, by entry; `quiet` keeps them from being seen."""

    def __init__(self, sums: Rated, since: int = 0) -> None:
        self._sums = sums
        self._since = since
        self._seq = 0
        self.quiet = False
        self.noted: dict[str, list[Mark]] | None = None
        self._began: dict[int, int] = {}
        self._intended: dict[tuple[int, str], tuple[str, int]] = {}

    # -- what is known without being read: most of what ends has begun a moment ago ------------------------

    def begin(self, run: int, at: int) -> None:
        """A run has begun."""
        if len(self._began) >= KNOWN_MAX:
            self._began.clear()
        self._began[run] = at

    def began(self, run: int) -> int:
        """When a run began that ends now; 0 where that is not known here."""
        return self._began.pop(run, 0)

    def intend(self, run: int, path: str, operation: str, at: int) -> None:
        """An intent is written."""
        if len(self._intended) >= KNOWN_MAX:
            self._intended.clear()
        self._intended[run, path] = (operation, at)

    def intended(self, run: int, path: str) -> tuple[str, int] | None:
        """The operation and the time of an intent that is settled now; None where that is not known here."""
        return self._intended.pop((run, path), None)

    # -- seeing ----------------------------------------------------------------------------------------

    def at(self, seq: int) -> None:
        """What is seen from now on, this entry says."""
        self._seq = seq

    def see(self, *mark: Any) -> None:
        """See one thing: its name, and what `_SEEN` takes."""
        if self.quiet or self._seq <= self._since:
            return
        if self.noted is not None:
            self.noted.setdefault(str(self._seq), []).append(mark)
        _SEEN[mark[0]](self, *mark[1:])

    def see_kept(self, kept: Mapping[str, list[Mark]], seq: int) -> None:
        """See what was noted of an entry whose body is erased."""
        self.at(seq)
        for mark in kept.get(str(seq), ()):
            self.see(*mark)

    # -- what is seen --------------------------------------------------------------------------------

    def _ended(self, automation: str, kind: str, run: int, began: int, at: int, stuck: bool) -> None:
        name, sums = AUTOMATION + automation, self._sums
        self._add(name, f"{kind} {_bucket(at - began)}", at, at - began)
        sums.remember(name, RUNS, 0, 1)
        if kind == "failed":
            self._set(name, FAILURE, sums.remembered(name, RUNS), run)
            self._fails(name, at)
            return
        if stuck:
            self._set(name, FAILURE, 0, run)
        if kind != "cancelled":
            self._works(name, at)
            self._set(name, STREAK, 0)

    def _stuck(self, automation: str, run: int, at: int) -> None:
        name = AUTOMATION + automation
        self._add(name, "stuck", at)
        self._set(name, FAILURE, self._sums.remembered(name, RUNS) + 1, run)
        self._fails(name, at)

    def _unstuck(self, automation: str, run: int) -> None:
        self._set(AUTOMATION + automation, FAILURE, 0, run)

    def _card(self, automation: str, kind: str, at: int) -> None:
        self._add(AUTOMATION + automation, f"card {kind}", at)
        self._sums.remember(AUTOMATION + automation, STREAK, 0, 1)

    def _refused(self, automation: str, at: int) -> None:
        self._add(AUTOMATION + automation, "refused", at)

    def _settled(self, operation: str, state: str, took_us: int, at: int, answered: bool) -> None:
        name = _connector_of(operation)
        # What had no intent, or was settled by a person, says nothing of how long it takes.
        self._add(name, f"{state} {_bucket(took_us)}" if took_us >= 0 else state, at, max(took_us, 0))
        if answered:
            self._works(name, at)

    def _failed(self, operation: str, at: int) -> None:
        name = _connector_of(operation)
        self._add(name, "failed", at)
        self._fails(name, at)

    def _thought(
        self,
        model: str,
        agent: str,
        automation: str,
        took_us: int,
        at: int,
        tokens_in: int,
        tokens_out: int,
        usd_micros: int,
    ) -> None:
        for name in (MODEL + model, AGENT + agent, AUTOMATION + automation):
            self._add(name, f"thought {_bucket(took_us)}", at, took_us)
            self._sums.rate(name, "tokens", at - at % DAY_US, tokens_in, tokens_out)
            self._sums.rate(name, "paid", at - at % DAY_US, 0, usd_micros)

    def _lost(self, model: str, agent: str, automation: str, at: int, usd_micros: int) -> None:
        for name in (MODEL + model, AGENT + agent, AUTOMATION + automation):
            self._add(name, "lost", at, usd_micros)

    def _lowered(self, automation: str, seq: int) -> None:
        self._set(AUTOMATION + automation, LOWERED, seq)

    def _neared(self, budget: str, window: int, limit: int, seq: int) -> None:
        for word, value in ((WINDOW, window), (LIMIT, limit), (NEARED, seq)):
            self._set(BUDGET + budget, word, value)

    def _lifted(self, automation: str) -> None:
        name = AUTOMATION + automation
        self._set(name, LOWERED, 0)
        # The lift takes up a number of its own: what is stuck by now has the one that came next.
        self._sums.remember(name, RUNS, 0, 1)
        self._set(name, FRESH, self._sums.remembered(name, RUNS))

    # -- how it is added up -----------------------------------------------------------------------------

    def _add(self, name: str, subject: str, at: int, spent: int = 0) -> None:
        self._sums.rate(name, subject, at - at % DAY_US, 1, spent)

    def _set(self, name: str, subject: str, value: int, window: int = 0) -> None:
        before = self._sums.remembered(name, subject, window)
        if before != value:
            self._sums.remember(name, subject, window, value - before)

    def _fails(self, name: str, at: int) -> None:
        if not self._sums.remembered(name, DOWN):
            self._set(name, DOWN, at)

    def _works(self, name: str, at: int) -> None:
        since = self._sums.remembered(name, DOWN)
        if since:
            self._set(name, DOWN, 0)
            self._add(name, "mended", at, at - since)


@lru_cache(maxsize=1_000)
def _connector_of(operation: str) -> str:
    return CONNECTOR + operation.partition(".")[0]


def _bucket(took_us: int) -> int:
    return bisect_left(BOUNDS_S, took_us / 1_000_000)


_SEEN: dict[str, Callable[..., None]] = {
    "ended": Rates._ended,
    "stuck": Rates._stuck,
    "unstuck": Rates._unstuck,
    "card": Rates._card,
    "refused": Rates._refused,
    "settled": Rates._settled,
    "failed": Rates._failed,
    "thought": Rates._thought,
    "lost": Rates._lost,
    "lowered": Rates._lowered,
    "lifted": Rates._lifted,
    "neared": Rates._neared,
}

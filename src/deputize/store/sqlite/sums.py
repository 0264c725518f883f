"""The sums of the projections: what budgets hold and have spent, facts, the tally of actions, and rates.

Many entries of one commit add to the same few sums, so they are gathered and written together, and
what is known of them is kept from one commit to the next.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import TypeAlias

from deputize.store.rates import Rates

KNOWN_MAX = 20_000
SUM_MAX = 2**63 - 1
"""What SQLite keeps exactly."""

Key: TypeAlias = tuple[str, str, str, int]
"""What it is a sum of (`_USE` and so on), its name, subject and window."""

_USE, _FACT, _TALLY, _RATE, _STATE, _RUN = "use", "fact", "tally", "rate", "state", "run"
_NOTHING = (0, 0)

_READ = "SELECT amount, spent FROM sums WHERE what=? AND name=? AND subject=? AND window=?"
_ADD = (
    "INSERT INTO sums VALUES (?,?,?,?,?,?) ON CONFLICT (what, name, subject, window)"
    " DO UPDATE SET amount = amount + excluded.amount, spent = spent + excluded.spent"
)


class GatheredSums:
    """`deputize.store.fold.Sums` over one connection. Whoever reads the tables calls `write` first.

    What it knows holds as long as nobody else writes: `distrust` where somebody did.
    """

    def __init__(self, db: sqlite3.Connection, rates_since: int = 0) -> None:
        self.rates = Rates(self, rates_since)
        self._db = db
        self._added: list[tuple[Key, int, int]] = []
        self._written = 0
        self._pending: dict[Key, list[int]] = {}
        self._known: dict[Key, list[int]] = {}

    # -- adding, for the fold ------------------------------------------------------------------------

    def use(self, budget: str, window: int, held: int, spent: int) -> None:
        """Add to what a budget holds and has spent."""
        self._add((_USE, budget, "", window), held, spent)

    def count(self, counter: str, subject: str, window: int, value: int) -> None:
        """Add to a fact."""
        self._add((_FACT, counter, subject, window), value, 0)

    def tally(self, state: str, n: int) -> None:
        """Add to the finished actions in a state."""
        self._add((_TALLY, state, "", 0), n, 0)

    def rate(self, name: str, subject: str, window: int, amount: int, spent: int) -> None:
        """Add to a rate. Most sums are these; nothing reads them here, and none comes near 64 bits."""
        key = (_RATE, name, subject, window)
        self._added.append((key, amount, spent))
        pending = self._pending.get(key)
        if pending is None:
            self._pending[key] = [amount, spent]
        else:
            pending[0] += amount
            pending[1] += spent

    def remember(self, name: str, subject: str, window: int, amount: int) -> None:
        """Add to what is remembered from one entry to the next; `window` is the number of a run, or 0."""
        self._add((_RUN if window else _STATE, name, subject, window), amount, 0)

    def _add(self, key: Key, first: int, second: int) -> None:
        self._added.append((key, first, second))
        pending = self._pending.get(key)
        if pending is None:
            self._pending[key] = pending = [0, 0]
        pending[0] += first
        pending[1] += second
        sums = pending
        known = self._known.get(key)
        if known is not None:
            known[0] += first
            known[1] += second
            sums = known
        if abs(sums[0]) > SUM_MAX or abs(sums[1]) > SUM_MAX or abs(pending[0]) > SUM_MAX:
            # Here it harms one work alone; where all are written it would harm a whole commit.
            raise OverflowError(f"a sum of {key[1]} is beyond 64 bits")

    # -- reading -------------------------------------------------------------------------------------

    def used(self, budget: str, window: int) -> tuple[int, int]:
        """A budget's held and spent."""
        found = self._sum((_USE, budget, "", window))
        return found[0], found[1]

    def counted(self, counter: str, subject: str, window: int) -> int:
        """A fact's value."""
        return self._sum((_FACT, counter, subject, window))[0]

    def remembered(self, name: str, subject: str, window: int = 0) -> int:
        """What is remembered."""
        return self._sum((_RUN if window else _STATE, name, subject, window))[0]

    def _sum(self, key: Key) -> list[int]:
        found = self._known.get(key)
        if found is not None:
            return found
        stored = self._db.execute(_READ, key).fetchone() or _NOTHING
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        pending = self._pending.get(key, _NOTHING)
        found = self._known[key] = [stored[0] + pending[0], stored[1] + pending[1]]
        return found

    # -- writing, and taking back --------------------------------------------------------------------

    def write(self) -> None:
        """Write what is not written yet."""
        rows = [(*key, *sums) for key, sums in self._pending.items() if sums[0] or sums[1]]
        if rows:
            self._db.executemany(_ADD, rows)
        self._pending.clear()
        self._written = len(self._added)

    def mark(self) -> tuple[int, int]:
        """Where a savepoint begins."""
        return len(self._added), self._written

    def roll_back(self, mark: tuple[int, int]) -> None:
        """To where the savepoint began; what was written since then is to be written again."""
        there, self._written = mark
        for key, first, second in self._added[there:]:
            known = self._known.get(key)
            if known is not None:
                known[0] -= first
                known[1] -= second
        del self._added[there:]
        self._pending = _summed(self._added[self._written :])

    def forget(self) -> None:
        """The commit is over, and it is on disk."""
        self._added.clear()
        self._pending.clear()
        self._written = 0

    def distrust(self) -> None:
        """Know nothing any more: the commit was rolled back, or somebody else has written."""
        self.forget()
        self._known.clear()


def _summed(added: Iterable[tuple[Key, int, int]]) -> dict[Key, list[int]]:
    sums: dict[Key, list[int]] = {}
    for key, first, second in added:
        sum = sums.setdefault(key, [0, 0])
        sum[0] += first
        sum[1] += second
    return sums

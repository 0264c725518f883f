"""Slowing: while the inbox is full, automations that only add to it begin their new runs one by one.

An automation only adds to it where its latest runs each left a card and none came to a good end since. What
it has accepted is held here, in line, and begins in its turn; once there is room all of it does. Everything
that has begun goes on, and so do all other automations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from deputize.kernel.live import LiveRun
from deputize.store.protocol import Added

ADDED_MIN = 3
"""So many cards since its last good end, and an automation only adds to the inbox."""

LOOK_EVERY_S = 1.0
LOOK_AGAIN_S = 0.02
LOOK_SHARE = 20
"""Looking takes a twentieth of the time at most."""
KEPT_MAX = 200
BEGIN_EVERY_S = 10.0
"""A slowed automation begins one new run in this time."""

Begin = Callable[[int, "LiveRun | None"], None]


class Slowing:
    """Holds back new runs. `added` reads the inbox, `begin` puts a run in line after all."""

    def __init__(
        self,
        full_at: int,
        monotonic: Callable[[], float],
        added: Callable[[], dict[str, Added]],
        begin: Begin,
    ) -> None:
        self.full_at = full_at
        self._monotonic = monotonic
        self._added = added
        self._begin = begin
        self._slowed: dict[str, float] = {}
        """Since when each may begin its next run."""
        self._held: dict[str, dict[int, LiveRun | None]] = {}
        self._where: dict[int, str] = {}
        self._room = 0
        self._looked_s = float("-inf")
        self._again_s = LOOK_AGAIN_S
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._where)

    def held(self) -> dict[str, int]:
        """How many runs are held, by slowed automation."""
        return {name: len(self._held.get(name, ())) for name in sorted(self._slowed)}

    def holds(self, automation: str, no: int, run: LiveRun | None) -> bool:
        """Take a new run in, where it is not to begin yet."""
        self._look_if_due()
        self._room -= 1
        if automation not in self._slowed:
            return False
        if not self._held.get(automation) and self._may_begin(automation):
            return False
        # A few are kept as they are; the others are loaded when their turn comes.
        self._held.setdefault(automation, {})[no] = run if len(self._where) < KEPT_MAX else None
        self._where[no] = automation
        self._look_later()
        return True

    def keeps(self, no: int) -> bool:
        """Whether a run is held; it is loaded when its turn comes, as something may have changed."""
        automation = self._where.get(no)
        if automation is None:
            return False
        self._held[automation][no] = None
        return True

    def drop(self, no: int) -> None:
        """A run that is not to wait here any more."""
        automation = self._where.pop(no, None)
        if automation is not None:
            del self._held[automation][no]

    def stop(self) -> None:
        """Begin nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_if_due(self) -> None:
        now_s = self._monotonic()
        since_s = now_s - self._looked_s
        # While there is room it is looked at before that can be used up; but reading takes its time.
        if since_s >= LOOK_EVERY_S or (self._room <= 0 and not self._slowed and since_s >= self._again_s):
            self._look(now_s)
            self._looked_s = self._monotonic()
            self._again_s = max(LOOK_AGAIN_S, LOOK_SHARE * (self._looked_s - now_s))

    def _look(self, now_s: float) -> None:
        added = self._added()
        self._room = self.full_at - sum(one.open for one in added.values())
        full = {name for name, one in added.items() if one.open and one.streak >= ADDED_MIN}
        slowed = full if self._room <= 0 else set()
        self._slowed = {name: self._slowed.get(name, now_s + BEGIN_EVERY_S) for name in sorted(slowed)}

    def _may_begin(self, automation: str) -> bool:
        now_s = self._monotonic()
        if now_s < self._slowed[automation]:
            return False
        self._slowed[automation] = now_s + BEGIN_EVERY_S
        return True

    def _look_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look_again)

    def _look_again(self) -> None:
        """Let go of what need not be held any more."""
        self._timer = None
        self._look_if_due()
        for automation, runs in list(self._held.items()):
            while runs and (automation not in self._slowed or self._may_begin(automation)):
                no = next(iter(runs))
                run = runs[no]
                self.drop(no)
                self._begin(no, run)
            if not runs:
                del self._held[automation]
        if self._where:
            self._look_later()

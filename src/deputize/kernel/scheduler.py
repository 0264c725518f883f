"""The scheduler: which run comes into memory next.

Runs wait by priority, and within one priority in turn between agents and their automations. No automation may
hold more than half of the places in memory, so that a flood of one does not keep the others out; and of each
priority some are kept for those before it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from deputize.kernel.lanes import BATCH, Rank, TurnQueue
from deputize.kernel.live import LiveRun
from deputize.kernel.runner import Runner
from deputize.kernel.slowing import Begin, Slowing
from deputize.kernel.stops import Stops

LIVE_MAX = 512
AUTOMATION_SHARE = 2
KEPT_SHARE = 8
LOAD_TOGETHER_MAX = 64

CANCELLED = Rank(0, "", "")
"""That of cancelled runs; no automation has this name."""


class Scheduler:
    """Brings runs into memory as places free up. `rank_of` says by number where a run stands in line."""

    def __init__(
        self,
        stops: Stops,
        live: dict[int, LiveRun],
        rank_of: Callable[[int], Rank],
        slowing: Callable[[Begin], Slowing],
    ) -> None:
        self.runner: Runner
        self.slowing = slowing(self._begin_held)
        self._stops = stops
        self._live = live
        self._rank_of = rank_of
        self._queue: TurnQueue[int] = TurnQueue()
        # Those in line, each with the run itself where it need not be loaded.
        self._queued: dict[int, LiveRun | None] = {}
        self._paused: dict[int, LiveRun | None] = {}
        self._held: dict[int, Rank] = {}
        # Woken while loading or in memory: what woke them may be later than the record that was read.
        self._again: set[int] = set()
        self._by_automation: Counter[str] = Counter()
        self._by_priority: Counter[int] = Counter()
        self._loading = 0
        self._pending = False

    @property
    def backlog(self) -> int:
        """Runs that wait for a place."""
        return len(self._queued)

    def idle(self) -> bool:
        """Whether no run waits, for a place or for the inbox to have room."""
        return not self._queued and not len(self.slowing)

    def is_in_line(self, no: int) -> bool:
        """Whether a run waits for a place."""
        return no in self._queued

    def fresh(self, run: LiveRun) -> None:
        """A run that has just begun; it needs no loading if its turn comes."""
        if not self.slowing.holds(run.automation.name, run.no, run):
            self._push(run.no, run.rank, run)

    def found(self, no: int) -> None:
        """A run that has begun and done nothing before this process did: as if it were fresh."""
        if not self.slowing.holds(self._rank_of(no).automation, no, None):
            self.ready(no)

    def unbegun(self, run: LiveRun) -> None:
        """A run that was put in line as its event arrived, and whose event could not be kept after all."""
        self._queued.pop(run.no, None)
        self._paused.pop(run.no, None)
        self.slowing.drop(run.no)
        if self._live.get(run.no) is run:
            self.runner.leave(run)

    def ready(self, no: int) -> None:
        """A run that can go on from its record; one that is in line as it began is loaded after all."""
        self._paused.pop(no, None)
        if no in self._queued:
            self._queued[no] = None
            return
        if self.slowing.keeps(no):
            return
        self._push(no, self._rank_of(no), None)

    def cancelled(self, no: int) -> None:
        """A run that a person has cancelled: it is loaded to be told so, though its automation be paused."""
        self._paused.pop(no, None)
        self.slowing.drop(no)
        self._queued[no] = None
        # A second place, in a group that nothing holds back; the first is passed over when its turn comes.
        self._queue.push(CANCELLED, no)
        self._soon()

    def left(self, run: LiveRun) -> None:
        """A run has left memory."""
        self._release(run.no)
        self._soon()

    def stops_changed(self) -> None:
        """Look again at what was passed over."""
        paused, self._paused = self._paused, {}
        for no, run in paused.items():
            self._push(no, self._rank_of(no), run)
        parked = list(self._stops.parked)
        self._stops.parked.clear()
        for no in parked:
            self.ready(no)
        self._soon()

    def _begin_held(self, no: int, run: LiveRun | None) -> None:
        self._push(no, self._rank_of(no), run)

    def _push(self, no: int, rank: Rank, run: LiveRun | None) -> None:
        if no in self._queued:
            return
        self._queued[no] = run
        self._queue.push(rank, no)
        self._soon()

    def _soon(self) -> None:
        if not self._pending and self._queue:
            self._pending = True
            asyncio.get_running_loop().call_soon(self._admit)

    def _admit(self) -> None:
        """Fill the free places: fresh runs at once, the others by loading several together."""
        self._pending = False
        to_load: list[int] = []
        while len(self._live) + self._loading + len(to_load) < LIVE_MAX and len(to_load) < LOAD_TOGETHER_MAX:
            no = self._queue.pop(full=self._full(), shut=self._shut())
            if no is None:
                break
            if no not in self._queued:
                continue
            run = self._queued.pop(no)
            if no in self._live or no in self._held:
                self._again.add(no)
                continue
            if run is not None and f"run:{run.id}" in self._stops.scopes:
                self._paused[no] = run
                continue
            rank = self._held[no] = run.rank if run is not None else self._rank_of(no)
            self._by_automation[rank.automation] += 1
            self._by_priority[rank.priority] += 1
            if run is not None:
                self._live[no] = run
                self.runner.begin(run)
            else:
                to_load.append(no)
        if to_load:
            self._loading += len(to_load)
            task = asyncio.get_running_loop().create_task(self.runner.load(to_load))
            task.add_done_callback(lambda done: self._loaded(to_load, done))

    def _loaded(self, numbers: list[int], done: asyncio.Task[list[LiveRun]]) -> None:
        self._loading -= len(numbers)
        runs = done.result() if not done.cancelled() else []
        for no in set(numbers) - {run.no for run in runs}:
            self._release(no)
        for run in runs:
            self.runner.begin(run)
        self._soon()

    def _release(self, no: int) -> None:
        rank = self._held.pop(no, None)
        if rank is not None:
            self._by_automation[rank.automation] -= 1
            self._by_priority[rank.priority] -= 1
        if no in self._again:
            self._again.discard(no)
            self.ready(no)

    def _full(self) -> set[str]:
        share = LIVE_MAX // AUTOMATION_SHARE
        full = {name for name, n in self._by_automation.items() if n >= share}
        if self._stops.scopes:
            full |= {s.removeprefix("automation:") for s in self._stops.scopes if s.startswith("automation:")}
        return full

    def _shut(self) -> set[int]:
        """The priorities that have all the places which are not kept for those before them."""
        held = 0
        shut: set[int] = set()
        for priority in range(BATCH, 0, -1):
            held += self._by_priority[priority]
            if held >= LIVE_MAX - priority * (LIVE_MAX // KEPT_SHARE):
                shut.update(range(priority, BATCH + 1))
        return shut

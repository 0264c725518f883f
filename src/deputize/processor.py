"""One processor for the threads that take turns.

The loop, the writer and the driver can run Python only one at a time, so spreading them over processors
gains nothing: each hand-over wakes another one from its sleep, and finds its caches cold. They are held on
one, and let go where something else wants it. See docs/decisions/012. Linux alone; elsewhere this does
nothing, and nothing depends on it.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from deputize.clock import Clock

OURS = ("deputize-writer", "deputize-driver")
"""The names of the threads that take turns with the loop's."""

LOOK_EVERY_S = 1.0
OTHERS_SHARE_MAX = 0.2
"""Where others use more than this share of our processor, our threads are let go."""

AWAY_S_MIN, AWAY_S_MAX = 2.0, 64.0
"""They stay so long; twice as long each time."""

_PROGRAMS = frozenset({"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.system"})
_BUSY = (0, 1, 2, 5, 6)
"""Of a processor's times in /proc/stat: user, nice, system, irq, softirq."""
_INTERRUPTS = (5, 6)

_USER, _SYSTEM, _PROCESSOR = 11, 12, 36
"""Of a thread's fields in /proc/self/task/…/stat, counted from its state."""


class OneProcessor:
    """Holds our threads of this process on one processor. It changes the whole process, so it is for entry
    points. `watch` runs on the loop until it is cancelled."""

    def __init__(self, clock: Clock, *, proc: Path = Path("/proc")) -> None:
        self._clock = clock
        self._proc = proc
        self._everywhere = _allowed(proc)
        self._held_on: int | None = None
        self._others_s = 0.0
        self._looked_at = clock.monotonic()
        self._away_until = 0.0
        self._away_s = AWAY_S_MIN

    @property
    def held_on(self) -> int | None:
        """The processor that our threads are held on, if they are."""
        return self._held_on

    async def watch(self) -> None:
        """Hold them, and look every second whether they are in anyone's way."""
        if len(self._everywhere) < 2:
            return
        _before_programs(self._spread_this)
        try:
            while True:
                self.look()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self.let_go()

    def look(self) -> None:
        """Hold our threads, or let them go."""
        now = self._clock.monotonic()
        elapsed_s, self._looked_at = now - self._looked_at, now
        if self._others_share(elapsed_s) > OTHERS_SHARE_MAX:
            self.let_go()
            self._away_until, self._away_s = now + self._away_s, min(2 * self._away_s, AWAY_S_MAX)
        elif now >= self._away_until:
            self._hold()

    def let_go(self) -> None:
        """Every thread may run everywhere again."""
        self._held_on = None
        for thread in self._threads():
            self._put(thread, self._everywhere)

    def _hold(self) -> None:
        if self._held_on is None:
            self._held_on = self._best()
            self._others_s = self._others_used(self._held_on)
        ours = self._ours()
        for thread in self._threads():
            # A thread begun by one of ours begins where that is held, and need not stay there.
            self._put(thread, {self._held_on} if thread in ours else self._everywhere)

    def _spread_this(self) -> None:
        """A program begins where the thread that starts it may run: anywhere. Held again at the next look."""
        if self._held_on is not None:
            self._put(threading.get_native_id(), self._everywhere)

    def _others_share(self, elapsed_s: float) -> float:
        """The share of our processor's time that others have used since the last look."""
        if self._held_on is None or elapsed_s <= 0:
            return 0.0
        before, self._others_s = self._others_s, self._others_used(self._held_on)
        return (self._others_s - before) / elapsed_s

    def _others_used(self, processor: int) -> float:
        """Seconds that a processor has worked for others than our threads."""
        times = self._times().get(processor)
        if times is None:
            # It was taken away.
            return math.inf
        ticks = sum(times[kind] for kind in _BUSY)
        for thread in self._ours():
            with suppress(OSError):
                fields = self._fields(thread)
                ticks -= int(fields[_USER]) + int(fields[_SYSTEM])
        return ticks / os.sysconf("SC_CLK_TCK")

    def _best(self) -> int:
        """At first the processor that takes in most interrupts: there a disk's answer is soonest heard. Where
        we had to leave one, that on which the scheduler has put the loop since."""
        if self._away_until:
            processor = int(self._fields(threading.get_native_id())[_PROCESSOR])
            return processor if processor in self._everywhere else min(self._everywhere)
        interrupts = {one: sum(ticks[kind] for kind in _INTERRUPTS) for one, ticks in self._times().items()}
        return max(sorted(self._everywhere), key=lambda one: interrupts.get(one, 0))

    def _times(self) -> dict[int, list[int]]:
        """The ticks of each processor by kind."""
        found = {}
        with (self._proc / "stat").open() as stat:
            for line in stat:
                name, *ticks = line.split()
                if not name.startswith("cpu"):
                    break
                if name != "cpu":
                    found[int(name[3:])] = [int(tick) for tick in ticks]
        return found

    def _fields(self, thread: int) -> list[str]:
        """What the system knows of a thread, from its state on; see proc(5). Its name may hold blanks."""
        with open(f"{self._proc}/self/task/{thread}/stat") as stat:  # noqa: PTH123 (asked every second)
            return stat.read().rpartition(")")[2].split()

    def _ours(self) -> set[int]:
        named = {t.native_id for t in threading.enumerate() if t.name in OURS and t.native_id is not None}
        return named | {threading.get_native_id()}

    def _threads(self) -> list[int]:
        return [int(task) for task in os.listdir(f"{self._proc}/self/task")]  # noqa: PTH208 (the same)

    def _put(self, thread: int, processors: set[int]) -> None:
        # It may have ended meanwhile, or the machine's owner has changed what we may use.
        with suppress(OSError):
            if os.sched_getaffinity(thread) != processors:
                os.sched_setaffinity(thread, processors)


def _allowed(proc: Path) -> set[int]:
    """The processors that we may choose from; empty where there is nothing to choose by."""
    if sys.platform != "linux" or not (proc / "self/task").exists() or not (proc / "stat").exists():
        return set()
    return os.sched_getaffinity(0)


def _before_programs(do: Any) -> None:
    """Do something whenever this process starts a program; an audit hook cannot be taken back."""

    def hook(event: str, args: object) -> None:
        if event in _PROGRAMS:
            do()

    sys.addaudithook(hook)

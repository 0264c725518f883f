"""The driver: one thread that steps automations, and the watch over it.

A step that holds the thread for a second is reported with its file and line; its thread is
abandoned, the other steps move to a new one. While `HELD_MAX` of them hold at once, the process restarts
itself.

Code in C that keeps the interpreter to itself (a regular expression without an end) holds the whole
process, and no thread of it can look on: such a step is reported when it lets go, and if it does not, the
watchdog ends the process.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable
from types import FrameType

from deputize.clock import Clock
from deputize.handover import Handover
from deputize.kernel.failing import FRAMES_MAX, place_in
from deputize.kernel.live import Asks, LiveRun, Stepped, Sticks
from deputize.kernel.stepping import advance, evict
from deputize.kernel.watchdog import Watchdog

STAND_S = 0.005
"""How long the loop stands still for a batch of steps; a usual step takes a hundredth of it."""

HELD_S_MAX = 1.0
WATCH_EVERY_S = 0.25
HELD_MAX = 4

_DEBUGGERS = ("bdb", "pdb", "pydevd", "debugpy")


class _Thread:
    """One driver thread's state, shared with the watch. A False signal ends it."""

    def __init__(self) -> None:
        self.given: deque[LiveRun] = deque()
        self.signal: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.woken = False
        self.done: list[Stepped] = []
        self.now: LiveRun | None = None
        self.serial = 0
        self.cpu_s = 0.0
        self.thread: threading.Thread | None = None


class Driver:
    """Steps runs away from the event loop. `deliver` is called on the loop with finished steps,
    `restart` when too many threads are held. `watchdog` is one that was started."""

    def __init__(
        self,
        clock: Clock,
        deliver: Callable[[list[Stepped]], None],
        restart: Callable[[str], None],
        watchdog: Watchdog,
    ) -> None:
        self._clock = clock
        self._deliver = deliver
        self._restart = restart
        self._watchdog = watchdog
        self._current = _Thread()
        self._handover = Handover(lambda: self._current.signal.put(True), deliver, STAND_S)
        self._held: list[threading.Thread] = []
        self._cpu_s = _cpu_s()
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running loop."""
        self._spawn(self._current)
        self._watch = asyncio.get_running_loop().create_task(self._watch_forever())

    def give(self, run: LiveRun) -> None:
        """Step this run; its results are laid into its leaves."""
        run.stepping = True
        state = self._current
        state.given.append(run)
        if not state.woken:
            # One wake of the thread for all that is given until it looks.
            state.woken = True
            self._handover.soon()

    def give_up(self, run: LiveRun) -> None:
        """Take this run out of memory."""
        run.discarded = True
        self.give(run)

    async def stop(self) -> None:
        """Finish what was given, and end the thread."""
        if self._watch is not None:
            self._watch.cancel()
        thread = self._current
        thread.signal.put(False)
        if thread.thread is not None:
            await asyncio.to_thread(thread.thread.join, 5)
        self._watchdog.stop()

    def _spawn(self, state: _Thread) -> None:
        state.thread = threading.Thread(
            target=self._drive_forever, args=(state,), name="deputize-driver", daemon=True
        )
        state.thread.start()

    def _drive_forever(self, state: _Thread) -> None:
        """Until a signal says to stop, or the watch gives this thread up."""
        while state.signal.get():
            state.woken = False
            state.cpu_s = _cpu_s()
            self._watchdog.begin()
            while state.given:
                run = state.given.popleft()
                state.serial += 1
                state.now = run
                self._watchdog.mark(run)
                began_s = self._clock.monotonic()
                if run.discarded:
                    evict(run)
                    stepped = None
                else:
                    stepped = advance(run)
                if state is not self._current:
                    # The watch gave this thread up, and its run with it: this comes too late.
                    evict(run)
                    return
                if self._clock.monotonic() - began_s >= HELD_S_MAX and stepped is not None:
                    stepped = _unseen(state, stepped)
                state.now = None
                if stepped is not None:
                    state.done.append(stepped)
            self._watchdog.end()
            done, state.done = state.done, []
            self._handover.back(done)

    async def _watch_forever(self) -> None:
        """Look at intervals; a step seen by looks that are themselves on time is a step that holds."""
        seen, held_s, before = -1, 0.0, self._clock.monotonic()
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            self._watchdog.renew(any(held.is_alive() for held in self._held))
            state, now, cpu_s = self._current, self._clock.monotonic(), _cpu_s()
            # A look that comes late says that the whole process stood still (a stopped machine,
            # a debugger), and nothing about the step; unless the processor was busy meanwhile.
            elapsed = min(now - before, max(WATCH_EVERY_S, cpu_s - self._cpu_s))
            before, self._cpu_s = now, cpu_s
            if state.now is None or state.serial != seen:
                seen, held_s = state.serial, 0.0
                continue
            held_s += elapsed
            if held_s >= HELD_S_MAX:
                self._abandon(state, seen)
                seen, held_s = -1, 0.0

    def _abandon(self, state: _Thread, serial: int) -> None:
        run, thread = state.now, state.thread
        stack = sys._current_frames().get(thread.ident or 0) if thread is not None else None
        if run is None or thread is None or state.serial != serial or _debugged(stack):
            return
        where = place_in(stack)
        run.discarded = True
        # It takes turns with nobody any more, and may run elsewhere.
        thread.name = "deputize-held"
        self._current = _Thread()
        self._current.given, state.given = state.given, deque()
        done, state.done = state.done, []
        self._spawn(self._current)
        self._current.signal.put(True)
        self._deliver(done)
        self._deliver([Sticks(run, held_reason(where), held=where)])
        self._held = [held for held in self._held if held.is_alive()] + [thread]
        if len(self._held) >= HELD_MAX:
            self._restart(f"{len(self._held)} automations hold their threads; the last at {where}")


def _unseen(state: _Thread, stepped: Stepped) -> Stepped:
    """A long step that the watch could not see, because it let no other thread run."""
    if _cpu_s() - state.cpu_s < HELD_S_MAX:
        # The process stood still meanwhile, or the step waited and the watch is at it.
        return stepped
    run = stepped.run
    where = run.leaves[0].awaiting.where if isinstance(stepped, Asks) else run.automation.where
    run.discarded = True
    evict(run)
    return Sticks(run, held_reason(f"before {where}"), held=where)


def held_reason(where: str) -> str:
    """Why a run that held its thread does not go on."""
    return (
        f"{where}: the automation held its thread for more than {HELD_S_MAX:g} second; "
        "move long work into a connector's operation, and wait with sleep()"
    )


def _cpu_s() -> float:
    """Processor time of this process so far: it stands still while the process is stopped."""
    times = os.times()
    return times.user + times.system


def _debugged(frame: FrameType | None) -> bool:
    """Whether someone is looking at this very thread in a debugger."""
    for _ in range(FRAMES_MAX):
        if frame is None:
            return False
        if frame.f_globals.get("__name__", "").partition(".")[0] in _DEBUGGERS:
            return True
        frame = frame.f_back
    return False

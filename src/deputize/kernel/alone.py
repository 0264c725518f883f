"""Stepping on the main thread of a process of its own, as a rehearsal does: there a signal interrupts an
automation that holds it. Live, the driver does without one.

Code in C that keeps the interpreter to itself is not interrupted; whoever started the process ends it.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

from deputize.clock import Clock
from deputize.errors import CodeError
from deputize.kernel.driver import HELD_S_MAX, WATCH_EVERY_S, held_reason
from deputize.kernel.failing import place_in
from deputize.kernel.live import LiveRun, Stepped, Sticks
from deputize.kernel.stepping import advance


class _Held(BaseException):
    """Thrown into an automation that holds its thread, at each look anew."""


class Alone:
    """Steps runs, one at a time, and takes SIGALRM for it. A step that holds for `HELD_S_MAX` sticks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._run: LiveRun | None = None
        self._where = ""
        self._held_s = 0.0
        self._before_s = self._before_cpu_s = 0.0
        signal.signal(signal.SIGALRM, self._look)

    def step(self, run: LiveRun) -> Stepped:
        """`advance`, bounded."""
        self._run, self._where, self._held_s = run, "", 0.0
        self._before_s, self._before_cpu_s = self._clock.monotonic(), _cpu_s()
        signal.setitimer(signal.ITIMER_REAL, WATCH_EVERY_S, WATCH_EVERY_S)
        try:
            stepped = advance(run)
        except _Held:
            # It came between two lines of ours.
            stepped = Sticks(run, held_reason(self._where), held=self._where)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self._where:
            return Sticks(run, held_reason(self._where), held=self._where)
        return stepped

    def _look(self, _: int, frame: FrameType | None) -> None:
        # As the driver's watch counts: a process that stood still says nothing about the step.
        now_s, cpu_s = self._clock.monotonic(), _cpu_s()
        self._held_s += min(now_s - self._before_s, max(WATCH_EVERY_S, cpu_s - self._before_cpu_s))
        self._before_s, self._before_cpu_s = now_s, cpu_s
        if self._held_s >= HELD_S_MAX and self._run is not None:
            self._where = self._where or place_in(frame)
            self._run.step.violation = self._run.step.violation or CodeError(held_reason(self._where))
            raise _Held


def _cpu_s() -> float:
    """Processor time of this process so far."""
    times = os.times()
    return times.user + times.system

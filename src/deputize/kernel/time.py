"""Ledger time for the kernel: it never runs back, and knows when the clock did."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from deputize.clock import SteadyClock, to_datetime
from deputize.window import Window, window_start

STEP_BACK_US = 1_000_000
"""A clock that fell this far behind the ledger was set back; less is the jitter of a synchronised clock."""


class LedgerTime:
    """The kernel's time. `no_repeat_before` is ledger time: keys first sent before it are not repeated."""

    def __init__(self, clock: SteadyClock, no_repeat_before: int = 0) -> None:
        self.clock = clock
        self.monotonic: Callable[[], float] = clock.monotonic
        """Seconds, for waiting."""
        self.no_repeat_before = no_repeat_before
        self.on_back: Callable[[int], None] = lambda no_repeat_before: None
        """Told once of each step back, to make it durable."""
        # How far the wall time is known to be behind; more than that is another step back.
        self._behind_us = 0

    def now_us(self) -> int:
        """Microseconds since the epoch, never less than before."""
        now, wall = self.clock.now_and_wall_us()
        behind_us = now - wall
        if behind_us > self._behind_us + STEP_BACK_US:
            self._behind_us = behind_us
            self.no_repeat_before = now
            self.on_back(now)
        elif behind_us < self._behind_us:
            self._behind_us = behind_us
        return now


class Calendar:
    """Windows and times of day in one zone; computed once a minute, read by every start."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        # Read by the loop and by the writer: replaced as a whole, so that neither sees half a turn.
        self._now: tuple[int, dict[Window, int], tuple[int, int]] = (-1, {}, (0, 0))

    def start(self, window: Window, at_us: int) -> int:
        """When the window that holds `at_us` began, in ledger time."""
        _, starts, _ = self._turn(at_us)
        found = starts.get(window)
        if found is None:
            found = starts[window] = window_start(window, at_us, self.zone)
        return found

    def time_of_day(self, at_us: int) -> tuple[int, int]:
        """Minute of the day and weekday (Monday is 0)."""
        return self._turn(at_us)[2]

    def _turn(self, at_us: int) -> tuple[int, dict[Window, int], tuple[int, int]]:
        now, minute = self._now, at_us // 60_000_000
        if minute != now[0]:
            local = to_datetime(at_us).astimezone(self.zone)
            now = self._now = (minute, {}, (local.hour * 60 + local.minute, local.weekday()))
        return now

"""Ledger time for the kernel: it never runs back, and knows when the clock did."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from deputize.clock import Clock, to_datetime
from deputize.window import Window, window_start

STEP_BACK_US = 1_000_000
"""A clock this far behind the ledger was set back; less is the jitter of a synchronised clock."""


class LedgerTime:
    """The kernel's time. `no_repeat_before` is ledger time: keys first sent before it are not repeated."""

    def __init__(self, clock: Clock, last_us: int, no_repeat_before: int = 0) -> None:
        self.clock = clock
        self._last_us = last_us
        self.no_repeat_before = no_repeat_before

    def now_us(self) -> int:
        """Microseconds since the epoch, never less than before."""
        now = self.clock.now_us()
        if now < self._last_us - STEP_BACK_US:
            self.no_repeat_before = self._last_us
        self._last_us = max(self._last_us, now)
        return self._last_us

    def monotonic(self) -> float:
        """Seconds, for waiting."""
        return self.clock.monotonic()


class Calendar:
    """Windows and times of day in one zone; computed once a minute, read by every start."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._minute = -1
        self._starts: dict[Window, int] = {}
        self._of_day = (0, 0)

    def start(self, window: Window, at_us: int) -> int:
        """When the window that holds `at_us` began, in ledger time."""
        self._turn(at_us)
        found = self._starts.get(window)
        if found is None:
            found = self._starts[window] = window_start(window, at_us, self.zone)
        return found

    def time_of_day(self, at_us: int) -> tuple[int, int]:
        """Minute of the day and weekday (Monday is 0)."""
        self._turn(at_us)
        return self._of_day

    def _turn(self, at_us: int) -> None:
        minute = at_us // 60_000_000
        if minute != self._minute:
            self._minute = minute
            self._starts = {}
            local = to_datetime(at_us).astimezone(self.zone)
            self._of_day = (local.hour * 60 + local.minute, local.weekday())

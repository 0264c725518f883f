"""Time, injected: nothing else in Deputize reads a clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

YEARS = range(1900, 9_000)
"""What is taken for a time from outside."""


class Clock(Protocol):
    """Wall time for records and monotonic time for waiting."""

    def now_us(self) -> int:
        """Microseconds since the Unix epoch, UTC. May step back; the ledger's own time does not."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps, for deadlines within this process."""
        ...


class SystemClock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)

    def now_us(self) -> int:
        return time.time_ns() // 1000


class SteadyClock:
    """Ledger time: the wall time of another clock, made never to run back.

    Where that clock is set back, this one goes on from where it was at the pace of monotonic time; a
    step forward is followed. Safe to read from several threads.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # The other clock's own function: it is asked thirty times a run.
        self.monotonic: Callable[[], float] = clock.monotonic
        self._from_us, self._from_s = 0, clock.monotonic()

    def go_on_from(self, at_us: int) -> None:
        """Be no earlier than this from now on: the last time that a ledger holds."""
        with self._lock:
            if at_us > self._from_us:
                self._from_us, self._from_s = at_us, self._clock.monotonic()

    def now_us(self) -> int:
        """Microseconds since the Unix epoch, never less than before."""
        return self.now_and_wall_us()[0]

    def now_and_wall_us(self) -> tuple[int, int]:
        """This time, and the wall time that it was made of: how far that one is behind."""
        monotonic, now_us = self.monotonic, self._clock.now_us
        with self._lock:
            # On both sides of the wall time: a process that stood still between two of these readings
            # must neither seem to have been set back nor run ahead from then on.
            before_s = monotonic()
            wall_us = now_us()
            steady_us = self._from_us + int((before_s - self._from_s) * 1_000_000)
            if wall_us > steady_us:
                self._from_us, self._from_s = wall_us, monotonic()
            return max(wall_us, steady_us), wall_us


def to_datetime(at_us: int) -> datetime:
    """The UTC datetime of a ledger time in microseconds."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC) + timedelta(microseconds=at_us % 1_000_000)


def to_us(moment: datetime) -> int:
    """Ledger time of an aware datetime. Raises `ValueError` for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a time needs a time zone: use datetime.now(UTC) or a literal with an offset")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def parse_time(text: str) -> int:
    """ISO 8601 with an offset as ledger time. Raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    if moment.year not in YEARS:
        raise ValueError(f"the year must be within {YEARS.start} and {YEARS.stop}")
    return to_us(moment)


def iso(at_us: int) -> str:
    """ISO 8601 in UTC with microseconds and `Z`, the form in which times leave the system."""
    return to_datetime(at_us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(n: float) -> timedelta:
    """`n` seconds, for `within=` and contracts."""
    return timedelta(seconds=n)


def minutes(n: float) -> timedelta:
    """`n` minutes."""
    return timedelta(minutes=n)


def hours(n: float) -> timedelta:
    """`n` hours."""
    return timedelta(hours=n)


def days(n: float) -> timedelta:
    """`n` days of 24 hours."""
    return timedelta(days=n)

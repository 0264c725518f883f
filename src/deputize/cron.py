"""Ticks of a cron expression in a time zone: pure functions over cronsim.

cronsim follows Debian's cron, also when clocks change: a job at a fixed time that a change skips
runs right after it, and one that a change repeats runs once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from deputize.clock import to_datetime, to_us

Missed = Literal["once", "all", "skip"]

GRACE_US = 60_000_000
"""A tick looked at within this time is on time; a later one was missed."""

TOGETHER_MAX = 100
"""Ticks that become events in one transaction, at most."""


def check_cron(expression: str) -> None:
    """Raises `ValueError` for what is no cron expression."""
    try:
        next(CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError(
            f"{expression!r} is no cron expression ({str(error) or 'it never comes'}); "
            "write minute hour day month weekday, like '0 8 * * MON-FRI'"
        ) from None


def next_tick(expression: str, zone: ZoneInfo, after_us: int) -> int:
    """The first tick after a moment (both ledger time)."""
    return to_us(next(_ticks(expression, zone, after_us)))


def due_ticks(expression: str, zone: ZoneInfo, last_us: int, now_us: int, missed: Missed) -> list[int]:
    """The ticks after `last_us` up to `now_us` that are to become events now, oldest first.

    Those older than `GRACE_US` were missed: `all` of them count, or `once` for all together (not at
    all where a tick on time follows them), or they are left out. At most `TOGETHER_MAX`, so ask again
    after the last of them.
    """
    on_time_from = max(last_us, now_us - GRACE_US)
    if missed == "all":
        return _between(expression, zone, last_us, now_us)
    on_time = _between(expression, zone, on_time_from, now_us)
    if on_time or missed == "skip":
        return on_time
    latest = _latest(expression, zone, on_time_from)
    return [latest] if latest > last_us else []


def _between(expression: str, zone: ZoneInfo, after_us: int, up_to_us: int) -> list[int]:
    moments = islice(_ticks(expression, zone, after_us), TOGETHER_MAX)
    return list(takewhile(lambda tick: tick <= up_to_us, map(to_us, moments)))


def _latest(expression: str, zone: ZoneInfo, up_to_us: int) -> int:
    """The last tick up to and including a moment."""
    # Backwards, cronsim begins before the moment that it is given.
    start = to_datetime(up_to_us).replace(microsecond=0) + timedelta(seconds=1)
    return to_us(next(CronSim(expression, start.astimezone(zone), reverse=True)))


def _ticks(expression: str, zone: ZoneInfo, after_us: int) -> CronSim:
    return CronSim(expression, to_datetime(after_us).astimezone(zone))

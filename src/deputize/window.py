"""Windows: the stretch of time in which a budget or a fact is counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from deputize.clock import to_datetime, to_us

Window = Literal["hour", "day", "week", "month", "ever"]
WINDOWS: tuple[Window, ...] = ("hour", "day", "week", "month", "ever")


def window_start(window: Window, at_us: int, zone: ZoneInfo) -> int:
    """The ledger time at which the calendar `window` holding `at_us` began in `zone`; 0 for `ever`.

    Weeks begin on Monday (ISO 8601). Days follow the zone's own clock changes.
    """
    if window == "ever":
        return 0
    local = to_datetime(at_us).astimezone(zone)
    if window == "hour":
        # Arithmetic in UTC: a repeated local hour at a clock change is two windows, not one.
        offset = local.utcoffset() or timedelta()
        shifted = at_us + int(offset.total_seconds()) * 1_000_000
        return at_us - shifted % 3_600_000_000
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if window == "week":
        midnight = midnight - timedelta(days=midnight.weekday())
    elif window == "month":
        midnight = midnight.replace(day=1)
    return to_us(midnight)


_WELL_INTO_NEXT_H: dict[Window, float] = {"hour": 1.5, "day": 36, "week": 24 * 8, "month": 24 * 32}


def window_end(window: Window, start_us: int, zone: ZoneInfo) -> int | None:
    """When the window that began then is over and the next one begins; None for `ever`."""
    if window == "ever":
        return None
    return window_start(window, start_us + int(_WELL_INTO_NEXT_H[window] * 3_600_000_000), zone)

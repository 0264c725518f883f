"""Quiet hours. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from deputize.clock import to_datetime, to_us


@dataclass(frozen=True)
class Quiet:
    """Hours of every day, in minutes since midnight on the wall clock; they may go over midnight."""

    starts: int
    ends: int

    def until(self, now_us: int, zone: ZoneInfo) -> int | None:
        """When the quiet hours that it is in are over (ledger time); None outside of them."""
        local = to_datetime(now_us).astimezone(zone)
        minute = local.hour * 60 + local.minute
        over_midnight = self.starts > self.ends
        inside = self.starts <= minute < self.ends
        if over_midnight:
            inside = minute >= self.starts or minute < self.ends
        if not inside:
            return None
        day = local.date() + timedelta(days=1 if over_midnight and minute >= self.starts else 0)
        hour, minute = divmod(self.ends, 60)
        ends = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
        # Where the clocks are set back over this very hour, its first time may be over.
        end_us = to_us(ends)
        return end_us if end_us > now_us else to_us(ends.replace(fold=1))

"""Moments that people write: ISO 8601, in the project's time zone where none is named."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from deputize.api.problem import Problem
from deputize.clock import YEARS, to_us

FORMS = "2026-11-27, 2026-11-27T12:03, or with a zone as in 2026-11-27T12:03:00+01:00"


def bound_of(name: str, text: str, zone: ZoneInfo, *, until: bool = False) -> int:
    """A moment as ledger time; `until` gives the last of its day, minute or second. Raises `Problem` 422."""
    wrong = Problem(422, f"{name} must be a time such as {FORMS}, and not {text[:40]!r}", field=name)
    try:
        if len(text) == len("2026-11-27"):
            day = date.fromisoformat(text)
            lasts, moment = timedelta(days=1), datetime(day.year, day.month, day.day)
        else:
            lasts, moment = _lasts(text), datetime.fromisoformat(text)
        if moment.year not in YEARS:
            raise wrong
        begins = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        # The day after a change of the clock does not begin 24 hours later.
        ends = (moment + lasts) if moment.tzinfo is not None else (moment + lasts).replace(tzinfo=zone)
        return to_us(ends) - 1 if until else to_us(begins)
    except (ValueError, OverflowError):
        raise wrong from None


def _lasts(text: str) -> timedelta:
    """How long what was written lasts: a minute, a second, or no time where it has parts of one."""
    clock = text[len("2026-11-27T") :]
    plain = clock.partition("+")[0].partition("Z")[0].partition("-")[0]
    if "." in plain:
        return timedelta(microseconds=1)
    return timedelta(minutes=1) if plain.count(":") == 1 else timedelta(seconds=1)

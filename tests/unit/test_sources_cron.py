"""Ticks of a schedule: which are due, which were missed, and what the change of clocks does to them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.clock import to_datetime, to_us
from deputize.cron import GRACE_US, TOGETHER_MAX, Missed, check_cron, due_ticks, next_tick

BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")


def at(text: str) -> int:
    return to_us(datetime.fromisoformat(text))


def shown(ticks: list[int], zone: ZoneInfo = UTC_ZONE) -> list[str]:
    return [f"{to_datetime(tick).astimezone(zone):%d %H:%M}" for tick in ticks]


def test_a_tick_on_time_is_due_and_the_one_after_it_is_not() -> None:
    last, now = at("2026-05-04T08:00:00Z"), at("2026-05-04T08:05:00.2Z")
    for missed in ("once", "all", "skip"):
        assert shown(due_ticks("*/5 * * * *", UTC_ZONE, last, now, missed)) == ["04 08:05"]
        assert due_ticks("*/5 * * * *", UTC_ZONE, now, now + 1, missed) == []


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        ("skip", []),
        ("once", ["04 08:20"]),
        ("all", ["04 08:05", "04 08:10", "04 08:15", "04 08:20"]),
    ],
)
def test_missed_ticks_are_made_up_for_as_was_asked(missed: Missed, expected: list[str]) -> None:
    last, now = at("2026-05-04T08:00:00Z"), at("2026-05-04T08:23:00Z")
    assert shown(due_ticks("*/5 * * * *", UTC_ZONE, last, now, missed)) == expected


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(0, 365 * 24 * 60),
    minutes=st.integers(1, 3_000),
    cron=st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 */5 * * *", "15,45 1-3 * * SUN"]),
)
def test_once_makes_up_for_the_latest_of_all_that_were_missed(start: int, minutes: int, cron: str) -> None:
    last = to_us(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=start))
    now = last + minutes * 60_000_000
    ticks: list[int] = []
    after = last
    while (after := next_tick(cron, BERLIN, after)) <= now:
        ticks.append(after)
    on_time = [tick for tick in ticks if tick > now - GRACE_US]
    assert due_ticks(cron, BERLIN, last, now, "once") == (on_time or ticks[-1:])


def test_once_is_not_twice_where_a_tick_on_time_follows_the_missed() -> None:
    last, now = at("2026-05-04T08:00:00Z"), at("2026-05-04T08:20:01Z")
    assert shown(due_ticks("*/5 * * * *", UTC_ZONE, last, now, "once")) == ["04 08:20"]


def test_a_tick_exactly_at_the_last_look_does_not_come_again() -> None:
    tick = at("2026-05-04T08:20:00Z")
    assert due_ticks("*/5 * * * *", UTC_ZONE, tick, tick + 120_000_000, "once") == []


def test_a_year_of_missed_minutes_comes_in_bounded_parts_and_none_is_left_out() -> None:
    last, now = at("2026-05-04T08:00:00Z"), at("2026-05-04T13:00:30Z")
    found: list[int] = []
    while part := due_ticks("* * * * *", UTC_ZONE, last, now, "all"):
        assert len(part) <= TOGETHER_MAX
        found += part
        last = part[-1]
    assert len(found) == 300 == len(set(found))


def test_a_fixed_time_that_the_spring_change_skips_runs_right_after_it() -> None:
    assert shown([next_tick("30 2 * * *", BERLIN, at("2026-03-29T00:00:00+01:00"))], BERLIN) == ["29 03:00"]


def test_a_fixed_time_that_the_autumn_change_repeats_runs_once() -> None:
    last, ticks = at("2026-10-25T00:00:00+02:00"), []
    while last < at("2026-10-26T00:00:00+01:00"):
        last = next_tick("30 2 * * *", BERLIN, last)
        ticks.append(last)
    assert shown(ticks, BERLIN) == ["25 02:30", "26 02:30"]


def test_every_hour_is_every_hour_also_when_clocks_change() -> None:
    last = at("2026-10-25T00:30:00+02:00")
    ticks = due_ticks("0 * * * *", BERLIN, last, at("2026-10-25T05:30:00+01:00"), "all")
    assert [b - a for a, b in itertools.pairwise(ticks)] == [3_600_000_000] * (len(ticks) - 1)
    assert len(ticks) == 6


def test_the_zone_decides_when_eight_in_the_morning_is() -> None:
    winter = next_tick("0 8 * * *", BERLIN, at("2026-01-05T00:00:00Z"))
    summer = next_tick("0 8 * * *", BERLIN, at("2026-07-05T00:00:00Z"))
    assert shown([winter, summer]) == ["05 07:00", "05 06:00"]


@pytest.mark.parametrize("wrong", ["", "* * * *", "61 * * * *", "0 8 * * NEVER", "0 0 31 2 *", "x"])
def test_what_is_no_cron_expression_is_explained(wrong: str) -> None:
    with pytest.raises(ValueError, match="minute hour day month weekday"):
        check_cron(wrong)


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(0, 365 * 24 * 60),
    steps=st.lists(st.integers(1, 3_000), min_size=1, max_size=8),
    cron=st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 */5 * * *", "15,45 1-3 * * SUN"]),
)
def test_however_time_is_cut_up_all_means_each_tick_once(start: int, steps: list[int], cron: str) -> None:
    first = to_us(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=start))
    now = last = first
    cut: list[int] = []
    for step in steps:
        now += step * 60_000_000
        while part := due_ticks(cron, BERLIN, last, now, "all"):
            cut += part
            last = part[-1]
    whole: list[Any] = []
    last = first
    while (last := next_tick(cron, BERLIN, last)) <= now:
        whole.append(last)
    assert cut == whole
    assert GRACE_US > 0

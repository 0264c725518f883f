"""Ledger time: never back, at the monotonic pace while the clock is behind, and a step back is told."""

from __future__ import annotations

from deputize.clock import SteadyClock
from deputize.kernel.time import LedgerTime

HOUR_US = 3_600_000_000
START_US = 1_700_000_000_000_000


class TwoClocks:
    """Wall time and monotonic time, each moved by hand."""

    def __init__(self) -> None:
        self.wall_us = START_US
        self.monotonic_us = 5_000_000

    def now_us(self) -> int:
        return self.wall_us

    def monotonic(self) -> float:
        return self.monotonic_us / 1e6

    def pass_us(self, us: int) -> None:
        self.wall_us += us
        self.monotonic_us += us


def ledger_time(clocks: TwoClocks, told: list[int], last_us: int = 0) -> LedgerTime:
    steady = SteadyClock(clocks)
    steady.go_on_from(last_us)
    time = LedgerTime(steady)
    time.on_back = told.append
    return time


def test_it_is_the_clocks_time_while_that_goes_forward_steps_included() -> None:
    clocks, told = TwoClocks(), list[int]()
    time = ledger_time(clocks, told)
    assert time.now_us() == START_US
    clocks.pass_us(7)
    assert time.now_us() == START_US + 7
    clocks.wall_us += HOUR_US
    assert time.now_us() == START_US + HOUR_US + 7
    assert told == [] and time.no_repeat_before == 0


def test_after_a_step_back_it_goes_on_at_the_pace_of_monotonic_time_and_follows_once_caught_up() -> None:
    clocks, told = TwoClocks(), list[int]()
    time = ledger_time(clocks, told)
    time.now_us()
    clocks.wall_us -= HOUR_US
    assert time.now_us() == START_US
    for passed_s in range(1, 4):
        clocks.pass_us(1_000_000)
        assert time.now_us() == START_US + passed_s * 1_000_000
    clocks.wall_us += HOUR_US + 5_000_000
    assert time.now_us() == clocks.wall_us
    assert told == [START_US]


def test_it_goes_on_from_the_ledgers_last_time_where_the_clock_is_behind_at_the_start() -> None:
    clocks, told = TwoClocks(), list[int]()
    last_us = START_US + HOUR_US
    time = ledger_time(clocks, told, last_us)
    assert time.now_us() == last_us
    clocks.pass_us(2_000_000)
    assert time.now_us() == last_us + 2_000_000
    assert told == [last_us] and time.no_repeat_before == last_us


def test_each_step_back_is_told_once_and_the_jitter_of_a_clock_is_none() -> None:
    clocks, told = TwoClocks(), list[int]()
    time = ledger_time(clocks, told)
    time.now_us()
    clocks.wall_us -= 900_000
    time.now_us()
    assert told == []
    clocks.wall_us -= HOUR_US
    for _ in range(3):
        clocks.pass_us(2_000_000)
        time.now_us()
    assert told == [START_US + 2_000_000]
    # Set right, and back again: that is another one, though not as far.
    clocks.wall_us += HOUR_US
    time.now_us()
    clocks.wall_us -= HOUR_US // 2
    assert time.now_us() == told[-1] == time.no_repeat_before and len(told) == 2


def test_standing_still_between_two_readings_is_no_step_back_and_leaves_no_lead() -> None:
    class Stopped(TwoClocks):
        """Its process stands still for a minute after the next reading of either clock."""

        still_after = ""

        def now_us(self) -> int:
            read = super().now_us()
            self._stand_still_after("wall")
            return read

        def monotonic(self) -> float:
            read = super().monotonic()
            self._stand_still_after("monotonic")
            return read

        def _stand_still_after(self, which: str) -> None:
            if self.still_after == which:
                self.still_after = ""
                self.pass_us(60_000_000)

    for which in ("wall", "monotonic"):
        clocks, told = Stopped(), list[int]()
        time = ledger_time(clocks, told)
        time.now_us()
        clocks.still_after = which
        before = time.now_us()
        assert before <= time.now_us() == clocks.wall_us
        assert told == []

"""A run that becomes ready while it is being loaded, or is in memory, is not forgotten."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from deputize.kernel.lanes import Rank
from deputize.kernel.live import LiveRun
from deputize.kernel.runner import Runner
from deputize.kernel.scheduler import LIVE_MAX, Scheduler
from deputize.kernel.slowing import Begin, Slowing
from deputize.kernel.stops import Stops


class SlowRunner:
    """Loads when it is told to, and begins nothing."""

    def __init__(self, live: dict[int, LiveRun]) -> None:
        self.live = live
        self.asked: list[list[int]] = []
        self.may_load = asyncio.Event()
        self.begun = asyncio.Event()

    async def load(self, numbers: list[int]) -> list[Any]:
        self.asked.append(numbers)
        await self.may_load.wait()
        runs = [type("Run", (), {"no": no})() for no in numbers]
        self.live.update({run.no: run for run in runs})
        return runs

    def begin(self, run: Any) -> None:
        self.begun.set()


def roomy(begin: Begin) -> Slowing:
    """The inbox is never full."""
    return Slowing(1_000, lambda: 0.0, dict, begin)


async def turn() -> None:
    """Let everything that was called soon run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_result_that_comes_while_a_run_is_being_loaded_brings_it_back_once_it_has_left() -> None:
    live: dict[int, LiveRun] = {}
    scheduler = Scheduler(Stops(), live, lambda no: Rank(1, "", "desk"), roomy)
    runner = SlowRunner(live)
    scheduler.runner = cast("Runner", runner)
    scheduler.ready(7)
    await turn()
    # The record was read already; what comes now is not in it.
    scheduler.ready(7)
    await turn()
    runner.may_load.set()
    await runner.begun.wait()
    run = live.pop(7)
    scheduler.left(run)
    await turn()
    assert runner.asked == [[7], [7]]


async def test_a_run_that_nobody_woke_meanwhile_is_not_loaded_again() -> None:
    live: dict[int, LiveRun] = {}
    scheduler = Scheduler(Stops(), live, lambda no: Rank(1, "", "desk"), roomy)
    runner = SlowRunner(live)
    scheduler.runner = cast("Runner", runner)
    scheduler.ready(7)
    runner.may_load.set()
    await runner.begun.wait()
    scheduler.left(live.pop(7))
    await turn()
    assert runner.asked == [[7]]


async def test_a_flood_leaves_places_in_memory_to_those_of_a_higher_priority() -> None:
    live: dict[int, LiveRun] = {}
    ranks = {0: Rank(2, "worker", "{}"), 1: Rank(1, "other", "n{}"), 2: Rank(0, "quick", "i{}")}

    def rank_of(no: int) -> Rank:
        rank = ranks[no // 1_000]
        return rank._replace(automation=rank.automation.format(no % 4))

    scheduler = Scheduler(Stops(), live, rank_of, roomy)
    runner = SlowRunner(live)
    runner.may_load.set()
    scheduler.runner = cast("Runner", runner)

    async def held_after(first: int) -> int:
        for no in range(first, first + 600):
            scheduler.ready(no)
        for _ in range(20):
            await turn()
        return len(live)

    assert await held_after(0) == LIVE_MAX * 6 // 8
    assert await held_after(1_000) == LIVE_MAX * 7 // 8
    assert await held_after(2_000) == LIVE_MAX

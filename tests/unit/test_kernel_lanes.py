"""Lanes: who is next, and what a batch leaves to others."""

from __future__ import annotations

import asyncio

import pytest

from deputize.kernel.lanes import Lane, Rank, TurnQueue, kept_from_batch
from tests.support.running import SetClock

SOON = Rank(0, "quick", "single")
LATER = Rank(2, "worker", "flood")


def queue_of(*ranks: Rank) -> TurnQueue[str]:
    queue: TurnQueue[str] = TurnQueue()
    for rank in ranks:
        queue.push(rank, rank.automation)
    return queue


def order_of(queue: TurnQueue[str]) -> list[str]:
    return [item for _ in range(len(queue)) if (item := queue.pop()) is not None]


def test_turns_go_round_between_agents_and_then_between_the_automations_of_each() -> None:
    many = [Rank(1, "many", name) for name in ("a", "b", "c") for _ in range(4)]
    queue = queue_of(*many, *[Rank(1, "few", "z")] * 3)
    assert order_of(queue)[:7] == ["a", "z", "b", "z", "c", "z", "a"]


def test_the_first_priority_goes_first_and_every_eighth_choice_to_the_last() -> None:
    queue = queue_of(*[LATER] * 3, *[SOON] * 20)
    assert order_of(queue)[:16] == [*["single"] * 7, "flood"] * 2


def test_turns_without_a_choice_are_not_counted_against_who_comes_first() -> None:
    queue = queue_of(*[LATER] * 20)
    assert [queue.pop() for _ in range(7)] == ["flood"] * 7
    queue.push(SOON, "single")
    assert queue.pop() == "single"


@pytest.mark.parametrize(("places", "kept"), [(1, 0), (2, 1), (8, 1), (15, 1), (16, 2), (1_000, 125)])
def test_a_batch_leaves_one_place_in_eight(places: int, kept: int) -> None:
    assert kept_from_batch(places) == kept
    lane = Lane(SetClock(0), places, None, kept=kept)
    assert sum(lane.take(LATER) for _ in range(places + 1)) == places - kept
    assert sum(lane.take(SOON) for _ in range(places + 1)) == kept


async def test_a_place_that_is_kept_is_taken_at_once_though_a_batch_waits() -> None:
    lane = Lane(SetClock(0), 2, None, kept=1)
    assert lane.take(LATER)
    behind = lane.stand(LATER)
    assert not behind.done()
    first, second = lane.stand(SOON), lane.stand(SOON)
    assert first.done() and not second.done()
    # Whoever leaves makes room for the first in line that may have it.
    lane.leave(LATER)
    assert second.done() and not behind.done()
    lane.leave(SOON)
    assert behind.done()


async def test_what_was_called_off_takes_no_start_from_the_next() -> None:
    clock = SetClock(1_000_000)
    lane = Lane(clock, 5, per_second_max=1)
    assert lane.take(SOON)
    gone, waits = lane.stand(SOON), lane.stand(SOON)
    gone.set_result(False)
    await asyncio.sleep(0)
    assert lane.waiting == 1
    clock.at_us = 2_000_000
    lane._serve()
    assert waits.done() and waits.result() is True

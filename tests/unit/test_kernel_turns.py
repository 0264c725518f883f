"""Turns in lanes: a run that is called off holds no place and waits for none."""

from __future__ import annotations

import asyncio

from deputize.circuit import Terms
from deputize.kernel.circuits import Breaker, Circuits
from deputize.kernel.lanes import FIRST, Lane, Rank
from deputize.kernel.stops import Stops
from deputize.kernel.turns import Turn, scopes_of
from tests.support.running import SetClock


def closed() -> Breaker:
    """The breaker of a connector that works."""
    return Circuits(lambda: 0.0, lambda _: Terms(), lambda no: None, lambda change: None).of("desk")


async def test_a_run_that_is_called_off_as_its_place_comes_gives_it_back_and_waits_for_no_other() -> None:
    stops, lanes = Stops(), (Lane(SetClock(0), 1, None), Lane(SetClock(0), 1, None))
    assert all(lane.take(FIRST) for lane in lanes)
    scopes = scopes_of("worker", "desk", "one", "x")
    turn = Turn(stops, closed(), lanes, scopes, Rank(0, "worker", "one"))
    entering = asyncio.ensure_future(turn.enter_unless_stopped())
    await asyncio.sleep(0)
    assert lanes[0].waiting == 1
    lanes[0].leave(FIRST)
    stops.call_off("run:x")
    async with asyncio.timeout(5):
        assert await entering is True
    assert lanes[1].waiting == 0 and lanes[0].take(FIRST)


async def test_what_is_under_way_waits_on_where_its_run_is_called_off() -> None:
    stops, lane = Stops(), Lane(SetClock(0), 1, None)
    assert lane.take(FIRST)
    entering = asyncio.ensure_future(
        Turn(stops, closed(), (lane,), scopes_of("", "", "", "x"), FIRST).enter()
    )
    await asyncio.sleep(0)
    stops.call_off("run:x")
    await asyncio.sleep(0)
    assert not entering.done()
    lane.leave(FIRST)
    stops.call_off("run:x")
    await entering
    assert not lane.take(FIRST)

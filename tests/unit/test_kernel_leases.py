"""The line for resources: by when each first came, and a wake is never lost."""

from __future__ import annotations

import asyncio

from deputize.kernel.stops import LeaseLine, Place, Stops
from deputize.standing import Stand

LONG_S = 30.0


async def standing(place: Place, resource: str) -> asyncio.Task[bool]:
    """A task in which this place waits, already in its line."""
    return asyncio.ensure_future(
        Stops().stand_by("run:x", place.stand(resource), LONG_S, Stand("resource", resource))
    )


async def test_whoever_comes_new_is_behind_those_who_wait() -> None:
    line = LeaseLine()
    first, new = line.place(), line.place()
    assert new.behind(("a", "b")) is None
    waiting = await standing(first, "b")
    assert new.behind(("a", "b")) == "b" and new.behind(("a",)) is None
    assert first.behind(("a", "b")) is None
    waiting.cancel()


async def test_the_first_is_woken_alone_and_keeps_its_place_until_it_has_what_it_needs() -> None:
    line = LeaseLine()
    first, second, new = line.place(), line.place(), line.place()
    one, two = await standing(first, "a"), await standing(second, "a")
    line.freed(("a",))
    assert await one is True and not two.done()
    assert new.behind(("a",)) == "a" and second.behind(("a",)) == "a"
    first.leave()
    assert second.behind(("a",)) is None and not two.done()
    two.cancel()


async def test_who_leaves_without_having_taken_it_wakes_the_next() -> None:
    line = LeaseLine()
    first, second = line.place(), line.place()
    one, two = await standing(first, "a"), await standing(second, "a")
    line.freed(("a",))
    assert await one is True
    first.leave(next_too=True)
    assert await two is True


async def test_who_goes_to_another_line_wakes_the_next_and_stands_there_by_its_old_ticket() -> None:
    line = LeaseLine()
    first, second, third = line.place(), line.place(), line.place()
    one, two, three = (
        await standing(first, "a"),
        await standing(second, "a"),
        await standing(third, "b"),
    )
    line.freed(("a",))
    await one
    again = await standing(first, "b")
    assert await two is True
    line.freed(("b",))
    assert await again is True and not three.done()
    three.cancel()


async def test_a_time_that_is_up_is_told_and_nothing_is_left_behind() -> None:
    line = LeaseLine()
    place = line.place()
    assert await Stops().stand_by("run:x", place.stand("a"), 0.001, Stand("resource", "a")) is False
    assert line.waiting
    place.leave()
    assert not line.waiting

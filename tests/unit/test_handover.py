"""The loop stands still for what its thread makes quickly, and goes on where it takes longer."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from deputize.handover import Handover

Asked = queue.SimpleQueue[Callable[[], str] | None]


@pytest.fixture
def asked() -> Iterator[Asked]:
    made: Asked = queue.SimpleQueue()
    yield made
    made.put(None)


def working(
    asked: Asked, works: list[Callable[[], str]], stand_s: float
) -> tuple[Handover[str], asyncio.Queue[str]]:
    """A thread that does the next of `works` each time it is woken, and what was taken of it."""
    taken: asyncio.Queue[str] = asyncio.Queue()
    left = iter(works)
    handover = Handover(lambda: asked.put(next(left)), taken.put_nowait, stand_s)

    def serve() -> None:
        while (work := asked.get()) is not None:
            handover.back(work())

    threading.Thread(target=serve, daemon=True).start()
    return handover, taken


async def turn() -> None:
    """One turn of the loop."""
    await asyncio.sleep(0)


async def test_what_is_made_at_once_is_taken_in_the_same_turn(asked: Asked) -> None:
    handover, taken = working(asked, [lambda: "a", lambda: "b"], stand_s=30)
    for expected in "ab":
        handover.soon()
        await turn()
        await turn()
        assert taken.get_nowait() == expected


async def test_the_loop_does_all_that_is_ready_before_it_hands_over(asked: Asked) -> None:
    order: list[str] = []
    handover, _ = working(asked, [lambda: order.append("handed over") or ""], stand_s=30)
    asyncio.get_running_loop().call_soon(order.append, "ready")
    handover.soon()
    handover.soon()
    await turn()
    await turn()
    assert order == ["ready", "handed over"]


async def test_the_loop_goes_on_where_it_takes_longer_and_is_called_when_it_is_made(asked: Asked) -> None:
    may_end = threading.Event()
    handover, taken = working(asked, [lambda: str(may_end.wait(30)), lambda: "second"], stand_s=0.01)
    handover.soon()
    await turn()
    await turn()
    assert taken.empty()
    may_end.set()
    assert await taken.get() == "True"
    handover.soon()
    assert await taken.get() == "second"


async def test_nothing_is_left_behind_where_it_is_made_just_as_the_loop_goes_on(asked: Asked) -> None:
    stand_s = 0.0005

    def about_then() -> str:
        until = time.perf_counter() + stand_s
        while time.perf_counter() < until:
            pass
        return "made"

    rounds = 300
    handover, taken = working(asked, [about_then] * rounds, stand_s)
    async with asyncio.timeout(30):
        for _ in range(rounds):
            handover.soon()
            assert await taken.get() == "made"
    assert taken.empty()


async def test_an_error_in_taking_one_leaves_the_way_open_for_the_next(asked: Asked) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
    may_end = threading.Event()
    handover, taken = working(asked, [lambda: "bad", lambda: str(may_end.wait(30))], stand_s=0.05)
    take = handover._deliver

    def failing(made: str) -> None:
        handover._deliver = take  # type: ignore[method-assign]
        raise ValueError(made)

    handover._deliver = failing  # type: ignore[method-assign]
    handover.soon()
    await turn()
    await turn()
    assert [str(error) for error in told] == ["bad"] and not handover._awaited
    handover.soon()
    may_end.set()
    assert await taken.get() == "True"

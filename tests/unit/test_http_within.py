"""Awaiting within a time: what never waits is not timed, what waits goes on where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from deputize.connectors.within import OutOfTime, within


async def test_what_never_waits_takes_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once() -> int:
        return 7

    monkeypatch.setattr(asyncio, "timeout", None)
    assert await within(1, at_once()) == 7


async def test_what_waits_goes_on_where_it_was() -> None:
    order = []

    async def waiting() -> str:
        order.append("begun")
        first = await asyncio.sleep(0, "a")
        event = asyncio.Event()
        asyncio.get_running_loop().call_soon(event.set)
        await event.wait()
        second = await asyncio.gather(asyncio.sleep(0, "b"), asyncio.sleep(0.001, "c"))
        return first + "".join(second)

    assert await within(5, waiting()) == "abc"
    assert order == ["begun"]


@pytest.mark.parametrize("waits", [False, True])
async def test_what_it_raises_comes_out_as_it_is(waits: bool) -> None:
    async def raising() -> None:
        if waits:
            await asyncio.sleep(0)
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await within(5, raising())


async def for_ever() -> None:
    await asyncio.Event().wait()


async def stubborn() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise ValueError("no") from None


class Slow:
    def __await__(self) -> Any:
        return asyncio.sleep(60).__await__()


@pytest.mark.parametrize("late", [for_ever, stubborn, Slow])
async def test_what_takes_too_long_is_cancelled(late: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(OutOfTime):
        await within(0.01, late())


async def test_a_cancellation_from_outside_reaches_it() -> None:
    seen = []

    async def watching() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("clean")

    task = asyncio.create_task(within(60, watching()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["clean"]

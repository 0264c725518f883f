"""A model's connections are used again, and none is used that its server has closed."""

from __future__ import annotations

import asyncio
import ssl

import httpx2
import pytest

from deputize.clock import SystemClock
from deputize.models.pool import IDLE_S_MAX, Pool
from tests.support.running import SetClock
from tests.unit.http_raw_server import Seen, Server, http, serving

WELL = http(200, {"well": True})


def pool(clock: SystemClock | None = None) -> Pool:
    return Pool(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), clock)


def asking(server: Server, timeout_s: float = 5.0) -> httpx2.Request:
    timeout = httpx2.Timeout(timeout_s).as_dict()
    return httpx2.Request("POST", server.base, content=b"{}", extensions={"timeout": timeout})


async def test_one_after_another_takes_one_connection() -> None:
    async with serving(WELL) as server:
        lent = pool()
        for _ in range(5):
            assert (await lent.send(asking(server))).json() == {"well": True}
    assert server.accepted == 1


async def test_as_many_at_once_take_as_many_and_they_are_kept() -> None:
    async def once_all_are_there(_: Seen, writer: asyncio.StreamWriter) -> None:
        if len(server.seen) % 4 == 0:
            server.release.set()
        await server.release.wait()
        writer.write(WELL)

    async with serving(once_all_are_there) as server:
        lent = pool()
        for _ in range(3):
            server.release.clear()
            await asyncio.gather(*(lent.send(asking(server)) for _ in range(4)))
    assert server.accepted == 4


async def test_one_that_the_server_has_closed_is_not_used() -> None:
    async def and_close(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(WELL)
        await writer.drain()
        writer.close()

    async with serving(and_close) as server:
        lent = pool()
        for _ in range(3):
            await lent.send(asking(server))
            await asyncio.wait_for(server.closed.wait(), 5.0)
            server.closed.clear()
    assert server.accepted == 3


async def test_what_was_idle_for_long_is_closed() -> None:
    async with serving(WELL) as server:
        clock = SetClock(0)
        lent = pool(clock)
        await lent.send(asking(server))
        clock.at_us = int((IDLE_S_MAX + 0.1) * 1e6)
        await lent.send(asking(server))
        await asyncio.wait_for(server.closed.wait(), 5.0)
    assert server.accepted == 2


@pytest.mark.parametrize("ended", ["late", "cancelled", "cut"])
async def test_one_that_got_no_answer_is_not_used_again(ended: str) -> None:
    async def at_first_nothing(_: Seen, writer: asyncio.StreamWriter) -> None:
        if len(server.seen) > 1:
            writer.write(WELL)
        elif ended == "cut":
            writer.close()

    async with serving(at_first_nothing) as server:
        lent = pool()
        first = asyncio.ensure_future(lent.send(asking(server, 0.05 if ended == "late" else 5.0)))
        await server.arrived.wait()
        if ended == "cancelled":
            first.cancel()
        with pytest.raises((httpx2.RequestError, asyncio.CancelledError)):
            await first
        await asyncio.wait_for(server.closed.wait(), 5.0)
        assert (await lent.send(asking(server))).json() == {"well": True}
    assert server.accepted == 2

"""`GET /v1/stream`: what is committed is told once and in order, to many, and over every break."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

import deputize.api.app
import deputize.api.feed
import deputize.api.stream
from deputize.api.feed import Feed
from deputize.ledger import SYSTEM, Draft
from deputize.store.protocol import Tx
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import WAIT_S, so
from tests.support.serving import PEOPLE, SERVER, Served, child, cloudevent, serving

CODE = """
@automation(on=Ask, agent=worker)
async def asks(event: Event[Ask]) -> Outcome:
    return done((await desk.write(item=event.data.item)).item)
"""

FEEDS: list[Feed] = []


class Told(NamedTuple):
    """One event of a stream."""

    id: int
    type: str
    data: dict[str, Any]


@pytest.fixture
async def served(tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    def kept(*given: Any) -> Feed:
        FEEDS[:] = [Feed(*given)]
        return FEEDS[0]

    monkeypatch.setattr(deputize.api.app, "Feed", kept)
    async with serving(write_project(tmp_path, desk.base, CODE, toml=SERVER + PEOPLE)) as found:
        yield found


@asynccontextmanager
async def listening(
    http: httpx2.AsyncClient, headers: dict[str, str] | None = None, **params: Any
) -> AsyncIterator[AsyncIterator[str]]:
    """The blocks of a stream: each is an event or a comment."""
    async with http.stream("GET", "/v1/stream", params=params, headers=headers) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        yield blocks(answer)


async def blocks(answer: httpx2.Response) -> AsyncIterator[str]:
    text = ""
    async for piece in answer.aiter_text():
        text += piece
        while "\n\n" in text:
            block, _, text = text.partition("\n\n")
            yield block


def told(block: str) -> Told | None:
    """The event of a block; None for a comment."""
    fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
    return Told(int(fields["id"]), fields["event"], json.loads(fields["data"])) if "data" in fields else None


async def events(stream: AsyncIterator[str], many: int) -> list[Told]:
    found: list[Told] = []
    async with asyncio.timeout(WAIT_S):
        async for block in stream:
            if (one := told(block)) is not None:
                found.append(one)
            if len(found) == many:
                break
    return found


def feed_of(served: Served) -> Feed:
    """The one of the app that is served."""
    (feed,) = FEEDS
    assert feed._system is served.app.system
    return feed


def last(served: Served) -> int:
    return served.app.read(lambda view: view.last_seq())


async def test_entries_are_told_as_they_are_committed_and_as_the_list_has_them(served: Served) -> None:
    before = last(served)
    async with listening(served.http) as stream:
        assert (await anext(stream)).startswith("retry:")
        await served.app.ended(await served.send("1"))
        wanted = (await served.http.get("/v1/entries", params={"after": before})).json()["entries"]
        found = await events(stream, len(wanted))
    assert [one.data for one in found] == wanted
    assert [(one.id, one.type) for one in found] == [(entry["seq"], entry["type"]) for entry in wanted]


async def test_a_stream_goes_on_after_the_last_id_that_was_seen(served: Served) -> None:
    await served.app.ended(await served.send("1"))
    async with listening(served.http, after=0) as stream:
        first = await events(stream, 3)
    assert [one.id for one in first] == [1, 2, 3]
    await served.app.ended(await served.send("2"))
    async with listening(served.http, {"last-event-id": "3"}, after=1) as stream:
        rest = await events(stream, last(served) - 3)
    assert [one.id for one in rest] == list(range(4, last(served) + 1))


async def test_a_stream_of_one_run_or_of_some_types_has_nothing_else(served: Served) -> None:
    one, two = await served.send("1"), await served.send("2")
    await served.app.ended(one, two)
    async with listening(served.http, after=0, run=two[:12]) as stream:
        found = await events(stream, len(served.app.entries(two)))
    assert {event.data["run"] for event in found} == {two}
    async with listening(served.http, after=0, type=["began", "ended"]) as stream:
        found = await events(stream, 4)
    assert sorted(event.type for event in found) == ["began", "began", "ended", "ended"]


@pytest.mark.parametrize(
    ("params", "headers", "status", "words"),
    [
        ({"type": "recipt"}, {}, 422, "receipt"),
        ({"run": "nothing"}, {}, 404, "GET /v1/runs"),
        ({"after": "-1"}, {}, 422, "after"),
        ({}, {"last-event-id": "x"}, 422, "last-event-id"),
        ({}, {"last-event-id": "9" * 30}, 422, "last-event-id"),
    ],
)
async def test_what_cannot_be_listened_to_is_explained(
    served: Served, params: dict[str, str], headers: dict[str, str], status: int, words: str
) -> None:
    answer = await served.http.get("/v1/stream", params=params, headers=headers)
    assert answer.status_code == status and words in answer.json()["detail"], answer.text


async def test_nothing_is_read_while_nobody_listens(served: Served) -> None:
    feed = feed_of(served)
    await served.app.ended(await served.send("1"))
    assert (feed.read, feed.head) == (0, 0)
    async with listening(served.http, after=0) as stream:
        await events(stream, 3)
    await so(lambda: not feed._readers and feed._watching is not None and feed._watching.done())
    read = feed.read
    await served.app.ended(await served.send("2"))
    assert feed.read == read


async def test_many_readers_share_one_reading(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deputize.api.feed, "FOR_EACH_S", 0.0)
    feed, many = feed_of(served), 100
    limits = httpx2.Limits(max_connections=many + 10)
    async with httpx2.AsyncClient(
        base_url=served.http.base_url, trust_env=False, timeout=WAIT_S, limits=limits
    ) as http:
        begun = asyncio.Semaphore(0)

        async def listen() -> list[Told]:
            async with listening(http) as stream:
                await anext(stream)
                begun.release()
                return await events(stream, 3)

        listeners = [asyncio.create_task(listen()) for _ in range(many)]
        for _ in range(many):
            await begun.acquire()
        before, read = last(served), feed.read
        await served.app.ended(await served.send("1"))
        found = await asyncio.gather(*listeners)
    assert all([one.id for one in each] == [before + 1, before + 2, before + 3] for each in found)
    assert feed.read - read <= 20


async def test_who_is_too_far_behind_is_told_of_the_gap(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for id in "123":
        await served.app.ended(await served.send(id))
    monkeypatch.setattr(deputize.api.stream, "BEHIND_MAX", 5)
    now = last(served)
    async with listening(served.http, after=1) as stream:
        (gap,) = await events(stream, 1)
        assert gap == Told(now, "gap", {"after": 1, "until": now})
        await served.app.ended(await served.send("4"))
        assert (await events(stream, 1))[0].id == now + 1
    async with listening(served.http, after=now + 1_000) as stream:
        assert (await events(stream, 1))[0].type == "gap"


async def test_in_a_flood_a_page_is_read_at_a_look_and_all_of_it_comes(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deputize.api.feed, "BUSY", -1)
    monkeypatch.setattr(deputize.api.feed, "PAGE", 5)
    monkeypatch.setattr(deputize.api.feed, "LOOK_S", 0.01)
    for id in "123456":
        await served.app.ended(await served.send(id))
    async with listening(served.http, after=0) as stream:
        found = await events(stream, last(served))
    assert [one.id for one in found] == list(range(1, last(served) + 1))


async def test_a_comment_comes_while_nothing_happens_and_a_stream_ends_after_a_while(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deputize.api.stream, "HEARTBEAT_S", 0.05)
    async with asyncio.timeout(WAIT_S), listening(served.http) as stream:
        await anext(stream)
        assert await anext(stream) == f": nothing new\nid: {last(served)}"
    monkeypatch.setattr(deputize.api.stream, "LIFE_S", 0.1)
    async with asyncio.timeout(WAIT_S), listening(served.http) as stream:
        rest = [block async for block in stream]
    assert rest[-1].startswith(": it ends here")


async def test_no_more_than_may_listen_are_let_in(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deputize.api.feed, "READERS_MAX", 1)
    async with listening(served.http) as stream:
        await anext(stream)
        answer = await served.http.get("/v1/stream")
        assert answer.status_code == 429 and answer.headers["retry-after"]
    await so(lambda: not feed_of(served).full)
    async with listening(served.http) as stream:
        await anext(stream)


async def test_who_does_not_read_is_let_go_and_others_go_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deputize.api.stream, "SLOW_S", 2.0)
    feed, url, many, before = feed_of(served), served.http.base_url, 600, last(served)
    reader, writer = await asyncio.open_connection(url.host, url.port, limit=1_000)
    writer.write(f"GET /v1/stream HTTP/1.1\r\nHost: {url.host}\r\n\r\n".encode())
    await so(lambda: len(feed._readers) == 1)
    body = {"said": "x" * 50_000}

    def work(tx: Tx) -> None:
        tx.append(SYSTEM, tx.version(SYSTEM), [Draft("person", body) for _ in range(50)])

    async with listening(served.http) as stream:
        await anext(stream)
        mine = asyncio.create_task(events(stream, many))
        for _ in range(many // 50):
            await served.app.system.store.write(work)
        assert [one.id for one in await mine] == list(range(before + 1, before + many + 1))
        await so(lambda: len(feed._readers) == 1)
        assert feed._bytes <= deputize.api.feed.BYTES_KEPT
    writer.transport.abort()
    del reader


async def test_the_servers_stop_ends_streams_in_order(served: Served) -> None:
    async with asyncio.timeout(WAIT_S), listening(served.http) as stream:
        await anext(stream)
        served.stop.set()
        rest = [block async for block in stream]
    assert rest[-1].startswith(": it ends here")


async def test_a_stream_is_taken_up_again_after_a_kill(tmp_path: Path, desk: Desk) -> None:
    root = write_project(tmp_path, desk.base, CODE, toml=SERVER + PEOPLE)
    seen: list[Told] = []
    for id in "12":
        async with child(root) as server:
            async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=WAIT_S) as http:
                after = str(seen[-1].id) if seen else "0"
                async with listening(http, {"last-event-id": after}) as stream:
                    await http.post("/v1/events", json=cloudevent(id))
                    async with asyncio.timeout(WAIT_S):
                        while not seen or seen[-1].type != "ended" or seen[-1].id <= int(after):
                            seen += await events(stream, 1)
            server.process.kill()
            await server.process.wait()
    assert [one.id for one in seen] == list(range(1, len(seen) + 1))
    assert [one.type for one in seen].count("ended") == 2

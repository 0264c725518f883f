"""`GET /v1/stream`: entries as they are committed, as Server-Sent Events, from any place in the ledger on.

Source: the HTML standard, section 9.2. A stream ends after a while, and sooner where its reader does not
read; whoever reads comes back with the last id that they saw, and misses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from deputize import canonical
from deputize.api.feed import BEHIND_MAX, Feed, Line
from deputize.api.here import Here, RunName, find_run
from deputize.api.problem import Problem
from deputize.api.runs import NEWEST, Types, known_types
from deputize.api.who import READS
from deputize.ledger import SYSTEM_NAME
from deputize.system import System

HEARTBEAT_S = 15.0
SLOW_S = 30.0
LIFE_S = 900.0
"""Then its reader comes back, and is asked anew who they are."""

PIECE_BYTES = 64_000
RETRY_FULL_S = 5
_BEGIN = b"retry: 1000\n: the ledger from here on\n\n"
_END = b": it ends here; come back with the last id\n\n"

After = Annotated[
    int | None, Query(ge=0, le=NEWEST, description="Begin after this seq; without it, with what comes next.")
]
LastSeen = Annotated[
    str,
    Header(max_length=40, description="The last `id` that was seen; it comes before `after`."),
]

router = APIRouter(prefix="/v1", dependencies=[READS])


@router.get("/stream")
async def stream_entries(
    request: Request,
    system: Here,
    run: RunName = "",
    type: Types = (),
    after: After = None,
    last_event_id: LastSeen = "",
) -> Response:
    """Entries as they are committed, as Server-Sent Events.

    Each has its seq as `id`, its type as `event`, and as `data` what `/v1/entries` has. `event: gap` says
    that more happened than can be told as it happens: `data` has the seqs `after` which and `until` which
    `/v1/entries` has it; the stream goes on behind that. Comments come while nothing happens. A stream
    ends after 15 minutes at most.
    """
    if last_event_id:
        if not last_event_id.isascii() or not last_event_id.isdigit() or int(last_event_id) > NEWEST:
            raise Problem(
                422, "last-event-id must be the id of an event of this stream", field="last-event-id"
            )
        after = int(last_event_id)
    types, name = frozenset(known_types(type)), _name(system, run)
    feed: Feed = request.app.state.feed
    if feed.full:
        raise Problem(429, "as many listen as may; come back in a moment", retry_after_s=RETRY_FULL_S)
    return _Stream(feed, after, name, types)


class _Stream(StreamingResponse):
    """One reader's stream."""

    def __init__(self, feed: Feed, after: int | None, run: str, types: Collection[str]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(iter(()), media_type="text/event-stream", headers=headers)
        self._feed = feed
        self._after = after
        self._run = run
        self._types = types

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(started)
        with self._feed.listening() as news:
            gone = asyncio.ensure_future(_gone(receive, news))
            try:
                await self._tell(_Reader(send), news, gone)
            except TimeoutError:
                # They do not read: what is sent to them waits in this process, and so nothing more is.
                return
            finally:
                gone.cancel()

    async def _tell(self, reader: _Reader, news: asyncio.Event, gone: asyncio.Future[None]) -> None:
        loop, feed = asyncio.get_running_loop(), self._feed
        until = loop.time() + LIFE_S
        after = self._after if self._after is not None else feed.head
        await reader.send(_BEGIN)
        while not gone.done() and not feed.ended and loop.time() < until:
            news.clear()
            if not 0 <= feed.head - after <= BEHIND_MAX:
                await reader.send(_gap(after, feed.head))
                after = feed.head
            if lines := feed.lines(after):
                after = lines[-1].seq
                for piece in _pieces([line.sent for line in lines if self._wanted(line)]):
                    await reader.send(piece)
                # Others have their turn, also where there is much that nobody here wants.
                await asyncio.sleep(0)
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await news.wait()
            except TimeoutError:
                await reader.send(b": nothing new\nid: %d\n\n" % after)
        await reader.send(_END, last=True)

    def _wanted(self, line: Line) -> bool:
        return (not self._run or line.run == self._run) and (not self._types or line.type in self._types)


class _Reader:
    """Sends to one reader, and waits while their connection is full: `TimeoutError` where that lasts."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def send(self, data: bytes, *, last: bool = False) -> None:
        async with asyncio.timeout(SLOW_S):
            await self._send({"type": "http.response.body", "body": data, "more_body": not last})


async def _gone(receive: Receive, news: asyncio.Event) -> None:
    """Wait for whoever reads to go away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    news.set()


def _pieces(sent: list[bytes]) -> Iterator[bytes]:
    """A page in pieces, so that no more waits for a reader in this process than they hold."""
    piece: list[bytes] = []
    size = 0
    for one in sent:
        piece.append(one)
        size += len(one)
        if size >= PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


def _gap(after: int, head: int) -> bytes:
    data = canonical.encode({"after": after, "until": head})
    return b"id: %d\nevent: gap\ndata: %b\n\n" % (head, data)


def _name(system: System, run: str) -> str:
    return run if run in ("", SYSTEM_NAME) else find_run(system, run).id

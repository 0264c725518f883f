"""A real HTTP service for tests: it keeps its own book of effects, and misbehaves when told to.

It honours idempotency keys, so what it performed twice is seen in `attempts` and never in `effects`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

How = Literal["do", "lost", "cut_before", "hang", "late", "status", "body"]


@dataclass(frozen=True)
class Fault:
    """What becomes of one request: `lost` is done without an answer, `late` lands when told to."""

    how: How
    status: int = 200
    body: bytes = b"{}"
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sent:
    """One request as the service saw it."""

    method: str
    path: str
    key: str
    body: bytes
    at: float


@dataclass
class Desk:
    """`faults` are taken in turn by the writes (`look_faults` by the look-ups)."""

    base: str = ""
    faults: deque[Fault] = field(default_factory=deque)
    look_faults: deque[Fault] = field(default_factory=deque)
    always: Fault | None = None
    seen: list[Sent] = field(default_factory=list)
    effects: dict[str, dict[str, Any]] = field(default_factory=dict)
    unkeyed: list[dict[str, Any]] = field(default_factory=list)
    pages: dict[str, Any] = field(default_factory=dict)
    """What a GET of a path is answered, as JSON; a number is a status."""
    lost_once: set[str] = field(default_factory=set)
    """The next request for one of these gets no answer."""
    late: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    in_flight: int = 0
    in_flight_max: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    hold: asyncio.Event | None = None
    """While set to an unset event, every write waits for it before it is done."""
    latency_s: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def writes(self) -> list[Sent]:
        """The requests that change something."""
        return [sent for sent in self.seen if sent.method != "GET"]

    @property
    def looks(self) -> list[Sent]:
        """The look-ups."""
        return [sent for sent in self.seen if sent.path.startswith("/keys/")]

    def land(self) -> None:
        """Let the late effects happen now."""
        for key, item in self.late:
            self.effects.setdefault(key, item)
        self.late.clear()

    async def seen_of(self, count: int) -> None:
        """Wait until so many writes were seen."""
        while len(self.writes) < count:
            self.changed.clear()
            await self.changed.wait()


def fault(how: How, status: int = 200, body: object = b"{}", *headers: str) -> Fault:
    """A fault; a body that is not bytes is sent as JSON."""
    return Fault(how, status, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)


@asynccontextmanager
async def desk_service() -> AsyncIterator[Desk]:
    """A running service on 127.0.0.1."""
    desk = Desk()
    lines: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_line(desk, reader, writer))
        lines.add(task)
        task.add_done_callback(lines.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=1_000)
    desk.base = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield desk
    finally:
        listener.close()
        for task in list(lines):
            task.cancel()
        await asyncio.gather(*lines, return_exceptions=True)


async def _line(desk: Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while not writer.is_closing():
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = {k.lower(): v.strip() for k, _, v in (row.partition(":") for row in head[1:-2])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            now = asyncio.get_running_loop().time()
            desk.seen.append(Sent(method, target, headers.get("idempotency-key", ""), body, now))
            desk.changed.set()
            desk.in_flight += 1
            desk.in_flight_max = max(desk.in_flight_max, desk.in_flight)
            try:
                answer = await _answer(desk, desk.seen[-1])
            finally:
                desk.in_flight -= 1
            if answer is None:
                return
            writer.write(answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client went away, which is its right
    finally:
        writer.transport.abort()


async def _answer(desk: Desk, sent: Sent) -> bytes | None:
    look = sent.path.startswith("/keys/")
    queue = desk.look_faults if look else desk.faults
    taken = (queue.popleft() if queue else None) or (None if look else desk.always)
    if look and taken is None:
        found = desk.effects.get(sent.path.removeprefix("/keys/"))
        return _http(200, {"found": found})
    if sent.path in desk.lost_once:
        desk.lost_once.discard(sent.path)
        return None
    if sent.method == "GET" and taken is None and sent.path in desk.pages:
        page = desk.pages[sent.path]
        return _http(page, {}) if isinstance(page, int) else _http(200, page)
    if sent.method == "GET" and taken is None:
        return _http(200, {"item": sent.path.rpartition("/")[2], "key": ""})
    if desk.hold is not None and not look:
        await desk.hold.wait()
    if desk.latency_s:
        await asyncio.sleep(desk.latency_s)
    if taken is None or taken.how == "do":
        return _http(200, _perform(desk, sent))
    if taken.how == "lost":
        _perform(desk, sent)
        return None
    if taken.how == "late":
        desk.late.append((sent.key, _item(sent)))
        return None
    if taken.how == "cut_before":
        return None
    if taken.how == "hang":
        await asyncio.Event().wait()
    if taken.how == "body":
        _perform(desk, sent)
    return _http(taken.status, taken.body, *taken.headers)


def _item(sent: Sent) -> dict[str, Any]:
    given = json.loads(sent.body) if sent.body else {}
    return {"item": str(given.get("item", "")), "key": sent.key}


def _perform(desk: Desk, sent: Sent) -> dict[str, Any]:
    desk.answered[sent.key] += 1
    item = _item(sent)
    if sent.path.startswith("/plain"):
        desk.unkeyed.append(item)
        return item
    return desk.effects.setdefault(sent.key, item)


def _http(status: int, body: object, *headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Some Reason", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data

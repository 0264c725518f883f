"""The ledger as it grows, read once for all who listen.

The ledger is the buffer: a reader has a place in it and nothing else, and pages of it are read when the first
wants them and kept for the others. While nobody listens nothing is read; while somebody does, a number in
memory says whether anything was committed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from deputize import canonical
from deputize.api.show import show_entry
from deputize.system import System

PAGE = 100
PAGES_KEPT = 16
BYTES_KEPT = 16_000_000
BEHIND_MAX = 10_000
"""Entries. Whoever is further behind is told of a gap: in a flood nobody can be told all as it happens."""

READERS_MAX = 1_000
LOOK_S = 0.1
FOR_EACH_S = 0.001
FOR_EACH_BUSY_S = 0.005
"""Each reader costs a write to a socket at each look: with many the looks are rarer, and not the work."""

BUSY = 50
"""Works of the ledger between two looks, from which on one page is read at each look."""

PAGES_AT_ONCE = 50
SENDS_AT_ONCE = 200
"""Pages that are read between two looks, times the readers that they are sent to."""


class Line(NamedTuple):
    """An entry as it is sent."""

    seq: int
    run: str
    type: str
    sent: bytes


class Feed:
    """Shared by all readers of a process; it ends when `stopping` is set."""

    def __init__(self, system: System, stopping: asyncio.Event) -> None:
        self._system = system
        self._stopping = stopping
        self._readers: set[asyncio.Event] = set()
        self._watching: asyncio.Task[None] | None = None
        self._pages: OrderedDict[int, list[Line]] = OrderedDict()
        self._bytes = 0
        self._busy = False
        self._pages_left = PAGES_AT_ONCE
        self._commits = self._works = -1
        self.head = 0
        """The latest entry that is known of."""
        self.read = 0
        """Pages that were read, over all readers."""

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""
        return self._stopping.is_set()

    @property
    def full(self) -> bool:
        """Whether as many listen as may."""
        return len(self._readers) >= READERS_MAX

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """Listen; what it gives is set whenever there may be news."""
        news = asyncio.Event()
        self.head = self._system.store.read(lambda view: view.last_seq())
        self._readers.add(news)
        if self._watching is None or self._watching.done():
            self._look()
            self._watching = asyncio.create_task(self._watch())
        try:
            yield news
        finally:
            self._readers.discard(news)

    def lines(self, after: int) -> list[Line]:
        """What follows a seq, a page at most; empty where that is not known, or not to be read, yet."""
        if after >= self.head:
            return []
        number = after // PAGE
        page = self._pages.get(number)
        if page is None or (page[-1].seq < min(self.head, (number + 1) * PAGE)):
            if self._pages_left <= 0:
                return []
            page = self._read(number)
        self._pages.move_to_end(number)
        return page[after - number * PAGE :]

    async def _watch(self) -> None:
        """Look for news while anybody listens."""
        while self._readers and not self.ended:
            each_s = FOR_EACH_BUSY_S if self._busy else FOR_EACH_S
            try:
                async with asyncio.timeout(max(LOOK_S, each_s * len(self._readers))):
                    await self._stopping.wait()
            except TimeoutError:
                if not self._look():
                    continue
            for news in self._readers:
                news.set()
        if not self._readers:
            self._pages.clear()
            self._bytes = 0

    def _look(self) -> bool:
        """Whether anything may have been committed since the last look, or is left to be read."""
        store = self._system.store
        works, held = store.works - self._works, self._pages_left <= 0
        self._busy = works > BUSY and self._works >= 0
        most = SENDS_AT_ONCE // max(1, len(self._readers))
        self._pages_left = 1 if self._busy else max(1, min(PAGES_AT_ONCE, most))
        self._works = store.works
        if store.commits == self._commits:
            return held
        self._commits = store.commits
        self.head = store.read(lambda view: view.last_seq())
        return True

    def _read(self, number: int) -> list[Line]:
        """A page. They begin at multiples of their length, so that readers at different places share them."""
        self._pages_left -= 1
        self.read += 1
        rows = self._system.store.read(lambda view: view.entries_after(number * PAGE, PAGE))
        scrub = self._system.secrets.scrub
        page = []
        for name, entry in rows:
            data = scrub(canonical.encode(show_entry(name, entry)))
            sent = b"id: %d\nevent: %b\ndata: %b\n\n" % (entry.seq, entry.type.encode(), data)
            page.append(Line(entry.seq, name, entry.type, sent))
        self.head = max(self.head, page[-1].seq)
        self._keep(number, page)
        return page

    def _keep(self, number: int, page: list[Line]) -> None:
        before = self._pages.pop(number, [])
        self._pages[number] = page
        self._bytes += _size(page) - _size(before)
        while len(self._pages) > PAGES_KEPT or (self._bytes > BYTES_KEPT and len(self._pages) > 1):
            self._bytes -= _size(self._pages.popitem(last=False)[1])


def _size(page: list[Line]) -> int:
    return sum(len(line.sent) for line in page)

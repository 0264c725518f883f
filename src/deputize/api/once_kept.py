"""What was asked under which idempotency key, and answered how: durable in the ledger's settings for a day.

A key is put down before its request is carried out, and its answer after. One without an answer that nothing
carries out any more was cut short: nobody knows what came of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, takewhile

from deputize import canonical
from deputize.store.protocol import Tx
from deputize.system import System

SETTING = "once:"
KEPT_US = 24 * 3_600 * 1_000_000
KEYS_MAX = 10_000
BYTES_MAX = 32_000_000
ANSWER_BYTES_MAX = 250_000
"""Of one answer; a longer one is not kept, and nor is its request carried out twice."""

FORGOTTEN_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Once:
    """A request under a key. `asked` is a digest of it; `status` is 0 while it has no answer; `body` is None
    where the answer is not kept."""

    asked: str
    at_us: int
    status: int = 0
    media: str = ""
    body: str | None = None

    def written(self) -> str:
        """As a setting."""
        return canonical.encode([self.asked, self.at_us, self.status, self.media, self.body]).decode()


class Full(Exception):
    """As many keys are kept as may be."""


class Kept:
    """The keys of one ledger. What is in memory is where each is in time, and how long: to forget by."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._known: dict[str, tuple[int, int]] | None = None
        self._bytes = 0

    async def begin(self, name: str, asked: str) -> Once | None:
        """What was asked under this name before; None where nothing was, and this is put down as begun.

        Raises `Full`, and `StoreFull` where nothing could be written.
        """
        known, now_us = await self._all(), self._system.time.now_us()
        over = self._over(known, now_us)
        if name not in known and (len(known) - len(over) >= KEYS_MAX or self._bytes >= BYTES_MAX):
            raise Full
        begun = Once(asked, now_us)

        def work(tx: Tx) -> Once | None:
            for one in over:
                tx.set_setting(SETTING + one, None)
            text = tx.setting(SETTING + name)
            kept = _read(text) if text is not None else None
            if kept is None or kept.at_us < now_us - KEPT_US:
                tx.set_setting(SETTING + name, begun.written())
                return None
            return kept

        found = await self._system.store.write(work)
        self._forget(over)
        if found is None:
            self._forget([name])
            self._remember(name, begun)
        return found

    async def end(self, name: str, once: Once | None) -> None:
        """Put its answer down; None where nothing was done, and the key is free again."""
        text = once.written() if once is not None else None
        await self._system.store.write(lambda tx: tx.set_setting(SETTING + name, text))
        self._forget([name])
        if once is not None:
            self._remember(name, once)

    async def _all(self) -> dict[str, tuple[int, int]]:
        if self._known is None:
            found = await self._system.store.write(lambda tx: tx.settings(SETTING))
            if self._known is None:
                self._known = {}
                read = ((name.removeprefix(SETTING), _read(text)) for name, text in found.items())
                for name, once in sorted(read, key=lambda one: one[1].at_us):
                    self._remember(name, once)
        return self._known

    def _over(self, known: dict[str, tuple[int, int]], now_us: int) -> list[str]:
        """Those whose day is over, the earliest first."""
        over = takewhile(lambda name: known[name][0] < now_us - KEPT_US, known)
        return list(islice(over, FORGOTTEN_AT_ONCE))

    def _remember(self, name: str, once: Once) -> None:
        if self._known is not None:
            size = len(once.body or "")
            self._known[name] = (once.at_us, size)
            self._bytes += size

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            if self._known is not None and name in self._known:
                self._bytes -= self._known.pop(name)[1]


def _read(text: str) -> Once:
    return Once(*canonical.decode(text))

"""Recording: what is known of an action must reach the ledger, though the ledger be full or busy.

Most of it is queued and not waited for: the run's next start follows it in the writer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from deputize.errors import StoreError, StoreFull
from deputize.kernel.begun import Begun
from deputize.kernel.live import LiveRun
from deputize.kernel.parts import Parts
from deputize.ledger import Draft
from deputize.store.protocol import Tx

T = TypeVar("T")

WRITE_AGAIN_S = 1.0
"""After so long what must be recorded is given to a ledger that was full or busy once more."""


class Recording:
    """Appends to the streams of runs. `on_lost` is told of a run whose append failed and which must be
    taken out of memory; `on_late` of each run (by number) whose action was settled after that."""

    def __init__(
        self, parts: Parts, on_lost: Callable[[LiveRun], None], on_late: Callable[[int], None]
    ) -> None:
        self._parts = parts
        self._on_lost = on_lost
        self._on_late = on_late
        self._late: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Leave what a full ledger did not take; the next owner finds it as a doubt."""
        late = list(self._late)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def append(self, tx: Tx, run_no: int, drafts: list[Draft]) -> None:
        """Append to a run's stream, in memory or not."""
        run = self._parts.live.get(run_no)
        if run is not None:
            run.version = tx.append(run_no, run.version, drafts)
        else:
            tx.append(run_no, tx.version(run_no), drafts)

    def still(self, tx: Tx, begun: Begun, state: str) -> bool:
        """Whether the action is in this state, and in this round: nobody else has settled it."""
        found = tx.action(begun.run_no, begun.path)
        return found is not None and found.state == state and found.round == begun.round

    async def written(self, work: Callable[[Tx], T]) -> T:
        """Write what must be recorded, and wait out a ledger that is full or busy.

        Raises every other `StoreError`: then it stays an open intent, a doubt to the next owner.
        """
        while True:
            try:
                return await self._parts.store.write(work)
            except StoreFull:
                await asyncio.sleep(WRITE_AGAIN_S)

    def post(self, run: LiveRun | None, work: Callable[[Tx], Any], begun: Begun | None = None) -> None:
        """Queue it, without waiting. `begun` is what it settles, where that had an intent."""
        future = self._parts.store.write(work, lazy=True)

        def finished(done: asyncio.Future[Any]) -> None:
            if done.cancelled():
                return
            error = done.exception()
            if error is not None:
                if run is not None:
                    self._on_lost(run)
                if isinstance(error, StoreFull) and begun is not None and begun.key:
                    # What became of it is known here and nowhere else: record it once there is room.
                    task = asyncio.get_running_loop().create_task(self._post_late(work, begun))
                    self._late.add(task)
                    task.add_done_callback(self._late.discard)
                return
            self._parts.boundary("t3.after")
            if begun is not None and (begun.leases or begun.under_way):
                self._parts.leases.freed(begun.frees)

        future.add_done_callback(finished)

    async def _post_late(self, work: Callable[[Tx], Any], begun: Begun) -> None:
        def if_open(tx: Tx) -> None:
            if self.still(tx, begun, "open"):
                work(tx)

        try:
            await self.written(if_open)
        except StoreError:
            return
        self._parts.leases.freed(begun.frees)
        self._on_late(begun.run_no)

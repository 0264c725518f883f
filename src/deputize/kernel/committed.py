"""What memory knows once it is in the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def once_committed(committed: asyncio.Future[T], known: Callable[[T], None]) -> T:
    """What a work came to, told to `known` as soon as it is on disk: also where whoever asked for it has gone
    away meanwhile. Raises what the work raised."""

    def after(done: asyncio.Future[T]) -> None:
        if not done.cancelled() and done.exception() is None:
            known(done.result())

    committed.add_done_callback(after)
    return await asyncio.shield(committed)

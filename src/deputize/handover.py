"""Handing work from the event loop to a thread of ours and back, without both wanting to run at once.

Only one of them can run Python, and each time they contend for that they lose more than the work
takes. So the loop first does all that is ready, then hands over, and stands still for a moment until
what it gave is done; only where that takes longer it goes on, and is called later.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """One thread's way to the loop and back. `begin` wakes the thread, `deliver` takes what it has made;
    both are called on the loop. The loop stands still for `stand_s` seconds at most.
    """

    def __init__(self, begin: Callable[[], None], deliver: Callable[[T], None], stand_s: float) -> None:
        self._begin = begin
        self._deliver = deliver
        self._stand_s = stand_s
        self._made: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._awaited = False
        self._soon = False
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- on the loop ---------------------------------------------------------------------------------

    def soon(self) -> None:
        """There is work for the thread: hand it over when all that is ready on the loop has been done."""
        if not self._soon:
            self._soon = True
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._soon = False
        self._awaited = True
        self._begin()
        try:
            made = [self._made.get(timeout=self._stand_s)]
        except queue.Empty:
            made = []
        # From here on the thread calls; what it made just before this line is taken below.
        self._awaited = False
        try:
            for one in made:
                self._deliver(one)
        finally:
            self._take()

    def _take(self) -> None:
        while not self._made.empty():
            self._deliver(self._made.get_nowait())

    # -- on the thread -------------------------------------------------------------------------------

    def back(self, made: T) -> None:
        """Hand back what was made of what was given; each `begin` is answered at least once."""
        self._made.put(made)
        if not self._awaited and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take)

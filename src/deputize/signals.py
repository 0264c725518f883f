"""Hearing Ctrl-C and its like in one's own time, wherever this process was started."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

Stopped = Callable[[float], bool]
"""Waits so many seconds at most, and tells whether one of the signals has come."""


@contextmanager
def stopping_on(*numbers: signal.Signals) -> Iterator[Stopped]:
    """Hear these signals while inside; a second one of a kind does what it did before.

    Also those that a shell has what it starts in the background ignore. For the main thread.
    """
    # A handler may put into such a queue. It may set no Event: the lock of that could be held by what it
    # interrupts.
    heard: SimpleQueue[None] = SimpleQueue()

    def hear(number: int, _: object) -> None:
        heard.put(None)
        signal.signal(number, before[number])

    def stopped(within_s: float) -> bool:
        try:
            heard.get(timeout=within_s)
        except Empty:
            return False
        heard.put(None)
        return True

    before = {int(number): signal.signal(number, hear) for number in numbers}
    try:
        yield stopped
    finally:
        for number in numbers:
            signal.signal(number, before[number])

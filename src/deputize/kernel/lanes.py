"""Lanes: who may start an action now. One for each connector and each agent.

A lane bounds how many are under way and how many start in a second, and serves those that wait by
priority first, then in turn between automations, so that a flood of one does not starve another.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from deputize.clock import Clock

T = TypeVar("T")

BATCH_SHARE = 8
"""Every eighth turn goes to the lowest priority that waits, so that it moves even under load."""


class TurnQueue(Generic[T]):
    """Items by priority (0 first) and, within one priority, in turn between groups."""

    def __init__(self) -> None:
        self._levels: dict[int, OrderedDict[str, deque[T]]] = {}
        self._size = 0
        self._turns = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[T]:
        for level in self._levels.values():
            for group in level.values():
                yield from group

    def push(self, priority: int, group: str, item: T) -> None:
        """Put an item at the end of its group's line."""
        self._levels.setdefault(priority, OrderedDict()).setdefault(group, deque()).append(item)
        self._size += 1

    def pop(self, *, full: frozenset[str] | set[str] = frozenset()) -> T | None:
        """The next item in turn, passing over groups in `full`; None where there is none."""
        self._turns += 1
        order = sorted(self._levels, reverse=self._turns % BATCH_SHARE == 0)
        for priority in order:
            level = self._levels[priority]
            for group in level:
                if group in full:
                    continue
                item = level[group].popleft()
                level.move_to_end(group)
                if not level[group]:
                    del level[group]
                if not level:
                    del self._levels[priority]
                self._size -= 1
                return item
        return None


class Lane:
    """One connector's or agent's way to the world."""

    def __init__(self, clock: Clock, concurrent_max: int, per_second_max: float | None) -> None:
        self._clock = clock
        self._concurrent_max = concurrent_max
        self._every_s = 1.0 / per_second_max if per_second_max else 0.0
        self._under_way = 0
        self._next_start = 0.0
        self._waiting: TurnQueue[asyncio.Future[bool]] = TurnQueue()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many wait here."""
        return sum(1 for place in self._waiting if not place.done())

    async def enter(self, priority: int, automation: str) -> None:
        """Wait for a turn; pair with `leave`."""
        if not self.take():
            await self.wait(self.stand(priority, automation))

    def take(self) -> bool:
        """Take a turn if there is one now and nobody waits; pair with `leave`."""
        if self._under_way < self._concurrent_max and not self._waiting and self._may_start():
            self._under_way += 1
            return True
        return False

    def stand(self, priority: int, automation: str) -> asyncio.Future[bool]:
        """Stand in line, and then `wait`. Whoever calls it off sets the result to False."""
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.push(priority, automation, place)
        self._serve()
        return place

    async def wait(self, place: asyncio.Future[bool]) -> bool:
        """Wait for the turn of a place in line, and pair it with `leave`. False where it was called off."""
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.leave()
            raise

    def leave(self) -> None:
        """The action is under way no more."""
        self._under_way -= 1
        if self._waiting:
            self._serve()

    def hold_off(self, for_s: float) -> None:
        """Start nothing for a time: the service asked for it (429, Retry-After)."""
        self._next_start = max(self._next_start, self._clock.monotonic() + for_s)

    def _may_start(self) -> bool:
        """Take a start if the rate allows one now."""
        now = self._clock.monotonic()
        if now < self._next_start:
            return False
        if self._every_s:
            # A tenth of a second's starts may come at once, so that a rate is not a metronome.
            self._next_start = max(self._next_start, now - 0.1) + self._every_s
        return True

    def _serve(self) -> None:
        while self._waiting and self._under_way < self._concurrent_max:
            if not self._may_start():
                self._serve_later()
                return
            place = self._next()
            if place is None:
                return
            self._under_way += 1
            place.set_result(True)

    def _next(self) -> asyncio.Future[bool] | None:
        """The next that still waits: those that were called off or cancelled take no start."""
        while (place := self._waiting.pop()) is not None:
            if not place.done():
                return place
        return None

    def _serve_later(self) -> None:
        if self._timer is None:
            delay_s = max(self._next_start - self._clock.monotonic(), 0.001)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._serve_timed)

    def _serve_timed(self) -> None:
        self._timer = None
        self._serve()

"""Lanes: who may start an action now. One for each connector and each agent.

A lane bounds how many are under way and how many start in a second, and serves those that wait by
priority first, then in turn between agents, and between the automations of each, so that a flood of one does
not starve another.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Set
from typing import Generic, NamedTuple, TypeVar

from deputize.agent import PRIORITY
from deputize.clock import Clock

T = TypeVar("T")

BATCH = PRIORITY["batch"]

KEPT_SHARE = 8
LAST_SHARE = 8
"""Every eighth turn goes to the lowest priority that waits, so that it moves even under load."""


class Rank(NamedTuple):
    """Where one stands in a line: 0 is the first priority."""

    priority: int
    agent: str
    automation: str


FIRST = Rank(0, "", "")
"""That of what no run asks for."""


class TurnQueue(Generic[T]):
    """Items by priority and, within one priority, in turn between agents and the automations of each."""

    def __init__(self) -> None:
        self._levels: dict[int, OrderedDict[str, OrderedDict[str, deque[T]]]] = {}
        self._size = 0
        self._turns = 0

    def __len__(self) -> int:
        return self._size

    def push(self, rank: Rank, item: T) -> None:
        """Put an item at the end of its line."""
        agents = self._levels.setdefault(rank.priority, OrderedDict())
        agents.setdefault(rank.agent, OrderedDict()).setdefault(rank.automation, deque()).append(item)
        self._size += 1

    def pop(self, *, full: Set[str] = frozenset(), shut: Set[int] = frozenset()) -> T | None:
        """The next item in turn, passing over automations in `full` and priorities in `shut`; None where
        there is none."""
        order = sorted(self._levels.keys() - shut)
        if len(order) > 1:
            self._turns += 1
            if self._turns % LAST_SHARE == 0:
                order.reverse()
        return next((item for one in order if (item := self._pop(one, full)) is not None), None)

    def _pop(self, priority: int, full: Set[str]) -> T | None:
        agents = self._levels[priority]
        for agent, lines in agents.items():
            automation = next((name for name in lines if name not in full), None)
            if automation is None:
                continue
            item = lines[automation].popleft()
            lines.move_to_end(automation)
            agents.move_to_end(agent)
            if not lines[automation]:
                del lines[automation]
            if not lines:
                del agents[agent]
            if not agents:
                del self._levels[priority]
            self._size -= 1
            return item
        return None


def kept_from_batch(places: int) -> int:
    """How many of a connector's places a batch leaves to others: one in eight, where there are two."""
    return max(1, places // KEPT_SHARE) if places > 1 else 0


class Lane:
    """One connector's or agent's way to the world. A batch leaves `kept` of its places to others."""

    def __init__(
        self, clock: Clock, concurrent_max: int, per_second_max: float | None, *, kept: int = 0
    ) -> None:
        self._clock = clock
        self._concurrent_max = concurrent_max
        self._batch_max = concurrent_max - kept
        self._every_s = 1.0 / per_second_max if per_second_max else 0.0
        self._under_way = 0
        self._batch = 0
        self._next_start = 0.0
        self._line: TurnQueue[tuple[Rank, asyncio.Future[bool]]] = TurnQueue()
        self._timer: asyncio.TimerHandle | None = None
        self.waiting = 0
        """How many wait here."""

    async def enter(self, rank: Rank) -> None:
        """Wait for a turn; pair with `leave`."""
        if not self.take(rank):
            await self.wait(rank, self.stand(rank))

    def take(self, rank: Rank) -> bool:
        """Take a turn if there is one now and nobody waits; pair with `leave`."""
        if self._line or not self._has_place(rank.priority) or not self._is_time():
            return False
        self._start(rank)
        return True

    def stand(self, rank: Rank) -> asyncio.Future[bool]:
        """Stand in line, and then `wait`. Whoever calls it off sets the result to False."""
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        place.add_done_callback(self._stands_no_more)
        self.waiting += 1
        self._line.push(rank, (rank, place))
        self._serve()
        return place

    async def wait(self, rank: Rank, place: asyncio.Future[bool]) -> bool:
        """Wait for the turn of a place in line, and pair it with `leave`. False where it was called off."""
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.leave(rank)
            raise

    def leave(self, rank: Rank) -> None:
        """The action is under way no more."""
        self._under_way -= 1
        self._batch -= rank.priority == BATCH
        if self._line:
            self._serve()

    def hold_off(self, for_s: float) -> None:
        """Start nothing for a time: the service asked for it (429, Retry-After)."""
        self._next_start = max(self._next_start, self._clock.monotonic() + for_s)

    def opens_in_s(self) -> float:
        """How long nothing at all starts here."""
        return max(0.0, self._next_start - self._clock.monotonic())

    def _has_place(self, priority: int) -> bool:
        return self._under_way < self._concurrent_max and (priority < BATCH or self._batch < self._batch_max)

    def _is_time(self) -> bool:
        return self._clock.monotonic() >= self._next_start

    def _start(self, rank: Rank) -> None:
        self._under_way += 1
        self._batch += rank.priority == BATCH
        if self._every_s:
            # A tenth of a second's starts may come at once, so that a rate is not a metronome.
            self._next_start = max(self._next_start, self._clock.monotonic() - 0.1) + self._every_s

    def _serve(self) -> None:
        while self._line and self._has_place(0):
            if not self._is_time():
                self._serve_later()
                return
            shut = frozenset() if self._has_place(BATCH) else frozenset({BATCH})
            found = self._line.pop(shut=shut)
            if found is None:
                return
            rank, place = found
            # What was called off or cancelled takes no start.
            if not place.done():
                self._start(rank)
                place.set_result(True)

    def _stands_no_more(self, place: asyncio.Future[bool]) -> None:
        self.waiting -= 1

    def _serve_later(self) -> None:
        if self._timer is None:
            delay_s = max(self._next_start - self._clock.monotonic(), 0.001)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._serve_timed)

    def _serve_timed(self) -> None:
        self._timer = None
        self._serve()

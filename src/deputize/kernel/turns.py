"""Turns: when an action may be under way. Past every stop and its connector's circuit, and in the lanes
of its agent and connector.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from deputize.call import CallFailed
from deputize.circuit import failing
from deputize.kernel.circuits import Breaker
from deputize.kernel.judging import Request
from deputize.kernel.lanes import Lane, Rank
from deputize.kernel.parts import Parts
from deputize.kernel.stops import Stops
from deputize.standing import Stand


def scopes_of(agent: str, connector: str, automation: str, run_id: str) -> tuple[str, ...]:
    """The scopes that an action is in; the first two have lanes."""
    return (f"agent:{agent}", f"connector:{connector}", f"automation:{automation}", f"run:{run_id}")


class Turn:
    """One action's turn. Nobody's place is held while it waits between two attempts.

    `left` says how many seconds are left of the time in which it must have come, where that is bounded.
    """

    __slots__ = ("_held", "_lanes", "_late", "_left", "_rank", "_stops", "breaker", "scopes")

    def __init__(
        self,
        stops: Stops,
        breaker: Breaker,
        lanes: tuple[Lane, ...],
        scopes: tuple[str, ...],
        rank: Rank,
        left: Callable[[], float] | None = None,
    ) -> None:
        self.scopes = scopes
        self.breaker = breaker
        self._stops = stops
        self._lanes = lanes
        self._rank = rank
        self._left = left
        self._late = False
        self._held: list[Lane] = []

    async def enter(self, *, unless_down: bool = False) -> bool:
        """Wait out every stop and an open circuit, then for a place in each lane: for what has been started
        already. False, without a place, where its time is up, or the circuit is open and this is not to wait
        for it."""
        while not await self._enter(may_be_called_off=False):
            await self._in_time(self._stops.wait(*self.scopes))
            if self.is_late() or (unless_down and self.is_down()):
                return False
            await self._in_time(self.breaker.wait(self.scopes[-1]))
        return True

    async def enter_again(self, after_s: float, *, unless_down: bool) -> bool:
        """Give the places back, and `enter` after a pause; False at once where its time is up by then."""
        self.leave()
        if self.is_late(after_s):
            self._late = True
            return False
        await asyncio.sleep(after_s)
        return await self.enter(unless_down=unless_down)

    async def enter_unless_stopped(self) -> bool:
        """Wait for a place in each lane: for something new. False, without one, where its time is up, or a
        stop or an open circuit is in the way.

        Where the run is called off meanwhile this returns at once without a place: look at the run.
        """
        return await self._enter(may_be_called_off=True)

    async def _enter(self, *, may_be_called_off: bool) -> bool:
        if self.is_late() or self._stops.in_way(*self.scopes) is not None or not self.breaker.may_try():
            return False
        for lane, scope in zip(self._lanes, self.scopes, strict=False):
            if not lane.take(self._rank) and not await self._wait(lane, scope, may_be_called_off):
                self.leave()
                return not self.is_late()
            self._held.append(lane)
        if self._stops.in_way(*self.scopes) is None and self.breaker.admit(self):
            return True
        self.leave()
        return False

    async def _wait(self, lane: Lane, scope: str, may_be_called_off: bool) -> bool:
        place, run = lane.stand(self._rank), self.scopes[-1]
        if may_be_called_off:
            self._stops.stand(run, place, Stand("turn", scope))
        timer = self._call_off_late(place)
        try:
            got = await lane.wait(self._rank, place)
        except asyncio.CancelledError:
            self.leave()
            raise
        finally:
            wanted = self._stops.step_out(run, place) or not may_be_called_off
            if timer is not None:
                timer.cancel()
        if got and not wanted:
            # It was called off just as its place came.
            lane.leave(self._rank)
        return got and wanted

    def _call_off_late(self, place: asyncio.Future[bool]) -> asyncio.TimerHandle | None:
        """Let a place in line be called off once its time is up."""
        left_s = self.left_s()
        if left_s is None:
            return None

        def late() -> None:
            if not place.done():
                self._late = True
                place.set_result(False)

        return asyncio.get_running_loop().call_later(max(left_s, 0.0), late)

    async def _in_time(self, waiting: Awaitable[None]) -> None:
        """Wait, and no longer than its time."""
        try:
            async with asyncio.timeout(self.left_s()):
                await waiting
        except TimeoutError:
            self._late = True

    def is_late(self, in_s: float = 0.0) -> bool:
        """Whether its time is up, or will be then."""
        left_s = self.left_s()
        return self._late or (left_s is not None and left_s <= in_s)

    def left_s(self) -> float | None:
        """How much is left of its time; None where that is not bounded."""
        return self._left() if self._left is not None else None

    def at_most_s(self, wait_s: float) -> float:
        """So long a wait, or what is left of its time."""
        left_s = self.left_s()
        return wait_s if left_s is None else min(wait_s, max(left_s, 0.0))

    def is_shut(self) -> bool:
        """Whether a stop or an open circuit has come in the way since it was entered."""
        return self._stops.in_way(*self.scopes) is not None or self.breaker.is_shut_to(self)

    def is_down(self) -> bool:
        """Whether nothing but the connector's open circuit is in the way."""
        return self._stops.in_way(*self.scopes) is None and not self.breaker.may_try()

    def park(self, no: int) -> None:
        """A run that may not go on leaves memory, until what is in its way is no more."""
        if self._stops.in_way(*self.scopes) is not None:
            self._stops.park(no, *self.scopes)
        else:
            self.breaker.park(no)

    async def hear(self, answer: Awaitable[bytes]) -> bytes:
        """Wait for an answer, and let the connector's circuit know how that ended. Raises `CallFailed`."""
        try:
            stored = await answer
        except CallFailed as error:
            failed = failing(error)
            if failed is not None:
                self.breaker.heard(self, failed)
            raise
        self.breaker.heard(self, False)
        return stored

    def leave(self) -> None:
        """Give the places back; harmless where none is held."""
        self.breaker.give_back(self)
        for lane in self._held:
            lane.leave(self._rank)
        self._held.clear()


def turn_of(
    parts: Parts, scopes: tuple[str, ...], rank: Rank, left: Callable[[], float] | None = None
) -> Turn:
    """A turn in these scopes, not entered."""
    lanes = tuple(parts.lane_of(scope) for scope in scopes[:2])
    breaker = parts.circuits.of(scopes[1].removeprefix("connector:"))
    return Turn(parts.stops, breaker, lanes, scopes, rank, left)


def turn_for(parts: Parts, request: Request, *, bounded: bool = True) -> Turn:
    """A turn for what is requested, not entered; `bounded` by the time in which that is to start."""
    run, due_us = request.run, request.action.due_us
    connector = request.action.operation.contract.connector
    scopes = scopes_of(request.agent.name, connector, run.automation.name, run.id)

    def left() -> float:
        return ((due_us or 0) - parts.time.now_us()) / 1e6

    return turn_of(parts, scopes, run.rank, left if bounded and due_us is not None else None)

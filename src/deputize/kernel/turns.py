"""Turns: when an action may be under way. Past every stop and its connector's circuit, and in the lanes
of its agent and connector.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from deputize.call import CallFailed
from deputize.circuit import failing
from deputize.kernel.circuits import Breaker
from deputize.kernel.judging import Request
from deputize.kernel.lanes import Lane
from deputize.kernel.parts import Parts
from deputize.kernel.stops import Stops
from deputize.standing import Stand


def scopes_of(agent: str, connector: str, automation: str, run_id: str) -> tuple[str, ...]:
    """The scopes that an action is in; the first two have lanes."""
    return (f"agent:{agent}", f"connector:{connector}", f"automation:{automation}", f"run:{run_id}")


class Turn:
    """One action's turn. Nobody's place is held while it waits between two attempts."""

    __slots__ = ("_group", "_held", "_lanes", "_priority", "_stops", "breaker", "scopes")

    def __init__(
        self,
        stops: Stops,
        breaker: Breaker,
        lanes: tuple[Lane, ...],
        scopes: tuple[str, ...],
        priority: int,
        group: str,
    ) -> None:
        self.scopes = scopes
        self.breaker = breaker
        self._stops = stops
        self._lanes = lanes
        self._priority = priority
        self._group = group
        self._held: list[Lane] = []

    async def enter(self, *, unless_down: bool = False) -> bool:
        """Wait out every stop and an open circuit, then for a place in each lane: for what has been started
        already. False, without a place, where the circuit is open and this is not to wait for it."""
        while not await self._enter(may_be_called_off=False):
            await self._stops.wait(*self.scopes)
            if unless_down and self.is_down():
                return False
            await self.breaker.wait(self.scopes[-1])
        return True

    async def enter_unless_stopped(self) -> bool:
        """Wait for a place in each lane: for something new. False, without one, where a stop or an open
        circuit is in the way.

        Where the run is called off meanwhile this returns at once without a place: look at the run.
        """
        return await self._enter(may_be_called_off=True)

    async def _enter(self, *, may_be_called_off: bool) -> bool:
        if self._stops.in_way(*self.scopes) is not None or not self.breaker.may_try():
            return False
        for lane, scope in zip(self._lanes, self.scopes, strict=False):
            if not lane.take() and not await self._wait(lane, scope, may_be_called_off):
                self.leave()
                return True
            self._held.append(lane)
        if self._stops.in_way(*self.scopes) is None and self.breaker.admit(self):
            return True
        self.leave()
        return False

    async def _wait(self, lane: Lane, scope: str, may_be_called_off: bool) -> bool:
        place, run = lane.stand(self._priority, self._group), self.scopes[-1]
        if may_be_called_off:
            self._stops.stand(run, place, Stand("turn", scope))
        try:
            got = await lane.wait(place)
        except asyncio.CancelledError:
            self.leave()
            raise
        finally:
            wanted = self._stops.step_out(run, place) or not may_be_called_off
        if got and not wanted:
            # It was called off just as its place came.
            lane.leave()
        return got and wanted

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
            lane.leave()
        self._held.clear()


def turn_of(parts: Parts, scopes: tuple[str, ...], priority: int, group: str) -> Turn:
    """A turn in these scopes, not entered."""
    lanes = tuple(parts.lane_of(scope) for scope in scopes[:2])
    breaker = parts.circuits.of(scopes[1].removeprefix("connector:"))
    return Turn(parts.stops, breaker, lanes, scopes, priority, group)


def turn_for(parts: Parts, request: Request) -> Turn:
    """A turn for what is requested, not entered."""
    automation = request.run.automation
    connector = request.action.operation.contract.connector
    scopes = scopes_of(request.agent.name, connector, automation.name, request.run.id)
    return turn_of(parts, scopes, request.run.priority, automation.name)

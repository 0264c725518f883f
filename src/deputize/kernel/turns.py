"""Turns: when an action may be under way. Past every stop, and in the lanes of its agent and connector."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from deputize.kernel.lanes import Lane
from deputize.kernel.stops import Stops


def scopes_of(agent: str, connector: str, automation: str, run_id: str) -> tuple[str, ...]:
    """The scopes that an action is in; the first two have lanes."""
    return (f"agent:{agent}", f"connector:{connector}", f"automation:{automation}", f"run:{run_id}")


class Turn:
    """One action's turn. Nobody's place is held while it waits between two attempts."""

    __slots__ = ("_group", "_held", "_lanes", "_priority", "_stops", "scopes")

    def __init__(
        self, stops: Stops, lanes: tuple[Lane, ...], scopes: tuple[str, ...], priority: int, group: str
    ) -> None:
        self.scopes = scopes
        self._stops = stops
        self._lanes = lanes
        self._priority = priority
        self._group = group
        self._held: list[Lane] = []

    async def enter(self, unless: Callable[[], bool] = lambda: False) -> None:
        """Wait out every stop, then for a place in each lane. Returns at once, without a place,
        where `unless` holds."""
        stops = self._stops
        while True:
            if stops.scopes:
                await stops.wait(*self.scopes, unless=unless)
                if unless():
                    return
            for lane in self._lanes:
                try:
                    await lane.enter(self._priority, self._group)
                except asyncio.CancelledError:
                    self.leave()
                    raise
                self._held.append(lane)
            if stops.in_way(*self.scopes) is None:
                return
            self.leave()

    def leave(self) -> None:
        """Give the places back; harmless where none is held."""
        for lane in self._held:
            lane.leave()
        self._held.clear()

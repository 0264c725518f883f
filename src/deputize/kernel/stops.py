"""Stops: what people have halted or paused. Nothing new starts under a stop, and nothing is lost."""

from __future__ import annotations

import asyncio

from deputize.standing import Stand

ALL = "all"


class Stops:
    """The scopes that are stopped: `all`, `agent:x`, `connector:x`, `automation:x`, `run:x`."""

    def __init__(self) -> None:
        self.scopes: dict[str, str] = {}
        self.parked: dict[int, str] = {}
        """Runs that wanted to start something and left memory, each with the stop that was in its way; they
        are ready once a stop is lifted."""
        self._changed: asyncio.Event | None = None
        self._in_line: dict[str, dict[asyncio.Future[bool], Stand]] = {}

    def stop(self, scope: str, reason: str) -> None:
        """From now on nothing starts in this scope."""
        self.scopes[scope] = reason

    def lift(self, scope: str) -> None:
        """From now on things start in this scope again."""
        self.scopes.pop(scope, None)
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def in_way(self, *scopes: str) -> str | None:
        """The first of these scopes, or `all`, that is stopped."""
        if not self.scopes:
            return None
        return next((s for s in (ALL, *scopes) if s in self.scopes), None)

    def park(self, run: int, *scopes: str) -> None:
        """A run leaves memory because one of these is stopped."""
        self.parked[run] = self.in_way(*scopes) or ALL

    async def wait(self, *scopes: str) -> None:
        """Wait until none of these is stopped."""
        while self.in_way(*scopes) is not None:
            if self._changed is None:
                self._changed = asyncio.Event()
            await self._changed.wait()

    # -- calling off: a run that is to be cancelled need not wait for turns it will not use ------------

    async def stand_by(self, run: str, place: asyncio.Future[bool], timeout_s: float, what: Stand) -> bool:
        """Let a run (`run:x`) wait for the turn of something new, so long at most; `what` says for what.

        False where its turn did not come: the time was up, or it was called off.
        """
        self.stand(run, place, what)
        try:
            await asyncio.wait((place,), timeout=timeout_s)
        finally:
            self.step_out(run, place)
        return place.done() and place.result()

    def stand(self, run: str, place: asyncio.Future[bool], what: Stand) -> None:
        """A run waits for the turn of something new; pair it with `step_out`."""
        self._in_line.setdefault(run, {})[place] = what

    def standing(self, run: str) -> list[Stand]:
        """What a run stands in line for."""
        return list(self._in_line.get(run, {}).values())

    def step_out(self, run: str, place: asyncio.Future[bool]) -> bool:
        """It waits there no more. False where it was called off, though its turn may have come too."""
        places = self._in_line.get(run)
        if places is None or place not in places:
            return False
        del places[place]
        if not places:
            del self._in_line[run]
        return True

    def call_off(self, run: str) -> None:
        """Let everything new that this run waits for return at once, without its turn."""
        for place in self._in_line.pop(run, ()):
            if not place.done():
                place.set_result(False)


class LeaseLine:
    """Those that wait for resources, each in the line of one at a time and by when it first came.

    Nobody in a line holds anything, so no circle of waiting can close. Whoever leaves a line without
    having taken what came free wakes the next.
    """

    def __init__(self) -> None:
        self._lines: dict[str, dict[int, asyncio.Future[bool]]] = {}
        self._tickets = 0

    @property
    def waiting(self) -> bool:
        """Whether anyone waits."""
        return bool(self._lines)

    def place(self) -> Place:
        """A place for one action, in no line yet."""
        return Place(self)

    def freed(self, resources: tuple[str, ...] | list[str]) -> None:
        """Wake the first in each line."""
        for resource in resources:
            line = self._lines.get(resource)
            if line:
                first = line[min(line)]
                if not first.done():
                    first.set_result(True)

    def ticket(self) -> int:
        """A number above all that were given."""
        self._tickets += 1
        return self._tickets

    def stand(self, resource: str, ticket: int) -> asyncio.Future[bool]:
        """Stand in a line. The future is true when it is this one's turn to look again."""
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(resource, {})[ticket] = turn
        return turn

    def step_out(self, resource: str, ticket: int) -> None:
        """Leave a line."""
        line = self._lines.get(resource, {})
        line.pop(ticket, None)
        if not line:
            self._lines.pop(resource, None)

    def first(self, resource: str) -> int | None:
        """The ticket of the first in a line."""
        line = self._lines.get(resource)
        return min(line) if line else None


class Place:
    """One action's place: its ticket is given when it first has to wait, and kept."""

    __slots__ = ("_line", "_resource", "_ticket")

    def __init__(self, line: LeaseLine) -> None:
        self._line = line
        self._resource = ""
        self._ticket = 0

    def behind(self, resources: tuple[str, ...]) -> str | None:
        """The first of these resources for which someone waits who came before."""
        for resource in resources:
            first = self._line.first(resource)
            if first is not None and (not self._ticket or first < self._ticket):
                return resource
        return None

    def is_for(self, resources: tuple[str, ...]) -> bool:
        """Whether this is a place in the line of one of these."""
        return self._resource in resources

    def stand(self, resource: str) -> asyncio.Future[bool]:
        """Stand in the line of a resource. The future is true when it is this one's turn to look again.

        The place in the line is kept until `leave`, or until this stands in that of another resource.
        """
        if self._resource != resource:
            self.leave(next_too=True)
        self._ticket = self._ticket or self._line.ticket()
        self._resource = resource
        return self._line.stand(resource, self._ticket)

    def leave(self, *, next_too: bool = False) -> None:
        """Leave the line; `next_too` where what may have come free was not taken."""
        if self._resource:
            resource, self._resource = self._resource, ""
            self._line.step_out(resource, self._ticket)
            if next_too:
                self._line.freed((resource,))

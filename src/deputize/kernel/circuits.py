"""Breakers: each connector's circuit at work. While one is open nothing new is sent through it but one
action at a time, to try it, and whoever waits holds nothing.

Runs that wait leave memory, as at a halt. What has been started already waits in memory, holding what it
took, and is let through first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deputize.circuit import Circuit, Terms


@dataclass(frozen=True, slots=True)
class Change:
    """A circuit has opened or closed: with the calls of its window, and those that failed, as it did."""

    connector: str
    is_open: bool
    calls: int
    failures: int


class Breaker:
    """One connector's circuit, and those that wait for it. Changed on the loop alone; the writer reads it."""

    def __init__(self, connector: str, terms: Terms, circuits: Circuits) -> None:
        self.connector = connector
        self.circuit = Circuit(terms)
        self.figures = (0, 0)
        """Calls and failures in the window as it opened."""
        self._all = circuits
        self._trying: object = None
        self._waiting: dict[asyncio.Future[None], str] = {}
        """Each with its run (`run:x`)."""
        self._parked: dict[int, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def why(self) -> str:
        """Why nothing goes through while it is open, for people."""
        return f"{self.connector} is down: {self.failed}"

    @property
    def failed(self) -> str:
        """How many calls had failed as it opened, for people."""
        calls, failures = self.figures
        return f"{failures} of its last {calls} calls failed"

    @property
    def waiting(self) -> int:
        """How many runs and actions wait for it."""
        return len(self._parked) + len(self._waiting)

    def is_waited_for(self, no: int, run: str) -> bool:
        """Whether a run (its number, and `run:x`) waits for it, or something that it has started."""
        return no in self._parked or run in self._waiting.values()

    def may_try(self) -> bool:
        """Whether something may go on now: it is closed, or it is time to try it and nobody does."""
        if not self.circuit.is_open:
            return True
        return self._trying is None and self._all.monotonic() >= self.circuit.try_at_s

    def admit(self, turn: object) -> bool:
        """Let a turn through, to try the circuit where that is open; pair with `give_back`."""
        if self.circuit.is_open:
            if not self.may_try():
                return False
            self._trying = turn
        return True

    def is_shut_to(self, turn: object) -> bool:
        """Whether it has opened since this turn was let through."""
        return self.circuit.is_open and self._trying is not turn

    def give_back(self, turn: object) -> None:
        """A turn is over; where it was to try the circuit and did not, another one does."""
        if self._trying is turn:
            self._trying = None
            self._offer_later()

    def heard(self, turn: object, failed: bool) -> None:
        """How a call of a turn has ended."""
        before, now_s = self.circuit, self._all.monotonic()
        if not before.is_open:
            self.circuit = before.heard(failed, now_s)
            if self.circuit.is_open:
                self.figures = self.circuit.figures(now_s)
                self._all.changed(Change(self.connector, True, *self.figures))
        elif self._trying is turn:
            self._trying = None
            self.circuit = before.tried(failed, now_s)
            if self.circuit.is_open:
                self._offer_later()
            else:
                self._closed()

    def park(self, no: int) -> None:
        """A run that wanted to start something leaves memory; it is ready once it may go on."""
        self._parked[no] = None
        self._offer_later()

    def discard(self, no: int) -> None:
        """A run that is not there any more."""
        self._parked.pop(no, None)

    async def wait(self, run: str) -> None:
        """Wait until something may go on: for what a run (`run:x`) has started already."""
        if self.may_try():
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[place] = run
        self._offer_later()
        try:
            await place
        finally:
            self._waiting.pop(place, None)

    def reopen(self, figures: tuple[int, int]) -> None:
        """It was open when the process before ended: it is tried before anything else goes."""
        self.figures = figures
        self.circuit = Circuit(self.circuit.terms).opened(self._all.monotonic())

    def stop(self) -> None:
        """Call nobody any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _closed(self) -> None:
        self.stop()
        self._timer = None
        parked, self._parked = self._parked, {}
        for place in list(self._waiting):
            _wake(place)
        for no in parked:
            self._all.go_on(no)
        self._all.changed(Change(self.connector, False, *self.figures))

    def _offer_later(self) -> None:
        if self._timer is not None or self._all.stopped:
            return
        if self.circuit.is_open and self._trying is None and self.waiting:
            wait_s = max(self.circuit.try_at_s - self._all.monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._offer)

    def _offer(self) -> None:
        """It is time to try it: whoever is first is called, and where they do not come, the next one."""
        self._timer = None
        if not self.may_try():
            self._offer_later()
            return
        first = next((place for place in self._waiting if not place.done()), None)
        if first is not None:
            _wake(first)
        elif self._parked:
            no = next(iter(self._parked))
            del self._parked[no]
            self._all.go_on(no)
        if self.waiting and not self._all.stopped:
            self._timer = asyncio.get_running_loop().call_later(self.circuit.terms.pause_s, self._offer)


class Circuits:
    """The breakers of all connectors. `go_on` is told of a run that may go on, `changed` of every change."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        terms_of: Callable[[str], Terms],
        go_on: Callable[[int], None],
        changed: Callable[[Change], None],
    ) -> None:
        self.monotonic = monotonic
        self.go_on = go_on
        self.changed = changed
        self.stopped = False
        self._terms_of = terms_of
        self._breakers: dict[str, Breaker] = {}

    def of(self, connector: str) -> Breaker:
        """A connector's breaker."""
        found = self._breakers.get(connector)
        if found is None:
            found = self._breakers[connector] = Breaker(connector, self._terms_of(connector), self)
        return found

    def waited_for(self, no: int, run: str) -> list[Breaker]:
        """The open ones that a run (its number, and `run:x`) waits for."""
        return [b for b in self._breakers.values() if b.circuit.is_open and b.is_waited_for(no, run)]

    def discard(self, no: int) -> None:
        """A run that is not there any more."""
        for breaker in self._breakers.values():
            breaker.discard(no)

    def stop(self) -> None:
        """Call nobody any more."""
        self.stopped = True
        for breaker in self._breakers.values():
            breaker.stop()


def body_of(change: Change, window_s: float) -> dict[str, Any]:
    """The entry of the system's stream."""
    return {
        "connector": change.connector,
        "state": "open" if change.is_open else "closed",
        "calls": change.calls,
        "failures": change.failures,
        "window_s": window_s,
    }


def _wake(place: asyncio.Future[None]) -> None:
    if not place.done():
        place.set_result(None)

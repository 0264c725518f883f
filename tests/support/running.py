"""A System under test: events in, and waiting for what the ledger says, on signals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from deputize import canonical
from deputize.clock import SystemClock
from deputize.event import Occurrence
from deputize.ledger import Entry
from deputize.store.protocol import ActionRow, CardRow, RunRow, View
from deputize.system import System

T = TypeVar("T")
WAIT_S = 30.0
LOOK_EVERY_S = 0.002


class ShiftedClock(SystemClock):
    """The machine's clock with its wall time moved by hand."""

    def __init__(self, shift_s: float = 0.0) -> None:
        self.shift_s = shift_s

    def now_us(self) -> int:
        return super().now_us() + int(self.shift_s * 1_000_000)


class SetClock(SystemClock):
    """A clock that stands where it is set: ledger time would go on with a monotonic time that moves."""

    def __init__(self, at_us: int) -> None:
        self.at_us = at_us

    def now_us(self) -> int:
        return self.at_us

    def monotonic(self) -> float:
        return self.at_us / 1e6


async def so(holds: Callable[[], object]) -> None:
    """Wait until something in memory is so, of which no commit tells."""
    for _ in range(int(WAIT_S / LOOK_EVERY_S)):
        if holds():
            return
        await asyncio.sleep(LOOK_EVERY_S)
    raise TimeoutError


class Running:
    """A started system. `until` looks again after each commit."""

    def __init__(self) -> None:
        self.system: System
        self.hooks: dict[str, Callable[[], None]] = {}
        self.loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._sent = 0
        self.sender = ""
        """The person who sends what is sent from here."""

    def boundary(self, name: str, /) -> None:
        """Called from the loop and from the writer."""
        if name == "group.after_commit":
            self.loop.call_soon_threadsafe(self._changed.set)
        hook = self.hooks.get(name)
        if hook is not None:
            hook()

    @property
    def kernel(self) -> Any:
        return self.system.kernel

    def read(self, query: Callable[[View], T]) -> T:
        return self.system.store.read(query)

    async def until(self, holds: Callable[[View], T], timeout_s: float = WAIT_S) -> T:
        """The first true value of a question to the ledger, asked again after each commit."""
        async with asyncio.timeout(timeout_s):
            while True:
                self._changed.clear()
                got = self.read(holds)
                if got:
                    return got
                await self._changed.wait()

    async def send(self, id: str = "", type: str = "test.ask", **data: Any) -> str:
        """Send an event; the id of the run that it began ('' for none)."""
        return (await self.send_all([(type, data)], id))[0]

    async def send_all(self, events: list[tuple[str, Mapping[str, Any]]], id: str = "") -> list[str]:
        occurrences = []
        for type, data in events:
            self._sent += 1
            name = id or f"e{self._sent}-{self.system.store.epoch}"
            occurrences.append(
                Occurrence(
                    "test",
                    name,
                    type,
                    "",
                    self.system.time.now_us(),
                    canonical.encode(dict(data)),
                    self.sender,
                )
            )
        arrivals = await self.kernel.intake.accept(occurrences)
        return [arrival.runs[0].id if arrival.runs else "" for arrival in arrivals]

    # -- what the ledger says -------------------------------------------------------------------------

    def run(self, run_id: str) -> RunRow:
        found = self.read(lambda view: view.run(run_id))
        assert found is not None
        return found

    def actions(self, run_id: str) -> dict[str, ActionRow]:
        return {row.path: row for row in self.read(lambda view: view.actions(_no(view, run_id)))}

    def entries(self, run_id: str, *types: str) -> list[Entry]:
        found = self.read(lambda view: view.entries(_no(view, run_id)))
        return [entry for entry in found if not types or entry.type in types]

    def cards(self) -> list[CardRow]:
        return self.read(lambda view: view.cards())

    def budget(self, name: str = "") -> tuple[int, int]:
        """Held and spent, of the only budget or the one so named, over all windows."""
        keys = {b.key for b in self.kernel.parts.force.budgets if not name or b.name == name}
        rows = [row for row in self.read(lambda view: view.budgets()) if row[0] in keys]
        return sum(row[2] for row in rows), sum(row[3] for row in rows)

    # -- waiting --------------------------------------------------------------------------------------

    async def ended(self, *run_ids: str) -> list[RunRow]:
        """Wait until these runs have ended."""
        await self.until(lambda view: all(_state(view, run_id) == "ended" for run_id in run_ids))
        await asyncio.sleep(0)
        return [self.run(run_id) for run_id in run_ids]

    async def label(self, run_id: str) -> str:
        """How a run ended."""
        return (await self.ended(run_id))[0].label

    async def state(self, run_id: str, state: str) -> RunRow:
        """Wait until a run is in this state."""
        await self.until(lambda view: _state(view, run_id) == state)
        return self.run(run_id)

    async def action(self, run_id: str, path: str, state: str) -> ActionRow:
        """Wait until an action is in this state."""

        def found(view: View) -> ActionRow | None:
            row = view.action(_no(view, run_id), path)
            return row if row is not None and row.state == state else None

        row = await self.until(found)
        assert row is not None
        return row

    async def card(self) -> CardRow:
        """Wait for a card in the inbox."""
        return (await self.until(lambda view: view.cards()))[0]

    async def gone(self) -> None:
        """Wait until no run is in memory or in line: nothing more happens by itself."""
        await so(self.kernel.idle)

    def sound(self) -> None:
        """Line 22: chains whole, projections equal a rebuild, holds and leases = open + doubtful actions."""
        assert list(self.system.store.verify()) == []
        assert self.system.store.rebuild(replace=False) == []
        self.read(_held_by_unsettled_alone)

    async def answer(self, card: str, kind: Any, result: Any = None, person: str = "maya") -> None:
        await self.kernel.people.answer(card, kind, result=result, reason="", person=person)


@asynccontextmanager
async def running(root: Path, *, sound: bool = True, **options: Any) -> AsyncIterator[Running]:
    """A started system on a project; it is stopped at the end, and its ledger checked."""
    found = Running()
    found.system = System.open(root, boundary=found.boundary, seed=1, **options)
    try:
        await found.system.start()
        yield found
        if sound:
            await asyncio.sleep(0)
            found.sound()
    finally:
        await found.system.stop()


def _no(view: View, run_id: str) -> int:
    row = view.run(run_id)
    assert row is not None, run_id
    return row.no


def _state(view: View, run_id: str) -> str:
    row = view.run(run_id)
    return row.state if row is not None else ""


def _held_by_unsettled_alone(view: View) -> None:
    holding: dict[str, int] = {}
    leased = set()
    for row in view.actions_in(["open", "doubtful"], (0, ""), 100_000):
        intent = view.entry(row.intent)
        assert intent is not None and intent.body is not None
        leased |= {(resource, row.run_id, row.path) for resource in intent.body["leases"]}
        for budget, _, amount in intent.body["holds"]:
            holding[budget] = holding.get(budget, 0) + amount
    assert {tuple(lease) for lease in view.leases()} == leased
    held: dict[str, int] = {}
    for budget, _, amount, _ in view.budgets():
        held[budget] = held.get(budget, 0) + amount
    assert {name: amount for name, amount in held.items() if amount} == holding

"""Whatever runs want at once, all of them end: keys, leases, `not_while`, lanes and doubts close no circle.

Each case is a random schedule over the real kernel; its id is the seed that replays it.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from deputize.kernel import gate
from deputize.kernel.judging import InForce, Request
from deputize.kernel.start import Busy, Started, start
from deputize.standing import WaitsFor
from deputize.store.protocol import RunRow, Tx, View
from deputize.store.standing import Standings
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, running

ITEMS = "abc"
RUNS = 40
STEPS_MAX = 4
BESIDE_MAX = 3
STILL_S = 8.0
"""Longer than anybody stands in line for a resource before looking again: who still
stands then, stands for ever."""
PATIENCE_S = 90.0
LOOK_EVERY_S = 0.01
IMPATIENT_S = 0.02
SEEDS, SEEDS_FULL = range(1, 6), range(6, 60)

CODE = """
class Work(EventData, type="test.work"):
    item: str
    steps: list[list[list[str]]]
class Free(EventData, type="test.free"):
    steps: list[list[list[str]]]

def made(op: str, *items: str):
    if op == "both":
        return desk.both(a=items[0], b=items[1])
    if op == "pay":
        return desk.pay(account=items[0], amount=Money(100, "EUR"))
    return getattr(desk, op)(item=items[0])

@automation(on=Work, agent=worker, key="item:{item}")
async def works(event: Event[Work]) -> Outcome:
    for step in event.data.steps:
        await together(*[attempt(made(*one)) for one in step])
    return done()

@automation(on=Free, agent=other)
async def free(event: Event[Free]) -> Outcome:
    for step in event.data.steps:
        await together(*[attempt(made(*one)) for one in step])
    return done()
"""
RULES = (
    PERMIT
    + """
[[rule]]
title = "Nothing is put while the same is handled plainly"
operation = "desk.put"
not_while = { operation = "desk.plain", same = "item" }
[[rule]]
title = "Nothing is handled plainly while the same is put"
operation = "desk.plain"
not_while = { operation = ["desk.put", "desk.write"], same = "item" }
[[rule]]
title = "Nothing is paid while anything is keyed"
operation = "desk.pay"
not_while = { operation = "desk.keyed" }
"""
)
OPS = ("write", "plain", "put", "keyed", "pay", "both", "both", "both")


def schedule(chance: random.Random) -> list[tuple[str, dict[str, Any]]]:
    """Events whose runs want several things at once, in any order of them."""

    def one() -> list[str]:
        op = chance.choice(OPS)
        return [op, *chance.sample(ITEMS, 2 if op == "both" else 1)]

    def steps() -> list[list[list[str]]]:
        return [[one() for _ in range(chance.randint(1, BESIDE_MAX))] for _ in range(STEPS_MAX)]

    return [
        ("test.work", {"item": chance.choice(ITEMS), "steps": steps()})
        if chance.random() < 0.5
        else ("test.free", {"steps": steps()})
        for _ in range(RUNS)
    ]


class Circle(AssertionError):
    """Somebody waits for what cannot come; the message has who waits for whom."""


async def all_end(app: Running) -> None:
    """Wait for the end of every run; doubts are answered, and at each look nobody waits in a circle."""
    loop, entries = asyncio.get_running_loop(), 0
    began = moved = loop.time()
    while unfinished := app.read(lambda view: who_waits(view, app)):
        for row, waits_for in unfinished:
            for wait in waits_for:
                what_moves(app, row, wait)
        if (now := app.read(lambda view: view.counts()["entries"])) != entries:
            entries, moved = now, loop.time()
        if loop.time() - moved > STILL_S or loop.time() - began > PATIENCE_S:
            told = [f"{row.id}: {w.sentence(str)}" for row, waits in unfinished for w in waits]
            raise Circle("\n".join(told))
        for card in app.cards():
            await app.answer(card.id, "did_not")
        await asyncio.sleep(LOOK_EVERY_S)


def who_waits(view: View, app: Running) -> list[tuple[RunRow, list[WaitsFor]]]:
    rows = view.runs(states=["ready", "behind", "waiting", "doubtful", "stuck"], limit=RUNS)
    standings = Standings(view)
    return [(row, standings.of(row, app.kernel.standing.of(row))) for row in rows]


def what_moves(app: Running, row: RunRow, wait: WaitsFor) -> None:
    """Whoever is in the way moves by itself: what is sent or in doubt, or a run that came before."""
    if wait.kind == "key":
        before = app.run(wait.by)
        if before.no >= row.no:
            raise Circle(f"{row.id} waits for {before.id}, which came after it")
    elif wait.kind in ("lease", "under_way"):
        run, _, path = wait.by.partition("/")
        if not app.entries(run, "intent") or app.actions(run)[path].state == "asking":
            raise Circle(f"{row.id} waits for {wait.by}, which is not under way")


async def play(tmp_path: Path, desk: Desk, seed: int, faults: int = 4) -> None:
    chance = random.Random(seed)
    desk.latency_s = 0.004
    desk.faults.extend(fault(chance.choice(["lost", "cut_before", "do"])) for _ in range(faults))
    agents = 'worker = agent("worker")\nother = agent("other", concurrent_max=4)'
    root = write_project(
        tmp_path,
        desk.base,
        CODE,
        rules=RULES,
        agents=agents,
        desk=f"concurrent_max = {chance.randint(2, 8)}",
        settle_s=0.05,
    )
    async with running(root) as app:
        await app.send_all(schedule(chance))
        await all_end(app)
        assert {row.state for row in app.read(lambda view: view.runs(limit=RUNS))} == {"ended"}


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_run_ends_and_nobody_waits_in_a_circle(
    tmp_path: Path, desk: Desk, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Half of them do not keep to the line, in which whoever came first is first.
    monkeypatch.setattr(gate, "LEASE_WAIT_S", IMPATIENT_S if seed % 2 else gate.LEASE_WAIT_S)
    await play(tmp_path, desk, seed)


@pytest.mark.full
@pytest.mark.parametrize("seed", SEEDS_FULL)
async def test_nor_does_anybody_with_other_seeds(
    tmp_path: Path, desk: Desk, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LEASE_WAIT_S", IMPATIENT_S if seed % 2 else gate.LEASE_WAIT_S)
    await play(tmp_path, desk, seed)


async def test_leases_that_are_taken_one_by_one_are_found_out(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this test is worth: with the oldest mistake planted, somebody waits for ever."""
    held: dict[str, str] = {}

    def one_by_one(tx: Tx, request: Request, force: InForce, ledger_id: str) -> Started:
        wanted = sorted(request.action.operation.resources(request.args))
        # In the order in which it is asked, and not in one that is everybody's.
        for resource in wanted if request.args.get("a", "") < request.args.get("b", "") else wanted[::-1]:
            owner = held.get(resource, request.id)
            run_id, _, path = owner.partition("/")
            row = tx.run(run_id)
            action = tx.action(row.no, path) if row is not None else None
            over = action is not None and action.state not in ("open", "doubtful")
            if owner != request.id and not over:
                return Busy(resource)
            held[resource] = request.id
        return start(tx, request, force, ledger_id)

    monkeypatch.setattr(gate, "start", one_by_one)
    monkeypatch.setattr(gate, "LEASE_WAIT_S", IMPATIENT_S)
    with pytest.raises(Circle, match="for which others came first"):
        await play(tmp_path, desk, 1, faults=0)

"""Line 16: whatever new a run waits for is called off at once where the run is cancelled or ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deputize.kernel import gate
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import Running, running, so

READS = """
@automation(on=Ask, agent=worker)
async def reads(event: Event[Ask]) -> Outcome:
    await desk.read(item="a")
    return done()
"""
WRITES = """
@automation(on=Ask, agent=worker)
async def writes(event: Event[Ask]) -> Outcome:
    await desk.patient(item="shared")
    return done()
"""
WRITE = """
@{connector}.operation(effect="write", resource="item:{{item}}", timeout_s=60)
async def {name}(call: Call, item: str) -> Item:
    return Item.model_validate((await call.post("/items", json={{"item": item}})).json())
"""
PATIENT = WRITE.format(connector="connector", name="patient")
BUSY = fault("status", 429, b"{}", "Retry-After: 3600")


async def cancelled(app: Running, *runs: str) -> None:
    for run in runs:
        await app.kernel.people.cancel(run, "maya")
    assert [row.label for row in await app.ended(*runs)] == ["cancelled"] * len(runs)


def in_line(app: Running) -> int:
    return sum(map(len, app.kernel.parts.leases._lines.values()))


async def test_a_run_that_waits_to_read_again_is_cancelled_at_once(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(BUSY)
    async with running(write_project(tmp_path, desk.base, READS)) as app:
        lane, now = app.kernel.parts.lane_of("connector:desk"), app.kernel.parts.time.monotonic
        run = await app.send()
        # Held off for as long as the service asks: the read waits for that time itself.
        await so(lambda: lane._next_start > now())
        await cancelled(app, run)
        assert len(desk.seen) == 1 and not app.actions(run)


async def test_a_run_that_was_cancelled_while_it_read_does_not_wait_to_read_again(
    tmp_path: Path, desk: Desk
) -> None:
    desk.hold = asyncio.Event()
    desk.faults.append(BUSY)
    async with running(write_project(tmp_path, desk.base, READS)) as app:
        run = await app.send()
        await so(lambda: desk.seen)
        await app.kernel.people.cancel(run, "maya")
        desk.hold.set()
        assert await app.label(run) == "cancelled"


async def test_a_run_in_line_for_a_resource_is_cancelled_at_once_and_the_next_has_its_turn(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LEASE_WAIT_S", 3_600.0)
    desk.hold = asyncio.Event()
    async with running(write_project(tmp_path, desk.base, WRITES, connector=PATIENT)) as app:
        holder = await app.send()
        await desk.seen_of(1)
        second, third = await app.send_all([("test.ask", {})] * 2)
        await so(lambda: in_line(app) == 2)
        await cancelled(app, second)
        assert len(desk.writes) == 1 and not app.actions(second)
        await so(lambda: in_line(app) == 1)
        desk.hold.set()
        await app.ended(holder, third)
        assert len(desk.effects) == 2


async def test_a_run_that_was_cancelled_as_it_found_a_resource_in_use_does_not_wait_for_it(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LEASE_WAIT_S", 3_600.0)
    desk.hold = asyncio.Event()
    async with running(write_project(tmp_path, desk.base, WRITES, connector=PATIENT)) as app:
        holder = await app.send()
        await desk.seen_of(1)
        # In the writer, whose answer ("in use") the loop does not have yet.
        app.hooks["t2.in"] = lambda: setattr(app.kernel.parts.live[2], "cancel", "cancel")
        second = await app.send()
        assert app.run(second).no == 2 and await app.label(second) == "cancelled"
        desk.hold.set()
        app.hooks.clear()
        await app.ended(holder)


async def test_what_an_abandoned_run_waits_for_in_line_is_called_off(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await together(desk.plain(item="a"), desk.elsewhere(item="b"))
    return done()
"""
    other = 'other = Connector("other", version="1")\n' + WRITE.format(connector="other", name="elsewhere")
    desk.faults.append(fault("cut_before"))
    async with running(write_project(tmp_path, desk.base, code, connector=other)) as app:
        held = app.kernel.parts.lane_of("connector:other")
        held.hold_off(3_600)
        run = await app.send()
        await so(lambda: held.waiting == 1)
        await app.answer((await app.card()).id, "abandon")
        assert app.run(run).state == "ended"
        await so(lambda: held.waiting == 0)
        await app.gone()

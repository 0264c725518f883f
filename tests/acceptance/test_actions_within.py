"""`within`: what has not started in its time is not done any more, whatever was in its way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, ShiftedClock, running, so

WORK = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    got = await attempt(desk.write(item=event.data.item).within(seconds(event.data.n)))
    return done(type(got).__name__, reason=getattr(got, "reason", ""))
@automation(on=Word, agent=worker)
async def reads(event: Event[Word]) -> Outcome:
    got = await attempt(desk.read(item=event.data.item).within(seconds(1)))
    return done(type(got).__name__, reason=getattr(got, "reason", ""))
"""
CEILING = '[[budget]]\nlimit = "9 actions"\n'
ASK = """
[people.maya]
"""
ASKS = (
    PERMIT + '[[rule]]\ntitle = "Maya sees it"\noperation = "desk.write"\nask_always = true\nask = "maya"\n'
)


def held_off(app: Running) -> None:
    app.kernel.parts.lane_of("connector:desk").hold_off(3_600)


def down(app: Running) -> None:
    app.kernel.parts.circuits.of("desk").reopen((4, 4))


def halted(app: Running) -> None:
    app.kernel.parts.stops.stop("all", "to look")


IN_THE_WAY: dict[str, Callable[[Running], None]] = {"turn": held_off, "circuit": down, "halt": halted}


@pytest.mark.parametrize("type", ["test.ask", "test.word"])
@pytest.mark.parametrize("what", IN_THE_WAY)
async def test_what_does_not_get_its_turn_in_time_is_not_done(
    tmp_path: Path, desk: Desk, what: str, type: str
) -> None:
    settings = "circuit = {pause_s = 3600.0}"
    root = write_project(tmp_path, desk.base, WORK, toml=CEILING, desk=settings)
    async with running(root) as app:
        IN_THE_WAY[what](app)
        run = await app.send(type=type, n=1)
        assert await app.label(run) == "done(Expired)"
        [refused] = app.entries(run, "refused")
        assert (refused.body or {})["reason"] == "the time in which it was to start was up"
        assert app.budget() == (0, 0) and not desk.seen
        assert app.kernel.parts.lane_of("connector:desk").waiting == 0


async def test_a_resource_that_stays_in_use_is_not_waited_for_longer(tmp_path: Path, desk: Desk) -> None:
    code = WORK.replace("seconds(event.data.n)", "seconds(event.data.n / 10)")
    desk.hold = asyncio.Event()
    async with running(write_project(tmp_path, desk.base, code)) as app:
        first = await app.send(item="a", n=600)
        await desk.seen_of(1)
        second = await app.send(item="a", n=1)
        assert await app.label(second) == "done(Expired)"
        assert app.run(first).state != "ended"
        desk.hold.set()
        assert await app.label(first) == "done(Item)"


async def test_people_are_asked_for_no_longer_than_its_time(tmp_path: Path, desk: Desk) -> None:
    async with running(write_project(tmp_path, desk.base, WORK, rules=ASKS, toml=ASK)) as app:
        run = await app.send(n=1)
        await app.card()
        assert await app.label(run) == "done(Expired)"
        assert not app.cards() and not desk.seen


async def test_a_pause_that_would_outlast_its_time_is_not_waited_for(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("status", 429, b"{}", "Retry-After: 3600"))
    async with running(write_project(tmp_path, desk.base, WORK, toml=CEILING)) as app:
        run = await app.send(n=60)
        assert await app.label(run) == "done(Expired)"
        [refused] = app.entries(run, "refused")
        said = (refused.body or {})["reason"]
        assert said.startswith("the time in which it was to start was up; ") and "answered 429" in said
        assert app.budget() == (0, 0) and not app.read(lambda view: view.leases())
        assert len(desk.seen) == 1


async def test_what_is_late_as_it_is_about_to_start_does_not_start(tmp_path: Path, desk: Desk) -> None:
    async with running(write_project(tmp_path, desk.base, WORK, toml=CEILING)) as app:
        # Whatever held it up, its second is over before the ledger is asked.
        app.hooks["t2.before"] = lambda: time.sleep(1.1)
        run = await app.send(n=1)
        assert await app.label(run) == "done(Expired)"
        assert not app.entries(run, "intent") and not desk.seen


async def test_its_time_goes_on_while_nothing_runs(tmp_path: Path, desk: Desk) -> None:
    root = write_project(tmp_path, desk.base, WORK)
    async with running(root) as app:
        held_off(app)
        run = await app.send(n=600)
        await so(lambda: app.kernel.parts.lane_of("connector:desk").waiting == 1)
    async with running(root, clock=ShiftedClock(700.0)) as app:
        assert await app.label(run) == "done(Expired)"
        assert not desk.seen


async def test_what_starts_in_time_is_done_and_a_replay_sees_the_same(tmp_path: Path, desk: Desk) -> None:
    root = write_project(tmp_path, desk.base, WORK)
    async with running(root) as app:
        assert await app.label(await app.send(n=60)) == "done(Item)"
    assert len(desk.effects) == 1


@pytest.mark.parametrize("wrong", ["5", "seconds(0)", "seconds(-1)"])
async def test_a_time_that_is_none_is_told_with_its_line(tmp_path: Path, desk: Desk, wrong: str) -> None:
    code = WORK.replace("seconds(event.data.n)", wrong)
    async with running(write_project(tmp_path, desk.base, code)) as app:
        run = await app.send(n=1)
        await app.ended(run)
        assert "within takes a timedelta above 0, like seconds(5)" in app.run(run).reason
        assert "work.py:" in app.run(run).reason

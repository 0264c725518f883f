"""Line 16: cancelling in every state, and halts under which nothing starts and nothing is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deputize.kernel import scheduler
from deputize.kernel.people import NotAnswerable
from deputize.store.protocol import View
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import Running, running, so

# Says what was thrown into it, and cleans up by an action.
CODE = """
from deputize.kernel.stepping import RunCancelled
thrown = []
@automation(on=Ask, agent=worker, key="{item}")
async def one(event: Event[Ask]) -> Outcome:
    try:
        await desk.plain(item=event.data.item)
        await desk.plain(item=event.data.item + "2")
        await sleep(hours(1))
    except RunCancelled:
        await desk.write(item="clean")
        raise
    return done()
@automation(on=Word, agent=worker)
async def waits(event: Event[Word]) -> Outcome:
    try:
        await sleep(hours(1))
    finally:
        await desk.write(item="clean")
    return done()
"""


def project(tmp_path: Path, desk: Desk) -> Path:
    return write_project(tmp_path, desk.base, CODE)


async def cancelled_once(app: Running, run: str) -> None:
    """The run ended as cancelled, was thrown into exactly once, and stays so."""
    assert await app.label(run) == "cancelled"
    assert len(app.entries(run, "cancelling")) == 1
    with pytest.raises(NotAnswerable, match="ended already"):
        await app.kernel.people.cancel(run, "maya")


async def test_a_waiting_run_is_cancelled_at_once_and_its_cleaning_up_is_carried_out(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(type="test.word")
        await app.state(run, "waiting")
        await app.kernel.people.cancel(run, "maya")
        await cancelled_once(app, run)
        assert [item["item"] for item in desk.effects.values()] == ["clean"]
        assert app.read(lambda view: view.next_due()) is None


async def test_a_ready_run_that_is_still_in_line_is_cancelled(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        await app.kernel.people.stop("automation:one", "", "maya")
        run = await app.send()
        assert app.run(run).state == "ready"
        await app.kernel.people.cancel(run, "maya")
        await app.kernel.people.lift("automation:one", "maya")
        assert await app.label(run) == "cancelled"
        assert not [sent for sent in desk.writes if sent.path == "/plain"]


async def test_an_open_action_is_awaited_before_the_cancellation_is_thrown(
    tmp_path: Path, desk: Desk
) -> None:
    desk.hold = asyncio.Event()
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a")
        await desk.seen_of(1)
        await app.kernel.people.cancel(run, "maya")
        assert not app.entries(run, "cancelling")
        desk.hold.set()
        await cancelled_once(app, run)
        assert [e.type for e in app.entries(run)] == [
            "began", "intent", "receipt", "cancelling", "intent", "receipt", "ended"
        ]  # fmt: skip
        assert [item["item"] for item in desk.unkeyed] == ["a"]


async def test_a_doubtful_run_is_cancelled_once_its_doubt_is_resolved(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a")
        card = await app.card()
        assert "once its doubt is resolved" in await app.kernel.people.cancel(run, "maya")
        assert app.run(run).state == "doubtful"
        await app.answer(card.id, "happened", {"item": "a", "key": ""})
        await cancelled_once(app, run)
        assert len(desk.unkeyed) == 1


async def test_a_cancellation_survives_a_restart(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a")
        await app.card()
        await app.kernel.people.cancel(run, "maya")
    async with running(tmp_path) as app:
        await app.answer(f"{run}/1", "did_not")
        assert await app.label(run) in ("cancelled", "failed")
        assert len(desk.unkeyed) == 1


async def test_a_run_behind_another_is_cancelled_and_the_one_behind_it_goes_on(
    tmp_path: Path, desk: Desk
) -> None:
    desk.hold = asyncio.Event()
    async with running(project(tmp_path, desk)) as app:
        first, second, third = await app.send_all([("test.ask", {"item": "a"})] * 3)
        second, third = (row.id for row in app.read(lambda view: view.runs(states=["behind"])))
        await app.kernel.people.cancel(second, "maya")
        assert app.run(second).label == "cancelled" and app.run(third).state == "behind"
        await app.kernel.people.cancel(first, "maya")
        desk.hold.set()
        await app.ended(first)
        await app.state(third, "waiting")


async def test_cancelling_a_stuck_run_lets_the_one_behind_it_go_on(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("body", 200, {"no": 1}))
    async with running(project(tmp_path, desk)) as app:
        first, _ = await app.send_all([("test.ask", {"item": "a"})] * 2)
        await app.state(first, "stuck")
        (behind,) = (row.id for row in app.read(lambda view: view.runs(states=["behind"])))
        await app.kernel.people.cancel(first, "maya")
        assert app.run(first).label == "cancelled"
        await app.state(behind, "waiting")


async def test_a_run_that_waits_at_a_halt_can_be_cancelled(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        await app.kernel.people.stop("connector:desk", "", "maya")
        run = await app.send()
        await so(lambda: app.kernel.parts.stops.parked)
        await app.kernel.people.cancel(run, "maya")
        await app.until(lambda view: view.runs(states=["ready"]) and _types(view, run)[-1] == "cancelling")
        await app.kernel.people.lift("connector:desk", "maya")
        await cancelled_once(app, run)


@pytest.mark.parametrize("lane", ["connector", "agent"])
async def test_a_run_in_line_at_a_lane_that_is_held_off_is_cancelled_at_once(
    tmp_path: Path, desk: Desk, lane: str
) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await together(desk.plain(item="a"), desk.read(item="b"))
    return done()
@automation(on=Word, agent=worker)
async def last(event: Event[Word]) -> Outcome:
    await desk.plain(item="c")
    return done()
"""
    async with running(write_project(tmp_path, desk.base, code)) as app:
        held = app.kernel.parts.lane_of("connector:desk" if lane == "connector" else "agent:worker")
        held.hold_off(3_600)
        run, other = await app.send_all([("test.ask", {}), ("test.word", {})])
        await so(lambda: held.waiting == 3)
        assert await app.kernel.people.cancel(run, "maya") == "is being cancelled"
        await cancelled_once(app, run)
        assert held.waiting == 1 and not desk.seen and not app.actions(run)
        # Those that were called off take no start from those that still wait.
        held._next_start = 0.0
        held._serve()
        assert await app.label(other) == "done"


async def test_what_is_under_way_is_not_called_off_by_a_cancellation(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("status", 429, b"{}", "Retry-After: 1"))
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a")
        await desk.seen_of(1)
        await app.kernel.people.cancel(run, "maya")
        await cancelled_once(app, run)
        # It was proved not done, with its holds kept: it is sent once more before anything is thrown.
        assert [item["item"] for item in desk.unkeyed] == ["a"]


@pytest.mark.parametrize("where", ["in line", "parked"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_run_of_a_paused_automation_is_cancelled_while_it_is_paused(
    tmp_path: Path, desk: Desk, where: str, restarted: bool
) -> None:
    root = write_project(tmp_path, desk.base, LOAD)
    async with running(root) as app:
        if where == "in line":
            await app.kernel.people.stop("automation:load", "", "maya")
        else:
            app.hooks["ask"] = lambda: app.kernel.parts.stops.stop("automation:load", "")
        run, other = await app.send_all([("test.ask", {"item": "a"}), ("test.ask", {"item": "b"})])
        if where == "parked":
            await so(lambda: len(app.kernel.parts.stops.parked) == 2)
            await app.kernel.people.stop("automation:load", "", "maya")
        if restarted:
            # The process ends between the person's word and what it does.
            no = app.run(run).no
            await app.system.store.write(lambda tx: tx.set_wish(no, "cancel"))
        else:
            await app.kernel.people.cancel(run, "maya")
            await cancelled_once(app, run)
    async with running(root) as app:
        await cancelled_once(app, run)
        assert app.run(other).state == "ready" and not desk.seen
        await app.kernel.people.lift("automation:load", "maya")
        assert await app.label(other) == "done"
        await app.gone()
        assert len(desk.writes) == 4


def _types(view: View, run: str) -> list[str]:
    row = view.run(run)
    return [e.type for e in view.entries(row.no)] if row else []


# -- halts --------------------------------------------------------------------------------------------

LOAD = """
@automation(on=Ask, agent=worker)
async def load(event: Event[Ask]) -> Outcome:
    for n in range(4):
        await desk.write(item=f"{event.data.item}/{n}")
    return done()
"""


@pytest.mark.parametrize("scope", ["all", "agent:worker", "connector:desk", "automation:load", "run:{run}"])
async def test_after_a_halt_returned_nothing_starts_and_nothing_is_lost(
    tmp_path: Path, desk: Desk, scope: str
) -> None:
    root = write_project(tmp_path, desk.base, LOAD, desk="concurrent_max = 8")
    async with running(root) as app:
        runs = await app.send_all([("test.ask", {"item": f"i{n}"}) for n in range(40)])
        await desk.seen_of(20)
        scope = scope.format(run=runs[-1])
        await app.kernel.people.stop(scope, "looking", "maya")
        halted = intents(app, runs, scope)
        if not scope.startswith("run:"):
            # What was under way is settled; then nothing more is written.
            await app.until(lambda view: view.counts().get("actions.open", 0) == 0)
        else:
            await app.ended(*runs[:-1])
        assert intents(app, runs, scope) == halted
    async with running(root) as app:
        assert intents(app, runs, scope) == halted
        assert [e for e in app.read(lambda view: view.entries(0)) if e.type == "halted"]
        await app.kernel.people.lift(scope, "maya")
        await app.ended(*runs)
        assert len(desk.effects) == 160
        assert sum(desk.answered.values()) == 160


def intents(app: Running, runs: list[str], scope: str) -> int:
    stopped = runs[-1:] if scope.startswith("run:") else runs
    return sum(len(app.entries(run, "intent")) for run in stopped)


async def test_a_halt_that_comes_while_a_start_is_in_line_is_seen_by_it(tmp_path: Path, desk: Desk) -> None:
    async with running(write_project(tmp_path, desk.base, LOAD)) as app:

        def halt() -> None:
            # Its turn is taken and its work is not given to the writer yet.
            app.kernel.parts.stops.stop("all", "at the last moment")
            app.hooks.clear()
            app.hooks["t2.in"] = lambda: started.append(1)

        started: list[int] = []
        app.hooks["t2.before"] = halt
        run = await app.send(item="a")
        await app.until(lambda view: not app.hooks.get("t2.before"))
        # The work that found the halt is behind us once a later one is.
        await app.send(type="test.other")
        await app.send(type="test.other")
        assert not started and not app.entries(run, "intent")
        await app.kernel.people.lift("all", "maya")
        await app.ended(run)
        assert len(desk.effects) == 4


async def at_a_stop(app: Running) -> None:
    """Wait until what would start next has come to a stop, and waits there."""
    await so(lambda: app.kernel.parts.stops._changed is not None)


async def test_no_further_attempt_is_sent_under_a_halt(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("status", 429))
    async with running(write_project(tmp_path, desk.base, LOAD)) as app:
        run = await app.send(item="a")
        await desk.seen_of(1)
        await app.kernel.people.stop("agent:worker", "", "maya")
        await at_a_stop(app)
        assert len(desk.writes) == 1 and app.actions(run)["1"].state == "open"
        await app.kernel.people.lift("agent:worker", "maya")
        await app.ended(run)
        assert len(desk.effects) == 4


async def test_no_doubt_is_repeated_under_a_halt(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("cut_before"))
    async with running(write_project(tmp_path, desk.base, LOAD)) as app:
        run = await app.send(item="a")
        await app.state(run, "doubtful")
        await app.kernel.people.stop("automation:load", "", "maya")
        await at_a_stop(app)
        assert len(desk.writes) == 1
        await app.kernel.people.lift("automation:load", "maya")
        await app.ended(run)
        assert len(desk.effects) == 4


async def test_halted_runs_take_no_place_from_others(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "LIVE_MAX", 8)
    code = (
        LOAD
        + """
@automation(on=Word, agent=other)
async def free(event: Event[Word]) -> Outcome:
    await desk.write(item="free")
    return done()
@automation(on=Ask, agent=worker)
async def second(event: Event[Ask]) -> Outcome:
    await desk.read(item="x")
    return done()
"""
    )
    agents = 'worker = agent("worker")\nother = agent("other")'
    async with running(write_project(tmp_path, desk.base, code, agents=agents)) as app:
        await app.kernel.people.stop("agent:worker", "", "maya")
        await app.send_all([("test.ask", {"item": f"i{n}"}) for n in range(40)])
        assert await app.label(await app.send(type="test.word")) == "done"
        await so(lambda: len(app.kernel.parts.stops.parked) == 80)
        await so(lambda: not app.kernel.parts.live)
        await app.kernel.people.lift("agent:worker", "maya")
        await app.until(lambda view: view.counts().get("runs.ended") == 81)
        assert len(desk.effects) == 161


async def test_a_halted_agent_does_not_keep_another_from_a_resource(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await desk.write(item="shared")
    return done()
@automation(on=Word, agent=other)
async def two(event: Event[Word]) -> Outcome:
    await desk.write(item="shared")
    return done()
"""
    desk.hold = asyncio.Event()
    agents = 'worker = agent("worker")\nother = agent("other")'
    async with running(write_project(tmp_path, desk.base, code, agents=agents)) as app:
        holder = await app.send(type="test.word")
        await desk.seen_of(1)
        halted = await app.send()
        await app.kernel.people.stop("agent:worker", "", "maya")
        free = await app.send(type="test.word")
        desk.hold.set()
        await app.ended(holder, free)
        assert app.run(halted).state == "ready"
        await app.kernel.people.lift("agent:worker", "maya")
        await app.ended(halted)

"""Line 18: timers, awaited events, runs that send and are told, and what is awaited together."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import running

HEAD = """
from datetime import timedelta
short = timedelta(milliseconds=60)
class Told(EventData, type="test.told"):
    item: str = ""
    text: str = ""
"""


def project(tmp_path: Path, desk: Desk, code: str) -> Path:
    return write_project(tmp_path, desk.base, HEAD + code)


WAIT = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    told = await wait_for(Told, matching={"item": event.data.item}, within=hours(1))
    return done(told.data.text)
"""


async def test_an_awaited_event_wakes_its_run_and_no_other(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, WAIT)) as app:
        a, b = await app.send(item="a"), await app.send(item="b")
        await app.state(a, "waiting")
        await app.state(b, "waiting")
        await app.send(type="test.told", item="b", text="hello")
        assert await app.label(b) == "done(hello)"
        assert app.run(a).state == "waiting"


async def test_an_event_kept_since_the_run_began_is_found(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await wait_for(Word, matching={"item": "go"}, within=hours(1))
    told = await wait_for(Told, matching={}, within=hours(1))
    return done(told.data.text)
"""
    async with running(project(tmp_path, desk, code)) as app:
        await app.send(type="test.told", text="before the run")
        run = await app.send()
        await app.state(run, "waiting")
        await app.send(type="test.told", text="early")
        await app.send(type="test.word", item="go")
        assert await app.label(run) == "done(early)"


async def test_a_wait_goes_on_over_a_restart_and_an_event_in_between_wakes_it(
    tmp_path: Path, desk: Desk
) -> None:
    root = project(tmp_path, desk, WAIT)
    async with running(root) as app:
        run = await app.send(item="a")
        await app.state(run, "waiting")
    async with running(root) as app:
        assert app.run(run).state == "waiting"
        await app.send(type="test.told", item="a", text="late")
        assert await app.label(run) == "done(late)"


async def test_nothing_in_time_raises_expired_and_the_event_stays_available(
    tmp_path: Path, desk: Desk
) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    first = await attempt(wait_for(Told, matching={}, within=short))
    second = await wait_for(Told, matching={}, within=hours(1))
    return done(type(first).__name__ + " " + second.data.text)
"""
    async with running(project(tmp_path, desk, code)) as app:
        run = await app.send()
        await app.until(lambda view: [e for e in view.entries(1) if e.type == "woke"])
        await app.send(type="test.told", text="after")
        assert await app.label(run) == "done(Expired after)"


async def test_one_event_ends_one_of_two_waits_of_a_run(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    a, b = await together(
        wait_for(Told, matching={}, within=hours(1)), wait_for(Told, matching={}, within=hours(1)))
    return done(a.data.text + b.data.text)
"""
    async with running(project(tmp_path, desk, code)) as app:
        run = await app.send()
        await app.until(lambda view: len(view.waits(1)) == 2)
        await app.send(type="test.told", text="x")
        assert len(app.read(lambda view: view.waits(1))) == 1
        await app.send(type="test.told", text="y")
        assert await app.label(run) == "done(xy)"


async def test_one_event_wakes_every_run_that_waits_for_it(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, WAIT)) as app:
        runs = [await app.send(item="a") for _ in range(3)]
        await app.until(lambda view: len(view.runs(states=["waiting"])) == 3)
        await app.send(type="test.told", item="a", text="all")
        assert [row.label for row in await app.ended(*runs)] == ["done(all)"] * 3


async def test_a_timer_ends_by_itself_also_after_a_restart(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await sleep(timedelta(milliseconds=event.data.n))
    return done(str(int((now() - event.time).total_seconds() * 1000) >= event.data.n))
"""
    root = project(tmp_path, desk, code)
    async with running(root) as app:
        quick, slow = await app.send(n=50), await app.send(n=900)
        assert await app.label(quick) == "done(True)"
        assert app.run(slow).state == "waiting"
    async with running(root) as app:
        assert await app.label(slow) == "done(True)"


async def test_a_run_is_told_of_the_end_of_the_run_that_it_sent(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def parent(event: Event[Ask]) -> Outcome:
    sent = await send(Word(item="child", text=event.data.item))
    ended = await wait_for(RunEnded, matching={"event_id": sent.id}, within=hours(1))
    return done(f"{ended.data.automation} {ended.data.outcome} {ended.data.label}")
@automation(on=Word, agent=worker)
async def child(event: Event[Word]) -> Outcome:
    if event.data.text == "stay":
        await sleep(hours(1))
    await desk.write(item=event.data.text)
    return gave_up("tired")
"""
    async with running(project(tmp_path, desk, code)) as app:
        assert await app.label(await app.send(item="a")) == "done(child gave_up tired)"
        parent = await app.send(item="stay")
        (child,) = await app.until(lambda view: view.runs(states=["waiting"], automation="child"))
        await app.kernel.people.cancel(child.id, "maya")
        assert await app.label(parent) == "done(child cancelled )"


async def test_a_child_that_is_ended_by_hand_is_told_of_too(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("cut_before"))
    code = """
@automation(on=Ask, agent=worker)
async def parent(event: Event[Ask]) -> Outcome:
    sent = await send(Word(item="child"))
    ended = await wait_for(RunEnded, matching={"event_id": sent.id}, within=hours(1))
    return done(ended.data.outcome)
@automation(on=Word, agent=worker)
async def child(event: Event[Word]) -> Outcome:
    await desk.plain(item="x")
    return done()
"""
    async with running(project(tmp_path, desk, code)) as app:
        parent = await app.send()
        await app.answer((await app.card()).id, "abandon")
        assert await app.label(parent) == "done(cancelled)"


async def test_continue_with_goes_on_in_a_new_run_of_the_same_key(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker, key="k:{item}")
async def loop(event: Event[Ask]) -> Outcome:
    await desk.write(item=f"{event.data.item}/{event.data.n}")
    return done("last") if event.data.n == 2 else continue_with(Ask(item=event.data.item, n=event.data.n + 1))
"""
    async with running(project(tmp_path, desk, code)) as app:
        await app.send(item="a")
        await app.until(lambda view: [r for r in view.runs() if r.label == "done(last)"])
        rows = sorted(app.read(lambda view: view.runs()), key=lambda row: row.no)
        assert [row.label for row in rows] == ["continued", "continued", "done(last)"]
        assert len({row.key for row in rows}) == 1 and len(desk.effects) == 3


async def test_together_keeps_order_and_settles_all_before_a_failure_is_raised(
    tmp_path: Path, desk: Desk
) -> None:
    desk.faults.append(fault("status", 404))
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    try:
        await together(desk.write(item="a"), desk.write(item="b"), desk.write(item="c"), sleep(short))
    except Declined as error:
        return gave_up(error.action_id.rpartition("/")[2])
    return done()
"""
    async with running(project(tmp_path, desk, code)) as app:
        run = await app.send()
        label = await app.label(run)
        states = {path: row.state for path, row in app.actions(run).items()}
        assert sorted(states.values()) == ["declined", "settled", "settled"]
        failed = next(path for path, state in states.items() if state == "declined")
        assert label == f"gave_up({failed})" and sorted(states) == ["1.0", "1.1", "1.2"]
        assert [e.type for e in app.entries(run)][-1] == "ended"


async def test_attempts_inside_together_come_back_as_values_in_argument_order(
    tmp_path: Path, desk: Desk
) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    a, b, c = await together(
        desk.write(item="a"), attempt(wait_for(Told, matching={}, within=short)),
        attempt(desk.read(item="c")))
    return done(f"{a.item} {type(b).__name__} {c.item}")
"""
    async with running(project(tmp_path, desk, code)) as app:
        assert await app.label(await app.send()) == "done(a Expired c)"


async def test_cancelling_together_waits_for_what_is_open_and_drops_what_waits(
    tmp_path: Path, desk: Desk
) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await together(desk.plain(item="a"), sleep(hours(1)))
    return done()
"""
    desk.faults.append(fault("lost"))
    async with running(project(tmp_path, desk, code)) as app:
        run = await app.send()
        card = await app.card()
        await app.kernel.people.cancel(run, "maya")
        await app.answer(card.id, "happened", {"item": "a", "key": ""})
        assert await app.label(run) == "cancelled"
        assert app.read(lambda view: view.next_due()) is None


@pytest.mark.full
async def test_a_waiting_run_costs_little_memory(tmp_path: Path, desk: Desk) -> None:
    count, per_run_bytes_max = 20_000, 5_000
    async with running(project(tmp_path, desk, WAIT), sound=False) as app:
        await app.send(item="first")
        await app.state(app.read(lambda view: view.runs())[0].id, "waiting")
        before = psutil.Process().memory_info().rss
        for start in range(0, count, 500):
            await app.send_all([("test.ask", {"item": f"i{n}"}) for n in range(start, start + 500)])
            await app.gone()
        await app.until(lambda view: view.counts().get("runs.waiting") == count + 1, 120)
        # The desk and the test live in this process as well.
        assert psutil.Process().memory_info().rss - before < count * per_run_bytes_max


@pytest.mark.slow
async def test_two_thousand_waiting_runs_leave_memory_and_all_wake(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    told = await wait_for(Told, matching={"item": "all"}, within=hours(1))
    return done(told.data.text)
"""
    async with running(project(tmp_path, desk, code)) as app:
        runs: list[str] = []
        for chunk in range(4):
            runs += await app.send_all([("test.ask", {"n": chunk * 500 + n}) for n in range(500)])
        await app.until(lambda view: view.counts().get("runs.waiting") == 2000, 90)
        await app.gone()
        assert not app.kernel.parts.live
        await app.send(type="test.told", item="all", text="up")
        await app.until(lambda view: view.counts().get("runs.ended") == 2000, 90)
        assert {row.label for row in app.read(lambda view: view.runs(limit=2000))} == {"done(up)"}


@pytest.mark.slow
async def test_two_thousand_waiting_runs_cost_little_memory(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk, WAIT)
    # In a process of its own: the desk and the other tests would be measured as well.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.waiting_child", str(root), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0
    per_run_bytes_max = 4_000
    assert int(said) < per_run_bytes_max

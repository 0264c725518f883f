"""Item 9: priorities, fairness, and limits that the service itself measures."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deputize.kernel import intake
from deputize.kernel.intake import Overloaded
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import Running, running

TWO = """
@automation(on=Ask, agent=worker)
async def flood(event: Event[Ask]) -> Outcome:
    await desk.write(item=f"flood/{event.data.n}")
    return done()
@automation(on=Word, agent=AGENT)
async def single(event: Event[Word]) -> Outcome:
    await desk.write(item="single")
    return done()
"""


async def flood(app: Running, count: int) -> None:
    for start in range(0, count, 500):
        ask = range(start, min(start + 500, count))
        await app.send_all([("test.ask", {"n": n}) for n in ask])


def ended_before(app: Running, run: str) -> int:
    """How many runs of the flood ended before this one."""
    rows = app.read(lambda view: view.runs(states=["ended"], automation="flood", limit=5000))
    mine = app.run(run).ended_at or 0
    return sum(1 for row in rows if (row.ended_at or 0) < mine)


@pytest.mark.slow
async def test_a_flood_of_one_automation_does_not_starve_another(tmp_path: Path, desk: Desk) -> None:
    root = write_project(tmp_path, desk.base, TWO.replace("AGENT", "worker"), desk="concurrent_max = 8")
    async with running(root) as app:
        await flood(app, 2000)
        began = len(desk.writes)
        run = await app.send(type="test.word")
        await app.ended(run)
        # Its turn comes between two of the flood, not behind all of them.
        assert len(desk.writes) - began < 200
        assert ended_before(app, run) < 1000
        await app.until(lambda view: view.counts().get("runs.ended") == 2001, 120)
        assert len(desk.effects) == 2001


async def test_an_interactive_agent_goes_before_a_batch(tmp_path: Path, desk: Desk) -> None:
    agents = (
        'worker = agent("worker", service_level="batch")\nquick = agent("quick", service_level="interactive")'
    )
    root = write_project(
        tmp_path, desk.base, TWO.replace("AGENT", "quick"), agents=agents, desk="concurrent_max = 1"
    )
    desk.hold = asyncio.Event()
    async with running(root) as app:
        await flood(app, 60)
        await desk.seen_of(1)
        quick = await app.send_all([("test.word", {})] * 4)
        await app.until(lambda view: view.counts().get("events") == 64)
        desk.hold.set()
        await app.ended(*quick)
        # All four before the batch moved on by more than its eighth turns.
        assert ended_before(app, quick[-1]) <= 12
        await app.until(lambda view: view.counts().get("runs.ended") == 64)


async def test_a_batch_moves_on_even_under_load(tmp_path: Path, desk: Desk) -> None:
    agents = (
        'worker = agent("worker", service_level="interactive")\nslow = agent("slow", service_level="batch")'
    )
    root = write_project(
        tmp_path, desk.base, TWO.replace("AGENT", "slow"), agents=agents, desk="concurrent_max = 1"
    )
    desk.hold = asyncio.Event()
    async with running(root) as app:
        await flood(app, 100)
        await desk.seen_of(1)
        slow = await app.send(type="test.word")
        desk.hold.set()
        await app.ended(slow)
        assert ended_before(app, slow) < 60
        await app.until(lambda view: view.counts().get("runs.ended") == 101)


@pytest.mark.parametrize(
    ("settings", "agents"),
    [
        ("concurrent_max = 3", 'worker = agent("worker")'),
        ("concurrent_max = 100", 'worker = agent("worker", concurrent_max=3)'),
    ],
)
async def test_never_more_are_in_flight_than_the_limit_says(
    tmp_path: Path, desk: Desk, settings: str, agents: str
) -> None:
    root = write_project(tmp_path, desk.base, TWO.replace("AGENT", "worker"), agents=agents, desk=settings)
    # What the client gives up on is in flight at the service still: here it does not give up.
    connector = root / "connectors" / "desk.py"
    connector.write_text(connector.read_text().replace("timeout_s=0.4", "timeout_s=20"))
    desk.faults.extend([fault("status", 429), fault("lost")] * 5)
    desk.latency_s = 0.01
    async with running(root) as app:
        await flood(app, 80)
        await app.until(lambda view: view.counts().get("runs.ended") == 80)
        assert desk.in_flight_max == 3 and len(desk.effects) == 80


@pytest.mark.parametrize(
    ("settings", "agents"),
    [
        ("per_second_max = 40.0", 'worker = agent("worker")'),
        ("concurrent_max = 100", 'worker = agent("worker", per_second_max=40)'),
    ],
)
async def test_never_more_start_in_a_second_than_the_rate_says(
    tmp_path: Path, desk: Desk, settings: str, agents: str
) -> None:
    root = write_project(tmp_path, desk.base, TWO.replace("AGENT", "worker"), agents=agents, desk=settings)
    async with running(root) as app:
        await flood(app, 60)
        await app.until(lambda view: view.counts().get("runs.ended") == 60)
        at = sorted(sent.at for sent in desk.writes)
        # Sixty take a second and a half, and a tenth where nothing holds them; on a busy machine what was
        # sent first may arrive late.
        assert at[-1] - at[0] >= 1.0
        assert max(sum(1 for other in at if mine <= other < mine + 0.5) for mine in at) <= 40


async def test_an_action_between_attempts_holds_nobodys_place(tmp_path: Path, desk: Desk) -> None:
    root = write_project(tmp_path, desk.base, TWO.replace("AGENT", "worker"), desk="concurrent_max = 1")
    desk.faults.append(fault("status", 429))
    async with running(root) as app:
        first, second = await app.send_all([("test.ask", {"n": 1}), ("test.ask", {"n": 2})])
        await app.ended(first, second)
        assert (app.run(second).ended_at or 0) < (app.run(first).ended_at or 0)


async def test_past_the_bound_events_are_turned_away_and_nothing_accepted_is_lost(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BACKLOG_MAX", 50)
    root = write_project(tmp_path, desk.base, TWO.replace("AGENT", "worker"))
    async with running(root) as app:
        await app.kernel.people.stop("automation:flood", "", "maya")
        await flood(app, 50)
        with pytest.raises(Overloaded):
            await app.send()
        assert app.read(lambda view: view.counts())["events"] == 50
        await app.kernel.people.lift("automation:flood", "maya")
        await app.until(lambda view: view.counts().get("runs.ended") == 50)
        assert len(desk.effects) == 50

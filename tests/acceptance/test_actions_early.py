"""A run may be stepped while its event's commit is on its way: nothing is sent, or kept, before that."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from deputize.errors import StoreFull
from deputize.kernel.intake import Intake
from deputize.store.sqlite import store as store_module
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import Running, running, so

WRITES = """
@automation(on=Ask, agent=worker)
async def writes(event: Event[Ask]) -> Outcome:
    await desk.write(item=event.data.item)
    return done()
"""


READS = """
@automation(on=Ask, agent=worker)
async def reads(event: Event[Ask]) -> Outcome:
    await desk.read(item=event.data.item)
    return done()
"""


def fill_the_disk_once(app: Running) -> None:
    """The next commit is found to have no room when what was gathered for it is written."""
    tx = app.system.store._tx  # type: ignore[attr-defined]
    write = tx.write

    def full() -> None:
        tx.write = write
        raise sqlite3.OperationalError("database or disk is full")

    tx.write = full


async def test_the_first_action_of_a_lone_run_shares_its_events_commit(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "EARLY_S", 10)
    async with running(write_project(tmp_path, desk.base, WRITES)) as app:
        before = app.system.store.commits  # type: ignore[attr-defined]
        run = await app.send()
        assert [entry.type for entry in app.entries(run)][:2] == ["began", "intent"]
        await app.ended(run)
        assert app.system.store.commits - before == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("together", [True, False])
async def test_an_event_that_cannot_be_kept_leaves_nothing_of_its_run(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    monkeypatch.setattr(store_module, "EARLY_S", 10 if together else 0)
    async with running(write_project(tmp_path, desk.base, WRITES)) as app:
        first = await app.send(item="first")
        await app.ended(first)
        number = app.run(first).no
        fill_the_disk_once(app)
        with pytest.raises(StoreFull):
            await app.send(id="again", item="a")
        other = await app.send(item="b")
        await so(lambda: not app.kernel.parts.live)
        assert app.run(other).no == number + 2, "a number that was prepared for is not given again"
        await app.ended(other)
        assert [effect["item"] for effect in desk.effects.values()] == ["first", "b"]
        again = await app.send(id="again", item="a")
        await app.ended(again)
        assert [effect["item"] for effect in desk.effects.values()] == ["first", "b", "a"]
        assert len(desk.writes) == 3


async def test_a_read_goes_on_where_its_events_sender_has_gone_away(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "EARLY_S", 0.3)
    async with running(write_project(tmp_path, desk.base, READS)) as app:
        sending = asyncio.create_task(app.send(item="a"))
        await so(lambda: any(run.busy for run in app.kernel.parts.live.values()))
        sending.cancel()
        await so(lambda: app.system.store.read(lambda view: view.counts()).get("runs.ended"))
        assert len(desk.seen) == 1


async def test_a_run_begins_where_its_events_sender_has_gone_away(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Intake, "_may_be_early", lambda *_: False)
    async with running(write_project(tmp_path, desk.base, WRITES)) as app:
        sending = asyncio.create_task(app.send(item="a"))
        await asyncio.sleep(0)
        assert app.kernel.intake._arriving, "its commit is on its way"
        sending.cancel()
        await so(lambda: app.system.store.read(lambda view: view.counts()).get("runs.ended"))
        assert len(desk.effects) == 1


async def test_a_run_that_waits_in_line_leaves_it_where_its_event_cannot_be_kept(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "EARLY_S", 0)
    async with running(write_project(tmp_path, desk.base, WRITES)) as app:
        await app.kernel.people.stop("automation:writes", "", "maya")
        fill_the_disk_once(app)
        with pytest.raises(StoreFull):
            await app.send()
        assert app.kernel.scheduler.backlog == 0
        await app.kernel.people.lift("automation:writes", "maya")
        await app.ended(await app.send(item="b"))
        assert [effect["item"] for effect in desk.effects.values()] == ["b"]


@pytest.mark.parametrize("together", [True, False])
async def test_a_read_is_sent_only_when_its_runs_event_is_kept(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    monkeypatch.setattr(store_module, "EARLY_S", 0.2 if together else 0)
    async with running(write_project(tmp_path, desk.base, READS)) as app:
        fill_the_disk_once(app)
        with pytest.raises(StoreFull):
            await app.send(item="a")
        await so(lambda: not app.kernel.parts.live)
        assert desk.seen == [] and app.kernel._known == {}
        await app.ended(await app.send(item="b"))
        assert len(desk.seen) == 1

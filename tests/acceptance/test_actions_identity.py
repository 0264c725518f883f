"""Line 1, 2 and 19, and the bounds: names that stay, records that must match, and what a run may not."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from deputize.kernel.people import NotAnswerable
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import running

ONE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    first = await desk.write(item={first})
    await wait_for(Word, matching={{}}, within=hours(1))
    second = await desk.write(item="second")
    return done(first.item + second.item)
"""


def project(tmp_path: Path, desk: Desk, first: str = "'first'", **options: str) -> Path:
    return write_project(tmp_path, desk.base, ONE.format(first=first), **options)  # type: ignore[arg-type]


async def test_ids_and_keys_are_the_same_in_every_life_of_a_run(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("hang"))
    root = project(tmp_path, desk)
    async with running(root) as app:
        run = await app.send("event-1")
        await desk.seen_of(1)
        key = app.actions(run)["1"].key
    async with running(root) as app:
        # The doubt is proved absent and sent again: same action, same round, same key.
        await app.state(run, "waiting")
        assert app.actions(run)["1"].key == key == desk.writes[0].key == desk.writes[1].key
        await app.send(type="test.word")
        assert await app.label(run) == "done(firstsecond)"
        assert len({sent.key for sent in desk.writes}) == 2
        # The same event again begins nothing.
        assert await app.send("event-1") == ""


async def test_a_run_whose_code_asks_for_something_else_is_stuck_with_both_sides_shown(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        await app.state(run, "waiting")
    async with running(project(tmp_path, desk, first="'other'")) as app:
        await app.send(type="test.word")
        await app.state(run, "stuck")
        card = await app.card()
        assert card.kind == "stuck" and card.id == run
        assert '"first"' in card.body["theirs"] and '"other"' in card.body["ours"]
        assert "work.py:" in card.body["ours"]
        assert len(desk.writes) == 1
    # Still stuck in another life, with one card; and it goes on once the code matches again.
    async with running(project(tmp_path, desk, first="'other'")) as app:
        await app.gone()
        assert app.run(run).state == "stuck" and len(app.cards()) == 1
        assert len(app.entries(run, "stuck")) == 1
    async with running(project(tmp_path, desk)) as app:
        assert await app.label(run) == "done(firstsecond)"
        assert not app.cards() and len(app.entries(run, "unstuck")) == 1
        assert len(desk.writes) == 2


async def test_new_code_whose_replay_matches_goes_on(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        await app.state(run, "waiting")
    code = ONE.format(first="'fir' + 'st'").replace('item="second"', 'item="changed"')
    async with running(write_project(tmp_path, desk.base, code)) as app:
        await app.send(type="test.word")
        assert await app.label(run) == "done(firstchanged)"


async def test_a_drifted_run_is_still_stuck_in_another_life(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("body", 200, {"no": 1}))
    root = project(tmp_path, desk)
    async with running(root) as app:
        run = await app.send()
        await app.state(run, "stuck")
    async with running(root) as app:
        await app.gone()
        assert app.run(run).state == "stuck" and [card.kind for card in app.cards()] == ["drift"]
        assert not app.entries(run, "unstuck")
        await app.answer(f"{run}/1", "happened", {"item": "x", "key": ""})
        await app.state(run, "waiting")


async def test_a_run_whose_automation_is_gone_is_stuck_until_it_is_back(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("hang"))
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        await desk.seen_of(1)
    async with running(write_project(tmp_path, desk.base, "")) as app:
        await app.state(run, "stuck")
        assert "no automation 'one'" in (await app.card()).title
    async with running(project(tmp_path, desk)) as app:
        await app.state(run, "waiting")


async def test_a_run_whose_record_was_changed_from_outside_is_frozen_with_a_card(
    tmp_path: Path, desk: Desk
) -> None:
    root = project(tmp_path, desk)
    async with running(root) as app:
        run, sound = await app.send(), await app.send()
        await app.state(run, "waiting")
        await app.state(sound, "waiting")
        no = app.run(run).no
    db = sqlite3.connect(root / "data" / "ledger.db")
    sql = "SELECT seq FROM entry WHERE stream=? AND type='receipt'"
    (seq,) = db.execute(sql, (no,)).fetchone()
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    stored = bytes(db.execute("SELECT body FROM body WHERE seq=?", (seq,)).fetchone()[0])
    db.execute("UPDATE body SET body=? WHERE seq=?", (stored.replace(b"first", b"forge"), seq))
    db.commit()
    db.close()
    async with running(root, sound=False) as app:
        await app.send(type="test.word")
        await app.state(run, "stuck")
        assert "was changed" in (await app.card()).title
        assert await app.label(sound) == "done(firstsecond)"
        with pytest.raises(NotAnswerable):
            await app.answer(run, "happened", {})
        await app.answer(run, "abandon")
        assert (await app.ended(run))[0].label == "cancelled"
    async with running(root, sound=False) as app:
        await app.gone()


async def test_an_uncaught_failure_ends_the_run_with_its_chain_of_causes(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("status", 404, {"error": "no such order"}))
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    try:
        await desk.write(item="a")
    except Declined as error:
        raise ValueError("the order cannot be handled") from error
    return done()
"""
    async with running(write_project(tmp_path, desk.base, code)) as app:
        run = await app.send()
        (row,) = await app.ended(run)
        assert row.label == "failed"
        assert row.reason.startswith("ValueError: the order cannot be handled (")
        causes = (app.entries(run, "ended")[0].body or {})["causes"]
        assert [cause["type"] for cause in causes] == ["ValueError", "Declined"]
        assert "no such order" in causes[1]["message"] and "work.py:" in causes[0]["where"]


async def test_a_thousand_awaits_are_allowed_and_no_more(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    for _ in range(event.data.n):
        await until(event.time)
    return done()
"""
    async with running(write_project(tmp_path, desk.base, code)) as app:
        enough, more = await app.send(n=1000), await app.send(n=1001)
        assert await app.label(enough) == "done"
        assert await app.label(more) == "failed"
        assert "continue_with(state)" in app.run(more).reason


async def test_arguments_over_a_megabyte_are_refused_before_anything_starts(
    tmp_path: Path, desk: Desk
) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await desk.write(item="x" * event.data.n)
    return done()
"""
    async with running(write_project(tmp_path, desk.base, code)) as app:
        run = await app.send(n=1_000_001)
        assert await app.label(run) == "failed"
        assert "at most 1,000,000 are allowed" in app.run(run).reason and not desk.seen


@pytest.mark.parametrize("operation", ["write", "read"])
@pytest.mark.parametrize("answer", ["done", "declined", "drift"])
async def test_bodies_over_64_kilobytes_are_stored_once_by_digest(
    tmp_path: Path, desk: Desk, operation: str, answer: str
) -> None:
    if answer == "declined":
        desk.always = fault("status", 404)
    if answer == "drift":
        desk.always = fault("body", 200, b"{}")
    # A path may be long too: the service of this test takes it.
    extra = """
@connector.operation(effect="{effect}", timeout_s=5)
async def big(call: Call, item: str) -> Item:
    return Item.model_validate((await call.{how}).json())
""".format(
        effect="write" if operation == "write" else "read",
        how='post("/plain", json={"item": item})' if operation == "write" else 'get("/items/x")',
    )
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await attempt(desk.big(item="x" * 200_000))
    return done()
"""
    root = write_project(tmp_path, desk.base, code, connector=extra)
    async with running(root) as app:
        runs = [await app.send(), await app.send()]
        await app.until(lambda view: len(view.runs(states=["ended", "stuck"])) == 2)
        # Put back whole where it is read.
        entry = next(e for e in app.entries(runs[0]) if e.body and "args" in e.body)
        assert (entry.body or {})["args"] == {"item": "x" * 200_000}
    db = sqlite3.connect(root / "data" / "ledger.db")
    assert db.execute("SELECT max(length(body)) FROM body").fetchone()[0] < 64_000
    arguments = [row for row in db.execute("SELECT bytes FROM blob") if b'"key"' not in bytes(row[0])]
    assert len(arguments) == 1
    db.close()


async def test_runs_of_one_key_follow_each_other(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker, key="k:{item}")
async def one(event: Event[Ask]) -> Outcome:
    await desk.plain(item=f"{event.data.item}{event.data.n}")
    await desk.plain(item=f"{event.data.item}{event.data.n}")
    return done()
"""
    root = write_project(tmp_path, desk.base, code)
    async with running(root) as app:
        await app.send_all([("test.ask", {"item": item, "n": n}) for n in range(5) for item in "ab"])
        await app.until(lambda view: view.counts().get("runs.ended") == 10)
        for item in "ab":
            order = [made["item"] for made in desk.unkeyed if made["item"].startswith(item)]
            assert order == [f"{item}{n // 2}" for n in range(10)]


# Python says of a coroutine that refuses to end that it refuses to end.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_evicted_run_runs_its_finally_and_goes_on_from_its_record(
    tmp_path: Path, desk: Desk
) -> None:
    code = """
seen = []
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    try:
        await wait_for(Word, matching={}, within=hours(1))
    finally:
        seen.append("finally")
    await desk.write(item=f"after {seen.count('finally')}")
    return done()
@automation(on=Word, agent=worker, name="stubborn")
async def stubborn(event: Event[Word]) -> Outcome:
    for _ in range(100):
        try:
            await sleep(hours(1))
        except BaseException:
            seen.append("caught")
    return done()
"""
    async with running(write_project(tmp_path, desk.base, code)) as app:
        run = await app.send()
        await app.state(run, "waiting")
        await app.gone()
        stubborn = await app.send(type="test.word")
        await app.ended(run)
        # Once when it left memory, once when it went on.
        assert [item["item"] for item in desk.effects.values()] == ["after 2"]
        # Whoever catches everything and awaits again is given up after a bounded number of turns.
        await app.state(stubborn, "waiting")
        await app.gone()
        assert len(desk.writes) == 1


async def test_the_intent_is_committed_before_its_sending_begins(tmp_path: Path, desk: Desk) -> None:
    order: list[str] = []
    async with running(project(tmp_path, desk)) as app:
        for name in ("t2.in", "group.after_commit", "t2.after", "send.before"):
            app.hooks[name] = lambda name=name: order.append(name)  # type: ignore[misc]
        run = await app.send()
        await app.state(run, "waiting")
    started, sent = order.index("t2.in"), order.index("send.before")
    assert "group.after_commit" in order[started:sent]


async def test_a_receipt_that_a_full_ledger_did_not_take_is_recorded_once_there_is_room(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deputize.errors import StoreFull

    async with running(project(tmp_path, desk)) as app:
        store, write = app.system.store, app.system.store.write
        full = asyncio.Event()

        def refuse(work: object, **more: object) -> asyncio.Future[object]:
            future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            future.set_exception(StoreFull())
            full.set()
            return future

        app.hooks["t3.before"] = lambda: monkeypatch.setattr(store, "write", refuse)
        run = await app.send()
        await full.wait()
        app.hooks.clear()
        monkeypatch.setattr(store, "write", write)
        await app.state(run, "waiting")
        assert not app.entries(run, "doubt") and len(desk.writes) == 1


async def test_a_drift_that_a_full_ledger_did_not_take_is_recorded_once_there_is_room(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deputize.errors import StoreFull

    desk.faults.append(fault("body", body=b'{"surprise": 1}'))
    async with running(project(tmp_path, desk)) as app:
        store, write = app.system.store, app.system.store.write
        full = asyncio.Event()

        def refuse(work: object, **more: object) -> asyncio.Future[object]:
            future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            future.set_exception(StoreFull())
            full.set()
            return future

        app.hooks["send.before"] = lambda: monkeypatch.setattr(store, "write", refuse)
        run = await app.send()
        await full.wait()
        app.hooks.clear()
        monkeypatch.setattr(store, "write", write)
        assert (await app.card()).kind == "drift"
        assert not app.entries(run, "doubt") and len(desk.writes) == 1

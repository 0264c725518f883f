"""An automation that fails too often proposes, and a person confirms its writes, until one lifts that."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM
from deputize.store.protocol import CardRow, View
from deputize.store.sqlite.offline import OfflineLedger
from deputize.store.telling import read_telling
from deputize.why import why_action
from tests.support.command import deputize
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, running, so
from tests.support.serving import PEOPLE, SERVER, child, cloudevent, serving

WORK = """
@automation(on=Ask, agent=worker)
async def puts(event: Event[Ask]) -> Outcome:
    if event.data.item == "bad":
        raise ValueError(f"nothing goes with {event.data.n}")
    if event.data.item == "given up":
        return gave_up("no")
    await desk.put(item=event.data.item)
    return done("put")
@automation(on=Word, agent=worker)
async def other(event: Event[Word]) -> Outcome:
    await desk.put(item=event.data.item)
    return done("other")
"""


def project(root: Path, desk: Desk, automations: str = WORK, **more: Any) -> Path:
    toml = PEOPLE + '[keepers]\nputs = "maya"\n' + more.pop("toml", "")
    return write_project(root, desk.base, automations, toml=toml, **more)


async def fail(app: Running, times: int, item: str = "bad") -> list[str]:
    runs = [await app.send(item=item, n=n) for n in range(times)]
    await app.ended(*runs)
    return runs


def lowered(app: Running) -> list[CardRow]:
    return [card for card in app.cards() if card.kind == "lowered"]


async def approve(app: Running, card: CardRow, person: str = "maya") -> None:
    await app.kernel.approving.approve(card.id, binding=card.body["binding"], person=person)


async def approval(app: Running) -> CardRow:
    cards = await app.until(lambda view: [c for c in view.cards() if c.kind == "approval"])
    return cards[0]


async def test_three_failures_of_a_hundred_lower_nothing_and_the_fourth_does(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk)) as app:
        await fail(app, 3)
        assert lowered(app) == []
        assert await app.label(await app.send(item="a")) == "done(put)"
        *_, last = await fail(app, 1)
        (card,) = lowered(app)
        assert card.id == "system/puts"
        assert card.title == (
            "4 of the last 5 runs of puts failed, and its bound is 3.0% of 100: "
            "a person confirms each of its writes"
        )
        assert card.body["latest"][0] == last


async def test_from_then_on_each_write_of_it_waits_for_its_keeper_and_a_yes_lets_one_through(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk)) as app:
        await fail(app, 4)
        run = await app.send(item="a")
        card = await approval(app)
        assert app.actions(run)["1"].state == "asking" and desk.seen == []
        with pytest.raises(NotAnswerable, match="ines is not asked for this; it asks maya"):
            await approve(app, card, "ines")
        await approve(app, card)
        assert await app.label(run) == "done(put)"
        second = await app.send(item="b")
        assert (await approval(app)).run_id == second and len(desk.writes) == 1
        # Another automation does as before.
        assert await app.label(await app.send(type="test.word", item="c")) == "done(other)"
        row = app.run(run)
        told = app.read(
            lambda view: read_telling(view, row, app.system.time and app.system.project.settings.zone, {})
        )
        story = " ".join(why_action(told, "1")["sentences"])
        assert "It failed too often: each of its writes is confirmed" in story and "maya gave" in story


async def test_what_it_reads_is_not_confirmed(tmp_path: Path, desk: Desk) -> None:
    work = WORK.replace(
        'await desk.put(item=event.data.item)\n    return done("put")',
        'await desk.read(item="x")\n    return done("put")',
    )
    async with running(project(tmp_path, desk, work)) as app:
        await fail(app, 4)
        assert await app.label(await app.send(item="a")) == "done(put)"


async def test_a_rule_that_refuses_refuses_all_the_same(tmp_path: Path, desk: Desk) -> None:
    rules = PERMIT + '[[rule]]\ntitle = "Nothing is put"\noperation = "desk.put"\nnever = true\n'
    async with running(project(tmp_path, desk, rules=rules)) as app:
        await fail(app, 4)
        (row,) = await app.ended(await app.send(item="a"))
        assert row.label == "failed" and "Nothing is put" in row.reason


async def test_a_rule_that_asks_asks_beside_it(tmp_path: Path, desk: Desk) -> None:
    rules = PERMIT + '[[rule]]\ntitle = "Two look"\noperation = "desk.put"\nask_always = true\nask = "kim"\n'
    async with running(project(tmp_path, desk, rules=rules)) as app:
        await fail(app, 4)
        run = await app.send(item="a")
        card = await approval(app)
        assert [one["title"] for one in card.body["demands"]] == [
            "Two look",
            "puts failed too often: each of its writes is confirmed",
        ]
        await approve(app, card, "kim")
        assert app.actions(run)["1"].state == "asking"
        await approve(app, card, "maya")
        assert await app.label(run) == "done(put)"


async def test_giving_up_being_cancelled_and_refusals_that_it_handles_are_no_failures(
    tmp_path: Path, desk: Desk
) -> None:
    work = (
        WORK
        + """
@automation(on=Damage, agent=worker)
async def waits(event: Event[Damage]) -> Outcome:
    await sleep(hours(1))
    return done()
"""
    )
    work = 'class Damage(EventData, type="test.damage"):\n    item: str = ""\n' + work
    async with running(project(tmp_path, desk, work)) as app:
        await fail(app, 6, "given up")
        for _ in range(6):
            run = await app.send(type="test.damage")
            await app.state(run, "waiting")
            await app.kernel.people.cancel(run, "maya")
            await app.label(run)
        assert lowered(app) == []


async def test_stuck_runs_are_failures_and_their_being_given_up_is_not_another(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk)) as app:
        desk.faults.extend([fault("body", 200, b"not json")] * 4)
        runs = [await app.send(item=f"drift/{n}") for n in range(4)]
        for run in runs:
            await app.state(run, "stuck")
        (card,) = lowered(app)
        assert (card.body["failed"], card.body["runs"]) == (4, 4)
        await app.kernel.lifting.lift(card.id, reason="", person="maya")
        for run in runs:
            await app.answer(f"{run}/1", "abandon")
        await app.ended(*runs)
        assert lowered(app) == []
        await fail(app, 3)
        assert lowered(app) == []


async def test_a_bound_of_its_own(tmp_path: Path, desk: Desk) -> None:
    work = WORK.replace(
        "@automation(on=Ask, agent=worker)", "@automation(on=Ask, agent=worker, failures_max=0.0)"
    )
    async with running(project(tmp_path, desk, work)) as app:
        await fail(app, 1)
        assert len(lowered(app)) == 1
    never = WORK.replace(
        "@automation(on=Ask, agent=worker)", "@automation(on=Ask, agent=worker, failures_max=1)"
    )
    (tmp_path / "b").mkdir()
    async with running(project(tmp_path / "b", desk, never)) as app:
        await fail(app, 20)
        assert lowered(app) == []


async def test_failures_of_more_than_a_hundred_runs_ago_count_no_more(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        await fail(app, 3)
        runs = await app.send_all([("test.ask", {"item": "given up"})] * 98)
        await app.ended(*runs)
        await fail(app, 1)
        assert lowered(app) == [], "the first two are out, and one more is three"
        await fail(app, 1)
        assert [card.body["failed"] for card in lowered(app)] == []
        await fail(app, 2)
        assert [card.body["failed"] for card in lowered(app)] == [4]


async def test_a_person_lifts_it_what_waited_starts_and_the_count_begins_anew(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk)) as app:
        await fail(app, 4)
        run = await app.send(item="a")
        await approval(app)
        await app.gone()
        said = await app.kernel.lifting.lift("system/puts", reason="mended", person="maya")
        assert said.startswith("lifted; puts acts by itself again")
        assert await app.label(run) == "done(put)"
        assert app.cards() == []
        (entry,) = [e for e in app.read(lambda view: view.entries(SYSTEM)) if e.type == "lifted"]
        assert entry.body is not None and entry.body["by"] == {"person": "maya", "reason": "mended"}
        with pytest.raises(NotAnswerable, match="nothing to lift"):
            await app.kernel.lifting.lift("system/puts", reason="", person="maya")
        await fail(app, 3)
        assert lowered(app) == []
        await fail(app, 1)
        assert len(lowered(app)) == 1


async def test_what_waited_starts_after_a_restart_where_a_crash_kept_it_from_being_told(
    tmp_path: Path, desk: Desk
) -> None:
    root = project(tmp_path, desk)
    async with running(root) as app:
        await fail(app, 4)
        run = await app.send(item="a")
        await approval(app)
        await app.gone()
        app.kernel.lifting._retry = lambda no, path: None
        await app.kernel.lifting.lift("system/puts", reason="", person="maya")
        assert app.actions(run)["1"].state == "asking"
    async with running(root) as app:
        assert await app.label(run) == "done(put)"


async def test_it_is_lifted_over_http_by_a_person_alone(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk, toml=SERVER)) as served:
        for n in range(4):
            await served.app.ended(await served.send(f"e{n}", item="bad", n=n))
        (card,) = (await served.http.get("/v1/inbox")).json()["cards"]
        assert (card["id"], card["of"]) == ("system/puts", "the automation puts")
        assert "ValueError: nothing goes with 3" in card["evidence"]
        assert card["answers"][0]["command"] == "deputize resolve system/puts lift"
        answer = {"kind": "lift", "reason": "mended"}
        url = "/v1/inbox/system/puts/answer"
        assert (await served.http.post(url, json=answer)).status_code == 401
        await served.speak_as("kim")
        assert (await served.http.post(url, json=answer)).status_code == 409
        await served.speak_as("maya")
        done = (await served.http.post(url, json=answer)).json()
        assert done["said"].startswith("lifted")
        assert (await served.http.get("/v1/inbox")).json()["cards"] == []
        assert (await served.http.post(url, json=answer)).status_code in (404, 409, 422)


async def test_it_survives_kill_9_and_is_lifted_from_the_command_line(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk, toml=SERVER)
    async with child(root) as first, httpx2.AsyncClient(trust_env=False) as http:
        for n in range(4):
            event = cloudevent(f"e{n}", item="bad", n=n)
            assert (await http.post(f"{first.url}/v1/events", json=event)).status_code == 202
        await so(lambda: OfflineLedger(root / "data" / "ledger.db").read(_is_lowered))
        first.process.kill()
        await first.wait()
    async with child(root) as second, httpx2.AsyncClient(trust_env=False) as http:
        await http.post(f"{second.url}/v1/events", json=cloudevent("next", item="a"))
        await so(lambda: OfflineLedger(root / "data" / "ledger.db").read(_kinds) == ["lowered", "approval"])
        assert desk.writes == []
        assert (await asyncio.to_thread(deputize, root, "login", "maya")).code == 0
        done = await asyncio.to_thread(deputize, root, "resolve", "system/puts", "lift", "--reason", "mended")
        assert (done.code, done.out.strip()) == (0, "Answered system/puts: lift.")
        await desk.seen_of(1)
        assert (await asyncio.to_thread(deputize, root, "inbox")).out == "Nothing waits for a person.\n"


def _is_lowered(view: View) -> bool:
    return "lowered" in _kinds(view)


def _kinds(view: View) -> list[str]:
    return [card.kind for card in view.cards()]

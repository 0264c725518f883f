"""People are told of a budget that is nearly used up: at four fifths of it, once in each window."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.errors import StoreError
from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM, Entry
from deputize.notify.reading import Reach, new_cards
from deputize.store.protocol import CardRow, View
from deputize.store.sqlite.offline import OfflineLedger
from deputize.town import Town
from tests.support.command import deputize
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import Running, ShiftedClock, running, so
from tests.support.serving import PEOPLE, SERVER, child, cloudevent, serving
from tests.support.telling import MAYA, telling_project

WORK = """
@automation(on=Ask, agent=worker)
async def puts(event: Event[Ask]) -> Outcome:
    for n in range(event.data.n):
        found = await attempt(desk.put(item=f"{event.data.item}{n}"))
    return done(type(found).__name__)
@automation(on=Word, agent=worker)
async def pays(event: Event[Word]) -> Outcome:
    paid = await attempt(desk.pay(account=event.data.item, amount=Money.parse(event.data.text)))
    return done(type(paid).__name__)
"""
DAY_S = 86_400.0


def project(root: Path, desk: Desk, limit: str, more: str = "", **given: Any) -> Path:
    toml = given.pop("toml", PEOPLE + '[keepers]\ndefault = "maya"\n')
    budget = f'\n[[budget]]\nname = "b"\nlimit = "{limit}"\n{more}\n' if limit else ""
    return write_project(root, desk.base, given.pop("automations", WORK), toml=toml + budget, **given)


async def put(app: Running, number: int, item: str = "i") -> str:
    return await app.label(await app.send(item=item, n=number))


async def pay(app: Running, amount: str) -> str:
    return await app.label(await app.send(type="test.word", item="a", text=amount))


def near(app: Running) -> list[CardRow]:
    return [card for card in app.cards() if card.kind == "budget"]


def told(view: View) -> list[Entry]:
    return [entry for entry in view.entries(SYSTEM) if entry.type == "neared"]


async def test_people_are_told_at_80_percent_and_not_at_79(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, "100 actions")) as app:
        await put(app, 79)
        assert near(app) == [] and app.read(told) == []
        await put(app, 1, "x")
        (card,) = near(app)
        assert card.title.startswith(
            '80% of the budget "b" is used: 80 actions of 100 actions are spent or held in the day that '
        )


async def test_money_is_told_to_the_cent(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, "100.00 EUR")) as app:
        assert await pay(app, "79.99 EUR") == "done(Item)"
        assert near(app) == []
        assert await pay(app, "0.01 EUR") == "done(Item)"
        (card,) = near(app)
        assert "80.00 EUR of 100.00 EUR" in card.title
        assert await pay(app, "20.01 EUR") == "done(Refused)", "what comes at the whole of it is as it was"


async def test_they_are_told_once_in_a_window_and_again_in_the_next(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with running(project(tmp_path, desk, "10 actions"), clock=clock) as app:
        await put(app, 8)
        (first,) = near(app)
        await put(app, 2)
        await app.kernel.noting.noted(first.id, person="maya")
        await put(app, 1)
        assert near(app) == [] and len(app.read(told)) == 1
        clock.shift_s += DAY_S
        await put(app, 7)
        assert near(app) == []
        await put(app, 1)
        clock.shift_s += DAY_S
        await put(app, 8)
        (card,) = near(app)
        assert len(app.read(told)) == 3 and card.seq == app.read(told)[-1].seq, "the old news is gone"


async def test_one_start_that_uses_most_of_it_is_told_and_what_is_refused_is_not(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk, "10.00 EUR")) as app:
        assert await pay(app, "10.01 EUR") == "done(Refused)"
        assert await pay(app, "7.00 EUR") == "done(Item)"
        assert await pay(app, "5.00 EUR") == "done(Refused)"
        assert near(app) == []
        assert await pay(app, "3.00 EUR") == "done(Item)"
        assert near(app)[0].title.startswith('100% of the budget "b" is used')


async def test_what_is_held_counts_and_letting_it_go_neither_takes_the_news_back_nor_brings_it_again(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk, "10.00 EUR")) as app:
        desk.faults.append(fault("status", 422))
        assert await pay(app, "9.00 EUR") == "done(Declined)"
        assert app.budget() == (0, 0)
        (card,) = near(app)
        assert await pay(app, "9.00 EUR") == "done(Item)"
        assert [one.seq for one in near(app)] == [card.seq]


async def test_another_limit_is_news_again_in_the_same_window(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, "10 actions")) as app:
        await put(app, 8)
    async with running(project(tmp_path, desk, "20 actions")) as app:
        assert len(near(app)) == 1
        await put(app, 7)
        assert len(app.read(told)) == 1
        await put(app, 1)
        (card,) = near(app)
        assert "16 actions of 20 actions" in card.title and len(app.read(told)) == 2


@pytest.mark.parametrize("per", ["run", "call"])
async def test_nobody_is_told_of_each_run_or_call(tmp_path: Path, desk: Desk, per: str) -> None:
    async with running(project(tmp_path, desk, "1 action", f'per = "{per}"')) as app:
        assert await put(app, 1) == "done(Item)"
        assert near(app) == []


async def test_a_budget_of_nothing_is_never_near(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, "0 actions", 'ask = "maya"')) as app:
        await app.send(item="x", n=1)
        card = await app.card()
        await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
        await app.gone()
        assert app.budget() == (0, 1) and near(app) == []


async def test_a_priced_read_that_is_asked_anew_may_bring_it_there(tmp_path: Path, desk: Desk) -> None:
    """Its lost answer is spent, and it holds its worst once more: a later round is a start, too."""
    work = """
@automation(on=Ask, agent=worker)
async def reads(event: Event[Ask]) -> Outcome:
    return done("read", item=(await desk.think(item=event.data.item)).item)
"""
    desk.lost_once.add("/items/i")
    async with running(project(tmp_path, desk, "0.0020 USD cost", automations=work)) as app:
        run = await app.send()
        assert await app.label(run) == "done(read)"
        first, second = app.entries(run, "intent")
        (entry,) = app.read(told)
        assert entry.body and entry.body["passed"] == f"{run}/1" and entry.body["used"] == 2_000
        assert first.at_us < second.at_us == entry.at_us, "in the same transaction"


async def test_a_start_that_is_taken_back_takes_the_news_with_it(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, "1 action")) as app:
        seen: list[int] = []

        def fails() -> None:
            del app.hooks["t2.in"]
            seen.append(len(app.read(told)))
            raise StoreError("as if this work could not be written")

        app.hooks["t2.in"] = fails
        run = await app.send(item="a", n=1)
        assert await app.label(run) == "done(Item)" and seen == [0]
        (entry,), (intent,) = app.read(told), app.entries(run, "intent")
        assert entry.seq == intent.seq + 1


async def test_it_is_in_the_inbox_and_among_the_budgets_and_its_keeper_notes_it(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk, "10 actions", toml=PEOPLE + SERVER)) as served:
        (budget,) = (await served.http.get("/v1/budgets")).json()["budgets"]
        assert budget["neared_at"] is None
        await served.app.ended(await served.send("e1", item="a", n=9))
        (budget,) = (await served.http.get("/v1/budgets")).json()["budgets"]
        (card,) = (await served.http.get("/v1/inbox")).json()["cards"]
        assert budget["neared_at"] == card["at"]
        assert (card["kind"], card["of"], card["about"]) == ("budget", "the whole project", "")
        assert "brought it there; beyond the limit an action is refused" in card["evidence"]
        assert card["answers"][0]["command"] == f"deputize resolve {card['id']} noted"
        url = f"/v1/inbox/{card['id']}/answer"
        assert (await served.http.post(url, json={"kind": "noted"})).status_code == 401
        await served.speak_as("maya")
        assert (await served.http.post(url, json={"kind": "lift"})).status_code == 409
        assert (await served.http.post(url, json={"kind": "noted"})).json()["said"] == "noted"
        assert (await served.http.get("/v1/inbox")).json()["cards"] == []
        assert (await served.http.post(url, json={"kind": "noted"})).status_code == 409
        health = (await served.http.get("/v1/health")).json()
        assert [one["name"] for one in health["automations"]] == ["puts"], "no automation is charged with it"


async def test_the_keeper_of_an_automation_is_told_of_its_budget_and_nobody_else_notes_it(
    tmp_path: Path, desk: Desk
) -> None:
    toml = PEOPLE + '[keepers]\nputs = "kim"\ndefault = "maya"\n'
    root = project(tmp_path, desk, "1 action", 'automation = "puts"', toml=toml)
    async with running(root) as app:
        await put(app, 1)
        (card,) = near(app)
        directory = app.system.project.settings.directory
        (shown,) = app.read(lambda view: new_cards(view, 0, Reach(directory, ["maya", "kim"])))
        assert list(shown.asked) == ["kim"]
        with pytest.raises(NotAnswerable, match="maya is not asked for this; it asks kim"):
            await app.kernel.noting.noted(card.id, person="maya")
        await app.kernel.noting.noted(card.id, person="kim")
        assert near(app) == []


async def test_a_card_that_wants_more_than_reading_is_not_noted(tmp_path: Path, desk: Desk) -> None:
    work = """
@automation(on=Ask, agent=worker)
async def puts(event: Event[Ask]) -> Outcome:
    raise ValueError("no")
"""
    async with running(project(tmp_path, desk, "", automations=work)) as app:
        for n in range(4):
            await app.label(await app.send(n=n))
        (card,) = app.cards()
        with pytest.raises(NotAnswerable, match="not for noting"):
            await app.kernel.noting.noted(card.id, person="maya")


@pytest.fixture
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with Town.start(tmp_path_factory.mktemp("town"), customers=1) as started:
        yield started


async def test_it_reaches_them_by_mail_and_chat_once(tmp_path: Path, desk: Desk, town: Town) -> None:
    clock = ShiftedClock()
    people = MAYA + 'slack = "U024BE7LH"\n[[budget]]\nname = "a day\'s work"\nlimit = "10 actions"\n'
    root = telling_project(tmp_path, desk, town, people=people, slack="B1", automations=WORK)
    async with running(root, clock=clock) as app:
        await put(app, 9)
        clock.shift_s += 301.0
        await app.system.notifier.turn()
        (letter,), (post,) = town.letters(), town.posts()
        assert letter["subject"].startswith('1 thing waits for you: 80% of the budget "a day\'s work"')
        assert "Until:  it is answered; nothing waits for that" in letter["text"]
        assert "In:     the whole project" in letter["text"] and "noted" in letter["text"]
        assert '80% of the budget "a day\'s work"' in post["text"]
        await put(app, 1)
    async with running(root, clock=clock) as app:
        await put(app, 1)
        clock.shift_s += 301.0
        await app.system.notifier.turn()
        assert len(town.letters()) == len(town.posts()) == 1


async def test_kill_9_neither_forgets_it_nor_tells_it_twice(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk, "10 actions", toml=PEOPLE + SERVER)

    def ledger(view: View) -> tuple[int, int, int]:
        return len(told(view)), len(view.cards()), view.counts().get("runs.ended", 0)

    async with child(root) as first, httpx2.AsyncClient(trust_env=False) as http:
        await http.post(f"{first.url}/v1/events", json=cloudevent("e1", item="a", n=9))
        await so(lambda: OfflineLedger(root / "data" / "ledger.db").read(ledger)[0])
        first.process.kill()
        await first.wait()
    async with child(root) as second, httpx2.AsyncClient(trust_env=False) as http:
        await http.post(f"{second.url}/v1/events", json=cloudevent("e2", item="b", n=1))
        await so(lambda: OfflineLedger(root / "data" / "ledger.db").read(ledger) == (1, 1, 2))
        found = await asyncio.to_thread(deputize, root, "inbox")
        assert found.out.startswith("system/budget/") and 'of the budget "b" is used' in found.out
    async with running(root) as app:
        # What is told is read from the entries: also when they are all there is.
        assert app.system.store.rebuild(replace=True) == []
        await put(app, 1)
        assert len(app.read(told)) == 1

"""Whoever is asked hands a card on to the keeper of the automation, who may say yes from then on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize.kernel.people import NotAnswerable
from deputize.store.protocol import CardRow
from deputize.store.telling import read_telling, read_waiting
from deputize.town import Town
from deputize.why import why_action, why_run
from tests.support.command import deputize, login, new_project, served
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, ShiftedClock, running
from tests.support.serving import SERVER, serving
from tests.support.telling import ASKS, PAYS, ask_for, subjects, telling_project

PEOPLE = """
[people.maya]
roles = ["finance"]
[people.kim]
roles = ["finance"]
[people.ines]
[people.otto]
"""
KEPT = PEOPLE + '[keepers]\npays = "ines"\n'
WORDS = "I do not know this customer"

TWO = ASKS.replace("ask_above", "two_people_above")


def project(root: Path, desk: Desk, people: str = KEPT, rules: str = ASKS) -> Path:
    return write_project(root, desk.base, PAYS, rules=rules, toml=people)


async def hand_on(app: Running, card: CardRow, person: str = "kim", reason: str = WORDS) -> str:
    said: str = await app.kernel.approving.ask_keeper(
        card.id, binding=card.body["binding"], reason=reason, person=person
    )
    return said


async def approve(app: Running, card: CardRow, person: str) -> str:
    said: str = await app.kernel.approving.approve(card.id, binding=card.body["binding"], person=person)
    return said


async def test_the_keeper_may_approve_what_was_handed_on_and_nothing_else(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        with pytest.raises(NotAnswerable, match="ines is not asked for this; it asks kim and maya"):
            await approve(app, card, "ines")
        assert await hand_on(app, card) == "handed on: ines is asked, too"
        with pytest.raises(NotAnswerable, match="otto is not asked for this; it asks ines, kim and maya"):
            await approve(app, card, "otto")
        assert await approve(app, card, "ines") == "approved"
        assert await app.label(run) == "done(Item)"
        (intent,) = app.entries(run, "intent")
        assert intent.body is not None and intent.body["approvals"][0]["person"] == "ines"
        await app.send(item="b", n=80)
        other = await app.card()
        with pytest.raises(NotAnswerable, match="ines is not asked"):
            await approve(app, other, "ines")


async def test_nobody_hands_on_what_is_not_theirs_to_grant(tmp_path: Path, desk: Desk) -> None:
    """Two rules ask two others; one of them hands on, and the keeper stands in for that one alone."""
    lead = ASKS.replace('ask = "finance"', 'ask = "otto"')
    rule = ASKS[len(PERMIT) :].replace('title = "', 'title = "And again: ').replace('"finance"', '"maya"')
    both = lead + rule
    async with running(project(tmp_path, desk, rules=both)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        assert len(card.body["demands"]) == 2
        await hand_on(app, card, "otto")
        assert await approve(app, card, "ines") == "approved; 1 more must approve it"
        await app.gone()
        assert desk.seen == []
        await approve(app, card, "maya")
        assert await app.label(run) == "done(Item)"


async def test_what_was_asked_and_until_when_stays_as_it_was(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with running(project(tmp_path, desk), clock=clock) as app:
        run = await app.send(item="a", n=80)
        before = await app.card()
        await hand_on(app, before)
        after = await app.card()
        assert (after.seq, after.body) == (before.seq, before.body)
        told = app.read(lambda view: read_waiting(view, after)).handed
        assert told == {"path": "1", "keeper": "ines", "by": {"person": "kim", "reason": WORDS}}
        await app.gone()
        clock.shift_s += 20 * 3_600
        with pytest.raises(NotAnswerable, match="the time for"):
            await approve(app, before, "ines")
        app.kernel._wake_soon()
        assert await app.label(run) == "done(Expired)"
        (refused,) = app.entries(run, "refused")
        assert refused.body is not None and "the approval of finance or the keeper" in refused.body["reason"]


async def test_handing_on_twice_is_handing_on_once(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await hand_on(app, card)
        assert await hand_on(app, card) == "the keeper is asked already"
        assert await hand_on(app, card, "maya", "me neither") == "the keeper is asked already"
        (handed,) = app.entries(run, "handed")
        assert handed.body is not None and handed.body["by"] == {"person": "kim", "reason": WORDS}


async def test_a_card_that_was_handed_on_still_is_after_a_restart(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        await hand_on(app, await app.card())
    async with running(tmp_path) as app:
        await approve(app, await app.card(), "ines")
        assert await app.label(run) == "done(Item)"


async def test_the_keeper_is_one_of_two_people_and_not_both(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, rules=TWO)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await hand_on(app, card)
        assert await approve(app, card, "ines") == "approved; 1 more must approve it"
        await approve(app, card, "maya")
        assert await app.label(run) == "done(Item)"


async def test_a_person_who_keeps_it_no_more_has_granted_nothing(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, rules=TWO)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await hand_on(app, card)
        await approve(app, card, "ines")
    async with running(project(tmp_path, desk, KEPT.replace('"ines"', '"otto"'), TWO)) as app:
        card = await app.card()
        assert await approve(app, card, "maya") == "approved; 1 more must approve it"
        await approve(app, card, "otto")
        assert await app.label(run) == "done(Item)"


@pytest.mark.parametrize(
    ("people", "person", "sender", "words"),
    [
        (PEOPLE, "kim", "", r"nobody keeps pays: .*\[keepers\] pays = "),
        (KEPT, "otto", "", "otto is not asked for this"),
        (KEPT, "nobody", "", "nobody called 'nobody'"),
        (KEPT, "kim", "kim", "kim asked for it; nobody approves their own request"),
        (KEPT, "kim", "ines", "ines, who keeps pays, asked for it and cannot approve it"),
        (KEPT.replace('"ines"', '"kim"'), "kim", "", "kim keeps pays: it is for you to approve or refuse"),
        (KEPT.replace('"ines"', '"maya"'), "kim", "", "maya, who keeps pays, is asked for it as it is"),
    ],
)
async def test_what_cannot_be_handed_on_says_why(
    tmp_path: Path, desk: Desk, people: str, person: str, sender: str, words: str
) -> None:
    async with running(project(tmp_path, desk, people)) as app:
        app.sender = sender
        run = await app.send(item="a", n=80)
        with pytest.raises(NotAnswerable, match=words):
            await hand_on(app, await app.card(), person)
        assert app.entries(run, "handed") == []


async def test_a_change_is_another_card_and_was_handed_on_to_nobody(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        await app.send(item="a", n=80)
        card = await app.card()
        await hand_on(app, card)
        args = card.body["args"] | {"amount": {"minor": 7_000, "currency": "EUR"}}
        await app.kernel.approving.change(
            card.id, binding=card.body["binding"], args=args, reason="", person="kim"
        )
        changed = (await app.until(lambda v: [c for c in v.cards() if c.id.endswith("~1")]))[0]
        with pytest.raises(NotAnswerable, match="nobody is asked for it"):
            await hand_on(app, card, "maya")
        with pytest.raises(NotAnswerable, match="ines is not asked"):
            await approve(app, changed, "ines")


async def test_the_story_says_who_handed_it_on_and_why(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await hand_on(app, card)
        row, zone = app.run(run), app.system.project.settings.zone
        telling = app.read(lambda view: read_telling(view, row, zone, {}))
        for told in (why_run(telling), why_action(telling, "1")):
            said = "\n".join(told["sentences"])
            assert f'kim asks ines, who keeps it: "{WORDS}"' in said
        assert f"deputize approve {card.id}" in "\n".join(why_action(telling, "1")["sentences"])


# -- over HTTP, by the command line, and by post -----------------------------------------------------------


async def test_over_http_it_needs_words_and_what_was_read(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk, SERVER + KEPT)) as served:
        run = await served.send("1", item="a", n=80)
        await served.app.card()
        (card,) = (await served.http.get("/v1/inbox")).json()["cards"]
        assert card["handed"] == ""

        async def say(**more: Any) -> Any:
            body = {"kind": "ask_keeper", "binding": card["binding"], "reason": WORDS} | more
            return await served.http.post(f"/v1/inbox/{card['id']}/answer", json=body)

        assert (await say()).status_code == 401
        await served.speak_as("kim")
        assert (await say(reason="")).status_code == 422
        assert (await say(binding="0" * 24)).status_code == 409
        assert (await say()).json()["said"] == "handed on: ines is asked, too"
        (card,) = (await served.http.get("/v1/inbox")).json()["cards"]
        assert card["handed"] == f'kim asks ines, who keeps it: "{WORDS}"'
        await served.speak_as("ines")
        body = {"kind": "approve", "binding": card["binding"]}
        assert (await served.http.post(f"/v1/inbox/{card['id']}/answer", json=body)).status_code == 200
        assert await served.app.label(run) == "done(Item)"


def test_the_command_line_hands_on_and_shows_it(tmp_path: Path) -> None:
    own = new_project(tmp_path)
    (own / "rules" / "approvals.toml").write_text(
        '[[rule]]\ntitle = "Somebody reads it first"\noperation = "notebook.write"\n'
        'ask_always = true\nask = "finance"\n'
    )
    settings = own / "deputize.toml"
    settings.write_text(re.sub(r'(\[keepers\]\ndefault =) "\w+"', r'\1 "otto"', settings.read_text()))
    with served(own):
        sent = deputize(own, "send", "visitor.arrived", "--data", '{"name": "Bea"}', "--json").json()
        card = f"{sent['runs'][0]}/1"
        assert any(deputize(own, "inbox", "--json").json()["cards"] for _ in range(60))
        login(own, "otto")
        unasked = deputize(own, "approve", card)
        assert unasked.code == 1 and "otto is not asked" in unasked.err
        login(own, "kim")
        assert deputize(own, "ask-keeper", card).code == 2
        done = deputize(own, "ask-keeper", card, "--reason", WORDS)
        assert done.code == 0 and "Handed on: otto is asked, too." in done.out, done
        told = deputize(own, "inbox").out
        assert f'handed: kim asks otto, who keeps it: "{WORDS}"' in told
        login(own, "otto")
        assert deputize(own, "approve", card).code == 0


@pytest.fixture
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with Town.start(tmp_path_factory.mktemp("town"), customers=1) as started:
        yield started


async def test_the_keeper_is_told_and_the_others_not_again(tmp_path: Path, desk: Desk, town: Town) -> None:
    people = "".join(
        f'[people.{name}]\nemail = "{name}@example.test"\n' + (f'roles = ["{role}"]\n' if role else "")
        for name, role in (("maya", "finance"), ("kim", "finance"), ("ines", ""))
    )
    clock = ShiftedClock()
    root = telling_project(tmp_path, desk, town, people=people + '[keepers]\npays = "ines"\n')
    async with running(root, clock=clock) as app:
        await ask_for(app, 1)
        clock.shift_s += 301
        await app.system.notifier.turn()
        assert subjects(town, "ines@example.test") == [] and len(town.letters()) == 2
        await hand_on(app, await app.card())
        await app.system.notifier.turn()
        clock.shift_s += 301
        await app.system.notifier.turn()
        (letter,) = town.letters("ines@example.test")
        assert f'Handed: kim asks ines, who keeps it: "{WORDS}"' in letter["text"]
        assert len(town.letters()) == 3

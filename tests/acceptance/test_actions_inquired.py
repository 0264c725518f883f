"""What was found out counts for just what it was about, and only as things still stand."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deputize import canonical
from deputize.store.protocol import CardRow, View
from deputize.store.telling import read_telling
from deputize.why import why_action
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.inquiries import (
    MAY_VERIFY,
    PAYS,
    REHEARSED,
    SETTLING,
    TAKES,
    VERIFIED,
    inquired_project,
    taken_back_by,
)
from tests.support.running import Running, ShiftedClock, running

WORDS = """
from deputize import Call, Connector, Intent, Verification, agree, cannot_tell, disagree
connector = Connector("audit", version="1")

@connector.operation(effect="read", timeout_s=0.4, attempts_max=2)
async def is_due(call: Call, intent: Intent) -> Verification:
    said = (await call.get(f"/owed/{next(iter(intent.args.values()))}")).json()
    return disagree(said["why"], **said.get("found", {})) if said["why"] else agree()
"""

SETTLE_VERIFIED = (
    REHEARSED
    + MAY_VERIFY
    + """
[[rule]]
title = "Settlements are checked"
operation = "desk.settle"
verify_with = "audit.is_due"
by = "auditor"
"""
)

ANYONE = VERIFIED.replace('agent = "auditor"\n', "")
"""Whoever asks may look."""

ALWAYS = """
[[rule]]
title = "Always asked"
operation = "desk.pay"
ask_always = true
ask = "finance"
"""


async def approve(app: Running, card: CardRow, person: str = "maya") -> None:
    await app.kernel.approving.approve(card.id, binding=card.body["binding"], person=person)


async def another_card(app: Running, than: CardRow) -> CardRow:
    return (await app.until(lambda view: [card for card in view.cards() if card.seq != than.seq]))[0]


def in_words(root: Path) -> Path:
    """The verifier says whatever the page says."""
    (root / "connectors" / "audit.py").write_text(WORDS)
    return root


# -- as things stand ------------------------------------------------------------------------------------


async def test_two_actions_on_one_resource_are_each_verified_after_the_one_before(
    tmp_path: Path, desk: Desk
) -> None:
    desk.pages["/owed/a"] = {"minor": 8_000}
    desk.hold = asyncio.Event()
    async with running(inquired_project(tmp_path, desk)) as app:
        runs = [await app.send(item="a", n=80), await app.send(item="a", n=80)]
        await desk.seen_of(1)
        # What is being paid is owed no more.
        desk.pages["/owed/a"] = {"minor": 0}
        desk.hold.set()
        card = await app.card()
        assert card.body["findings"][0]["says"] == "disagree"
        ended = [run for run in runs if not card.id.startswith(run)]
        assert await app.label(ended[0]) == "done(Item)" and len(desk.writes) == 1


async def test_what_was_found_before_another_action_on_the_resource_is_found_out_anew(
    tmp_path: Path, desk: Desk
) -> None:
    """Without waiting for it: the other one began and ended while it was found out."""
    desk.pages["/owed/a"] = {"minor": 8_000}
    async with running(inquired_project(tmp_path, desk)) as app:
        perform = app.kernel.parts.performer.perform
        go_on, asked = asyncio.Event(), 0

        async def held_back(operation: Any, args: bytes, *, key: str, attempt: int) -> bytes:
            nonlocal asked
            got: bytes = await perform(operation, args, key=key, attempt=attempt)
            if operation.name == "audit.is_due":
                asked += 1
                if asked == 2:
                    await go_on.wait()
            return got

        app.kernel.parts.performer.perform = held_back
        first, second = await app.send(item="a", n=80), await app.send(item="a", n=80)
        await app.until(lambda view: ended_of(view, first, second))
        desk.pages["/owed/a"] = {"minor": 0}
        go_on.set()
        card = await app.card()
        assert card.body["findings"][0]["says"] == "disagree" and len(desk.writes) == 1


def ended_of(view: View, *runs: str) -> bool:
    """Whether one of these has ended."""
    return any((row := view.run(run)) is not None and row.state == "ended" for run in runs)


# -- just that ------------------------------------------------------------------------------------------


async def test_an_approval_in_spite_of_one_reason_is_not_for_another(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    desk.pages["/owed/a"] = {"why": "it is two days late"}
    async with running(in_words(inquired_project(tmp_path, desk)), clock=clock) as app:
        await app.send(item="a", n=80)
        first = await app.card()
        await app.gone()
        clock.shift_s = 2 * 3_600
        desk.pages["/owed/a"] = {"why": "the account is on the sanctions list"}
        await approve(app, first)
        second = await another_card(app, first)
        assert "sanctions" in second.body["findings"][0]["reason"] and desk.writes == []


@pytest.mark.parametrize("file", ["desk.py", "audit.py"])
async def test_a_finding_does_not_outlive_the_contracts_it_was_made_under(
    tmp_path: Path, desk: Desk, file: str
) -> None:
    desk.pages["/owed/a"] = {"minor": 8_000}
    root = inquired_project(tmp_path, desk, VERIFIED + ALWAYS)
    async with running(root) as app:
        await app.send(item="a", n=80)
        first = await app.card()
        await app.gone()
    path = root / "connectors" / file
    path.write_text(path.read_text().replace('version="1"', 'version="2"'))
    desk.pages["/owed/a"] = {"minor": 0}
    async with running(root) as app:
        await approve(app, first)
        second = await another_card(app, first)
        assert second.body["findings"][0]["says"] == "disagree" and desk.writes == []


async def test_a_finding_about_one_agent_is_not_for_another(tmp_path: Path, desk: Desk) -> None:
    agents = 'worker = agent("worker")\nauditor = agent("auditor")\nother = agent("other")'
    desk.pages["/owed/a"] = {"minor": 8_000}
    root = inquired_project(tmp_path, desk, VERIFIED + ALWAYS, agents=agents)
    async with running(root) as app:
        await app.send(item="a", n=80)
        first = await app.card()
        await app.gone()
    path = root / "automations" / "work.py"
    path.write_text(path.read_text().replace("agent=worker", "agent=other"))
    async with running(root) as app:
        await approve(app, first)
        second = await another_card(app, first)
        assert [sent.method for sent in desk.seen] == ["GET", "GET"]
        assert second.body["findings"][0]["path"] == "1/2"


async def test_nothing_is_found_out_anew_while_people_have_not_said_enough(
    tmp_path: Path, desk: Desk
) -> None:
    clock = ShiftedClock()
    desk.pages["/owed/a"] = {"minor": 8_000}
    two = ALWAYS.replace("ask_always = true", 'two_people_above = { amount = "1.00 EUR" }')
    async with running(inquired_project(tmp_path, desk, VERIFIED + two), clock=clock) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await app.gone()
        clock.shift_s = 2 * 3_600
        await approve(app, card, "maya")
        await app.gone()
        assert len(desk.seen) == 1
        await approve(app, card, "kim")
        assert await app.label(run) == "done(Item)"
        assert [sent.method for sent in desk.seen] == ["GET", "GET", "POST"]


# -- undo, cancel, doubt --------------------------------------------------------------------------------


async def test_an_undo_that_is_rehearsed_and_verified_rests_on_what_is_recorded(
    tmp_path: Path, desk: Desk
) -> None:
    desk.pages |= {
        "/owed/a": {"minor": 10_000},
        "/accounts/a": {"item": "a", "status": "open"},
        "/foretold/a?minor=500": {"item": "a", "status": "paid"},
    }
    root = inquired_project(
        tmp_path, desk, SETTLE_VERIFIED, automations=TAKES, connector=taken_back_by("settle")
    )
    async with running(root) as app:
        run = await app.send(item="a")
        await app.label(run)
        await app.kernel.unwinding.undo(run, reason="a mistake", person="kim")
        await app.until(lambda view: not view.unwinding_runs())
        _, intent = app.entries(run, "intent")
        paths = {one["path"] for one in (intent.body or {})["findings"]}
        assert paths == {"undo/1/2", "undo/1/3"} <= app.actions(run).keys()
        assert app.actions(run)["undo/1"].state == "settled" and len(desk.seen) == 5


async def test_a_run_that_is_cancelled_between_two_inquiries_ends(tmp_path: Path, desk: Desk) -> None:
    desk.pages |= {"/owed/a": {"minor": 8_000}, "/accounts/a": {"item": "a", "status": "open"}}
    desk.pages["/foretold/a?minor=8000"] = {"item": "a", "status": "paid"}
    async with running(inquired_project(tmp_path, desk, SETTLE_VERIFIED, automations=SETTLING)) as app:
        rehearse = app.kernel.parts.performer.rehearse
        there, go_on = asyncio.Event(), asyncio.Event()

        async def held_back(operation: Any, args: bytes) -> bytes:
            there.set()
            await go_on.wait()
            got: bytes = await rehearse(operation, args)
            return got

        app.kernel.parts.performer.rehearse = held_back
        run = await app.send(item="a", n=80)
        await there.wait()
        await app.kernel.people.cancel(run, person="maya")
        go_on.set()
        assert (await app.ended(run))[0].label == "cancelled" and desk.writes == []


async def test_a_run_that_is_cancelled_while_its_verifier_is_tried_again_ends(
    tmp_path: Path, desk: Desk
) -> None:
    desk.pages["/owed/a"] = 503
    async with running(inquired_project(tmp_path, desk)) as app:
        tried = asyncio.Event()
        app.hooks["read.before"] = tried.set
        run = await app.send(item="a", n=80)
        await tried.wait()
        await app.kernel.people.cancel(run, person="maya")
        assert (await app.ended(run))[0].label == "cancelled"


async def test_a_verifier_asked_a_second_time_is_its_own_agents_and_paid_by_it(
    tmp_path: Path, desk: Desk
) -> None:
    desk.pages["/owed/a"] = {"minor": 8_000}
    desk.lost_once.add("/owed/a")
    agents = (
        'worker = agent("worker", budgets=[budget("0.01 USD cost", per="day", name="work")])\n'
        'auditor = agent("auditor", budgets=[budget("0.01 USD cost", per="day", name="audits")])'
    )
    async with running(inquired_project(tmp_path, desk, ANYONE, price=1_000, agents=agents)) as app:
        run = await app.send(item="a", n=80)
        assert await app.label(run) == "done(Item)"
        assert app.budget("worker: work") == (0, 0) and app.budget("auditor: audits") == (0, 2_000)
        assert sorted(app.actions(run)) == ["1", "1/1"], "what came of it is used, and it is not asked anew"


async def test_a_verifier_whose_agent_is_halted_is_not_asked_a_second_time(
    tmp_path: Path, desk: Desk
) -> None:
    desk.pages["/owed/a"] = {"minor": 8_000}
    desk.lost_once.add("/owed/a")
    async with running(inquired_project(tmp_path, desk, ANYONE, price=1_000)) as app:
        asked = asyncio.Event()

        def halted() -> None:
            app.kernel.parts.stops.stop("agent:auditor", "")
            asked.set()

        app.hooks["send.before"] = halted
        run = await app.send(item="a", n=80)
        await asked.wait()
        await app.action(run, "1/1", "doubtful")
        await app.kernel.people.stop("agent:auditor", "", "maya")
        await app.gone()
        assert [sent.path for sent in desk.seen] == ["/owed/a"]
        app.hooks.clear()
        await app.kernel.people.lift("agent:auditor", "maya")
        assert await app.label(run) == "done(Item)"


async def test_a_persons_word_for_a_verifier_in_doubt_is_what_it_found(tmp_path: Path, desk: Desk) -> None:
    desk.faults.extend([fault("lost"), fault("lost")])
    async with running(inquired_project(tmp_path, desk, ANYONE, price=1_000)) as app:
        run = await app.send(item="a", n=80)
        doubt = await app.card()
        assert (doubt.id, doubt.kind) == (f"{run}/1/1", "doubt")
        said = {"says": "disagree", "reason": "they told me on the phone", "found": {}}
        await app.answer(doubt.id, "happened", said)
        card = await another_card(app, doubt)
        (finding,) = card.body["findings"]
        assert (card.id, finding["says"], finding["path"]) == (f"{run}/1", "disagree", "1/1")
        assert desk.writes == []


async def test_the_drift_of_a_priced_verifier_needs_a_person_after_a_restart_too(
    tmp_path: Path, desk: Desk
) -> None:
    desk.pages["/owed/a"] = {"minor": "much"}
    root = inquired_project(tmp_path, desk, price=1_000)
    async with running(root) as app:
        run = await app.send(item="a", n=80)
        await app.state(run, "stuck")
        await app.gone()
    desk.pages["/owed/a"] = {"minor": 8_000}
    async with running(root) as app:
        await app.gone()
        assert app.run(run).state == "stuck"
        (card,) = app.cards()
        await app.answer(card.id, "happened", {"says": "agree", "reason": "", "found": {}})
        assert await app.label(run) == "done(Item)"


async def test_who_has_it_done_again_decides_what_a_verifier_would_leave_to_them(
    tmp_path: Path, desk: Desk
) -> None:
    rules = VERIFIED.replace("desk.pay", "desk.plain")
    pays = PAYS.replace(
        'desk.pay(account=event.data.item, amount=Money(100 * event.data.n, "EUR"))',
        "desk.plain(item=event.data.item)",
    )
    desk.pages["/owed/a"] = {"why": ""}
    desk.lost_once.add("/plain")
    async with running(in_words(inquired_project(tmp_path, desk, rules, automations=pays))) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await app.answer(card.id, "do_again")
        assert await app.label(run) == "done(Item)"


# -- what is told ---------------------------------------------------------------------------------------


async def test_what_is_found_is_told_up_to_a_size(tmp_path: Path, desk: Desk) -> None:
    found = {"found": {"blob": ["a" * 900] * 300}}
    desk.pages["/owed/a"] = {"why": "so much"} | found
    async with running(in_words(inquired_project(tmp_path, desk))) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        assert len(canonical.encode(card.body)) < 10_000
        assert card.body["findings"][0]["shown"]["bytes"] > 250_000
        (read,) = app.entries(run, "read")
        assert read.body is not None and len(read.body["result"]["found"]["blob"]) == 300


async def test_a_refusal_for_want_of_people_says_what_was_found(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/owed/a"] = {"minor": 6_000}
    async with running(inquired_project(tmp_path, desk, people="")) as app:
        run = await app.send(item="a", n=80)
        await app.ended(run)
        (refused,) = app.entries(run, "refused")
        assert "does not agree: more than is owed" in (refused.body or {})["reason"]


async def test_the_story_says_which_rule_wanted_the_approval(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/owed/a"] = {"minor": 8_000}
    async with running(inquired_project(tmp_path, desk, VERIFIED + ALWAYS)) as app:
        run = await app.send(item="a", n=80)
        await approve(app, await app.card(), "kim")
        await app.ended(run)
        zone = app.system.project.settings.zone
        row = app.run(run)
        telling = app.read(lambda view: read_telling(view, row, zone, {}))
        told = why_action(telling, "1")["sentences"]
        assert '"Always asked" wanted an approval, which kim gave.' in told
        assert '"Payments are checked against the books" wanted more to be found out first.' in told

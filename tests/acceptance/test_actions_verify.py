"""The tier `verify`: a second look by another path before an action starts, and else a person."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deputize.store.protocol import CardRow
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.inquiries import MAY_VERIFY, TAKES, VERIFIED, inquired_project, taken_back_by
from tests.support.running import Running, ShiftedClock, running

ASKS = """
[[rule]]
title = "More than 50 euros waits for a person"
operation = "desk.pay"
ask_above = { amount = "50.00 EUR" }
ask = "finance"
"""

THEN_WAITS = """
from datetime import timedelta
@automation(on=Ask, agent=worker)
async def pays(event: Event[Ask]) -> Outcome:
    await desk.pay(account=event.data.item, amount=Money(100 * event.data.n, "EUR"))
    word = await wait_for(Word, matching={"item": event.data.item}, within=timedelta(hours=1))
    await desk.pay(account=event.data.item, amount=Money(100 * event.data.n, "EUR"))
    return done(word.data.text)
"""

BESIDE = """
@automation(on=Ask, agent=worker)
async def pays(event: Event[Ask]) -> Outcome:
    await together(desk.put(item="beside"), desk.pay(account="a", amount=Money(100, "EUR")))
    return done("both")
"""

BOTH = """
@automation(on=Ask, agent=worker)
async def pays(event: Event[Ask]) -> Outcome:
    await together(*(desk.pay(account=event.data.item + n, amount=Money(100, "EUR")) for n in "xy"))
    return done("both")
"""


async def approve(app: Running, card: CardRow, person: str = "maya") -> str:
    said: str = await app.kernel.approving.approve(card.id, binding=card.body["binding"], person=person)
    return said


def found_in(body: Any) -> list[tuple[str, str]]:
    return [(one["says"], one["path"]) for one in body["findings"]]


async def test_an_action_that_the_verifier_agrees_with_starts_without_a_person(
    tmp_path: Path, desk: Desk
) -> None:
    desk.pages["/owed/a"] = {"minor": 8_000}
    async with running(inquired_project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        assert await app.label(run) == "done(Item)"
        assert app.cards() == [] and [sent.method for sent in desk.seen] == ["GET", "POST"]
        verifying = app.actions(run)["1/1"]
        assert (verifying.operation, verifying.agent, verifying.state) == (
            "audit.is_due",
            "auditor",
            "settled",
        )
        (intent,) = app.entries(run, "intent")
        assert found_in(intent.body) == [("agree", "1/1")]


async def test_the_verifier_is_given_the_intent_and_not_the_reasoning(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/owed/a"] = {"minor": 8_000}
    async with running(inquired_project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        await app.ended(run)
        (read,) = app.entries(run, "read")
        assert read.body is not None
        intent = read.body["args"]["intent"]
        assert intent["operation"] == "desk.pay" and intent["agent"] == "worker"
        assert intent["args"] == {"account": "a", "amount": {"minor": 8_000, "currency": "EUR"}}
        assert "thoughts" not in str(read.body)


async def test_a_disagreement_stops_the_action_with_both_sides_on_the_card(
    tmp_path: Path, desk: Desk
) -> None:
    desk.pages["/owed/a"] = {"minor": 6_000}
    async with running(inquired_project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        assert desk.writes == [] and app.run(run).state == "waiting"
        (finding,) = card.body["findings"]
        assert (finding["says"], finding["reason"], finding["shown"]) == (
            "disagree",
            "more than is owed",
            {"owed": 6_000},
        )
        assert card.body["args"]["amount"]["minor"] == 8_000
        assert card.body["demands"][0]["tier"] == "approval"
        assert await approve(app, card) == "approved"
        assert await app.label(run) == "done(Item)"
        (intent,) = app.entries(run, "intent")
        assert intent.body is not None and found_in(intent.body) == [("disagree", "1/1")]
        assert [one["person"] for one in intent.body["approvals"]] == ["maya"]


async def test_a_person_may_refuse_what_the_verifier_did_not_agree_with(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/owed/a"] = {"minor": 6_000}
    async with running(inquired_project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await app.kernel.approving.refuse(
            card.id, binding=card.body["binding"], reason="too much", person="maya"
        )
        assert await app.label(run) == "done(Refused)" and desk.writes == []


async def test_a_verifier_that_cannot_tell_or_is_not_heard_leaves_it_to_a_person(
    tmp_path: Path, desk: Desk
) -> None:
    desk.pages |= {"/owed/a": {}, "/owed/b": 500, "/owed/c": 404, "/owed/d": {"minor": "much"}}
    async with running(inquired_project(tmp_path, desk)) as app:
        for item in "abcd":
            run = await app.send(item=item, n=80)
            card = await app.until(lambda view: [c for c in view.cards() if c.id.startswith(run)])  # noqa: B023
            (finding,) = card[0].body["findings"]
            assert finding["says"] == "cannot_tell" and finding["reason"]
        assert desk.writes == []


async def test_a_verifier_that_the_rules_do_not_permit_leaves_it_to_a_person(
    tmp_path: Path, desk: Desk
) -> None:
    rules = VERIFIED.replace(MAY_VERIFY, "")
    async with running(inquired_project(tmp_path, desk, rules)) as app:
        await app.send(item="a", n=80)
        (finding,) = (await app.card()).body["findings"]
        assert (finding["says"], finding["reason"]) == ("cannot_tell", "no rule permits it")
        assert desk.seen == []


async def test_a_verifier_that_waits_for_a_person_itself_is_not_heard(tmp_path: Path, desk: Desk) -> None:
    rules = VERIFIED + ASKS.replace("desk.pay", "audit.is_due").replace(
        'ask_above = { amount = "50.00 EUR" }', "ask_always = true"
    )
    async with running(inquired_project(tmp_path, desk, rules)) as app:
        await app.send(item="a", n=80)
        (finding,) = (await app.card()).body["findings"]
        assert finding["says"] == "cannot_tell" and finding["reason"].startswith("held by")
        assert desk.seen == []


async def test_nor_is_a_priced_one_that_does(tmp_path: Path, desk: Desk) -> None:
    rules = VERIFIED + ASKS.replace("desk.pay", "audit.is_due").replace(
        'ask_above = { amount = "50.00 EUR" }', "ask_always = true"
    )
    async with running(inquired_project(tmp_path, desk, rules, price=1_000)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        (finding,) = card.body["findings"]
        assert (card.id, finding["says"]) == (f"{run}/1", "cannot_tell")
        assert desk.seen == []


@pytest.mark.parametrize("price", [0, 1_000])
async def test_an_agent_that_may_not_use_the_verifier_is_not_heard(
    tmp_path: Path, desk: Desk, price: int
) -> None:
    agents = 'worker = agent("worker")\nauditor = agent("auditor", may=["desk.read"])'
    async with running(inquired_project(tmp_path, desk, price=price, agents=agents)) as app:
        await app.send(item="a", n=80)
        (finding,) = (await app.card()).body["findings"]
        assert finding["reason"] == "the agent auditor may not use audit.is_due"
        assert desk.seen == []


async def test_what_a_hard_rule_forbids_is_refused_before_anybody_verifies_it(
    tmp_path: Path, desk: Desk
) -> None:
    never = '[[rule]]\ntitle = "Never"\noperation = "desk.pay"\nnever_above = { amount = "50.00 EUR" }\n'
    async with running(inquired_project(tmp_path, desk, VERIFIED + never)) as app:
        assert await app.label(await app.send(item="a", n=80)) == "done(Refused)"
        assert desk.seen == []


async def test_verified_above_a_limit_alone(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/owed/a"] = {"minor": 99_000}
    rules = VERIFIED + 'above = { amount = "50.00 EUR" }\n'
    async with running(inquired_project(tmp_path, desk, rules)) as app:
        assert await app.label(await app.send(item="a", n=50)) == "done(Item)"
        assert [sent.method for sent in desk.seen] == ["POST"]
        assert await app.label(await app.send(item="a", n=51)) == "done(Item)"
        assert [sent.method for sent in desk.seen] == ["POST", "GET", "POST"]


async def test_every_demand_is_met_before_it_starts(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/owed/a"] = {"minor": 8_000}
    async with running(inquired_project(tmp_path, desk, VERIFIED + ASKS)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        assert found_in(card.body) == [("agree", "1/1")] and len(card.body["demands"]) == 1
        await approve(app, card, "kim")
        assert await app.label(run) == "done(Item)"
        assert [sent.method for sent in desk.seen] == ["GET", "POST"]


async def test_an_approval_in_spite_of_a_verifier_is_not_for_what_it_finds_later(
    tmp_path: Path, desk: Desk
) -> None:
    clock = ShiftedClock()
    desk.pages["/owed/a"] = {"minor": 6_000}
    async with running(inquired_project(tmp_path, desk), clock=clock) as app:
        run = await app.send(item="a", n=80)
        first = await app.card()
        await app.gone()
        clock.shift_s = 2 * 3_600
        desk.pages["/owed/a"] = {"minor": 10}
        await approve(app, first)
        second = await app.until(lambda view: [c for c in view.cards() if c.seq != first.seq])
        assert second[0].body["binding"] != first.body["binding"]
        assert found_in(second[0].body) == [("disagree", "1/2")] and desk.writes == []
        await approve(app, second[0])
        assert await app.label(run) == "done(Item)"


async def test_what_was_found_an_hour_ago_is_found_out_anew(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    desk.pages["/owed/a"] = {"minor": 6_000}
    async with running(inquired_project(tmp_path, desk), clock=clock) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await app.gone()
        clock.shift_s = 2 * 3_600
        desk.pages["/owed/a"] = {"minor": 8_000}
        await approve(app, card)
        assert await app.label(run) == "done(Item)"
        (intent,) = app.entries(run, "intent")
        assert found_in(intent.body) == [("agree", "1/2")]


async def test_changed_arguments_are_verified_anew(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/owed/a"] = {"minor": 6_000}
    async with running(inquired_project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        args = {"account": "a", "amount": {"minor": 6_000, "currency": "EUR"}}
        await app.kernel.approving.change(
            card.id, binding=card.body["binding"], args=args, reason="", person="maya"
        )
        assert await app.label(run) == "done(Item)"
        (intent,) = app.entries(run, "intent")
        assert intent.body is not None
        assert (intent.body["path"], found_in(intent.body)) == ("1~1", [("agree", "1~1/1")])


async def test_a_run_whose_actions_were_verified_goes_on_from_its_record(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/owed/a"] = {"minor": 8_000}
    root = inquired_project(tmp_path, desk, automations=THEN_WAITS)
    async with running(root) as app:
        run = await app.send(item="a", n=80)
        await app.state(run, "waiting")
    async with running(root) as app:
        await app.send(type="test.word", item="a", text="on")
        assert await app.label(run) == "done(on)"
        assert sorted(app.actions(run)) == ["1", "1/1", "3", "3/1"]
        assert len(desk.writes) == 2


async def test_side_by_side_each_is_verified(tmp_path: Path, desk: Desk) -> None:
    desk.pages |= {"/owed/ax": {"minor": 100}, "/owed/ay": {"minor": 100}}
    async with running(inquired_project(tmp_path, desk, automations=BOTH)) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "done(both)"
        assert sorted(app.actions(run)) == ["1.0", "1.0/1", "1.1", "1.1/1"]


async def test_a_priced_verifier_is_paid_from_its_agents_budget_and_asked_anew_where_its_answer_is_lost(
    tmp_path: Path, desk: Desk
) -> None:
    desk.pages["/owed/a"] = {"minor": 8_000}
    desk.faults.extend([fault("lost")])
    agents = (
        'worker = agent("worker")\n'
        'auditor = agent("auditor", budgets=[budget("0.01 USD cost", per="day", name="audits")])'
    )
    async with running(inquired_project(tmp_path, desk, price=1_000, agents=agents)) as app:
        run = await app.send(item="a", n=80)
        assert await app.label(run) == "done(Item)"
        assert app.budget("auditor: audits")[1] == 2_000
        assert len(desk.writes) == 1


async def test_an_action_whose_verifier_was_in_doubt_goes_on_though_its_run_has_not_left_memory(
    tmp_path: Path, desk: Desk
) -> None:
    desk.pages["/owed/a"] = {"minor": 100}
    desk.lost_once.add("/owed/a")
    desk.hold = asyncio.Event()
    async with running(inquired_project(tmp_path, desk, automations=BESIDE, price=1_000)) as app:
        run = await app.send(item="a")
        # The other write is held at the service until this one is there, too.
        await desk.seen_of(2)
        desk.hold.set()
        assert await app.label(run) == "done(both)"
        assert [(entry.body or {})["path"] for entry in app.entries(run, "doubt")] == ["1.1/1"]


async def test_a_run_is_not_cancelled_around_a_verifier_in_doubt(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/owed/a"] = {"minor": 8_000}
    desk.faults.append(fault("hang"))
    async with running(inquired_project(tmp_path, desk, price=1_000)) as app:
        run = await app.send(item="a", n=80)
        await app.action(run, "1/1", "open")
        await app.kernel.people.cancel(run, person="maya")
        assert (await app.ended(run))[0].label == "cancelled"
        assert desk.writes == []
        assert app.actions(run)["1/1"].state in ("settled", "refused")


async def test_where_there_is_nobody_to_ask_a_disagreement_refuses(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/owed/a"] = {"minor": 6_000}
    async with running(inquired_project(tmp_path, desk, people="")) as app:
        run = await app.send(item="a", n=80)
        assert await app.label(run) == "done(Refused)"
        (refused,) = app.entries(run, "refused")
        assert refused.body is not None and "there is nobody to ask" in refused.body["reason"]
        assert desk.writes == []


async def test_a_halt_keeps_a_verifier_from_being_asked(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/owed/a"] = {"minor": 8_000}
    async with running(inquired_project(tmp_path, desk)) as app:
        await app.kernel.people.stop("connector:audit", "", "maya")
        run = await app.send(item="a", n=80)
        await app.gone()
        assert desk.seen == [] and app.run(run).state == "ready"
        await app.kernel.people.lift("connector:audit", "maya")
        assert await app.label(run) == "done(Item)"


async def test_what_undoes_an_action_is_verified_like_any_other(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/owed/a"] = {"minor": 100}
    root = inquired_project(tmp_path, desk, automations=TAKES, connector=taken_back_by("pay"))
    async with running(root) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "done(taken)"
        await app.kernel.unwinding.undo(run, reason="a mistake", person="kim")
        card = await app.card()
        assert found_in(card.body) == [("disagree", "undo/1/1")] and len(desk.writes) == 1
        await approve(app, card)
        await app.until(lambda view: not view.unwinding_runs())
        assert len(desk.writes) == 2 and app.actions(run)["undo/1"].state == "settled"

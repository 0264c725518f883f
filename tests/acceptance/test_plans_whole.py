"""A plan that people approve whole: foreseen, put before them, and then carried out on their word."""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deputize.call import CallBroken
from deputize.card import told_card
from deputize.cli.here import Here
from deputize.cli.restoring import restore_ledger
from deputize.errors import ProjectError
from deputize.kernel.people import NotAnswerable
from deputize.kernel.planning import _Foreseer
from deputize.project import load_project
from deputize.rules import rules_from_text
from deputize.store.erasure import erase_run
from deputize.store.protocol import CardRow, View
from deputize.store.telling import read_telling, read_waiting
from deputize.testing.thinker import Thinker
from deputize.why import why_action
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.plans import ASKS, MORE, PAYS, PEOPLE, approve, due, intents, owes, project
from tests.support.rehearsals import event, rehearsed
from tests.support.running import Running, ShiftedClock, running, so
from tests.support.thinkers import thinker as thinker

from .test_plans import planning, step, written

TWO = ASKS.replace("ask_above", "two_people_above")
NEVER = """
[[rule]]
title = "Never more than 70 euros"
operation = "desk.give"
never_above = { amount = "70.00 EUR" }
"""


def why(app: Running, run: str, path: str) -> list[str]:
    def told(view: Any) -> Any:
        return read_telling(view, view.run(run), app.system.project.settings.zone, {})

    sentences: list[str] = why_action(app.read(told), path)["sentences"]
    return sentences


async def card_at(app: Running, path: str) -> CardRow:
    def found(view: View) -> CardRow | None:
        return next((card for card in view.cards() if card.path == path), None)

    card = await app.until(found)
    assert card is not None
    return card


async def refuse(app: Running, card: CardRow, person: str = "maya", reason: str = "too dear") -> None:
    binding = card.body["binding"]
    await app.kernel.approving.refuse(card.id, binding=binding, reason=reason, person=person)


async def granted_under_halt(app: Running, *, others: tuple[str, ...] = ()) -> str:
    """A run whose plan is granted, and of which nothing can start yet."""
    run = await due(app, others=others)
    card = await app.card()
    await app.gone()
    await app.kernel.people.stop("all", "", "maya")
    await approve(app, card)
    await app.until(lambda view: [e for e in view.entries(card.run) if e.type == "granted"])
    await so(lambda: app.kernel.parts.stops.parked)
    # It waits for nobody any more, though nothing of it has begun.
    assert app.cards() == [] and app.run(run).state == "ready"
    return run


async def go_on(app: Running) -> None:
    await app.kernel.people.lift("all", "maya")


# -- asking ----------------------------------------------------------------------------------------------


async def test_one_grant_of_the_whole_plan_starts_each_of_its_actions(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    root = project(tmp_path / "p", desk)
    async with running(root) as app:
        run = await due(app, others=("y", "z"))
        card = await app.card()
        await app.gone()
        assert (card.kind, card.id, app.run(run).state) == ("approval", f"{run}/1", "waiting")
        # Nothing has been done; what was read for it stands in the record.
        assert desk.writes == []
        assert {path: row.state for path, row in app.actions(run).items()} == {
            "1": "asking",
            "1/1": "settled",
        }
        assert await approve(app, card) == "approved"
        assert await app.label(run) == "done(paid)"
        done = intents(app, run)
        assert [(one["op"], one["args"].get("account", one["args"].get("item"))) for one in done] == [
            ("desk.give", "x"), ("desk.put", "x"), ("desk.give", "y"), ("desk.give", "z"),
        ]  # fmt: skip
        assert [one.get("whole", {}).get("plan") for one in done] == ["1", None, "1", "1"]
        assert app.cards() == [] and app.actions(run)["1"].state == "granted"
        assert app.read(lambda view: view.approvals(card.run, "1")) == []
        assert app.system.store.rebuild(replace=False) == []
    async with running(root) as app:
        assert await app.label(run) == "done(paid)"


async def test_the_card_says_the_plan_and_what_is_foreseen_of_each_step(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    async with running(project(tmp_path / "p", desk)) as app:
        run = await due(app, others=("y",))
        row = await app.card()
        told = told_card(app.read(lambda view: read_waiting(view, row)), {})
        assert told["about"] == 'the plan "Pay what is owed"'
        assert told["of"].startswith("the automation pays, for the event ")
        assert told["digest"] == row.body["plan"]["digest"] and len(told["digest"]) == 64
        stands = 'your approval stands for "More than 50 euros waits for a person"'
        assert told["plan"] == [
            "1. desk.owed with item the event's item.",
            '   foreseen: desk.owed with item "a"; it is answered account "x", amount 80.00 EUR',
            '2. desk.give with account account of debt, amount amount of debt, because "it is due".',
            f'   foreseen: desk.give with account "x", amount 80.00 EUR; it would be done; {stands}',
            "3. desk.put with item account of paid.",
            '   foreseen: desk.put with item "x"; what comes of it cannot be told: desk.put cannot be '
            "rehearsed, and nothing tells key of its result before; give its contract rehearse=, or say "
            "expecting(…)",
            "4. for each of the event's others (10 at most): desk.give with account it, amount 70.00 EUR.",
            f'   foreseen: desk.give with account "y", amount 70.00 EUR; it would be done; {stands}',
            "At the end: paid.",
        ]  # fmt: skip
        assert told["asks"] == [
            '"the plan as a whole" asks finance',
            '"More than 50 euros waits for a person" asks finance',
        ]
        assert [way["command"].split()[1] for way in told["answers"]] == ["approve", "refuse", "ask-keeper"]
        assert f"deputize approve {run}/1" in "\n".join(why(app, run, "1"))
        await approve(app, row)
        await app.label(run)
        assert "maya approved the plan whole." in why(app, run, "1")[-1]
        said = "\n".join(why(app, run, "3"))
        assert "wanted an approval, which maya gave with that of the whole plan (action 1)." in said
        assert "it was approved with the whole plan by maya, recorded, and then sent." in said


async def test_it_is_asked_once_whatever_restarts_and_clicks_there_are(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    root = project(tmp_path / "p", desk, rules=TWO)
    async with running(root) as app:
        run = await due(app)
        card = await app.card()
        await app.gone()
    async with running(root) as app:
        assert await approve(app, card) == "approved; 1 more must approve it"
        assert await approve(app, card) == "approved already; 1 more must approve it"
    async with running(root) as app:
        assert [one.id for one in app.cards()] == [card.id] and desk.writes == []
        assert await approve(app, card, "kim") == "approved"
        assert await app.label(run) == "done(paid)"
        assert [len(app.entries(run, kind)) for kind in ("asked", "granted")] == [1, 1]
        [give, _] = intents(app, run)
        assert sorted(one["person"] for one in give["whole"]["approvals"]) == ["kim", "maya"]
        with pytest.raises(NotAnswerable, match="is granted; nobody is asked"):
            await approve(app, card)


async def test_people_of_the_plan_and_of_each_rule_that_it_covers_must_say_yes(
    tmp_path: Path, desk: Desk
) -> None:
    owes(desk, 8_000)
    plan = PAYS.replace("by: finance", "by: ines")
    async with running(project(tmp_path / "p", desk, plan=plan)) as app:
        run = await due(app)
        card = await app.card()
        assert await approve(app, card, "ines") == "approved; 1 more must approve it"
        assert desk.writes == []
        assert await approve(app, card, "maya") == "approved"
        assert await app.label(run) == "done(paid)"


async def test_nobody_grants_the_plan_that_they_have_asked_for(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    async with running(project(tmp_path / "p", desk)) as app:
        app.sender = "maya"
        run = await due(app)
        card = await app.card()
        with pytest.raises(NotAnswerable, match="maya asked for it; nobody approves their own request"):
            await approve(app, card)
        with pytest.raises(NotAnswerable, match="ines is not asked for this; it asks kim and maya"):
            await approve(app, card, "ines")
        await approve(app, card, "kim")
        assert await app.label(run) == "done(paid)"


async def test_a_plan_is_granted_as_it_is_or_refused_with_a_reason(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    async with running(project(tmp_path / "p", desk)) as app:
        run = await due(app)
        card = await app.card()
        with pytest.raises(NotAnswerable, match="a plan is granted or refused whole, as it is"):
            await app.kernel.approving.change(
                card.id, binding=card.body["binding"], args={}, reason="", person="maya"
            )
        await refuse(app, card)
        [ended] = await app.ended(run)
        assert ended.label == "gave_up(refused)"
        [last] = app.entries(run, "ended")
        assert last.body and last.body["details"] == {"reason": "refused by maya: too dear"}
        assert desk.writes == [] and app.cards() == []


@pytest.mark.parametrize(("otherwise", "kind"), [("expire", "expired"), ("refuse", "refused")])
async def test_silence_until_the_deadline_is_a_no(
    tmp_path: Path, desk: Desk, otherwise: str, kind: str
) -> None:
    owes(desk, 4_000)
    clock = ShiftedClock()
    plan = PAYS.replace("within: 2 hours", f"within: 2 hours, otherwise: {otherwise}")
    async with running(project(tmp_path / "p", desk, plan=plan), clock=clock) as app:
        run = await due(app)
        card = await app.card()
        assert card.body["due"] - card.at == 7_200_000_000
        clock.shift_s = 7_201
        with pytest.raises(NotAnswerable, match="was over at"):
            await approve(app, card)
        app.kernel._wake_soon()
        [ended] = await app.ended(run)
        assert ended.label == f"gave_up({kind})"
        [refused] = app.entries(run, "refused")
        assert refused.body and "waited for the approval of finance" in refused.body["reason"]
        assert desk.writes == []


async def test_a_grant_that_is_taken_up_too_late_is_none(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 4_000)
    clock = ShiftedClock()
    async with running(project(tmp_path / "p", desk), clock=clock) as app:
        run = await due(app)
        card = await app.card()
        await app.gone()
        app.hooks["whole.before"] = lambda: setattr(clock, "shift_s", 7_201)
        await approve(app, card)
        assert await app.label(run) == "gave_up(expired)"
        [refused] = app.entries(run, "refused")
        assert (
            refused.body and "maya approved it, and it could not start in its time" in refused.body["reason"]
        )
        assert desk.writes == []


async def test_what_foresees_a_plan_has_no_way_to_do_anything(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path / "p", desk)) as app:
        run = await due(app)
        await app.card()
        row, loop = app.run(run), asyncio.get_running_loop()
        standing: Any = SimpleNamespace(no=row.no)
        foreseer = _Foreseer(app.kernel.parts, app.kernel.gate.inquiring, standing, "1", loop)
        for name, operation in app.system.project.operations.items():
            if operation.contract.effect == "write":
                with pytest.raises(
                    CallBroken, match=f"{name} is no read, and nothing is done before a plan is"
                ):
                    foreseer.read(operation, b"{}")
        assert desk.writes == []


async def test_whoever_is_asked_must_be_there(tmp_path: Path, desk: Desk) -> None:
    with pytest.raises(
        ProjectError, match=r"approve: deputize.toml has no person, .* 'finanse'; did you mean"
    ):
        load_project(project(tmp_path / "p", desk, plan=PAYS.replace("by: finance", "by: finanse")))


# -- what a grant covers ---------------------------------------------------------------------------------


async def test_what_came_out_otherwise_is_covered_where_no_other_rule_asks(
    tmp_path: Path, desk: Desk
) -> None:
    owes(desk, 8_000)
    async with running(project(tmp_path / "p", desk, rules=ASKS + MORE)) as app:
        run = await due(app)
        card = await app.card()
        owes(desk, 8_500)
        await approve(app, card)
        assert await app.label(run) == "done(paid)"
        assert intents(app, run)[0]["args"]["amount"]["minor"] == 8_500


async def test_a_rule_that_newly_asks_has_a_card_of_its_own(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    root = project(tmp_path / "p", desk, rules=ASKS + MORE)
    async with running(root) as app:
        run = await due(app)
        card = await app.card()
        owes(desk, 9_500)
        await approve(app, card)
        another = await card_at(app, "3")
        # What the plan's grant covers is not asked once more.
        assert [demand["title"] for demand in another.body["demands"]] == [
            "More than 90 euros waits for Ines"
        ]
        await app.gone()
        assert desk.writes == []
    async with running(root) as app:
        await approve(app, another, "ines")
        assert await app.label(run) == "done(paid)"
        give = intents(app, run)[0]
        assert [one["person"] for one in give["approvals"]] == ["ines"]
        assert [one["person"] for one in give["whole"]["approvals"]] == ["maya"]
        said = "\n".join(why(app, run, "3"))
        assert '"More than 90 euros waits for Ines" wanted an approval, which ines gave.' in said
        assert "which maya gave with that of the whole plan (action 1)." in said


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (ASKS + NEVER, "Never more than 70 euros"),
        (ASKS.replace('"desk.*"', '["desk.put", "desk.owed"]'), "no rule permits"),
    ],
    ids=["a hard rule", "no permit"],
)
async def test_a_grant_starts_nothing_that_permits_and_hard_rules_refuse(
    tmp_path: Path, desk: Desk, rules: str, reason: str
) -> None:
    owes(desk, 8_000)
    root = project(tmp_path / "p", desk)
    async with running(root) as app:
        run = await granted_under_halt(app)
    async with running(root) as app:
        parts = app.kernel.parts
        directory = parts.force.directory
        new = rules_from_text({"rules/a.toml": rules}, app.system.project.operations, directory=directory)
        # A plan that no rule permits is not even loaded.
        parts.force = replace(parts.force, rules=new)
        await go_on(app)
        [ended] = await app.ended(run)
        assert ended.label == "failed" and reason in ended.reason
        assert desk.writes == []


async def test_a_rule_of_another_rule_set_is_no_rule_that_was_shown(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    root = project(tmp_path / "p", desk)
    async with running(root) as app:
        run = await granted_under_halt(app)
    (root / "rules" / "rules.toml").write_text(ASKS.replace("More than 50 euros", "Over 50 euros"))
    async with running(root) as app:
        await go_on(app)
        another = await card_at(app, "3")
        assert another.body["rules"] == ["over-50-euros-waits-for-a-person"]
        await approve(app, another)
        assert await app.label(run) == "done(paid)"


async def test_a_grant_ends_with_its_time(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    clock = ShiftedClock()
    async with running(project(tmp_path / "p", desk), clock=clock) as app:
        run = await granted_under_halt(app)
        clock.shift_s = 7_201
        await go_on(app)
        another = await card_at(app, "3")
        await approve(app, another, "kim")
        assert await app.label(run) == "done(paid)"
        assert "whole" not in intents(app, run)[0]


@pytest.mark.parametrize("gone", ["maya", "ines"], ids=["whom the rule asks", "whom the plan asks"])
async def test_a_grant_is_judged_by_the_people_of_now(tmp_path: Path, desk: Desk, gone: str) -> None:
    owes(desk, 8_000)
    people = PEOPLE.replace("[people.ines]", '[people.ines]\nroles = ["heads"]')
    root = project(tmp_path / "p", desk, people=people, plan=PAYS.replace("by: finance", "by: heads"))
    async with running(root) as app:
        run = await due(app)
        card = await app.card()
        await app.gone()
        await app.kernel.people.stop("all", "", "maya")
        await approve(app, card)
        await approve(app, card, "ines")
        await so(lambda: app.kernel.parts.stops.parked)
    toml = root / "deputize.toml"
    toml.write_text(re.sub(rf"(\[people\.{gone}\])\nroles = .*", r'\1\nroles = ["guests"]', toml.read_text()))
    toml.write_text(toml.read_text() + '\n[people.zoe]\nroles = ["heads", "finance"]\n')
    async with running(root) as app:
        await go_on(app)
        another = await card_at(app, "3")
        await approve(app, another, "kim")
        assert await app.label(run) == "done(paid)"


async def test_an_action_whose_arguments_a_person_changed_takes_what_follows_out_of_the_plan(
    tmp_path: Path, desk: Desk
) -> None:
    owes(desk, 8_000)
    async with running(project(tmp_path / "p", desk, rules=ASKS + MORE)) as app:
        run = await due(app, others=("y",))
        card = await app.card()
        owes(desk, 9_500)
        await approve(app, card)
        another = await card_at(app, "3")
        args = {"account": "w", "amount": {"minor": 6_000, "currency": "EUR"}}
        binding = another.body["binding"]
        await app.kernel.approving.change(another.id, binding=binding, args=args, reason="", person="ines")
        # It is another action by now: what was granted of the plan says nothing of it.
        changed = await card_at(app, "3~1")
        await approve(app, changed)
        after = await card_at(app, "5")
        await approve(app, after)
        assert await app.label(run) == "done(paid)"
        assert ["whole" in one for one in intents(app, run)] == [False, False, False]


CHECKED = """
from deputize import Intent, Verification, agree, disagree

@connector.operation(effect="read")
async def looked_at(call: Call, intent: Intent) -> Verification:
    ASKED.append(intent.args["account"])
    return disagree("nobody knows them") if intent.args["account"] == "x" else agree()

ASKED = []
"""
VERIFIED = """
[[rule]]
title = "Whom we pay is looked at"
operation = "desk.give"
verify_with = "desk.looked_at"
ask = "ines"
"""


async def test_what_a_verifier_finds_when_an_action_starts_is_no_part_of_the_grant(
    tmp_path: Path, desk: Desk
) -> None:
    owes(desk, 8_000)
    root = project(tmp_path / "p", desk, rules=ASKS + VERIFIED)
    connector = root / "connectors" / "desk.py"
    connector.write_text(connector.read_text() + CHECKED)
    async with running(root) as app:
        asked = next(vars(m)["ASKED"] for m in app.system.project.modules if m.__name__ == "connectors.desk")
        run = await due(app, others=("y",))
        card = await app.card()
        # Its word counts when the action starts, and it is asked then.
        assert asked == [] and card.body["rules"] == ["more-than-50-euros-waits-for-a-person"]
        await approve(app, card)
        another = await card_at(app, "3")
        assert [demand["title"] for demand in another.body["demands"]] == ["Whom we pay is looked at"]
        assert asked == ["x"] and desk.writes == []
        await approve(app, another, "ines")
        assert await app.label(run) == "done(paid)"
        give, _, other = intents(app, run)
        assert [one["person"] for one in give["approvals"]] == ["ines"] and give["whole"]["plan"] == "1"
        assert "approvals" not in other and other["whole"]["plan"] == "1" and asked == ["x", "y"]


# -- what cannot be foreseen -----------------------------------------------------------------------------


async def test_what_cannot_be_foreseen_asks_for_itself(tmp_path: Path, desk: Desk) -> None:
    plan = PAYS.replace("  - id: others\n", (
        "  - id: after\n    when: context.step.told.key != \"\"\n    operation: desk.give\n"
        "    arguments: {account: v, amount: {minor: 6000, currency: EUR}}\n"
        "  - id: needs\n    operation: desk.give\n"
        "    arguments: {account: $step.told.item, amount: {minor: 6000, currency: EUR}}\n  - id: others\n"
    ))  # fmt: skip
    owes(desk, 8_000)
    async with running(project(tmp_path / "p", desk, plan=plan)) as app:
        run = await due(app)
        card = await app.card()
        told = "\n".join(told_card(app.read(lambda view: read_waiting(view, card)), {})["plan"])
        assert 'perhaps (if context.step.told.key != ""): desk.give with account "v"' in told
        assert "foreseen: what it asks for depends on the answer to told" in told
        assert card.body["plan"]["covers"].keys() == {"debt", "paid", "told", "after", "others"} - {"others"}
        await approve(app, card)
        another = await card_at(app, "6")
        assert another.body["args"]["account"] == "x"
        await approve(app, another)
        assert await app.label(run) == "done(paid)"
        assert ["whole" in one for one in intents(app, run)] == [True, False, True, False]


async def test_what_is_left_out_or_has_nothing_to_do_is_told(tmp_path: Path, desk: Desk) -> None:
    plan = PAYS.replace("  - id: others\n", (
        "  - id: never\n    when: context.event.item == \"b\"\n    operation: desk.put\n"
        "    arguments: {item: x}\n"
        "  - id: neither\n    when: context.step has never && context.step.told.key != \"\"\n"
        "    operation: desk.put\n    arguments: {item: $step.never.item}\n"
        "  - id: instead\n    when: context.event.item == \"b\"\n    operation: desk.put\n"
        "    arguments: {item: x}\n"
        "    else: {operation: desk.give, arguments: {account: e, amount: {minor: 6000, currency: EUR}}}\n"
        "  - id: others\n"
    ))  # fmt: skip
    owes(desk, 8_000)
    async with running(project(tmp_path / "p", desk, plan=plan)) as app:
        run = await due(app)
        card = await app.card()
        told = told_card(app.read(lambda view: read_waiting(view, card)), {})["plan"]
        foreseen = [line for line in told if line.startswith("   foreseen:")]
        assert foreseen[3] == "   foreseen: it would be left out"
        assert foreseen[4] == "   foreseen: what it asks for depends on the answer to never"
        assert foreseen[5].startswith('   foreseen: desk.give with account "e"')
        assert foreseen[6] == "   foreseen: there is nothing in its list"
        await approve(app, card)
        assert await app.label(run) == "done(paid)"
        assert ["whole" in one for one in intents(app, run)] == [True, False, True]


async def test_a_plan_that_is_long_is_told_and_granted_all_the_same(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    plan = PAYS.replace("    each: $event.others\n", "    each: $event.others\n    most: 20\n")
    others = tuple(f"{n}-{'x' * 5_000}" for n in range(20))
    async with running(project(tmp_path / "p", desk, plan=plan)) as app:
        run = await due(app, others=others)
        card = await app.card()
        told = told_card(app.read(lambda view: read_waiting(view, card)), {})
        assert len(told["digest"]) == 64 and len(told["plan"]) == 5 + 3 + 20
        assert all(len(line) < 700 for line in told["plan"])
        await approve(app, card)
        assert await app.label(run) == "done(paid)"
        assert len([one for one in intents(app, run) if "whole" in one]) == 21


async def test_no_more_of_a_plan_is_foreseen_than_people_can_read(tmp_path: Path, desk: Desk) -> None:
    head, _, _ = PAYS.partition("  - id: debt")
    steps = "".join(
        f"  - id: s{n}\n    each: $event.others\n    most: 50\n    operation: desk.give\n"
        "    arguments: {account: $each, amount: {minor: 6000, currency: EUR}}\n"
        for n in range(5)
    )
    async with running(project(tmp_path / "p", desk, plan=head + steps)) as app:
        run = await due(app, others=tuple(map(str, range(50))))
        card = await app.card()
        plan = app.entries(run, "asked")[0].body["plan"]  # type: ignore[index]
        assert len(plan["foreseen"]) == 201 and plan["covers"].keys() == {"s0", "s1", "s2", "s3"}
        assert plan["foreseen"][-1] == {"step": "s4", "said": "no more than 200 actions are foreseen"}
        await refuse(app, card)
        assert await app.label(run) == "gave_up(refused)"


async def test_a_plan_that_would_be_stopped_says_so(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    async with running(project(tmp_path / "p", desk, rules=ASKS + NEVER)) as app:
        await due(app, others=("y",))
        card = await app.card()
        told = "\n".join(told_card(app.read(lambda view: read_waiting(view, card)), {})["plan"])
        assert 'it would be refused: forbidden by "Never more than 70 euros"' in told or "refused" in told
        assert "it is not known whether it comes to that" in told
        assert card.body["plan"]["covers"] == {"debt": [], "paid": []}


async def test_what_is_halted_while_it_is_foreseen_is_foreseen_later(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    async with running(project(tmp_path / "p", desk)) as app:
        await app.kernel.people.stop("all", "", "maya")
        run = await due(app)
        await so(lambda: app.kernel.parts.stops.parked)
        assert app.cards() == [] and desk.seen == []
        await go_on(app)
        await approve(app, await app.card())
        assert await app.label(run) == "done(paid)"


async def test_a_process_that_stops_while_it_foresees_leaves_nothing_behind(
    tmp_path: Path, desk: Desk
) -> None:
    owes(desk, 8_000)
    root = project(tmp_path / "p", desk)
    desk.faults.append(fault("hang"))
    async with running(root) as app:
        run = await due(app)
        await so(lambda: desk.in_flight)
    await so(lambda: not any(thread.name.startswith("foreseeing") for thread in threading.enumerate()))
    async with running(root) as app:
        await approve(app, await app.card())
        assert await app.label(run) == "done(paid)"


async def test_a_run_is_cancelled_while_its_plan_waits(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    async with running(project(tmp_path / "p", desk)) as app:
        run = await due(app)
        await app.card()
        await app.gone()
        await app.kernel.people.cancel(run, "maya")
        assert await app.label(run) == "cancelled"
        assert app.cards() == [] and desk.writes == []
        assert app.system.store.rebuild(replace=False) == []


# -- by code, and by a model -----------------------------------------------------------------------------

BY_CODE = """
from datetime import timedelta
@automation(on=Word, agent=worker)
async def plans(event: Event[Word]) -> Outcome:
    made = await plan("Do what they ask", given=event.data.text)
    first = await attempt(made.carry_out(ask=["finance", "ines"], within=timedelta(hours=1)))
    if isinstance(first, ActionError):
        return gave_up(type(first).__name__, reason=first.reason)
    again, other = await together(attempt(made.carry_out(ask="maya")), attempt(made.carry_out()))
    return done(f"{first.label} {type(again).__name__} {type(other).__name__}")
"""
PURSUE = """
@automation(on=Word, agent=worker)
async def plans(event: Event[Word]) -> Outcome:
    return done((await pursue("Do what they ask", given=event.data.text, ask="finance")).label)
"""


async def test_code_asks_for_a_plan_each_time_that_it_carries_it_out(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    thinker.say(written(step("a", "desk.put", item="one"), end="put"))
    async with planning(tmp_path, desk, thinker, code=BY_CODE, toml=PEOPLE) as app:
        run = await app.send(type="test.word", item="a", text="tidy")
        card = await card_at(app, "2")
        assert card.body["due"] - card.at == 3_600_000_000
        assert card.body["demands"][0]["whom"] == ["finance", "ines"]
        await approve(app, card, "ines")
        again = await card_at(app, "4.0")
        assert again.body["plan"]["digest"] == card.body["plan"]["digest"]
        assert again.body["binding"] != card.body["binding"]
        await refuse(app, again)
        assert await app.label(run) == "done(put Refused PlanEnd)"


async def test_a_plan_that_is_written_anew_is_asked_for_anew(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    desk.pages["/items/a"] = {"item": "a chair", "key": "k"}
    odd = step("a", "desk.read", item="a", more={"expects": {"item": "a table"}})
    thinker.say(written(odd, end="first"), written(step("b", "desk.put", item="two"), end="second"))
    async with planning(tmp_path, desk, thinker, code=PURSUE, toml=PEOPLE) as app:
        run = await app.send(type="test.word", item="a", text="tidy")
        card = await card_at(app, "2")
        told = "\n".join(told_card(app.read(lambda view: read_waiting(view, card)), {})["plan"])
        assert (
            "item was expected to be 'a table' and is 'a chair'\n   foreseen: the plan would stop here"
            in told
        )
        await approve(app, card)
        another = await card_at(app, "5")
        assert another.body["plan"]["digest"] != card.body["plan"]["digest"]
        assert [e for e in app.entries(run, "intent") if e.body and e.body["op"] == "desk.put"] == []
        await approve(app, another, "kim")
        assert await app.label(run) == "done(second)"


OWN = """
from deputize import Plan, carry_out
PLAN = Plan.from_yaml("goal: Put it\\nsteps: [{{id: a, operation: desk.put, arguments: {{item: one}}}}]")
@automation(on=Ask, agent=worker)
async def own(event: Event[Ask]) -> Outcome:
    return done((await carry_out(PLAN, {how})).label)
"""


async def test_code_asks_for_a_plan_of_its_own(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path / "p", desk, plan="", code=OWN.format(how='ask="finance"'))) as app:
        run = await app.send()
        card = await app.card()
        assert desk.writes == [] and card.title == "A plan waits for a person: Put it"
        await approve(app, card)
        assert await app.label(run) == "done(done)"


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("ask=[7]", "carry_out(): ask takes a person, a role or a group, and got [7]"),
        ('ask="finance", otherwise="wait"', "otherwise is 'expire' or 'refuse', and is 'wait'"),
        ('ask="finanse"', "carry_out(): deputize.toml has no person, role or group 'finanse'; did you mean"),
    ],
    ids=["nobody", "no silence", "nobody here"],
)
async def test_a_way_to_ask_that_is_none_ends_the_run(
    tmp_path: Path, desk: Desk, how: str, reason: str
) -> None:
    async with running(project(tmp_path / "p", desk, plan="", code=OWN.format(how=how))) as app:
        [ended] = await app.ended(await app.send())
        assert ended.label == "failed" and reason in ended.reason
        assert desk.seen == [] and app.cards() == []


# -- what happens besides --------------------------------------------------------------------------------


async def test_a_grant_from_before_a_restore_is_worth_nothing(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    root = project(tmp_path / "p", desk)
    async with running(root) as app:
        run = await granted_under_halt(app)
        app.system.store.backup(tmp_path / "copy.db")
    await asyncio.to_thread(restore_ledger, Here(root=root), tmp_path / "copy.db", force=True)
    async with running(root) as app:
        await app.kernel.people.lift("all", "maya")
        another = await card_at(app, "3")
        await approve(app, another)
        assert await app.label(run) == "done(paid)"
        assert "whole" not in intents(app, run)[0]


async def test_what_was_granted_is_erased_with_its_run(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    async with running(project(tmp_path / "p", desk)) as app:
        run = await due(app)
        card = await app.card()
        await approve(app, card)
        assert await app.label(run) == "done(paid)"
        await app.system.store.write(lambda tx: erase_run(tx, card.run, tx.version(0)))
        assert [entry.body for entry in app.entries(run, "asked", "granted")] == [None, None]
        assert app.system.store.rebuild(replace=False) == []
        assert list(app.system.store.verify()) == []


def test_a_rehearsal_takes_the_plan_as_granted_and_asks_nobody(tmp_path: Path, desk: Desk) -> None:
    plan = PAYS.replace("desk.owed", "desk.foreseen").replace("desk.put", "desk.give").replace(
        "arguments: {item: $step.paid.account}",
        "arguments: {account: $step.paid.account, amount: {minor: 100, currency: EUR}}",
    )  # fmt: skip
    root = project(tmp_path / "p", desk, plan=plan)
    connector = root / "connectors" / "desk.py"
    connector.write_text(connector.read_text() + LOCAL)
    data = {"item": "a", "others": []}
    [told] = rehearsed(root, event(type="desk.due", **data), automation="pays")["told"]
    first, *others = told["actions"]
    assert (first["operation"], first["would"], first["asks"]) == ("plan", "answered", ["finance"])
    # What the plan's grant stands for waits for nobody.
    assert [one["asks"] for one in others] == [[], [], []]
    assert first["as"] == "as if approved" and told["end"] == "done(paid)"
    [told] = rehearsed(root, event(type="desk.due", **data), automation="pays", as_refused=True)["told"]
    assert told["end"] == "gave_up(refused)"


LOCAL = """
HAPPENED = []

@connector.operation(effect="read")
async def foreseen(call: Call, item: str) -> Debt:
    return Debt(account=item, amount=Money(8000, "EUR"))
"""


async def test_what_a_service_foretells_is_told_and_nothing_is_done(tmp_path: Path, desk: Desk) -> None:
    owes(desk, 8_000)
    root = project(tmp_path / "p", desk, plan=PAYS.replace("operation: desk.give", "operation: desk.told", 1))
    connector = root / "connectors" / "desk.py"
    connector.write_text(connector.read_text() + TOLD)
    async with running(root) as app:
        run = await due(app)
        card = await app.card()
        told = "\n".join(told_card(app.read(lambda view: read_waiting(view, card)), {})["plan"])
        assert 'desk.told with account "x", amount 80.00 EUR; it would be done' in told
        # What it is foretold to be answered is what the step after it would be asked with.
        assert 'foreseen: desk.put with item "told x"' in told
        assert {path: row.state for path, row in app.actions(run).items()} == {
            "1": "asking", "1/1": "settled", "1/2": "rehearsed",
        }  # fmt: skip
        assert desk.writes == []
        await approve(app, card)
        assert await app.label(run) == "done(paid)"


TOLD = """
async def foretell(call: Call, account: str, amount: Money) -> Debt:
    await call.get(f"/items/a")
    return Debt(account=f"told {account}", amount=amount)

@connector.operation(effect="write", rehearse=foretell, **KEYED)
async def told(call: Call, account: str, amount: Money) -> Debt:
    await call.post("/items", json={"item": account})
    return Debt(account=account, amount=amount)
"""

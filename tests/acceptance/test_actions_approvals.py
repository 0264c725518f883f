"""Lines 3 and 4: an action that waits for people holds nothing, and starts once, on their word alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deputize.cli.here import Here
from deputize.cli.restoring import restore_ledger
from deputize.errors import Conflict
from deputize.kernel.people import NotAnswerable
from deputize.store.protocol import CardRow
from deputize.store.telling import read_telling
from deputize.why import Telling, why_action, why_run
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, ShiftedClock, running, so

PEOPLE = """
[people.maya]
roles = ["finance"]
[people.kim]
roles = ["finance"]
[people.ines]
"""

PAYS = """
from datetime import timedelta
@automation(on=Ask, agent=worker)
async def pays(event: Event[Ask]) -> Outcome:
    paid = await attempt(desk.pay(account=event.data.item, amount=Money(100 * event.data.n, "EUR")))
    return done(type(paid).__name__)
"""

ASKS = (
    PERMIT
    + """
[[rule]]
title = "More than 50 euros waits for a person"
operation = "desk.pay"
ask_above = { amount = "50.00 EUR" }
ask = "finance"
within = "2 hours"
"""
)

TWO = (
    PERMIT
    + """
[[rule]]
title = "Two people for more than 50 euros"
operation = "desk.pay"
two_people_above = { amount = "50.00 EUR" }
ask = "finance"
"""
)

NEVER = """
[[rule]]
title = "Never more than 900 euros"
operation = "desk.pay"
never_above = { amount = "900.00 EUR" }
"""


def project(root: Path, desk: Desk, rules: str = ASKS, automations: str = PAYS, people: str = PEOPLE) -> Path:
    return write_project(root, desk.base, automations, rules=rules, toml=people)


async def approve(app: Running, card: CardRow, person: str = "maya", binding: str = "") -> str:
    said: str = await app.kernel.approving.approve(
        card.id, binding=binding or card.body["binding"], person=person
    )
    return said


async def change(app: Running, card: CardRow, args: Any, person: str = "maya") -> str:
    said: str = await app.kernel.approving.change(
        card.id, binding=card.body["binding"], args=args, reason="", person=person
    )
    return said


async def approved_under_halt(app: Running, n: int) -> tuple[str, CardRow]:
    """A run whose action is approved and cannot start yet, and its card."""
    run = await app.send(item="a", n=n)
    card = await app.card()
    await app.gone()
    await app.kernel.people.stop("all", "", "maya")
    await approve(app, card)
    await so(lambda: app.kernel.parts.stops.parked)
    return run, card


async def test_a_small_amount_asks_nobody(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        assert await app.label(await app.send(item="a", n=50)) == "done(Item)"
        assert app.cards() == []


async def test_an_action_that_waits_for_a_person_holds_nothing_and_leaves_memory(
    tmp_path: Path, desk: Desk
) -> None:
    ceiling = '[[budget]]\nname = "all"\nlimit = "100.00 EUR"\nper = "day"\n'
    async with running(project(tmp_path, desk, people=PEOPLE + ceiling)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await app.gone()
        assert (card.kind, card.id, app.run(run).state) == ("approval", f"{run}/1", "waiting")
        assert app.actions(run)["1"].state == "asking"
        assert app.budget() == (0, 0) and app.read(lambda view: view.leases()) == []
        assert desk.seen == []


async def test_an_approved_action_starts_once_and_uses_its_approval(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        assert await approve(app, card) == "approved"
        assert await app.label(run) == "done(Item)"
        assert len(desk.effects) == len(desk.writes) == 1
        (intent,) = app.entries(run, "intent")
        assert intent.body is not None
        assert [one["person"] for one in intent.body["approvals"]] == ["maya"]
        assert app.read(lambda view: view.approvals(card.run, card.path)) == []
        assert app.cards() == []
        with pytest.raises(NotAnswerable, match="is settled; nobody is asked"):
            await approve(app, card)


async def test_a_double_click_is_one_approval(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, rules=TWO)) as app:
        await app.send(item="a", n=80)
        card = await app.card()
        assert await approve(app, card) == "approved; 1 more must approve it"
        assert await approve(app, card) == "approved already; 1 more must approve it"
        assert len(app.read(lambda view: view.approvals(card.run, card.path))) == 1
        assert desk.seen == []


async def test_two_different_people_approve_where_a_rule_wants_two(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, rules=TWO)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await approve(app, card, "maya")
        await app.gone()
        assert app.actions(run)["1"].state == "asking"
        await approve(app, card, "kim")
        assert await app.label(run) == "done(Item)"
        assert len(desk.effects) == 1


async def test_every_rule_that_asks_must_be_satisfied(tmp_path: Path, desk: Desk) -> None:
    second = '[[rule]]\ntitle = "Ines sees it all"\noperation = "desk.pay"\nask_always = true\nask = "ines"\n'
    async with running(project(tmp_path, desk, rules=ASKS + second)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        assert await approve(app, card, "ines") == "approved; 1 more must approve it"
        await app.gone()
        assert desk.seen == []
        assert await approve(app, card, "kim") == "approved"
        assert await app.label(run) == "done(Item)"


async def test_a_refusal_reaches_the_automation_with_its_reason(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await app.kernel.approving.refuse(
            card.id, binding=card.body["binding"], reason="too much", person="kim"
        )
        assert await app.label(run) == "done(Refused)"
        (refused,) = app.entries(run, "refused")
        assert refused.body is not None and refused.body["reason"] == "refused by kim: too much"
        assert app.read(lambda view: view.answers(10)) == [], "nothing is left to be taken in"
        assert desk.seen == [] and app.cards() == []


async def test_nobody_approves_what_they_sent_themselves(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        app.sender = "maya"
        run = await app.send(item="a", n=80)
        card = await app.card()
        with pytest.raises(NotAnswerable, match="nobody approves their own request"):
            await approve(app, card, "maya")
        await approve(app, card, "kim")
        assert await app.label(run) == "done(Item)"


SENDS_ON = """
@automation(on=Ask, agent=worker)
async def first(event: Event[Ask]) -> Outcome:
    await send(Word(item=event.data.item, text=str(event.data.n)))
    return done()

@automation(on=Word, agent=worker)
async def then(event: Event[Word]) -> Outcome:
    await desk.pay(account=event.data.item, amount=Money(100 * int(event.data.text), "EUR"))
    return done()
"""


async def test_nor_what_a_run_of_theirs_sent_on(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, automations=SENDS_ON)) as app:
        app.sender = "maya"
        await app.send(item="a", n=80)
        card = await app.card()
        with pytest.raises(NotAnswerable, match="nobody approves their own request"):
            await approve(app, card, "maya")


@pytest.mark.parametrize(
    ("person", "binding", "why"),
    [
        ("ines", "", "ines is not asked for this; it asks kim and maya"),
        ("otto", "", "there is nobody called 'otto'"),
        ("maya", "0" * 24, "has changed since it was read"),
    ],
)
async def test_an_approval_that_is_nobodys_to_give_changes_nothing(
    tmp_path: Path, desk: Desk, person: str, binding: str, why: str
) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        with pytest.raises(NotAnswerable, match=why):
            await approve(app, card, person, binding)
        await app.gone()
        assert app.actions(run)["1"].state == "asking" and desk.seen == []
        assert app.read(lambda view: view.approvals(card.run, card.path)) == []


async def test_silence_is_a_no_at_the_deadline(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with running(project(tmp_path, desk), clock=clock) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        clock.shift_s = 2 * 3600
        app.kernel._wake_soon()
        assert await app.label(run) == "done(Expired)"
        assert desk.seen == [] and app.cards() == []
        with pytest.raises(NotAnswerable, match="is refused; nobody is asked"):
            await approve(app, card)


async def test_an_approval_after_the_deadline_is_too_late(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with running(project(tmp_path, desk), clock=clock) as app:
        await app.send(item="a", n=80)
        card = await app.card()
        clock.shift_s = 2 * 3600
        with pytest.raises(NotAnswerable, match="was over at"):
            await approve(app, card)


async def test_silence_refuses_where_the_rule_says_so(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    rules = ASKS + 'otherwise = "refuse"\n'
    async with running(project(tmp_path, desk, rules=rules), clock=clock) as app:
        run = await app.send(item="a", n=80)
        await app.card()
        clock.shift_s = 2 * 3600
        app.kernel._wake_soon()
        assert await app.label(run) == "done(Refused)"


async def test_the_next_in_line_may_answer_after_a_while(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    rules = ASKS + 'then_ask = "ines"\nthen_after = "1 hour"\n'
    async with running(project(tmp_path, desk, rules=rules), clock=clock) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        with pytest.raises(NotAnswerable, match="ines is not asked"):
            await approve(app, card, "ines")
        clock.shift_s = 3600
        await approve(app, card, "ines")
        assert await app.label(run) == "done(Item)"


async def test_changed_arguments_are_judged_anew_in_the_same_place(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        less = card.body["args"] | {"amount": {"minor": 4000, "currency": "EUR"}}
        assert await change(app, card, less) == f"changed; it goes on as {run}/1~1"
        assert await app.label(run) == "done(Item)"
        actions = app.actions(run)
        assert (actions["1"].state, actions["1~1"].state) == ("refused", "settled")
        assert len(desk.effects) == 1
        (intent,) = app.entries(run, "intent")
        assert intent.body is not None and intent.body["args"]["amount"]["minor"] == 4000


async def test_who_changed_the_arguments_does_not_approve_them(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await change(app, card, card.body["args"] | {"amount": {"minor": 7000, "currency": "EUR"}})
        second = await app.until(lambda view: view.cards())
        assert second[0].path == "1~1"
        with pytest.raises(NotAnswerable, match="nobody approves their own request"):
            await approve(app, second[0], "maya")
        await app.gone()
    async with running(tmp_path) as app:
        with pytest.raises(NotAnswerable, match="nobody approves their own request"):
            await approve(app, app.cards()[0], "maya")
        await approve(app, app.cards()[0], "kim")
        assert await app.label(run) == "done(Item)"


async def test_a_change_that_rules_forbid_is_refused(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, rules=ASKS + NEVER)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await change(app, card, card.body["args"] | {"amount": {"minor": 95000, "currency": "EUR"}})
        assert await app.label(run) == "done(Refused)"
        assert desk.seen == []


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"account": "a"}, "amount: Field required"),
        ({"account": "a", "amount": 5}, "amount"),
        ({"account": "a", "amount": {"minor": 8000, "currency": "EUR"}}, "approve it as it is"),
        ("x", "desk.pay"),
        ({"account": "a", "amonut": {"minor": 1, "currency": "EUR"}}, "did you mean 'amount'"),
    ],
)
async def test_arguments_that_do_not_fit_change_nothing(
    tmp_path: Path, desk: Desk, args: Any, why: str
) -> None:
    async with running(project(tmp_path, desk)) as app:
        await app.send(item="a", n=80)
        card = await app.card()
        with pytest.raises(NotAnswerable, match=why):
            await change(app, card, args)
        assert [c.id for c in app.cards()] == [card.id]


async def test_what_is_approved_is_judged_again_when_it_starts(tmp_path: Path, desk: Desk) -> None:
    """A hard rule that came into force after the approval wins over it."""
    async with running(project(tmp_path, desk)) as app:
        run, _card = await approved_under_halt(app, 950)
    project(tmp_path, desk, rules=ASKS + NEVER)
    async with running(tmp_path) as app:
        await app.kernel.people.lift("all", "maya")
        assert await app.label(run) == "done(Refused)"
        assert desk.seen == []


async def test_a_rule_that_newly_fires_asks_again(tmp_path: Path, desk: Desk) -> None:
    second = '[[rule]]\ntitle = "Ines sees it all"\noperation = "desk.pay"\nask_always = true\nask = "ines"\n'
    async with running(project(tmp_path, desk)) as app:
        run, card = await approved_under_halt(app, 80)
    project(tmp_path, desk, rules=ASKS + second)
    async with running(tmp_path) as app:
        await app.kernel.people.lift("all", "maya")
        again = await app.until(
            lambda view: [c for c in view.cards() if c.body["binding"] != card.body["binding"]]
        )
        assert desk.seen == []
        with pytest.raises(NotAnswerable, match="has changed since"):
            await approve(app, card, "ines")
        await approve(app, again[0], "ines")
        await app.gone()
        assert desk.seen == [], "what was granted for the first question says nothing of the second"
        await approve(app, again[0], "kim")
        assert await app.label(run) == "done(Item)"


async def test_asking_others_about_the_same_does_not_put_the_deadline_off(tmp_path: Path, desk: Desk) -> None:
    """What was granted under the deadline of then is good for no longer."""
    async with running(project(tmp_path, desk)) as app:
        run, card = await approved_under_halt(app, 80)
    others = ASKS.replace('ask = "finance"', 'ask = ["maya", "ines"]').replace("2 hours", "9 days")
    project(tmp_path, desk, rules=others.replace("ask_above", "two_people_above"))
    async with running(tmp_path) as app:
        await app.kernel.people.lift("all", "maya")
        again = await app.until(lambda view: [c for c in view.cards() if c.seq != card.seq])
        assert again[0].body["binding"] == card.body["binding"] and app.run(run).state == "waiting"
        assert again[0].body["due"] == card.body["due"]


async def test_what_no_rule_asks_for_any_more_goes_on(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        await app.card()
        await app.gone()
    project(tmp_path, desk, rules=PERMIT)
    async with running(tmp_path) as app:
        app.kernel.scheduler.ready(app.run(run).no)
        assert await app.label(run) == "done(Item)"
        assert app.cards() == []


async def test_a_cancelled_run_asks_for_nothing_any_more(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await app.gone()
        await app.kernel.people.cancel(run, "maya")
        assert await app.label(run) == "cancelled"
        assert app.cards() == [] and app.actions(run)["1"].state == "refused"
        with pytest.raises(NotAnswerable, match="is refused; nobody is asked"):
            await approve(app, card)


SIDE_BY_SIDE = """
@automation(on=Ask, agent=worker)
async def pays(event: Event[Ask]) -> Outcome:
    both = await together(
        attempt(desk.pay(account="a", amount=Money(8000, "EUR"))),
        attempt(desk.pay(account="b", amount=Money(100 * event.data.n, "EUR"))),
        desk.put(item="c"),
    )
    return done(" ".join(type(one).__name__ for one in both))
"""


async def test_actions_side_by_side_are_asked_for_one_by_one(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, automations=SIDE_BY_SIDE)) as app:
        run = await app.send(n=90)
        first, second = sorted(await app.until(lambda v: (c := v.cards()) and len(c) == 2 and c), key=_path)
        await change(app, first, first.body["args"] | {"amount": {"minor": 1000, "currency": "EUR"}})
        await app.action(run, "1.0~1", "settled")
        await approve(app, second)
        assert await app.label(run) == "done(Item Item Item)"
        assert len(desk.effects) == len(desk.writes) == 3


def _path(card: CardRow) -> str:
    return card.path


async def test_an_approval_from_before_a_stop_is_used_after_it(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run, _card = await approved_under_halt(app, 80)
        assert desk.seen == []
    async with running(tmp_path) as app:
        await app.kernel.people.lift("all", "maya")
        assert await app.label(run) == "done(Item)"
        assert len(desk.effects) == 1


FIRST = (
    PERMIT
    + """
[[rule]]
title = "The first two of each account are looked at"
operation = "desk.pay"
ask_first = { times = 2, by = "account" }
ask = "finance"
"""
)


async def test_the_first_times_ask_and_later_ones_do_not(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, rules=FIRST)) as app:
        for _ in range(2):
            run = await app.send(item="a", n=1)
            await approve(app, await app.card())
            await app.ended(run)
        await app.ended(await app.send(item="a", n=1))
        assert len(desk.effects) == 3
        await app.send(item="b", n=1)
        assert (await app.card()).body["args"]["account"] == "b"


READS = """
@automation(on=Ask, agent=worker)
async def reads(event: Event[Ask]) -> Outcome:
    await desk.read(item="i")
    return done()
"""
ASKED_READ = """
[[rule]]
title = "Reading is asked for"
operation = "desk.read"
ask_always = true
ask = "kim"
"""


async def test_a_read_that_a_rule_asks_for_waits_too(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, rules=PERMIT + ASKED_READ, automations=READS)) as app:
        run = await app.send()
        card = await app.card()
        assert desk.seen == []
        await approve(app, card, "kim")
        assert await app.label(run) == "done"
        assert len(desk.seen) == 1


async def test_the_record_is_bound_to_what_the_code_asked_for(tmp_path: Path, desk: Desk) -> None:
    """Replay compares the code with `1`, not with the arguments that a person put in its place."""
    async with running(
        project(
            tmp_path,
            desk,
            automations=PAYS.replace("return done", "await sleep(timedelta(hours=1))\n    return done"),
        )
    ) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await change(app, card, card.body["args"] | {"amount": {"minor": 4000, "currency": "EUR"}})
        number = app.run(run).no
        await app.until(lambda view: [wait for wait in view.waits(number) if wait.kind == "timer"])
        await app.gone()
    async with running(tmp_path, clock=ShiftedClock(3600)) as app:
        assert await app.label(run) == "done(Item)"
        assert len(desk.effects) == 1


async def test_an_answer_that_cannot_be_written_changes_nothing(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        app.hooks["approve.in"] = _conflict
        with pytest.raises(Conflict):
            await approve(app, card)
        del app.hooks["approve.in"]
        assert app.read(lambda view: view.approvals(card.run, card.path)) == []
        await approve(app, card)
        assert await app.label(run) == "done(Item)"


def _conflict() -> None:
    raise Conflict


async def test_why_tells_who_was_asked_and_who_approved(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        asked = why_action(telling(app, run), "1")["sentences"]
        assert '"More than 50 euros waits for a person" wanted an approval.' in asked
        assert any("waited for people" in line and "asks finance" in line for line in asked)
        assert f"  deputize approve {run}/1\n    it is judged once more, and starts." in asked
        await change(app, card, card.body["args"] | {"amount": {"minor": 7000, "currency": "EUR"}})
        second = (await app.until(lambda view: view.cards()))[0]
        await approve(app, second, "kim")
        await app.ended(run)
        assert any(
            "changed its arguments" in line for line in why_action(telling(app, run), "1")["sentences"]
        )
        done = why_action(telling(app, run), "1~1")["sentences"]
        assert '"More than 50 euros waits for a person" wanted an approval, which kim gave.' in done
        story = why_run(telling(app, run))["sentences"]
        assert sum("approved by kim" in line for line in story) == 1


def telling(app: Running, run: str) -> Telling:
    row, zone = app.run(run), app.system.project.settings.zone
    return app.read(lambda view: read_telling(view, row, zone, {}))


@pytest.mark.parametrize(("person", "label"), [("kim", "done(Item)"), ("ines", "done(Refused)")])
async def test_to_do_it_again_is_for_those_who_may_approve_it(
    tmp_path: Path, desk: Desk, person: str, label: str
) -> None:
    pays = PAYS.replace("desk.pay(account", "desk.pay_blind(account")
    rules = ASKS.replace("desk.pay", "desk.pay_blind")
    root = project(tmp_path, desk, rules=rules, automations=pays)
    (root / "connectors" / "desk.py").open("a").write(BLIND)
    desk.faults.append(fault("cut_before"))
    async with running(root) as app:
        run = await app.send(item="a", n=80)
        await approve(app, await app.card())
        doubt = (await app.until(lambda view: [c for c in view.cards() if c.kind == "doubt"]))[0]
        await app.answer(doubt.id, "do_again", person=person)
        assert await app.label(run) == label


BLIND = """
@connector.operation(effect="write", risk="money", timeout_s=0.4, settle_s=0.2)
async def pay_blind(call: Call, account: str, amount: Money) -> Item:
    return Item.model_validate((await call.post("/plain", json={"item": account})).json())
"""


async def test_who_changed_the_arguments_does_not_have_it_done_again_either(
    tmp_path: Path, desk: Desk
) -> None:
    pays = PAYS.replace("desk.pay(account", "desk.pay_blind(account")
    rules = ASKS.replace("desk.pay", "desk.pay_blind")
    root = project(tmp_path, desk, rules=rules, automations=pays)
    (root / "connectors" / "desk.py").open("a").write(BLIND)
    desk.faults.append(fault("cut_before"))
    async with running(root) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        await change(app, card, card.body["args"] | {"amount": {"minor": 7000, "currency": "EUR"}}, "kim")
        await approve(app, (await app.until(lambda view: view.cards()))[0], "maya")
        doubt = (await app.until(lambda view: [c for c in view.cards() if c.kind == "doubt"]))[0]
        await app.answer(doubt.id, "do_again", person="kim")
        assert await app.label(run) == "done(Refused)"
        assert len(desk.seen) == 1


async def test_an_approval_from_before_a_restore_is_worth_nothing(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        _run, card = await approved_under_halt(app, 80)
        app.system.store.backup(tmp_path / "copy.db")
    await asyncio.to_thread(restore_ledger, Here(root=tmp_path), tmp_path / "copy.db", force=True)
    async with running(tmp_path) as app:
        await app.kernel.people.lift("all", "maya")
        await app.gone()
        assert app.read(lambda view: view.approvals(card.run, card.path)) == []
        assert desk.seen == [] and app.cards()[0].id == card.id


async def test_a_read_that_was_asked_for_is_recorded_though_no_rule_asks_any_more(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk, rules=PERMIT + ASKED_READ, automations=READS)) as app:
        run = await app.send()
        card = await app.card()
        await app.gone()
    project(tmp_path, desk, rules=PERMIT, automations=READS)
    async with running(tmp_path) as app:
        await approve(app, card, "kim")
        assert await app.label(run) == "done"
        assert app.actions(run)["1"].state == "settled" and app.entries(run, "receipt")


async def test_what_was_approved_and_could_not_start_in_time_says_so(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with running(project(tmp_path, desk), clock=clock) as app:
        run, _card = await approved_under_halt(app, 80)
        clock.shift_s = 2 * 3600
        app.kernel._wake_soon()
        await app.action(run, "1", "refused")
        (refused,) = app.entries(run, "refused")
        assert refused.body is not None
        assert refused.body["reason"] == "maya approved it, and it could not start in its time"

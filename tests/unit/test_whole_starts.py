"""Whatever rules there are, whoever grants a whole plan, and whatever then says that it is a part of it:
nothing starts that permits and hard rules refuse, and a grant stands for nothing that was not granted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deputize import Money
from deputize.finding import Finding, inquiry_of
from deputize.kernel.asking import Asked, is_for_people
from deputize.kernel.begun import Begun
from deputize.kernel.judging import Request, verdict_of
from deputize.kernel.live import LiveRun
from deputize.kernel.result import Result
from deputize.kernel.start import Inquire
from deputize.kernel.whole import Foreseen, ask_whole, grant_whole
from deputize.ledger import Draft
from deputize.planned import Imagining, Part, PlanAsk, Whom
from deputize.plans.carrying import Carrying, sentences
from deputize.plans.plan import Plan
from deputize.rule import RuleLine, Verdict
from deputize.rules import rules_from_text
from deputize.store.protocol import Tx

from .test_asking_starts import PEOPLE, Desk, Rules, _found, _started, desk, in_force, rule_sets
from .till import till

MINORS = st.sampled_from([5, 40, 60, 100])
said = st.tuples(
    st.sampled_from(["ann", "bob", "cem", "cem", "sender", "zoe"]), st.sampled_from(["right"] * 5 + ["wrong"])
)
WITHIN_US = 1_800_000_000


@dataclass
class Granted:
    """A plan that was asked for: what its card listed, who said yes to just that, and what started on it."""

    plan: Plan
    carrying: Carrying
    listed: dict[str, set[str]]
    asked_us: int
    due_us: int
    yes: set[str]
    granted: bool
    used: set[str]


def plan_of(minors: list[int]) -> Plan:
    steps = [
        {
            "id": id,
            "operation": "till.refund",
            "arguments": {"charge": id, "amount": {"minor": minor, "currency": "EUR"}},
        }
        for id, minor in zip("abcd", minors, strict=False)
    ]
    return Plan.model_validate({"goal": "Give it back", "steps": steps})


def imagined() -> Imagining:
    """Nobody goes through the plan here."""
    raise AssertionError


def asked_for(data: st.DataObject, till_desk: Desk, run: LiveRun, rules: Rules) -> Granted:
    """People are asked for a plan, some of them say yes, and time passes."""
    plan = plan_of(data.draw(st.lists(MINORS, min_size=2, max_size=2)))
    carrying = Carrying(plan, {}, till.operations, "till.ask", {}, run.id, ())
    ask = asking(plan, *data.draw(st.sampled_from([("finance",), ("cem",)])))
    force = in_force(rules.whole)
    foreseen: dict[str, list[RuleLine]] = {}
    for step in plan.steps:
        # What it is foreseen with, and what it comes to be, may differ.
        action = till.operations["till.refund"](charge=step.id, amount=Money(data.draw(MINORS), "EUR"))
        request = Request.of(run, "1", action)
        verdict = till_desk.write(lambda tx, request=request: verdict_of(tx, request, force, tx.at_us)[0])
        foreseen[step.id] = (
            [r for r in verdict.rules if is_for_people(r)] if verdict.decision == "demand" else []
        )
    asked = till_desk.write(
        lambda tx: (ask_whole(tx, run, "1", ask, Foreseen((), foreseen), force), tx.at_us)
    )
    assert isinstance(asked[0], Asked)
    [card] = [c for c in till_desk.system.store.read(lambda v: v.cards()) if c.run == run.no]
    binding, yes = card.body["binding"], set()
    till_desk.clock.at_us += data.draw(st.sampled_from([0, 0, 61, 1_799])) * 1_000_000
    for person, which in data.draw(st.lists(said, min_size=2, max_size=5)):
        bound = binding if which == "right" else "0" * 24
        if till_desk.write(lambda tx, p=person, b=bound: tx.approve(run.no, "1", b, p)) and bound == binding:
            yes.add(person)
    came = till_desk.write(lambda tx: grant_whole(tx, run, "1", ask, force))
    listed = {step: {rule.id for rule in rules} for step, rules in foreseen.items()}
    granted = isinstance(came, Result) and came.kind == "value"
    assert not granted or yes - {"sender", "clerk", "zoe"}
    carrying = replace(carrying, ask="1")
    return Granted(plan, carrying, listed, asked[1], asked[0].due, yes, granted, set())


def asking(plan: Plan, *whom: str) -> PlanAsk:
    whole = plan.model_dump(mode="json", by_alias=True)
    return PlanAsk(whole, plan.digest, sentences(plan), imagined, Whom(whom, WITHIN_US))


SAID = ("as it is", "of another plan", "at another step", "for another item", "asked for elsewhere")


def parts_of(plan: Plan, carrying: Carrying, step: str) -> dict[str, Part]:
    """What an action may say of itself: how it is, and lies."""
    honest = Part("1", plan.digest, step, 0, partial(carrying._follows, step, 0))
    other = {"a": "b", "b": "a"}[step]
    parts = (
        honest,
        replace(honest, digest="0" * 64),
        replace(honest, step=other, follows=partial(carrying._follows, other, 0)),
        replace(honest, item=1, follows=partial(carrying._follows, step, 1)),
        replace(honest, ask="7"),
    )
    return dict(zip(SAID, parts, strict=True))


def part_of(data: st.DataObject, one: Granted, step: str) -> tuple[Part, bool]:
    """What an action says of itself, and whether that is so."""
    parts = parts_of(one.plan, one.carrying, step)
    said = data.draw(st.sampled_from(["as it is"] * 9 + list(parts)))
    return parts[said], said == "as it is"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.lists(rule_sets(), min_size=1, max_size=2))
def test_no_grant_of_a_plan_starts_what_was_not_granted(data: st.DataObject, sets: list[Rules]) -> None:
    with desk() as till_desk:
        for _ in range(3):
            run = till_desk.run()
            one = asked_for(data, till_desk, run, sets[0])
            for number, step in enumerate(data.draw(st.permutations(["a", "a", "b"])), 2):
                rules = data.draw(st.sampled_from([sets[0], *sets]))
                till_desk.clock.at_us += data.draw(st.sampled_from([0, 0, 0, 1, 1_801])) * 1_000_000
                planned = next(s for s in one.plan.steps if s.id == step).arguments["amount"]["minor"]
                minor = data.draw(st.sampled_from([planned] * 8 + [5, 40, 60, 100]))
                action = till.operations["till.refund"](charge=step, amount=Money(minor, "EUR"))
                action.part, honest = part_of(data, one, step)
                # Of the step after it the plan needs an answer that there is not.
                follows = honest and minor == planned and step == "a"
                request = Request.of(run, str(number), action)
                starts(data, till_desk, one, step, request, rules, follows)
        assert list(till_desk.system.store.verify()) == []
        assert till_desk.system.store.rebuild(replace=False) == []


def starts(
    data: st.DataObject,
    till_desk: Desk,
    one: Granted,
    step: str,
    request: Request,
    rules: Rules,
    follows: bool,
) -> None:
    started, calm, whole = _started(till_desk, request, rules)
    for _ in range(3):
        if not isinstance(started, Inquire):
            break
        assert calm.decision == "allow"
        found = _found(data, started, till_desk.clock.at_us)
        request = replace(request, findings=(*request.findings, *found))
        started, calm, whole = _started(till_desk, request, rules)
    if isinstance(started, Begun | Asked):
        assert calm.decision == "allow", "permits and hard rules alone must allow what goes on"
    if not isinstance(started, Begun):
        return
    asking = people_rules(whole, request)
    if asking:
        assert one.granted and follows and step not in one.used and till_desk.clock.at_us < one.due_us
        for rule in asking:
            assert rule.id in one.listed[step] and rule.demand is not None
            able = {p for p in one.yes - {"sender", "clerk"} if p in PEOPLE.people}
            assert len(able & anyone(rule, one, till_desk.clock.at_us)) >= rule.demand.people
        one.used.add(step)
    elif request.action.part is not None and request.action.part.ask == "1":
        # It started of itself, and is what its step has come to all the same.
        one.used.add(request.action.part.step)
    body: Any = till_desk.system.store.read(lambda v: v.entries(request.run.no))[-1].body
    assert {r.id for r in asking} == set(body.get("whole", {}).get("rules", ()))
    settle(till_desk, request)


def people_rules(whole: Verdict, request: Request) -> list[RuleLine]:
    """The rules that want people's word, of themselves or for what was found out."""
    found = {finding.inquiry: finding for finding in request.findings}
    rules = whole.rules if whole.decision == "demand" else ()
    return [r for r in rules if (i := inquiry_of(r)) is None or found[i].says != "agree"]


def anyone(rule: RuleLine, one: Granted, at_us: int) -> frozenset[str]:
    assert rule.demand is not None
    return rule.demand.asks("serve", PEOPLE, at_us - one.asked_us)


def settle(till_desk: Desk, request: Request) -> None:
    """It is not done after all: its lease is let go, so that the next may start."""

    def work(tx: Tx) -> None:
        body = {"path": request.path, "was": "open", "leased": True, "holds": [], "counted": []}
        more = {"reason": "no", "at": tx.at_us}
        request.run.version = tx.append(request.run.no, request.run.version, [Draft("refused", body | more)])

    till_desk.write(work)


ASKS = """
[[rule]]
title = "Refunds may be made"
operation = "till.refund"
permit = true
[[rule]]
title = "Each waits for a person"
operation = "till.refund"
ask_always = true
ask = "finance"
"""


@pytest.mark.parametrize("said", SAID)
def test_a_grant_is_good_for_its_own_plan_step_and_item_alone(said: str) -> None:
    rules = rules_from_text({"rules/a.toml": ASKS}, till.operations, directory=PEOPLE)
    force, plan = in_force(rules), plan_of([5, 5])
    with desk() as till_desk:
        run = till_desk.run()
        carrying = Carrying(plan, {}, till.operations, "till.ask", {}, run.id, (), "", "1")
        ask, action = (
            asking(plan, "finance"),
            till.operations["till.refund"](charge="a", amount=Money(5, "EUR")),
        )
        verdict, _, _ = till_desk.write(
            lambda tx: verdict_of(tx, Request.of(run, "1", action), force, tx.at_us)
        )
        asks = [rule for rule in verdict.rules if is_for_people(rule)]
        foreseen = Foreseen((), {"a": asks, "b": asks})
        till_desk.write(lambda tx: ask_whole(tx, run, "1", ask, foreseen, force))
        [card] = till_desk.system.store.read(lambda view: view.cards())
        till_desk.write(lambda tx: tx.approve(run.no, "1", card.body["binding"], "ann"))
        assert isinstance(till_desk.write(lambda tx: grant_whole(tx, run, "1", ask, force)), Result)
        action.part = parts_of(plan, carrying, "a")[said]
        request = Request.of(run, "2", action)
        started, _, _ = _started(till_desk, request, Rules(rules, rules))
        if isinstance(started, Inquire):
            shown = [Finding(one, "cannot_tell", "", {}, "2/1", till_desk.clock.at_us, started.about[one])
                     for one in started.inquiries]  # fmt: skip
            started, _, _ = _started(till_desk, replace(request, findings=tuple(shown)), Rules(rules, rules))
        assert isinstance(started, Begun if said == "as it is" else Asked)

"""Whatever rules there are and whoever grants what: nothing starts that permits and hard rules refuse."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deputize import Money, canonical
from deputize.finding import FRESH_US, Finding, Inquiry, finding_of_body, inquiry_of
from deputize.kernel.asking import Asked
from deputize.kernel.begun import Begun
from deputize.kernel.judging import InForce, Request, verdict_of
from deputize.kernel.live import LiveRun
from deputize.kernel.start import Inquire, Started, start
from deputize.kernel.time import Calendar
from deputize.person import Directory, Person
from deputize.rule import Verdict
from deputize.rules import CedarRules, rules_from_text
from deputize.store.protocol import Tx
from deputize.system import System
from deputize.testing.entries import SteppedClock, occurrence
from tests.unit.till import till, till_project

PEOPLE = Directory(
    {
        "ann": Person("ann", roles=frozenset({"finance"})),
        "bob": Person("bob", roles=frozenset({"finance"})),
        "cem": Person("cem"),
        "sender": Person("sender", roles=frozenset({"finance"})),
    },
    {"": "cem"},
)
RIGHT, ACTION = "right", 'action == Action::"till.refund"'
amounts = st.sampled_from([10, 40, 90])

hard = st.one_of(
    st.builds(lambda n: f"never_above = {{ amount = '0.{n} EUR' }}", amounts),
    st.just("at_most = { times = 1, per = 'ever' }"),
    st.just("never = true\nwhen.charge = 'd'"),
)
tiered = st.one_of(
    st.builds(lambda n, who: f"ask_above = {{ amount = '0.{n} EUR' }}\nask = '{who}'", amounts,
              st.sampled_from(["finance", "cem", "keeper"])),
    st.builds(lambda n: f"two_people_above = {{ amount = '0.{n} EUR' }}\nask = ['finance', 'cem']", amounts),
    st.just("ask_always = true\nwithin = '1 hour'"),
    st.builds(lambda who: f"rehearse = true\nask = '{who}'", st.sampled_from(["finance", "cem"])),
    st.builds(lambda n: f"verify_with = 'till.is_due'\nabove = {{ amount = '0.{n} EUR' }}\nask = 'finance'",
              amounts),
    st.just("ask_first = { times = 1, by = 'charge' }\nask = 'ann'\nthen_ask = 'bob'\nthen_after = '1 minute'"),  # noqa: E501
)  # fmt: skip
cedar = st.sampled_from(
    [
        f'@tier("hard") forbid (principal, {ACTION}, resource) when {{ context.args.amount.minor == 40 }}',
        f'@tier("approval")@ask("cem") forbid (principal, {ACTION}, resource)',
        f'@tier("verify")@with("till.is_due") forbid (principal, {ACTION}, resource)'
        ' when { context.args.charge == "c" }',
        '@tier("approval") forbid (principal, action, resource) when { context.time.minute_of_day > 900 }',
        f"permit (principal, {ACTION}, resource) when {{ context.args.amount.minor < 50 }}",
    ]
)


@dataclass(frozen=True)
class Rules:
    """A set, and the same without what is tiered."""

    whole: CedarRules
    calm: CedarRules


@st.composite
def rule_sets(draw: st.DrawFn) -> Rules:
    """Permits, usually for all; hard rules; rules that ask."""
    permit = ["permit = true"] if draw(st.integers(0, 3)) else []
    calm = permit + draw(st.lists(hard, max_size=1))
    asks = draw(st.lists(tiered, min_size=1, max_size=2))
    written = draw(st.lists(cedar, max_size=1))
    never_asks = [policy for policy in written if "permit" in policy or '"hard"' in policy]
    return Rules(_rules(calm + asks, written), _rules(calm, never_asks))


def _rules(forms: list[str], policies: list[str]) -> CedarRules:
    toml = "\n".join(
        f'[[rule]]\nid = "f{n}"\ntitle = "F{n}"\noperation = "till.refund"\n{form}\n'
        for n, form in enumerate(forms)
    )
    text = "".join(f'@id("c{n}")@title("C{n}"){policy};\n' for n, policy in enumerate(policies))
    return rules_from_text({"rules/a.toml": toml, "rules/b.cedar": text}, till.operations, directory=PEOPLE)


grants = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cem", "sender", "clerk", "zoe"]),
        st.sampled_from([RIGHT, RIGHT, RIGHT, "wrong"]),
    ),
    min_size=1,
    max_size=4,
)


class Desk:
    """A store, and runs on it that are never stepped."""

    def __init__(self, room: Path, runner: asyncio.Runner) -> None:
        project = till_project()
        self.clock = SteppedClock()
        self.runner = runner
        self._names = itertools.count()
        self._room = (replace(project, settings=replace(project.settings, data=room)),)
        runner.run(self._open())

    async def _open(self) -> None:
        self.system = System(*self._room, clock=self.clock, seed=1)

    def write(self, work: Any) -> Any:
        async def written() -> Any:
            return await self.system.store.write(work)

        return self.runner.run(written())

    def approve(self, request: Request, binding: str, person: str) -> None:
        """A person's grant, whether or not it is theirs to give."""
        self.write(lambda tx: tx.approve(request.run.no, request.path, binding, person))

    def run(self) -> LiveRun:
        """A run of somebody's event."""
        intake = self.system.kernel.intake
        event = replace(occurrence(f"e{next(self._names)}", {}, type="till.ask"), sender="sender")
        no = self.write(lambda tx: intake.arrive(tx, event)).runs[0].no

        def work(tx: Tx) -> LiveRun:
            run = intake.stand_in(tx, no)
            assert run is not None
            run.version = tx.version(no)
            return run

        found = self.write(work)
        assert isinstance(found, LiveRun)
        return found


@contextmanager
def desk() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory() as room, asyncio.Runner() as runner:
        found = Desk(Path(room), runner)
        try:
            yield found
        finally:
            found.system.store.close()


def in_force(rules: CedarRules) -> InForce:
    return InForce(rules, (), Calendar(till_project().settings.zone), PEOPLE)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.lists(rule_sets(), min_size=1, max_size=2))
def test_no_grants_start_what_permits_and_hard_rules_refuse(data: st.DataObject, sets: list[Rules]) -> None:
    with desk() as till_desk:
        for number in range(6):
            run = till_desk.run()
            charge, minor = data.draw(st.sampled_from("abcd")), data.draw(st.sampled_from([5, 40, 60, 100]))
            action = till.operations["till.refund"](charge=charge, amount=Money(minor, "EUR"))
            args = canonical.decode(action.args)
            request = Request(run, str(number + 1), action, args, action.operation.amount(args))
            binding, yes = "", set[tuple[str, str]]()
            for rules in (*sets, sets[-1], sets[-1]):
                given_ = data.draw(grants) if binding else []
                till_desk.clock.at_us += data.draw(st.sampled_from([0, 1, 2, 61, 3_599])) * 1_000_000
                for person, which in given_:
                    bound = binding if which == RIGHT else "0" * 24
                    till_desk.approve(request, bound, person)
                    yes.add((person, bound))
                started, calm, whole = _started(till_desk, request, rules)
                for _ in range(3):
                    if not isinstance(started, Inquire):
                        break
                    assert calm.decision == "allow", "nothing is even inquired about that may not be done"
                    found = _found(data, started, till_desk.clock.at_us)
                    request = replace(request, findings=(*request.findings, *found))
                    started, calm, whole = _started(till_desk, request, rules)
                if not isinstance(started, Begun | Asked):
                    break
                assert calm.decision == "allow", "permits and hard rules alone must allow what goes on"
                if isinstance(started, Begun):
                    said = {who for who, bound in yes if bound == binding}
                    _granted(till_desk, request, said, whole)
                    break
                request = replace(request, asking=True)
                binding = _binding(till_desk, request)
        assert list(till_desk.system.store.verify()) == []
        assert till_desk.system.store.rebuild(replace=False) == []


def _found(data: st.DataObject, wanted: Inquire, at_us: int) -> tuple[Finding, ...]:
    """What rehearsals and verifiers come to: anything, but lately."""
    says = st.sampled_from(["agree", "agree", "disagree", "cannot_tell"])

    def found(one: Inquiry, n: int) -> Finding:
        shown = {"n": data.draw(st.integers(0, 1))}
        return Finding(one, data.draw(says), "because", shown, f"1/{n}", at_us, wanted.about[one])

    return tuple(found(one, n) for n, one in enumerate(wanted.inquiries, start=wanted.child))


def _started(till_desk: Desk, request: Request, rules: Rules) -> tuple[Started, Verdict, Verdict]:
    def work(tx: Tx) -> tuple[Started, Verdict, Verdict]:
        # What is judged on is read before the start counts itself.
        calm, _, _ = verdict_of(tx, request, in_force(rules.calm), tx.at_us)
        whole, _, _ = verdict_of(tx, request, in_force(rules.whole), tx.at_us)
        return start(tx, request, in_force(rules.whole), till_desk.system.store.ledger_id), calm, whole

    found: tuple[Started, Verdict, Verdict] = till_desk.write(work)
    return found


def _binding(till_desk: Desk, request: Request) -> str:
    (card,) = (c for c in till_desk.system.store.read(lambda v: v.cards()) if c.run == request.run.no)
    return str(card.body["binding"])


def _granted(till_desk: Desk, request: Request, said: set[str], whole: Verdict) -> None:
    """Its approvals are those of enough people for each rule who said yes to just this; of no requester."""
    entries = till_desk.system.store.read(lambda view: view.entries(request.run.no))
    body = entries[-1].body or {}
    people = {one["person"] for one in body.get("approvals", ())}
    assert people <= said - {"sender", "clerk", "zoe"}
    found = {finding_of_body(one).inquiry: finding_of_body(one) for one in body.get("findings", ())}
    for rule in whole.rules if whole.decision == "demand" else ():
        assert rule.demand is not None
        inquiry = inquiry_of(rule)
        if inquiry is not None and found[inquiry].says == "agree":
            assert till_desk.clock.at_us - found[inquiry].at_us < FRESH_US
            continue
        assert len(people) >= rule.demand.people, rule
    left = till_desk.system.store.read(lambda view: view.approvals(request.run.no, request.path))
    used = {one["no"] for one in body.get("approvals", ())}
    assert not used & {one.no for one in left}

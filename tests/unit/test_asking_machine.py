"""Asking against a plain model: whatever people say, in any order, restarts and deadlines among it, an action
starts on the word of enough of them, ends on the word of one or at its time, and holds nothing meanwhile.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from deputize import Money, canonical
from deputize.finding import Finding
from deputize.kernel.asking import Asked
from deputize.kernel.begun import Begun
from deputize.kernel.judging import InForce, Request
from deputize.kernel.people import NotAnswerable
from deputize.kernel.result import Known
from deputize.kernel.start import AnsweredStart, Inquire, RefusedStart, Started
from deputize.kernel.turns import turn_for
from deputize.rules import rules_from_text
from deputize.store.protocol import Tx
from deputize.system import System
from deputize.testing.entries import SteppedClock, occurrence
from tests.unit.test_asking_starts import PEOPLE
from tests.unit.till import till, till_project

T = TypeVar("T")
RULES = """
[[rule]]
title = "Refunds may be made"
operation = "till.refund"
permit = true
[[rule]]
title = "More than 20 cents waits"
operation = "till.refund"
ask_above = { amount = "0.20 EUR" }
ask = "finance"
within = "2 hours"
[[rule]]
title = "More than 60 cents waits for two"
operation = "till.refund"
two_people_above = { amount = "0.60 EUR" }
ask = ["finance", "cem"]
within = "4 hours"
[[rule]]
title = "Never more than 90 cents"
operation = "till.refund"
never_above = { amount = "0.90 EUR" }
"""
FINANCE = {"ann", "bob", "sender"}
WITHIN_US = 2 * 3_600_000_000
MINORS = st.sampled_from([10, 40, 70, 95])
PERSONS = st.sampled_from(["ann", "bob", "cem", "sender", "zoe"])
PICK = st.integers(0, 1_000)


@dataclass
class Plain:
    """What the model knows of an action."""

    run: int
    path: str
    minor: int
    state: str = "new"
    asked_us: int = 0
    yes: set[str] = field(default_factory=set)
    changers: tuple[str, ...] = ()

    def may(self, person: str) -> bool:
        asked = FINANCE | ({"cem"} if self.minor > 60 else set())
        return person in asked - {"sender", *self.changers}

    @property
    def granted(self) -> bool:
        return bool(self.yes & FINANCE) and (self.minor <= 60 or len(self.yes) >= 2)


class AskingMachine(RuleBasedStateMachine):
    """Starts actions as runs do, and says what people say; nothing runs by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.room = tempfile.TemporaryDirectory()
        self.clock = SteppedClock()
        self.runner = asyncio.Runner()
        self.actions: list[Plain] = []
        self.do(self._open())

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def _open(self) -> None:
        project = till_project()
        own = replace(project, settings=replace(project.settings, data=Path(self.room.name)))
        self.system = System(own, clock=self.clock, seed=1)
        self.kernel, self.store = self.system.kernel, self.system.store
        rules = rules_from_text({"rules/a.toml": RULES}, till.operations, directory=PEOPLE)
        parts = self.kernel.parts
        parts.force = InForce(rules, (), parts.force.calendar, PEOPLE)

    def teardown(self) -> None:
        self.store.close()
        self.runner.close()
        self.room.cleanup()

    # -- what runs do --------------------------------------------------------------------------------

    @initialize()
    def two_runs_ask(self) -> None:
        self.a_run_asks_for_something(40)
        self.a_run_asks_for_something(70)

    @precondition(lambda self: len(self.actions) < 6)
    @rule(minor=MINORS)
    def a_run_asks_for_something(self, minor: int) -> None:
        event = replace(occurrence(f"e{len(self.actions)}", {}, type="till.ask"), sender="sender")

        async def begin() -> int:
            arrival = await self.store.write(lambda tx: self.kernel.intake.arrive(tx, event))
            return arrival.runs[0].no

        new = Plain(self.do(begin()), "1", minor)
        self.actions.append(new)
        self.do(self._live(new.run))
        self.start(new)

    async def _live(self, no: int) -> None:
        def work(tx: Tx) -> None:
            run = self.kernel.intake.stand_in(tx, no)
            assert run is not None
            run.version = tx.version(no)
            self.kernel.parts.live[no] = run

        await self.store.write(work)

    def start(self, one: Plain) -> None:
        run, gate = self.kernel.parts.live[one.run], self.kernel.gate
        action = till.operations["till.refund"](charge=f"c{one.run}", amount=Money(one.minor, "EUR"))
        args, asking = canonical.decode(action.args), one.state == "asking"
        amount = action.operation.amount(args)
        request = Request(run, one.path, action, args, amount, asking=asking, changers=one.changers)
        turn = turn_for(gate.parts, request)

        async def starts() -> tuple[Started, int]:
            return await self.store.write(lambda tx: (gate._start(tx, request, turn), tx.at_us))

        started, at_us = self.do(starts())
        if isinstance(started, Inquire):
            # What the people who are asked would like to see; here nobody can tell.
            (one_inquiry,) = started.inquiries
            path, about = f"{one.path}/{started.child}", started.about[one_inquiry]
            told = Finding(one_inquiry, "cannot_tell", "", {}, path, at_us, about)
            request = replace(request, findings=(told,))
            started, at_us = self.do(starts())
        expected = self.expected(one, at_us)
        one.state = {Begun: "open", Asked: "asking", RefusedStart: "refused"}[type(started)]
        assert one.state == expected, started
        if isinstance(started, Asked):
            one.asked_us = one.asked_us or at_us
            assert started.due == one.asked_us + WITHIN_US
            run.record[one.path] = Known(action.operation.name, action.digest, "asking")

    def expected(self, one: Plain, at_us: int) -> str:
        if one.minor > 90:
            return "refused"
        if one.minor <= 20:
            return "open"
        if one.state == "asking" and at_us >= one.asked_us + WITHIN_US:
            return "refused"
        return "open" if one.granted else "asking"

    @precondition(lambda self: self.asking())
    @rule(pick=PICK)
    def a_run_goes_on(self, pick: int) -> None:
        self.start(self.one(pick))

    def asking(self) -> list[Plain]:
        return [one for one in self.actions if one.state == "asking"]

    def one(self, pick: int) -> Plain:
        found = self.asking()
        return found[pick % len(found)]

    # -- what people say -----------------------------------------------------------------------------

    def says(self, one: Plain, what: str, person: str, **more: Any) -> bool:
        """Say it, and whether it was taken; it must be just where the model takes it."""
        card = next(c for c in self.store.read(lambda v: v.cards()) if (c.run, c.path) == (one.run, one.path))
        say = getattr(self.kernel.approving, what)
        in_time = self.clock.at_us < one.asked_us + WITHIN_US
        may = one.may(person) or (what == "refuse" and person in {"sender", *one.changers})
        try:
            self.do(say(card.id, binding=card.body["binding"], person=person, **more))
        except NotAnswerable:
            assert not (in_time and may)
            return False
        assert in_time and may
        return True

    @precondition(lambda self: self.asking())
    @rule(pick=PICK, persons=st.lists(PERSONS, min_size=1, max_size=3), goes_on=st.booleans())
    def approved(self, pick: int, persons: list[str], goes_on: bool) -> None:
        one = self.one(pick)
        for person in persons:
            if self.says(one, "approve", person):
                one.yes.add(person)
        if goes_on:
            self.start(one)

    @precondition(lambda self: self.asking())
    @rule(pick=PICK, person=PERSONS)
    def refused(self, pick: int, person: str) -> None:
        one = self.one(pick)
        if self.says(one, "refuse", person, reason="no"):
            one.state = "refused"

    @precondition(lambda self: self.asking())
    @rule(pick=PICK, person=PERSONS, minor=MINORS)
    def changed(self, pick: int, person: str, minor: int) -> None:
        one = self.one(pick)
        args = {"charge": f"c{one.run}", "amount": {"minor": minor, "currency": "EUR"}}
        if minor != one.minor and self.says(one, "change", person, args=args, reason=""):
            one.state = "refused"
            number = int(one.path.partition("~")[2] or 0) + 1
            new = Plain(one.run, f"1~{number}", minor, changers=(*one.changers, person))
            self.actions.append(new)
            self.start(new)

    # -- time and death ------------------------------------------------------------------------------

    @rule(minutes=st.sampled_from([1, 61, 121]))
    def time_passes(self, minutes: int) -> None:
        self.clock.at_us += minutes * 60_000_000

    @rule()
    def waits_are_ended(self) -> None:
        async def wakes() -> int:
            await self.store.write(self.kernel._wake_some)
            return self.clock.at_us

        at_us = self.do(wakes())
        for one in self.asking():
            if at_us >= one.asked_us + WITHIN_US:
                one.state = "refused"

    @precondition(lambda self: self.asking())
    @rule(pick=PICK)
    def what_was_answered_does_not_start(self, pick: int) -> None:
        """A start that is late for what a person has said."""
        one = self.one(pick)
        if self.says(one, "refuse", "ann" if one.may("ann") else "bob", reason="no"):
            run, gate = self.kernel.parts.live[one.run], self.kernel.gate
            action = till.operations["till.refund"](charge=f"c{one.run}", amount=Money(one.minor, "EUR"))
            request = Request(run, one.path, action, canonical.decode(action.args), None, asking=True)

            async def starts() -> Started:
                return await self.store.write(
                    lambda tx: gate._start(tx, request, turn_for(gate.parts, request))
                )

            assert isinstance(self.do(starts()), AnsweredStart)
            one.state = "refused"

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.do(self._open())
        for no in sorted({one.run for one in self.actions}):
            self.do(self._live(no))
        for one in self.asking():
            self.kernel.parts.live[one.run].record[one.path] = Known("till.refund", "", "asking")
        granted = {one.run for one in self.asking() if one.yes}
        assert set(self.store.read(lambda view: view.approved_runs())) == granted

    # -- what is always so ---------------------------------------------------------------------------

    @invariant()
    def every_action_is_where_the_model_has_it(self) -> None:
        for one in self.actions:
            row = self.store.read(lambda view, one=one: view.action(one.run, one.path))  # type: ignore[misc]
            assert row is not None and row.state == one.state

    @invariant()
    def what_waits_has_a_card_and_holds_nothing(self) -> None:
        cards = {(card.run, card.path) for card in self.store.read(lambda view: view.cards())}
        assert cards == {(one.run, one.path) for one in self.asking()}
        leases = {(run, path) for _, run, path in self.store.read(lambda view: view.leases())}
        names = {row.no: row.id for row in self.store.read(lambda view: view.runs())}
        assert leases == {(names[one.run], one.path) for one in self.actions if one.state == "open"}

    @invariant()
    def approvals_are_those_that_people_gave_and_none_is_left_after_a_start(self) -> None:
        for one in self.actions:
            left = self.store.read(lambda view, one=one: view.approvals(one.run, one.path))  # type: ignore[misc]
            people = [approval.person for approval in left]
            assert len(people) == len(set(people)) and set(people) <= one.yes
            if one.state == "asking":
                assert set(people) == one.yes
            elif one.state == "open":
                assert len(one.yes) - len(people) >= (2 if one.minor > 60 else 1 if one.minor > 20 else 0)

    @invariant()
    def the_chain_is_whole_and_a_rebuild_finds_nothing(self) -> None:
        assert list(self.store.verify()) == []
        assert self.store.rebuild(replace=False) == []


_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

TestAsking = AskingMachine.TestCase
TestAsking.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=_QUIET
)


class TestAskingAtLength(AskingMachine.TestCase):
    """The same, for a long run."""

    pytestmark = pytest.mark.full
    settings = settings(max_examples=300, stateful_step_count=60, deadline=None, suppress_health_check=_QUIET)

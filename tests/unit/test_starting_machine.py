"""The starting transaction against a plain model: whatever comes of actions, in any order, restarts too,
what budgets, facts and leases let start is what the model lets, and they hold what is unsettled alone.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from deputize import Money, canonical
from deputize.kernel.begun import Begun, begun_of
from deputize.kernel.judging import Request
from deputize.kernel.recovery import doubt_open_intents
from deputize.kernel.result import Result
from deputize.kernel.settling import Settling
from deputize.kernel.start import Busy, RefusedStart, Started
from deputize.kernel.turns import turn_for
from deputize.operation import Operation
from deputize.store.protocol import Tx
from deputize.system import System
from deputize.testing.entries import SteppedClock, occurrence
from tests.unit.till import CEILINGS, Place, PlainRound, may_start, till, till_project, used

T = TypeVar("T")
CHARGES = st.sampled_from("abcd")
PICK = st.integers(0, 10_000)
KINDS = {Begun: "begun", Busy: "busy", RefusedStart: "refused"}
RUNS_MAX = 2


class StartingMachine(RuleBasedStateMachine):
    """Drives the gate's own start and the settling, as runs and people would, and nothing runs by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.room = tempfile.TemporaryDirectory()
        self.clock = SteppedClock()
        self.runner = asyncio.Runner()
        self.rounds: list[PlainRound] = []
        self.latest: dict[Place, PlainRound] = {}
        self.begun: dict[Place, Begun] = {}
        self.ended: dict[int, bool] = {}
        self.paths = 0
        self.do(self._open())

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def _open(self) -> None:
        project = till_project()
        own = replace(project, settings=replace(project.settings, data=Path(self.room.name)))
        self.system = System(own, clock=self.clock, seed=1)
        self.kernel, self.store = self.system.kernel, self.system.store
        self.settling = Settling(self.kernel.parts, self.kernel.recording, lambda *_: None)
        # What a person asks for again is made durable, and sent where the machine says so.
        self.kernel.doubts.send_round = self._sent_again  # type: ignore[method-assign]

    def _sent_again(self, begun: Begun, operation: Operation[..., Any]) -> None:
        self.begun[begun.run_no, begun.path] = begun

    def teardown(self) -> None:
        self.store.close()
        self.runner.close()
        self.room.cleanup()

    # -- runs and time -------------------------------------------------------------------------------

    @initialize(doubts=st.integers(0, 3))
    def a_run_has_given_back_all_it_may_in_an_hour(self, doubts: int) -> None:
        self.begin()
        self.think(0)
        self.refund(0, "a", 300)
        self.refund(0, "b", 300)
        for _ in range(doubts):
            self.comes_out(0, "doubt")

    @precondition(lambda self: len(self.ended) < RUNS_MAX)
    @rule()
    def begin(self) -> None:
        no = self.do(self._begin(f"e{len(self.ended)}"))
        self.ended[no] = False
        self.do(self._live(no))

    async def _begin(self, id: str) -> int:
        event = occurrence(id, {}, type="till.ask")
        arrival = await self.store.write(lambda tx: self.kernel.intake.arrive(tx, event))
        return arrival.runs[0].no

    async def _live(self, no: int) -> None:
        def work(tx: Tx) -> None:
            run = self.kernel.intake.stand_in(tx, no)
            assert run is not None
            run.version = tx.version(no)
            self.kernel.parts.live[no] = run

        await self.store.write(work)

    @rule(minutes=st.integers(1, 45))
    def time_passes(self, minutes: int) -> None:
        self.clock.at_us += minutes * 60_000_000

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.do(self._open())
        unsettled = [one for one in self.latest.values() if one.state == "open"]
        assert self.do(doubt_open_intents(self.kernel.parts)) == len(unsettled)
        for one in unsettled:
            one.state = "doubtful"
        for no in [no for no, ended in self.ended.items() if not ended]:
            self.do(self._live(no))
        for row in self.store.read(lambda view: view.actions_in(["doubtful"], (0, ""), 1_000)):
            intent = self.store.read(lambda view, row=row: view.entry(row.intent))  # type: ignore[misc]
            self.begun[row.run, row.path] = begun_of(row, intent.body)

    # -- starts --------------------------------------------------------------------------------------

    @rule(pick=PICK, charge=CHARGES, minor=st.sampled_from([40, 200, 300]))
    def refund(self, pick: int, charge: str, minor: int) -> None:
        self.start(pick, "refund", {"charge": charge, "amount": Money(minor, "EUR")})

    @rule(pick=PICK, a=CHARGES, b=CHARGES)
    def swap(self, pick: int, a: str, b: str) -> None:
        self.start(pick, "swap", {"a": a, "b": b})

    @rule(pick=PICK)
    def think(self, pick: int) -> None:
        self.start(pick, "think", {"about": "it"})

    def start(self, pick: int, name: str, args: dict[str, Any]) -> None:
        going = [no for no, ended in self.ended.items() if not ended]
        if not going:
            return
        run = self.kernel.parts.live[going[pick % len(going)]]
        self.paths += 1
        action = till.operations[f"till.{name}"](**args)
        decoded = canonical.decode(action.args)
        request = Request(run, str(self.paths), action, decoded, action.operation.amount(decoded))
        gate = self.kernel.gate
        turn = turn_for(gate.parts, request)

        async def starts() -> tuple[Started, int]:
            return await self.store.write(lambda tx: (gate._start(tx, request, turn), tx.at_us))

        started, at_us = self.do(starts())
        new = PlainRound((run.no, request.path), name, args, at_us)
        assert KINDS.get(type(started)) == may_start(self.rounds, new), started
        if isinstance(started, Begun):
            self.took(new, started)

    def took(self, new: PlainRound, begun: Begun) -> None:
        self.rounds.append(new)
        self.latest[new.place], self.begun[new.place] = new, begun

    # -- outcomes ------------------------------------------------------------------------------------

    def one_in(self, state: str, pick: int) -> PlainRound:
        found = [one for one in self.latest.values() if one.state == state]
        return found[pick % len(found)]

    def some(self, state: str) -> bool:
        return any(one.state == state for one in self.latest.values())

    @precondition(lambda self: self.some("open"))
    @rule(pick=PICK, how=st.sampled_from(["receipt", "declined", "refused", "not done", "doubt", "doubt"]))
    def comes_out(self, pick: int, how: str) -> None:
        one = self.one_in("open", pick)
        self.do(self._comes_out(one, self.begun[one.place], how))

    async def _comes_out(self, one: PlainRound, begun: Begun, how: str) -> None:
        operation = till.operations[f"till.{one.operation}"]
        run = self.kernel.parts.live.get(begun.run_no)
        if how == "not done":
            again = await self.settling.attempt(operation, begun, "429", was="open", unproved=False)
            assert (again == "ended") == self.ended[begun.run_no]
            if isinstance(again, Begun):
                self.begun[one.place] = again
        elif how == "doubt":
            await self.settling.doubt(operation, begun, "no answer came")
            one.state = "doubtful"
        elif how == "receipt":
            self.settling.receipt(run, begun, b'"x"')
            one.state = "spent"
        else:
            self.settling.failed(run, begun, "declined" if how == "declined" else "refused", "no")
            one.state = "returned"
        # Behind what was queued and not waited for.
        await self.store.write(lambda tx: None)

    @precondition(lambda self: self.some("doubtful"))
    @rule(pick=PICK, how=st.sampled_from(["found", "absent", "repeated"]))
    def is_resolved(self, pick: int, how: str) -> None:
        one = self.one_in("doubtful", pick)
        self.do(self._is_resolved(one, self.begun[one.place], how))

    async def _is_resolved(self, one: PlainRound, begun: Begun, how: str) -> None:
        operation = till.operations[f"till.{one.operation}"]
        if how == "found":
            assert await self.settling.found(begun, b'"x"') is not None
            one.state = "spent"
        elif how == "absent":
            assert await self.settling.absent(begun, "the service says so") is not None
            one.state = "returned"
        else:
            again = await self.settling.attempt(operation, begun, "lost", was="doubtful", unproved=True)
            assert (again == "ended") == self.ended[begun.run_no]
            if isinstance(again, Begun):
                self.begun[one.place], one.state = again, "open"

    @precondition(lambda self: self.some("doubtful"))
    @rule(pick=PICK, kind=st.sampled_from(["happened", "did_not", "do_again", "do_again", "abandon"]))
    def is_answered(self, pick: int, kind: Literal["happened", "did_not", "do_again", "abandon"]) -> None:
        one = self.one_in("doubtful", pick)
        if kind == "do_again" and self.ended[one.place[0]]:
            return
        self.do(self._is_answered(one, self.begun.pop(one.place), kind))

    async def _is_answered(self, one: PlainRound, before: Begun, kind: Any) -> None:
        card = f"{before.run_id}/{before.path}"
        await self.kernel.people.answer(card, kind, result="x", reason="", person="maya")
        one.state = {"happened": "spent", "abandon": "spent"}.get(kind, "returned")
        if kind == "abandon":
            self.ended[before.run_no] = True
        elif kind == "do_again":
            self._again(one, before, self.begun.get(one.place))

    @precondition(lambda self: any(r.state == "doubtful" and r.operation == "think" for r in self.rounds))
    @rule(pick=PICK)
    def is_asked_anew(self, pick: int) -> None:
        found = [one for one in self.latest.values() if one.state == "doubtful" and one.operation == "think"]
        one = found[pick % len(found)]
        self.do(self._is_asked_anew(one, self.begun[one.place]))

    async def _is_asked_anew(self, one: PlainRound, before: Begun) -> None:
        operation = till.operations["till.think"]

        def work(tx: Tx) -> Begun | Result | None:
            return self.kernel.doubts.start_round(tx, before, operation, "lost", spend=True)

        again = await self.store.write(work)
        if self.ended[before.run_no]:
            assert again is None
            return
        one.state = "spent"
        self._again(one, before, again if isinstance(again, Begun) else None)

    def _again(self, one: PlainRound, before: Begun, again: Begun | None) -> None:
        """The next round, judged once the one before has let go of what it held; in no line, for its leases
        are its own all along."""
        at_us = again.first_sent if again is not None else self.kernel.parts.time.now_us()
        new = PlainRound(one.place, one.operation, one.args, at_us)
        assert may_start(self.rounds, new) == ("begun" if again is not None else "refused")
        if again is not None:
            assert again.round == before.round + 1 and again.key != before.key
            self.took(new, again)

    # -- what is always so ---------------------------------------------------------------------------

    @invariant()
    def budgets_hold_the_unsettled_have_spent_the_done_and_are_never_above_their_limit(self) -> None:
        rows = self.store.read(lambda view: view.budgets())
        found = {(key, window): (held, spent) for key, window, held, spent in rows if held or spent}
        assert found == used(self.rounds)
        for (key, _), (held, spent) in found.items():
            assert held + spent <= CEILINGS[key].limit

    @invariant()
    def leases_are_those_of_unsettled_actions(self) -> None:
        held = {(name, *one.place) for one in self.rounds if one.held for name in one.resources}
        runs = {run.id: run.no for run in self.store.read(lambda view: view.runs())}
        leases = self.store.read(lambda view: view.leases())
        assert {(name, runs[run], path) for name, run, path in leases} == held

    @invariant()
    def unsettled_actions_are_the_models_and_have_the_keys_of_their_rounds(self) -> None:
        rows = self.store.read(lambda view: view.actions_in(["open", "doubtful"], (0, ""), 1_000))
        assert {(row.run, row.path): row.state for row in rows} == {
            place: one.state for place, one in self.latest.items() if one.held
        }
        assert all(self.begun[row.run, row.path].key == row.key for row in rows)

    @invariant()
    def the_chain_is_whole_and_a_rebuild_finds_nothing(self) -> None:
        assert list(self.store.verify()) == []
        assert self.store.rebuild(replace=False) == []


_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

TestStarting = StartingMachine.TestCase
TestStarting.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=_QUIET
)


class TestStartingAtLength(StartingMachine.TestCase):
    """The same, for a long run."""

    pytestmark = pytest.mark.full
    settings = settings(max_examples=200, stateful_step_count=80, deadline=None, suppress_health_check=_QUIET)

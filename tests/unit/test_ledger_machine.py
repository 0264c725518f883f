"""The ledger against a plain model: any order of entries, failing works among them, keeps both equal."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from deputize.ledger import Draft
from deputize.store.protocol import Tx
from deputize.store.sqlite.store import SqliteStore
from deputize.testing import entries
from deputize.testing.entries import SteppedClock

Place = tuple[int, str]
"""A run's number and an action's path."""

RESOURCES = ["charge:1", "charge:2", "order:1", "order:2"]
BUDGETS = ["refunds a day", "cost"]
FAILURES = ["none", "domain", "type", "conflict"]


@dataclass
class PlainAction:
    """What the model knows of an action."""

    state: str
    leases: list[str]
    holds: list[tuple[str, int, int]]
    counted: list[tuple[str, str, int, int]]
    round: int = 1
    attempts: int = 1


@dataclass
class PlainRun:
    """What the model knows of a run."""

    version: int = 1
    ended: bool = False
    waits: set[str] = field(default_factory=set)
    actions: dict[str, PlainAction] = field(default_factory=dict)
    next_path: int = 1

    def unsettled(self) -> bool:
        return any(action.state in ("open", "doubtful") for action in self.actions.values())


class LedgerMachine(RuleBasedStateMachine):
    """Each rule gives one good work, with works that fail before and behind it in the same commit."""

    begun = Bundle("begun")
    unsettled = Bundle("unsettled")
    waiting = Bundle("waiting")

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.clock = SteppedClock()
        self.runner = asyncio.Runner()
        self.runner.run(self._open())
        self.runs: dict[int, PlainRun] = {}
        self.leases: dict[str, Place] = {}
        self.budgets: dict[tuple[str, int], list[int]] = {}
        self.facts: dict[tuple[str, str, int], int] = {}

    async def _open(self) -> None:
        self.store = SqliteStore(Path(self.place.name) / "ledger.db", self.clock)

    def teardown(self) -> None:
        self.store.close()
        self.runner.close()
        self.place.cleanup()

    # -- what can happen -------------------------------------------------------------------------

    @initialize(target=begun)
    def first(self) -> int:
        return self.begin("none")

    @rule(target=begun, fails=st.sampled_from(FAILURES))
    def begin(self, fails: str) -> int:
        name = str(len(self.runs))
        no, state = self.commit(lambda tx: entries.begin(tx, name), fails)
        assert state == "ready"
        self.runs[no] = PlainRun()
        return int(no)

    @rule(
        target=unsettled,
        run=begun,
        leases=st.lists(st.sampled_from(RESOURCES), unique=True, max_size=2),
        holds=st.lists(
            st.tuples(st.sampled_from(BUDGETS), st.integers(0, 1), st.integers(1, 90)), max_size=2
        ),
        facts=st.lists(
            st.tuples(st.just("refunds"), st.sampled_from("ab"), st.just(0), st.just(1)), max_size=2
        ),
        fails=st.sampled_from(FAILURES),
    )
    def intend(self, run: int, leases: Any, holds: Any, facts: Any, fails: str) -> Place:
        plain = self.runs[run]
        if plain.ended or plain.waits:
            return (run, "")
        leases = [resource for resource in leases if resource not in self.leases]
        path = str(plain.next_path)
        plain.next_path += 1
        self.append(run, entries.intent(path, leases=leases, holds=holds, counted=facts), fails)
        plain.actions[path] = PlainAction("open", leases, holds, facts)
        self._take(run, path)
        return (run, path)

    @rule(place=unsettled, fails=st.sampled_from(FAILURES))
    def doubt(self, place: Place, fails: str) -> None:
        action = self.action(place, "open")
        if action is not None:
            self.append(place[0], entries.doubt(place[1]), fails)
            action.state = "doubtful"

    @rule(place=unsettled, fails=st.sampled_from(FAILURES))
    def send_again(self, place: Place, fails: str) -> None:
        action = self.action(place, "open", "doubtful")
        if action is not None:
            action.attempts += 1
            self.append(place[0], entries.attempt(place[1], action.attempts, action.state), fails)
            action.state = "open"

    @rule(place=unsettled, fails=st.sampled_from(FAILURES))
    def do_again_on_a_persons_word(self, place: Place, fails: str) -> None:
        action = self.action(place, "doubtful")
        if action is None:
            return
        action.round += 1
        action.attempts = 1
        held = {"holds": action.holds, "counted": action.counted}
        released = entries.released(leased=bool(action.leases), was="doubtful", **held) | {"spend": False}  # type: ignore[arg-type]
        draft = entries.intent(
            place[1],
            leases=action.leases,
            round=action.round,
            released=released,
            **held,  # type: ignore[arg-type]
        )
        self.append(place[0], draft, fails)
        action.state = "open"

    @rule(
        place=consumes(unsettled),
        how=st.sampled_from(["receipt", "declined", "refused", "abandoned"]),
        fails=st.sampled_from(FAILURES),
    )
    def settle(self, place: Place, how: Any, fails: str) -> None:
        action = self.action(place, "open", "doubtful")
        if action is None:
            return
        body = entries.released(
            leased=bool(action.leases), holds=action.holds, counted=action.counted, was=action.state
        )
        self.append(place[0], Draft(how, {"path": place[1]} | body), fails)
        self._let_go(place, spend=how in ("receipt", "abandoned"))
        action.state = {"receipt": "settled"}.get(how, how)

    @rule(target=waiting, run=begun, fails=st.sampled_from(FAILURES))
    def wait(self, run: int, fails: str) -> Place:
        plain = self.runs[run]
        if plain.ended or plain.waits or plain.unsettled():
            return (run, "")
        path = str(plain.next_path)
        plain.next_path += 1
        self.append(run, entries.waiting(path, due=7), fails)
        plain.waits.add(path)
        return (run, path)

    @rule(place=consumes(waiting), fails=st.sampled_from(FAILURES))
    def wake(self, place: Place, fails: str) -> None:
        plain = self.runs[place[0]]
        if place[1] in plain.waits:
            self.append(place[0], entries.woke(place[1]), fails)
            plain.waits.remove(place[1])

    @rule(run=begun, fails=st.sampled_from(FAILURES))
    def end(self, run: int, fails: str) -> None:
        plain = self.runs[run]
        if not plain.ended and not plain.unsettled():
            self.append(run, entries.ended(), fails)
            plain.ended = True
            plain.waits.clear()

    @rule(by_us=st.integers(-5_000, 5_000))
    def clock_steps(self, by_us: int) -> None:
        self.clock.at_us += by_us

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.runner.run(self._open())

    # -- how it is done --------------------------------------------------------------------------

    def action(self, place: Place, *states: str) -> PlainAction | None:
        action = self.runs[place[0]].actions.get(place[1])
        return action if action is not None and action.state in states else None

    def append(self, run: int, draft: Draft, fails: str) -> None:
        plain = self.runs[run]
        plain.version = self.commit(lambda tx: tx.append(run, plain.version, [draft]), fails)

    def commit(self, work: Callable[[Tx], Any], fails: str) -> Any:
        async def all_in_one() -> list[Any]:
            bad = self._failing(fails)
            given = [self.store.write(step) for step in ((work,) if fails == "none" else (bad, work, bad))]
            return await asyncio.gather(*given, return_exceptions=True)

        results = self.runner.run(all_in_one())
        good = results[len(results) // 2]
        assert all(isinstance(result, Exception) for result in results if result is not good)
        assert not isinstance(good, Exception), good
        return good

    def _failing(self, how: str) -> Callable[[Tx], None]:
        def work(tx: Tx) -> None:
            no, _ = entries.begin(tx, "fails")
            hold = (BUDGETS[0], 0, 1_000)
            tx.append(
                no,
                1,
                [entries.intent("1", leases=["other:1"], holds=[hold], counted=[("refunds", "a", 0, 1)])],
            )
            if how == "type":
                tx.append(no, 2, [entries.read("2", what=object())])
            if how == "conflict":
                tx.append(no, 9, [entries.read("2")])
            raise ValueError("refused")

        return work

    def _take(self, run: int, path: str) -> None:
        action = self.runs[run].actions[path]
        self.leases |= dict.fromkeys(action.leases, (run, path))
        for budget, window, amount in action.holds:
            self.budgets.setdefault((budget, window), [0, 0])[0] += amount
        for counter, subject, window, weight in action.counted:
            key = (counter, subject, window)
            self.facts[key] = self.facts.get(key, 0) + weight

    def _let_go(self, place: Place, *, spend: bool) -> None:
        action = self.runs[place[0]].actions[place[1]]
        for resource in action.leases:
            del self.leases[resource]
        for budget, window, amount in action.holds:
            use = self.budgets[budget, window]
            use[0] -= amount
            use[1] += amount if spend else 0
        if not spend:
            for counter, subject, window, weight in action.counted:
                self.facts[counter, subject, window] -= weight

    # -- what is always so -----------------------------------------------------------------------

    @invariant()
    def the_books_are_the_models(self) -> None:
        view = self.store.read
        assert view(lambda v: v.leases()) == sorted(
            (resource, f"run-{self.name(run)}", path) for resource, (run, path) in self.leases.items()
        )
        assert view(lambda v: v.budgets()) == sorted(
            (budget, window, held, spent) for (budget, window), (held, spent) in self.budgets.items()
        )
        for (counter, subject, window), value in self.facts.items():
            assert self.fact(counter, subject, window) == value

    @invariant()
    def every_run_and_action_is_where_the_model_has_it(self) -> None:
        for no, plain in self.runs.items():
            row = self.store.read(lambda v, no=no: v.run_no(no))  # type: ignore[misc]
            assert (row.version, row.state) == (plain.version, self.state(plain))
            actions = self.store.read(lambda v, no=no: v.actions(no))  # type: ignore[misc]
            assert {a.path: (a.state, a.round, a.attempts) for a in actions} == {
                path: (a.state, a.round, a.attempts) for path, a in plain.actions.items()
            }
            waits = self.store.read(lambda v, no=no: v.waits(no))  # type: ignore[misc]
            assert {wait.path for wait in waits} == plain.waits

    @invariant()
    def holds_and_leases_are_those_of_open_and_doubtful_actions(self) -> None:
        unsettled = self.store.read(lambda v: v.actions_in(["open", "doubtful"], (0, ""), 1_000))
        plain = [self.runs[row.run].actions[row.path] for row in unsettled]
        assert len(self.store.read(lambda v: v.leases())) == sum(len(action.leases) for action in plain)
        held = sum(held for _, _, held, _ in self.store.read(lambda v: v.budgets()))
        assert held == sum(amount for action in plain for _, _, amount in action.holds)

    @invariant()
    def the_chain_is_whole_and_a_rebuild_finds_nothing(self) -> None:
        assert list(self.store.verify()) == []
        assert self.store.rebuild(replace=False) == []

    @invariant()
    def ledger_time_never_runs_back(self) -> None:
        times = [entry.at_us for _, entry in self.store.read(lambda v: v.entries_after(0, 10_000))]
        assert times == sorted(times)

    def fact(self, counter: str, subject: str, window: int) -> int:
        return int(self.commit(lambda tx: tx.counted(counter, subject, window), "none"))

    def name(self, run: int) -> str:
        return str(list(self.runs).index(run))

    def state(self, plain: PlainRun) -> str:
        if plain.ended:
            return "ended"
        if any(action.state == "doubtful" for action in plain.actions.values()):
            return "doubtful"
        return "waiting" if plain.waits else "ready"


_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=_QUIET
)


class TestLedgerAtLength(LedgerMachine.TestCase):
    """The same, for a long run."""

    pytestmark = pytest.mark.full
    settings = settings(max_examples=400, stateful_step_count=60, deadline=None, suppress_health_check=_QUIET)

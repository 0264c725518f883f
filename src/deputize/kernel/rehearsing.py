"""Rehearsing: an automation is stepped as it is live, and what it asks for is foretold and never done.

Nothing here reaches a ledger's writer or a `Performer`: it is given books to read, and a `Foreseer`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deputize import canonical
from deputize.action import Action
from deputize.agent import Agent
from deputize.automation import Automation
from deputize.errors import BadEvent, CodeError
from deputize.event import Occurrence
from deputize.foretold import Came, Foretold, Line, Would
from deputize.kernel.ending import continued
from deputize.kernel.failing import failed
from deputize.kernel.fitting import sent_by, unfit_of
from deputize.kernel.foreseeing import AS_IF_APPROVED, AS_IF_REFUSED, Foresight
from deputize.kernel.judging import InForce
from deputize.kernel.live import Asks, Ends, Leaf, LiveRun, Stepped
from deputize.kernel.overlay import Overlay
from deputize.kernel.ports import Foreseer, Then
from deputize.kernel.recalling import Past, Recalled
from deputize.kernel.result import Result, value
from deputize.kernel.stepping import advance, digest_of, evict, name_of
from deputize.operation import Operation
from deputize.planned import PlanAsk
from deputize.question import Question
from deputize.sentence import listed
from deputize.waits import Send, Sleep, WaitFor


@dataclass(frozen=True)
class Given:
    """What a rehearsal is given: what is in force, one automation with the parameters it has now, the others
    that answer what it sends, and what it may know of the ledger and the world. `now_us` is ledger time."""

    force: InForce
    automation: Automation
    automations: Mapping[str, Automation]
    operations: Mapping[str, Operation[..., Any]]
    agents: Mapping[str, Agent]
    params: Mapping[str, Any]
    ledger_id: str
    then: Then
    foreseer: Foreseer
    now_us: Callable[[], int]
    step: Callable[[LiveRun], Stepped] = advance
    as_refused: bool = False


Steps = Generator[int, None, Foretold]
"""A run that is being rehearsed: before each await it says at which entry of the ledger that has a place."""


class Rehearsal:
    """Rehearses events; each finds the budgets and counts that those before it would use."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._books = Overlay(given.then, given.force)
        self._foresight = Foresight(
            given.force,
            given.foreseer,
            self._books,
            given.operations,
            given.agents,
            as_refused=given.as_refused,
        )
        self._readers = _Readers(given.automations)

    def of_event(self, event: Occurrence) -> Foretold:
        """An event that has not come yet, in the world as it is now."""
        given = self._given
        run_id = canonical.name(given.ledger_id, given.automation.name, event.source, event.id)
        [told] = _in_order([self._rehearse(self._run(run_id, event, 0, given.now_us(), ""), None)])
        return told

    def of_past(self, pasts: Sequence[Past]) -> list[Foretold]:
        """Past events, in the world as it was. They take turns as they did then, so that what one would use
        of a budget is used when another comes to it."""
        return _in_order([self._past(past) for past in pasts])

    def _past(self, past: Past) -> Steps:
        row = past.row
        run = self._run(row.id, past.event, row.event, row.began_at, past.sender)
        told = yield from self._rehearse(run, past)
        left = sorted((one for one in past.awaits.values() if not one.used), key=lambda one: one.seq)
        for one in left:
            if one.takes:
                yield one.seq
                self._books.leave_out(one.takes)
        return told

    def _run(self, run_id: str, event: Occurrence, seq: int, began_us: int, sender: str) -> LiveRun:
        automation, params = self._given.automation, dict(self._given.params)
        step = automation.step(run_id, began_us, event)
        return LiveRun(0, run_id, automation, event, seq, params, None, began_us, 1, {}, step, sender)

    def _rehearse(self, run: LiveRun, past: Past | None) -> Steps:
        lines: list[Line] = []
        # A run asks `ACTIONS_MAX` times at most; then its step ends it.
        while True:
            stepped = self._given.step(run)
            if isinstance(stepped, Asks):
                unfit = unfit_of(
                    run, stepped.leaves, self._readers, self._given.force.directory, self._now_us(run, past)
                )
                if unfit is None:
                    for leaf in stepped.leaves:
                        lines += yield from self._tell(run, leaf, past)
                    if all(leaf.result is not None for leaf in stepped.leaves):
                        continue
                    evict(run)
                    return _unfinished(run, lines, past)
                evict(run)
                stepped = unfit
            if isinstance(stepped, Ends):
                stepped = self._checked(run, stepped)
                return _ended(run, lines, past, stepped)
            return _foretold(run, lines, past, "stuck", "", stepped.reason)

    def _checked(self, run: LiveRun, end: Ends) -> Ends:
        """The end; a failure where the state that it goes on with is none."""
        if end.state is not None:
            try:
                self._readers.check(continued(run, end.state, run.step.now_us))
            except BadEvent as error:
                return failed(run, CodeError(f"{run.automation.where}: continue_with(): {error}"))
        return end

    def _now_us(self, run: LiveRun, past: Past | None) -> int:
        return run.step.now_us if past is not None else max(run.step.now_us, self._given.now_us())

    def _tell(self, run: LiveRun, leaf: Leaf, past: Past | None) -> Generator[int, None, list[Line]]:
        at_us = self._now_us(run, past)
        if isinstance(leaf.awaiting, Action):
            return (yield from self._foresight.tell(run, leaf, past, at_us))
        recalled = None
        if past is not None:
            recalled = past.find(leaf.path, name_of(leaf.awaiting), digest_of(leaf.awaiting))
        return [_wait(run, leaf, recalled, at_us, self._given.as_refused)]


def _in_order(runs: Sequence[Steps]) -> list[Foretold]:
    """What comes of runs that are rehearsed side by side, in the order in which they were given."""
    told: dict[int, Foretold] = {}
    # Everyone's first place is before all others: it is found by the first turn.
    turns = [(0, number) for number in range(len(runs))]
    while turns:
        _, number = turns[0]
        try:
            heapq.heapreplace(turns, (next(runs[number]), number))
        except StopIteration as ended:
            told[number] = ended.value
            heapq.heappop(turns)
    return [told[number] for number in range(len(runs))]


def _wait(run: LiveRun, leaf: Leaf, recalled: Recalled | None, at_us: int, as_refused: bool) -> Line:
    """A wait, a question or an event that is sent: as it was then, else as far as it can be told."""
    awaiting, did = leaf.awaiting, recalled.did if recalled is not None else None
    then = recalled.known.result if recalled is not None else None
    base = (leaf.path, name_of(awaiting), digest_of(awaiting), awaiting.where)
    if isinstance(awaiting, Send):
        sent = sent_by(run, leaf, awaiting, at_us)
        leaf.result = then or value(canonical.encode({"source": sent.source, "id": sent.id}), at_us)
        return Line(*base, "sent", canonical.decode(awaiting.data), writes=True, did=did)
    asks = awaiting.whom if isinstance(awaiting, Question | PlanAsk) else ()
    if then is not None:
        leaf.result = then
        would: Would = "passed" if isinstance(awaiting, Sleep) else "answered"
        return Line(*base, would, _shown(awaiting), "as recorded", reason=then.reason, asks=asks, did=did)
    if isinstance(awaiting, Sleep):
        due_us = awaiting.due_us if awaiting.due_us is not None else at_us + (awaiting.for_us or 0)
        leaf.result = value(b"null", max(at_us, due_us))
        return Line(*base, "passed", did=did)
    if isinstance(awaiting, PlanAsk):
        refused = Result("refused", b"null", "people are taken to refuse it", at_us)
        leaf.result = refused if as_refused else value(b"null", at_us)
        said, reason = AS_IF_REFUSED if as_refused else AS_IF_APPROVED, leaf.result.reason
        return Line(*base, "answered", _shown(awaiting), reason=reason, asks=asks, said=said, did=did)
    reason = f"waits for {_for_what(awaiting)}, and nobody knows whether and when that comes"
    return Line(*base, "waits", _shown(awaiting), reason=reason, asks=asks, did=did)


def _shown(awaiting: Any) -> Any:
    if isinstance(awaiting, Question):
        return {"question": awaiting.question}
    if isinstance(awaiting, PlanAsk):
        return {"plan": awaiting.goal}
    return dict(awaiting.matching) if isinstance(awaiting, WaitFor) else None


def _for_what(awaiting: Any) -> str:
    if isinstance(awaiting, Question):
        return f"the answer of {' or '.join(awaiting.whom)} to {awaiting.question!r}"
    return f"an event {awaiting.kind.event_type}"


def _unfinished(run: LiveRun, lines: list[Line], past: Past | None) -> Foretold:
    untold = [line for line in lines if line.would == "untold"]
    if untold:
        reason = f"what comes after {untold[0].what} cannot be told: {untold[0].reason}"
        return _foretold(run, lines, past, "untold", "", reason)
    return _foretold(run, lines, past, "waits", "", listed([x.reason for x in lines if x.would == "waits"]))


def _ended(run: LiveRun, lines: list[Line], past: Past | None, end: Ends) -> Foretold:
    label = end.outcome.label
    undone = "; what it did would be undone" if end.kind == "failed" and run.automation.unwind else ""
    shown = f"{end.kind}({label})" if label else end.kind
    return _foretold(run, lines, past, "ended", shown, f"{end.reason}{undone}")


def _foretold(
    run: LiveRun, lines: list[Line], past: Past | None, came: Came, end: str, reason: str
) -> Foretold:
    event = run.event
    really = past.really() if past is not None else None
    return Foretold(
        run.id, event.source, event.id, event.type, event.subject, tuple(lines), came, end, reason, really
    )


@dataclass
class _Readers:
    """The automations that answer what is sent; what they cannot read ends whoever sends it."""

    automations: Mapping[str, Automation]
    _by_type: dict[str, list[Automation]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for automation in self.automations.values():
            alike = self._by_type.setdefault(automation.on.event_type, [])
            alike.append(automation)

    def check(self, occurrence: Occurrence) -> None:
        """Raises `BadEvent` where an automation answers this type and its data does not fit."""
        for automation in self._by_type.get(occurrence.type, ()):
            occurrence.data_as(automation.on)

"""What would come of one action: judged by what is in force now, then foretold and never done.

A past event is told in the world as it was: what was answered then to the same request is the answer. All
else is read now, or foretold by its service, or derived.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from deputize import canonical
from deputize.action import Action
from deputize.agent import Agent
from deputize.approval import Demand
from deputize.call import CallBroken, CallDeclined, CallDrifted, CallFailed
from deputize.errors import ContractError
from deputize.foretold import How, Line, Would
from deputize.kernel.asking import demands_of, is_for_people, of_people
from deputize.kernel.finding_out import FindingOut, When
from deputize.kernel.judging import InForce, Request, barred
from deputize.kernel.live import Leaf, LiveRun
from deputize.kernel.overlay import Judged, Overlay
from deputize.kernel.ports import Foreseer
from deputize.kernel.recalling import Past, Recalled
from deputize.kernel.result import Kind, Result, unmet_of, unmet_sentence, value
from deputize.kernel.stepping import follow_change
from deputize.operation import Operation
from deputize.rehearsal import Prediction, Untold, derive
from deputize.rule import RuleLine

AS_IF_APPROVED = "as if approved"
AS_IF_REFUSED = "as if refused"
AS_THEN = "as then"
KEEPER = "the keeper"


@dataclass(frozen=True)
class _Foreseen:
    """A result, and by what it is told; without one, why it cannot be."""

    result: Result | None
    how: How = ""
    reason: str = ""
    origins: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Meeting:
    """What it takes for an action to start: found out, asked, taken for an answer; `no` where that is one."""

    rules: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    said: str = ""
    no: _Foreseen | None = None
    people: tuple[RuleLine, ...] = ()


class Foresight:
    """Tells what would come of actions. With `as_refused`, people are taken to refuse what waits for them."""

    def __init__(
        self,
        force: InForce,
        foreseer: Foreseer,
        books: Overlay,
        operations: Mapping[str, Operation[..., Any]],
        agents: Mapping[str, Agent],
        *,
        as_refused: bool = False,
    ) -> None:
        self._force = force
        self._foreseer = foreseer
        self._books = books
        self._finding_out = FindingOut(foreseer, books, operations, agents, self._preview)
        self._as_refused = as_refused
        self._previewed: dict[tuple[str, str], bytes | CallFailed] = {}
        self._place = 0

    def tell(
        self, run: LiveRun, leaf: Leaf, past: Past | None, at_us: int
    ) -> Generator[int, None, list[Line]]:
        """One line, and one more for each time that people then changed its arguments; lays the result into
        the leaf, where there is one to tell. `at_us` is the time, where the record has no other. Before each,
        yields at which entry of the ledger it has its place."""
        action = cast("Action[Any]", leaf.awaiting)
        recalled = past.find(leaf.path, action.operation.name, action.digest) if past is not None else None
        lines = []
        while True:
            place = recalled.seq if recalled is not None else past.reached + 1 if past is not None else 0
            yield place
            # Others may have come to a later place meanwhile: what is new comes after them.
            self._place = place if recalled is not None else max(place, self._place)
            line = self._tell(run, leaf, past, recalled, at_us)
            lines.append(line)
            changed = recalled.known.changed if recalled is not None and line.asks else None
            if past is None or changed is None:
                return lines
            leaf.result = None
            follow_change(run, leaf, changed)
            recalled = past.changed(changed.path)

    def _tell(
        self, run: LiveRun, leaf: Leaf, past: Past | None, recalled: Recalled | None, at_us: int
    ) -> Line:
        action = cast("Action[Any]", leaf.awaiting)
        operation, args = action.operation, canonical.decode(action.args)
        request = Request.of(run, leaf.path, action, changers=tuple(leaf.changers))
        earlier = _earlier(past, recalled, request) if past is not None else None
        if recalled is not None:
            when = When(recalled.at_us, recalled.seq, earlier is not None)
        else:
            when = When(at_us, self._place if past is not None else None, earlier is not None)
        self._previewed.clear()
        judged = self._books.judge(request, when.at_us, when.before)
        meeting = self._meet(request, judged, recalled, when)
        if recalled is not None:
            self._books.leave_out(recalled.takes)
        foreseen = meeting.no or self._foresee(request, earlier, past, recalled, when)
        result = foreseen.result
        if result is not None and action.weighs:
            result = replace(result, barred=barred(request, self._force))
        leaf.result = result
        writes = operation.contract.effect == "write"
        would = _would(result, writes)
        if would in ("read", "done"):
            self._books.take(judged.takes)
        return Line(
            leaf.path,
            operation.name,
            action.digest,
            action.where,
            would,
            args,
            foreseen.how,
            writes,
            result.reason if result is not None else foreseen.reason,
            action.why,
            meeting.rules,
            meeting.checks,
            meeting.asks,
            meeting.said,
            request.amount if would == "done" else None,
            foreseen.origins,
            recalled.did if recalled is not None else None,
            meeting.people,
        )

    # -- what it takes to start ----------------------------------------------------------------------

    def _meet(self, request: Request, judged: Judged, recalled: Recalled | None, when: When) -> _Meeting:
        """What rules and budgets want, and what is taken for it."""
        if judged.reason:
            return _Meeting(judged.rules, no=_refused(judged.reason, when.at_us))
        verdict = judged.demanding
        if verdict is None:
            return _Meeting()
        titles = tuple(rule.title for rule in verdict.rules)
        findings, checks = self._finding_out.find(request, verdict, recalled, when)
        people = tuple(rule for rule in verdict.rules if is_for_people(rule))
        rules = of_people(verdict, findings).rules
        if request.action.part is not None and not (recalled is not None and recalled.did.asked):
            # The plan that it is a part of was taken for granted, with the rules that ask about its actions.
            rules = tuple(rule for rule in rules if rule not in people)
        if not rules:
            return _Meeting(titles, checks)
        if not self._force.directory.people:
            reason = f"{verdict.sentence()}, and there is nobody to ask: add [people.NAME] to deputize.toml"
            return _Meeting(titles, checks, no=_refused(reason, when.at_us))
        asks = tuple(dict.fromkeys(map(_whom, demands_of(rules))))
        said, no = self._people(recalled, when)
        return _Meeting(titles, checks, asks, said, no, people)

    def _people(self, recalled: Recalled | None, when: When) -> tuple[str, _Foreseen | None]:
        """What is taken for people's answer, and what comes of it where that is a no."""
        if recalled is not None and recalled.did.asked and recalled.did.outcome != "open":
            result = recalled.known.result
            if recalled.known.changed is not None:
                return AS_THEN, _refused("its arguments were changed", when.at_us)
            if recalled.did.outcome in ("by people", "expired") and result is not None:
                return AS_THEN, _Foreseen(result)
            if recalled.answered:
                return AS_THEN, None
        if self._as_refused:
            return AS_IF_REFUSED, _refused("people are taken to refuse it", when.at_us)
        return AS_IF_APPROVED, None

    # -- results -------------------------------------------------------------------------------------

    def _foresee(
        self,
        request: Request,
        earlier: bytes | None,
        past: Past | None,
        recalled: Recalled | None,
        when: When,
    ) -> _Foreseen:
        action = request.action
        operation = action.operation
        if recalled is not None and recalled.did.outcome in ("done", "declined"):
            then = cast("Result", recalled.known.result)
            if then.kind == "declined":
                return _Foreseen(then, "as recorded")
            if _fits(operation, then.stored):
                return _Foreseen(_met(action, then.stored, then.at_us), "as recorded")
        if operation.contract.effect == "read":
            again = past.again(operation.name, action.digest) if past is not None else None
            if again is not None and _fits(operation, again.stored):
                return _Foreseen(_met(action, again.stored, when.at_us), "as recorded")
            if operation.contract.priced:
                return _Foreseen(None, reason="it costs something, and nothing is spent on a rehearsal")
            return self._read(action, when.at_us)
        # What the run itself did then is in the world by now: a preview would foretell on top of that.
        if earlier is not None:
            derived = derive(operation, action.args, action.expects, earlier=earlier)
            if not isinstance(derived, Untold):
                return _derived(derived, when.at_us)
        if operation.contract.rehearse:
            got = self._preview(action)
            if isinstance(got, CallDeclined):
                return _failed(got, when.at_us, "foretold")
            if isinstance(got, bytes):
                return _Foreseen(_met(action, got, when.at_us), "foretold")
        derived = derive(operation, action.args, action.expects, self._read_before(request, when))
        return _derived(derived, when.at_us)

    def _read(self, action: Action[Any], at_us: int) -> _Foreseen:
        try:
            stored = self._foreseer.read(action.operation, action.args)
        except CallFailed as error:
            return _failed(error, at_us, "read now")
        return _Foreseen(_met(action, stored, at_us), "read now")

    def _preview(self, action: Action[Any]) -> bytes | CallFailed:
        """What its service foretells; asked once of one action."""
        key = action.operation.name, action.digest
        if key not in self._previewed:
            try:
                self._previewed[key] = self._foreseer.rehearse(action.operation, action.args)
            except CallFailed as error:
                self._previewed[key] = error
        return self._previewed[key]

    def _read_before(self, request: Request, when: When) -> bytes | None:
        """What it would change, as it is now, where the agent may read that."""
        operation = request.action.operation
        if operation.before is None:
            return None
        try:
            args = operation.args_before(request.action.args)
        except ContractError:
            return None
        reading: Action[Any] = Action(operation.before, args)
        asked = replace(request, action=reading, args=canonical.decode(args), amount=None)
        judged = self._books.judge(asked, when.at_us, when.before)
        if judged.reason or judged.demanding is not None:
            return None
        try:
            return self._foreseer.read(operation.before, args)
        except CallFailed:
            return None


def _whom(demand: Demand) -> str:
    """Whom a demand asks, as far as that is said."""
    whom = " or ".join(demand.whom) or KEEPER
    return whom if demand.people == 1 else f"{demand.people} of {whom}"


def _would(result: Result | None, writes: bool) -> Would:
    if result is None:
        return "untold"
    if result.kind in ("declined", "refused", "expired"):
        return "declined" if result.kind == "declined" else "refused"
    return "done" if writes else "read"


def _met(action: Action[Any], stored: bytes, at_us: int) -> Result:
    """A result, compared with what the action expects."""
    unmet = unmet_of(action.expects, canonical.decode(stored)) if action.expects else {}
    kind: Kind = "unmet" if unmet else "value"
    return Result(kind, stored, unmet_sentence(unmet), at_us)


def _refused(reason: str, at_us: int) -> _Foreseen:
    return _Foreseen(Result("refused", b"null", reason, at_us))


def _derived(told: Prediction | Untold, at_us: int) -> _Foreseen:
    if isinstance(told, Untold):
        return _Foreseen(None, reason=told.reason)
    return _Foreseen(value(told.stored, at_us), "derived", "", tuple(told.origins.items()))


def _failed(error: CallFailed, at_us: int, how: How) -> _Foreseen:
    if isinstance(error, CallDeclined):
        return _Foreseen(Result("declined", b"null", error.reason, at_us), how)
    if isinstance(error, CallBroken):
        return _Foreseen(Result("refused", b"null", error.reason, at_us), how)
    drifted = "its answer does not fit its contract: " if isinstance(error, CallDrifted) else ""
    return _Foreseen(None, how, f"{drifted}{error.reason}")


def _earlier(past: Past, recalled: Recalled | None, request: Request) -> bytes | None:
    """What the same operation was answered then: in its place, else on the same resources."""
    if recalled is not None and recalled.did.outcome == "done" and recalled.known.result is not None:
        return recalled.known.result.stored
    operation = request.action.operation
    resources = operation.resources(request.args) if operation.contract.resources else ()
    for one in past.awaits.values():
        same = one.did.what == operation.name and one.did.outcome == "done" and isinstance(one.did.args, dict)
        if same and resources and one.known.result is not None:
            try:
                alike = operation.resources(one.did.args) == resources
            except KeyError:
                continue
            if alike:
                return one.known.result.stored
    return None


def _fits(operation: Operation[..., Any], stored: bytes) -> bool:
    """Whether a stored result still fits the operation's result type."""
    try:
        operation.decode_result(stored)
    # Its validators are the project's own code.
    except Exception:  # noqa: BLE001
        return False
    return True

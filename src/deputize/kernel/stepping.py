"""One step of an automation: from the results of one await to the next await that needs work.

Runs on a driver thread, without an event loop. What the record knows is handed back at once; what
it does not know is returned to be carried out.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine
from typing import Any, cast

from pydantic import ValidationError

from deputize import canonical
from deputize.action import Action, Attempt, Together
from deputize.automation import Outcome
from deputize.awaiting import Awaiting, enter_step
from deputize.clock import to_datetime
from deputize.errors import ActionError, BadEvent, CodeError, Declined, Expired, Refused, Unavailable, Unmet
from deputize.event import Occurrence
from deputize.finding import is_child
from deputize.kernel.failing import failed, foreign, too_many
from deputize.kernel.guard import watched
from deputize.kernel.live import ACTIONS_MAX, Asks, Ends, Leaf, LiveRun, Stepped, Sticks
from deputize.kernel.origins import brought
from deputize.kernel.result import CHANGED, Changed, Known, Result
from deputize.kernel.returning import returned
from deputize.planned import PLAN, PlanAsk
from deputize.question import Question
from deputize.waits import Send, Sent, Sleep, WaitFor

EVICT_TURNS_MAX = 10
SHOWN_CHARS_MAX = 500

_HINT = (
    "; where a time, an id or chance stands in it, take it from now(), new_id() or random() of deputize, "
    "which a replay repeats"
)

_ERRORS: dict[str, type[ActionError]] = {
    "refused": Refused,
    "unavailable": Unavailable,
    "declined": Declined,
    "expired": Expired,
    "unmet": Unmet,
}


class RunCancelled(BaseException):
    """Thrown once into an automation when a person cancels its run; clean up, and let it pass."""


class Evicted(BaseException):
    """Thrown into a waiting automation that leaves memory; its run goes on later from its record."""


class _Mismatch(Exception):
    """The code asks for something else than the record has at this place."""

    def __init__(self, reason: str, ours: str, theirs: str) -> None:
        super().__init__(reason)
        self.reason, self.ours, self.theirs = reason, ours, theirs


def advance(run: LiveRun) -> Stepped:
    """Drive a run from where it is to its next unknown await, or to its end. Never raises."""
    enter_step(run.step)
    try:
        with watched(run.step):
            try:
                stepped = _advance(run)
            except _Mismatch as mismatch:
                stepped = Sticks(run, mismatch.reason, mismatch.ours, mismatch.theirs)
            except BaseException as error:  # noqa: BLE001 - validators, `__str__` and the like are project code
                stepped = failed(run, run.step.violation or error)
            if isinstance(stepped, Ends) and run.turn < run.recorded_to:
                stepped = _too_early(run, stepped)
            if not isinstance(stepped, Asks):
                _take_apart(run)
            return stepped
    finally:
        enter_step(None)


def evict(run: LiveRun) -> None:
    """Take a waiting run's coroutine apart; its record is where it goes on from."""
    enter_step(run.step)
    try:
        with watched(run.step):
            _take_apart(run)
    finally:
        enter_step(None)


def _take_apart(run: LiveRun) -> None:
    """Unwind a suspended coroutine here and now, not wherever garbage is collected."""
    coroutine, run.coroutine = run.coroutine, None
    # They hold the step, and it them: nothing of a run that has left waits for the collector of such circles.
    run.step.built.clear()
    if coroutine is None or getattr(coroutine, "cr_frame", None) is None:
        return
    try:
        for _ in range(EVICT_TURNS_MAX):
            run.context.run(coroutine.throw, Evicted())
    except BaseException:  # noqa: BLE001 - whatever it says, it is gone; its record goes on
        return


def _advance(run: LiveRun) -> Stepped:
    send_value: Any = None
    throw: BaseException | None = None
    if run.coroutine is None:
        _read_turns(run)
        run.coroutine = _begin(run)
    else:
        send_value, throw = _deliver(run)
    while True:
        coroutine = run.coroutine
        try:
            if throw is not None:
                thrown, throw = throw, None
                yielded = run.context.run(coroutine.throw, thrown)
            else:
                yielded = run.context.run(coroutine.send, send_value)
        except StopIteration as stop:
            return returned(run, stop.value)
        except RunCancelled:
            return Ends(run, "cancelled", Outcome("done"), run.cancel or "cancelled")
        if run.step.violation is not None:
            return failed(run, run.step.violation)
        if not isinstance(yielded, Awaiting):
            return failed(run, CodeError(foreign(coroutine, yielded)))
        run.turn += 1
        run.asked += len(yielded.inners) if isinstance(yielded, Together) else 1
        if run.asked > ACTIONS_MAX:
            return failed(run, CodeError(too_many(coroutine)))
        fresh = _leaves_of(run, yielded)
        if fresh is not None:
            return Asks(run, tuple(fresh))
        send_value, throw = _deliver(run)


def _read_turns(run: LiveRun) -> None:
    """How far the record reaches, and how much it has at each turn."""
    widths: dict[int, int] = {}
    for path in run.record:
        if not _is_awaited(path):
            continue
        turn = _turn_of(path)
        widths[turn] = widths.get(turn, 0) + 1
    run.widths = widths
    run.recorded_to = max(widths, default=0)


def _is_awaited(path: str) -> bool:
    """Not so what is in the place of an action whose arguments a person changed, and inquiries about one."""
    return CHANGED not in path and not is_child(path)


def _turn_of(path: str) -> int:
    number = re.match(r"\d+", path)
    return int(number[0]) if number else 0


def _begin(run: LiveRun) -> Coroutine[Any, Any, Any]:
    event = run.event.typed(run.automation.on, to_datetime(run.event.time_us))
    params = run.automation.params(run.params)
    return cast("Coroutine[Any, Any, Any]", run.automation.start(event, params))


def _leaves_of(run: LiveRun, awaited: Awaiting[Any]) -> list[Leaf] | None:
    """Lay out what is awaited now. Returns the leaves that are new, or None where all are known."""
    run.together = isinstance(awaited, Together)
    inners = awaited.inners if isinstance(awaited, Together) else (awaited,)
    leaves = []
    for index, inner in enumerate(inners):
        raises = not isinstance(inner, Attempt)
        path = f"{run.turn}.{index}" if run.together else str(run.turn)
        awaiting = inner.inner if isinstance(inner, Attempt) else inner
        awaiting.path = path
        leaves.append(Leaf(path, awaiting, raises))
    run.leaves = leaves
    fresh: list[Leaf] = []
    asking: list[Leaf] = []
    pending, cancelled = False, False
    for leaf in leaves:
        known = run.record.get(leaf.path)
        if known is None:
            fresh.append(leaf)
            continue
        _check_match(leaf, known)
        if known.changed is not None:
            changed = follow_change(run, leaf, known.changed)
            if changed is None:
                asking.append(leaf)
                continue
            known = changed
        leaf.result = known.result
        if known.state == "asking" and known.result is None:
            asking.append(leaf)
        cancelled = cancelled or (known.result is not None and known.result.kind == "cancelled")
        pending = pending or known.result is None
    if run.turn <= run.recorded_to:
        _check_width(run, len(leaves) - len(fresh), fresh)
    if cancelled:
        return None
    return [*fresh, *asking] if fresh or asking or pending else None


def follow_change(run: LiveRun, leaf: Leaf, changed: Changed) -> Known | None:
    """Put the action with changed arguments in an await's place. Returns what is known of it, if anything."""
    action = cast("Action[Any]", leaf.awaiting)
    while True:
        instead: Action[Any] = Action(action.operation, changed.args)
        instead.why, instead.expects, instead.where = action.why, action.expects, action.where
        instead.waits, instead.due_us, instead.awaited = action.waits, action.due_us, True
        instead.origins, instead.cause = action.origins, action.cause
        instead.weighs, instead.begins = action.weighs, action.begins
        leaf.path, leaf.awaiting = changed.path, instead
        leaf.changers = (*leaf.changers, changed.person)
        known = run.record.get(changed.path)
        if known is None or known.changed is None:
            return known
        changed = known.changed


def catch_up(run: LiveRun) -> None:
    """Give its awaits what came while the driver had the run: changes of people, and results."""
    for leaf in run.leaves:
        known = run.record.get(leaf.path)
        if known is not None and known.changed is not None:
            known = follow_change(run, leaf, known.changed)
        if known is not None and leaf.result is None:
            leaf.result = known.result


def _deliver(run: LiveRun) -> tuple[Any, BaseException | None]:
    """The value to send for what was awaited, or the error to throw."""
    values = []
    first: BaseException | None = None
    cancelled = next((r for leaf in run.leaves if (r := leaf.result) and r.kind == "cancelled"), None)
    if cancelled is not None:
        run.step.now_us = max(run.step.now_us, cancelled.at_us)
        return None, RunCancelled(cancelled.reason)
    for leaf in run.leaves:
        result = leaf.result
        if result is None:
            raise AssertionError(f"run {run.id}: {leaf.path} was delivered without a result")
        run.step.now_us = max(run.step.now_us, result.at_us)
        if isinstance(leaf.awaiting, Action):
            # Also where it was declined or refused: the reason may be the service's own words.
            run.step.read.add(leaf.awaiting.operation.name)
            if result.barred:
                run.step.barred[leaf.path.partition(CHANGED)[0]] = result.barred
        elif result.kind == "value" and isinstance(leaf.awaiting, WaitFor):
            run.step.read |= brought(canonical.decode(result.stored))
        got = _python(run, leaf, result)
        if isinstance(got, ActionError) and leaf.raises:
            first = first or got
        values.append(got)
    if first is not None:
        return None, first
    return (tuple(values) if run.together else values[0]), None


def _python(run: LiveRun, leaf: Leaf, result: Result) -> Any:
    awaiting = leaf.awaiting
    if result.kind != "value":
        return _ERRORS[result.kind](name_of(awaiting), f"{run.id}/{leaf.path}", result.reason)
    if isinstance(awaiting, Action):
        try:
            return awaiting.operation.decode_result(result.stored)
        except ValidationError as error:
            raise _Mismatch(
                f"the recorded result of {awaiting.operation.name} no longer fits its return type "
                f"({error.errors(include_url=False, include_input=False)[0]['msg']})",
                str(awaiting.operation.result_type),
                result.stored.decode()[:SHOWN_CHARS_MAX],
            ) from None
    if isinstance(awaiting, WaitFor):
        try:
            return _event(awaiting, canonical.decode(result.stored))
        except BadEvent as error:
            raise _Mismatch(
                f"the event that came at {leaf.path} does not fit {awaiting.kind.__name__}: {error}",
                f"wait_for({awaiting.kind.__name__}) at {awaiting.where}",
                result.stored.decode()[:SHOWN_CHARS_MAX],
            ) from None
    if isinstance(awaiting, Question):
        return awaiting.python(result.stored)
    if isinstance(awaiting, Send):
        return Sent(**canonical.decode(result.stored))
    return None


def _event(awaiting: WaitFor[Any], stored: dict[str, Any]) -> Any:
    data = canonical.encode(stored["data"])
    occurrence = Occurrence(
        stored["source"], stored["id"], stored["type"], stored["subject"], stored["time"], data
    )
    return occurrence.typed(awaiting.kind, to_datetime(stored["time"]))


def name_of(awaiting: Awaiting[Any]) -> str:
    """What an await is, in the record's words."""
    if isinstance(awaiting, Action):
        return awaiting.operation.name
    if isinstance(awaiting, WaitFor):
        return f"wait_for {awaiting.kind.event_type}"
    if isinstance(awaiting, Send):
        return f"send {awaiting.type}"
    if isinstance(awaiting, PlanAsk):
        return PLAN
    return "ask" if isinstance(awaiting, Question) else "sleep"


def digest_of(awaiting: Awaiting[Any]) -> str:
    """What tells two awaits of one name apart."""
    if isinstance(awaiting, Action | Send | Question | PlanAsk):
        return awaiting.digest
    if isinstance(awaiting, WaitFor):
        return canonical.digest(canonical.encode([dict(awaiting.matching), awaiting.within_us]))
    if isinstance(awaiting, Sleep):
        # The moment itself may depend on time spent before; the span is what the code says.
        return canonical.digest(canonical.encode([awaiting.due_us, awaiting.for_us]))
    return ""


def _check_match(leaf: Leaf, known: Known) -> None:
    name, digest = name_of(leaf.awaiting), digest_of(leaf.awaiting)
    if known.what and known.what != name:
        raise _Mismatch(
            f"at {leaf.path} the code now asks for {name}, and the record has {known.what}",
            f"{name} at {leaf.awaiting.where}",
            known.what,
        )
    if known.digest and known.digest != digest:
        ours = leaf.awaiting.args if isinstance(leaf.awaiting, Action) else name.encode()
        theirs = canonical.encode(known.args) if known.args is not None else known.digest[:12].encode()
        differing = _differing(ours, known.args) if isinstance(leaf.awaiting, Action) else ""
        raise _Mismatch(
            f"at {leaf.path} the code now calls {name} with other arguments than the record has"
            f"{differing}{_HINT}",
            f"{ours.decode()[:SHOWN_CHARS_MAX]} at {leaf.awaiting.where}",
            theirs.decode()[:SHOWN_CHARS_MAX],
        )


def _differing(ours: bytes, theirs: Any) -> str:
    """The names of the arguments that differ: ` (amount, reason)`."""
    mine = canonical.decode(ours)
    if not (isinstance(mine, dict) and isinstance(theirs, dict)):
        return ""
    names = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
    return f" ({', '.join(names[:5])})"


def _check_width(run: LiveRun, known: int, fresh: list[Leaf]) -> None:
    """The record must have nothing at this turn that the code does not ask for, and nothing after a
    turn that is not all known."""
    if run.turn < run.recorded_to and fresh:
        further = f"and the record goes on with {_recorded(run, run.turn + 1)}"
    elif known < run.widths.get(run.turn, 0):
        further = f"and the record has {_recorded(run, run.turn)}"
    else:
        return
    asked = ", ".join(f"{name_of(leaf.awaiting)} at {leaf.path}" for leaf in run.leaves)
    raise _Mismatch(
        f"at {run.turn} the code now asks for {asked[:SHOWN_CHARS_MAX]}, {further}",
        f"{asked[:SHOWN_CHARS_MAX]} ({run.leaves[0].awaiting.where})",
        _recorded(run, run.turn),
    )


def _recorded(run: LiveRun, turn: int) -> str:
    """What the record has at a turn, for people."""
    own = ((path, known) for path, known in run.record.items() if _is_awaited(path))
    found = [f"{known.what} at {path}" for path, known in own if _turn_of(path) == turn]
    return ", ".join(found)[:SHOWN_CHARS_MAX] or "nothing"


def _too_early(run: LiveRun, end: Ends) -> Sticks:
    """The code ends where its record goes on: what was done after is not to be forgotten."""
    how = f"fails ({end.reason})" if end.kind == "failed" else "ends"
    after = f"after {run.turn}" if run.turn else "before its first await"
    theirs = _recorded(run, run.turn + 1)
    return Sticks(
        run,
        f"the code now {how} {after}, and the record goes on with {theirs}",
        end.reason or f"{end.kind} {end.outcome.label}".strip(),
        theirs,
    )

"""One step of an automation: from the results of one await to the next await that needs work.

Runs on a driver thread, without an event loop. What the record knows is handed back at once; what
it does not know is returned to be carried out.
"""

from __future__ import annotations

import traceback
from collections.abc import Coroutine
from pathlib import Path
from types import CoroutineType, FrameType
from typing import Any, cast

from pydantic import ValidationError

from deputize import canonical
from deputize.action import Action, Attempt, Together
from deputize.automation import ContinueWith, Outcome
from deputize.awaiting import Awaiting, enter_step
from deputize.clock import to_datetime
from deputize.errors import ActionError, CodeError, Declined, DeputizeError, Expired, Refused, Unmet
from deputize.event import Occurrence
from deputize.kernel.guard import watched
from deputize.kernel.live import ACTIONS_MAX, Asks, Ends, Leaf, LiveRun, Stepped, Sticks
from deputize.kernel.result import PENDING, Known, Result
from deputize.waits import Send, Sent, Sleep, WaitFor

EVICT_TURNS_MAX = 10
CAUSES_MAX = 10

_ERRORS: dict[str, type[ActionError]] = {
    "refused": Refused,
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
    """Drive a run from where it is to its next unknown await, or to its end."""
    enter_step(run.step)
    try:
        with watched(run.step):
            return _advance(run)
    except _Mismatch as mismatch:
        return Sticks(run, mismatch.reason, mismatch.ours, mismatch.theirs)
    finally:
        enter_step(None)


def evict(run: LiveRun) -> None:
    """Take a waiting run's coroutine apart; its record is where it goes on from."""
    coroutine, run.coroutine = run.coroutine, None
    if coroutine is None:
        return
    enter_step(run.step)
    try:
        for _ in range(EVICT_TURNS_MAX):
            run.context.run(coroutine.throw, Evicted())
    except BaseException:  # noqa: BLE001 - whatever it says, it is gone; its record goes on
        return
    finally:
        enter_step(None)


def _advance(run: LiveRun) -> Stepped:
    send_value: Any = None
    throw: BaseException | None = None
    if run.coroutine is None:
        try:
            run.coroutine = _begin(run)
        except DeputizeError as error:
            return _failed(run, error)
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
            return _returned(run, stop.value)
        except RunCancelled:
            return Ends(run, "cancelled", Outcome("done"), run.cancel or "cancelled")
        except Exception as error:  # noqa: BLE001 - an automation may raise anything; its run ends with it
            return _failed(run, run.step.violation or error)
        if run.step.violation is not None:
            return _failed(run, run.step.violation)
        if not isinstance(yielded, Awaiting):
            return _failed(run, CodeError(_foreign(coroutine, yielded)))
        run.turn += 1
        if run.turn > ACTIONS_MAX:
            return _failed(run, CodeError(_too_many(coroutine)))
        fresh = _leaves_of(run, yielded)
        if fresh is not None:
            return Asks(run, tuple(fresh))
        send_value, throw = _deliver(run)


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
        leaves.append(Leaf(path, inner.inner if isinstance(inner, Attempt) else inner, raises))
    run.leaves = leaves
    fresh, pending = [], False
    for leaf in leaves:
        known = run.record.get(leaf.path)
        if known is None:
            fresh.append(leaf)
            continue
        _check_match(leaf, known)
        leaf.result = known.result
        if known.result is not None and known.result.kind == "cancelled":
            return None
        pending = pending or (known.result is None and known.state in PENDING)
    return fresh if fresh or pending else None


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
                result.stored.decode()[:500],
            ) from None
    if isinstance(awaiting, WaitFor):
        return _event(awaiting, canonical.decode(result.stored))
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
    return "sleep"


def digest_of(awaiting: Awaiting[Any]) -> str:
    """What tells two awaits of one name apart."""
    if isinstance(awaiting, Action | Send):
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
        ours = leaf.awaiting.args.decode() if isinstance(leaf.awaiting, Action) else name
        theirs = canonical.encode(known.args).decode() if known.args is not None else known.digest[:12]
        raise _Mismatch(
            f"at {leaf.path} the code now calls {name} with other arguments than the record has",
            f"{ours[:500]} at {leaf.awaiting.where}",
            theirs[:500],
        )


def _returned(run: LiveRun, value: Any) -> Stepped:
    unawaited = next((a for a in run.step.built if not a.awaited), None)
    if unawaited is not None:
        return _failed(
            run,
            CodeError(
                f"{unawaited.describe()} built at {unawaited.where} was never awaited, so it was never done; "
                "write `await` before it"
            ),
        )
    if isinstance(value, ContinueWith):
        return Ends(run, "continued", Outcome("done"), state=value.state)
    if not isinstance(value, Outcome):
        return _failed(
            run,
            CodeError(
                f"{run.automation.where}: {run.automation.name} must return done(…) or gave_up(…), "
                f"and returned {type(value).__name__}"
            ),
        )
    return Ends(run, value.kind, value)


def _failed(run: LiveRun, error: BaseException) -> Ends:
    causes: list[dict[str, str]] = []
    seen: BaseException | None = error
    while seen is not None and len(causes) < CAUSES_MAX:
        causes.append({"type": type(seen).__name__, "message": _message(seen), "where": _where(seen)})
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    first = causes[0]
    place = f" ({first['where']})" if first["where"] and first["where"] not in first["message"] else ""
    kind = "" if isinstance(error, DeputizeError) else f"{first['type']}: "
    return Ends(run, "failed", Outcome("done"), f"{kind}{first['message']}{place}", tuple(causes))


def _message(error: BaseException) -> str:
    text = str(error)[:2_000]
    if isinstance(error, RuntimeError) and "event loop" in text:
        return (
            f"{text}: asyncio does not work inside an automation; await actions, sleep(), wait_for() "
            "and together() from deputize instead"
        )
    return text


def _where(error: BaseException) -> str:
    """`file:line` of the innermost frame that is the project's own."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not _ours(f.filename)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


_PACKAGE = str(Path(__file__).parent.parent)


def _ours(filename: str) -> bool:
    return filename.startswith((_PACKAGE, "<"))


def _foreign(coroutine: Any, yielded: object) -> str:
    what = "asyncio.sleep(0) or a bare yield" if yielded is None else f"a {type(yielded).__name__}"
    return (
        f"{place_of(coroutine)}: awaited {what}, which only an event loop can carry out; "
        "an automation awaits actions, sleep(), wait_for(), send() and together() from deputize"
    )


def _too_many(coroutine: Any) -> str:
    return (
        f"{place_of(coroutine)}: this run has awaited {ACTIONS_MAX:,} times, which is the most; "
        "return continue_with(state) to go on in a new run"
    )


def place_of(coroutine: Any) -> str:
    """`file:line` where a suspended coroutine stands, in the project's own code."""
    place = ""
    for _ in range(100):
        if not isinstance(coroutine, CoroutineType):
            break
        frame: FrameType | None = coroutine.cr_frame
        if frame is None:
            break
        if not _ours(frame.f_code.co_filename):
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        coroutine = coroutine.cr_await
    return place or "unknown place"

"""What would come of one action: judged by what is in force now, then foretold and never done.

A past event is told in the world as it was: what was answered then to the same request is the answer. All
else is read now, or foretold by its service, or derived.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from deputize import canonical
from deputize.action import Action
from deputize.call import CallBroken, CallDeclined, CallDrifted, CallFailed
from deputize.errors import ContractError
from deputize.foretold import How, Line, Would
from deputize.kernel.judging import Request
from deputize.kernel.live import Leaf, LiveRun
from deputize.kernel.overlay import Judged, Overlay
from deputize.kernel.ports import Foreseer
from deputize.kernel.recalling import Past, Recalled
from deputize.kernel.result import Kind, Result, unmet_of, unmet_sentence, value
from deputize.kernel.stepping import follow_change
from deputize.operation import Operation
from deputize.rehearsal import Untold, derive

AS_IF_APPROVED = "as if approved"
AS_IF_REFUSED = "as if refused"
AS_THEN = "as then"


@dataclass(frozen=True)
class _Foreseen:
    """A result, and by what it is told; without one, why it cannot be."""

    result: Result | None
    how: How = ""
    reason: str = ""
    origins: tuple[tuple[str, str], ...] = ()


class Foresight:
    """Tells what would come of actions. With `as_refused`, people are taken to refuse what waits for them."""

    def __init__(self, foreseer: Foreseer, books: Overlay, *, as_refused: bool = False) -> None:
        self._foreseer = foreseer
        self._books = books
        self._as_refused = as_refused

    def tell(self, run: LiveRun, leaf: Leaf, past: Past | None, at_us: int) -> list[Line]:
        """One line, and one more for each time that people then changed its arguments; lays the result into
        the leaf, where there is one to tell. `at_us` is the time, where the record has no other."""
        action = cast("Action[Any]", leaf.awaiting)
        recalled = past.find(leaf.path, action.operation.name, action.digest) if past is not None else None
        lines = []
        while True:
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
        request = Request(run, leaf.path, action, args, operation.amount(args), changers=tuple(leaf.changers))
        at_us = recalled.at_us if recalled is not None else at_us
        before = recalled.seq if recalled is not None else past.reached + 1 if past is not None else None
        judged = self._books.judge(request, at_us, before)
        said, no = self._people(judged, recalled, at_us)
        if recalled is not None:
            self._books.leave_out(recalled.takes)
        if judged.reason:
            foreseen = _Foreseen(Result("refused", b"null", judged.reason, at_us))
        elif no is not None:
            foreseen = _Foreseen(no)
        else:
            foreseen = self._foresee(request, past, recalled, at_us, before)
        leaf.result = result = foreseen.result
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
            judged.rules,
            judged.asks,
            said,
            request.amount if would == "done" else None,
            foreseen.origins,
            recalled.did if recalled is not None else None,
        )

    def _people(self, judged: Judged, recalled: Recalled | None, at_us: int) -> tuple[str, Result | None]:
        """What is taken for people's answer, and the result where it is a no."""
        if not judged.asks or judged.reason:
            return "", None
        if recalled is not None and recalled.did.asked and recalled.did.outcome != "open":
            result = recalled.known.result
            if recalled.known.changed is not None:
                return AS_THEN, Result("refused", b"null", "its arguments were changed", at_us)
            if recalled.did.outcome in ("by people", "expired") and result is not None:
                return AS_THEN, result
            if recalled.answered:
                return AS_THEN, None
        if self._as_refused:
            return AS_IF_REFUSED, Result("refused", b"null", "people are taken to refuse it", at_us)
        return AS_IF_APPROVED, None

    # -- results -------------------------------------------------------------------------------------

    def _foresee(
        self, request: Request, past: Past | None, recalled: Recalled | None, at_us: int, before: int | None
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
                return _Foreseen(_met(action, again.stored, at_us), "as recorded")
            return self._read(action, at_us)
        # What the run itself did then is in the world by now: a preview would foretell on top of that.
        earlier = _earlier(past, operation, request) if past is not None else None
        if earlier is not None:
            derived = derive(operation, action.args, action.expects, earlier=earlier)
            if not isinstance(derived, Untold):
                return _derived(derived.stored, dict(derived.origins), at_us)
        if operation.contract.rehearse:
            told = self._preview(action, at_us)
            if told is not None:
                return told
        stored = self._read_before(request, at_us, before)
        derived = derive(operation, action.args, action.expects, stored)
        if isinstance(derived, Untold):
            return _Foreseen(None, reason=derived.reason)
        return _derived(derived.stored, dict(derived.origins), at_us)

    def _read(self, action: Action[Any], at_us: int) -> _Foreseen:
        try:
            stored = self._foreseer.read(action.operation, action.args)
        except CallFailed as error:
            return _failed(error, at_us, "read now")
        return _Foreseen(_met(action, stored, at_us), "read now")

    def _preview(self, action: Action[Any], at_us: int) -> _Foreseen | None:
        """What its service foretells; None where it could not tell."""
        try:
            stored = self._foreseer.rehearse(action.operation, action.args)
        except CallDeclined as error:
            return _failed(error, at_us, "foretold")
        except CallFailed:
            return None
        return _Foreseen(_met(action, stored, at_us), "foretold")

    def _read_before(self, request: Request, at_us: int, before: int | None) -> bytes | None:
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
        judged = self._books.judge(asked, at_us, before)
        if judged.reason or judged.asks:
            return None
        try:
            return self._foreseer.read(operation.before, args)
        except CallFailed:
            return None


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


def _derived(stored: bytes, origins: dict[str, Any], at_us: int) -> _Foreseen:
    return _Foreseen(value(stored, at_us), "derived", "", tuple(origins.items()))


def _failed(error: CallFailed, at_us: int, how: How) -> _Foreseen:
    if isinstance(error, CallDeclined):
        return _Foreseen(Result("declined", b"null", error.reason, at_us), how)
    if isinstance(error, CallBroken):
        return _Foreseen(Result("refused", b"null", error.reason, at_us), how)
    drifted = "its answer does not fit its contract: " if isinstance(error, CallDrifted) else ""
    return _Foreseen(None, how, f"{drifted}{error.reason}")


def _earlier(past: Past, operation: Operation[..., Any], request: Request) -> bytes | None:
    """What the same operation was answered then, on the same resources, with other arguments."""
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

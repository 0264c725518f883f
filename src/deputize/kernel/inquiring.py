"""Inquiring: rehearsals and verifications of an action before it starts, each an action of its own.

They are the children of what they are about: `3/1`, `3/2`. Their answers go to the next start as findings.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from deputize import canonical
from deputize.action import Action
from deputize.agent import Agent
from deputize.call import CallDeclined, CallFailed
from deputize.errors import ContractError
from deputize.finding import CHILD, SHOWN, Finding, Inquiry
from deputize.kernel.judging import Request
from deputize.kernel.live import UNSETTLED
from deputize.kernel.parts import Parts
from deputize.kernel.result import Known, Result, unmet_of, unmet_sentence
from deputize.kernel.settling import Settling
from deputize.kernel.start import Inquire
from deputize.operation import Operation
from deputize.sentence import short
from deputize.verification import Intent, Says, Verification

REASON_CHARS_MAX = 500
SHOWN_BYTES_MAX = 8_000
"""What is found is told on cards and in the entries that rest on it up to this size."""

LEFT_MAX = 10_000

Carried = Callable[[Request, str, Action[Any], Agent], Awaitable[Result | None]]
Rehearsed = Callable[[Request], Awaitable[bytes | CallFailed | None]]


@dataclass(frozen=True, slots=True)
class Said:
    """What an inquiry came to."""

    says: Says
    reason: str
    shown: dict[str, Any]


class Inquiring:
    """Makes inquiries. `carry_out` takes an action of one through the gate, `rehearse` asks the service."""

    def __init__(self, parts: Parts, settling: Settling, carry_out: Carried, rehearse: Rehearsed) -> None:
        self._parts = parts
        self._settling = settling
        self._carry_out = carry_out
        self._rehearse = rehearse
        self._left: OrderedDict[tuple[int, str], tuple[Inquiry, str]] = OrderedDict()
        """Verifications in doubt, by run and path: which inquiry about what. A restart makes them anew."""

    async def answer(self, request: Request, wanted: Inquire) -> tuple[Finding, ...] | None:
        """What is found out, one after the other; None where the run does not go on for now."""
        found: list[Finding] = []
        child = wanted.child
        for inquiry in wanted.inquiries:
            about = wanted.about[inquiry]
            finding = self._in_doubt_before(request, inquiry, about)
            if finding is None:
                make = self._rehearsal if inquiry.tier == "rehearse" else self._verification
                finding, child = await make(request, inquiry, about, child)
            if finding is None:
                return None
            found.append(finding)
        return tuple(found)

    def _in_doubt_before(self, request: Request, inquiry: Inquiry, about: str) -> Finding | None:
        """What has become of a verification that was in doubt, where it is about just this."""
        for (run_no, path), left in list(self._left.items()):
            known = request.run.record.get(path)
            if run_no != request.run.no or not path.startswith(request.path + CHILD):
                continue
            if known is None or known.result is None:
                continue
            del self._left[run_no, path]
            verifier = self._parts.operations.get(inquiry.verifier)
            if left == (inquiry, about) and verifier is not None:
                said = verified(verifier, known.result)
                return self._finding(inquiry, about, said, path, known.result.at_us)
        return None

    # -- rehearsal: the service's own word ---------------------------------------------------------------

    async def _rehearsal(
        self, request: Request, inquiry: Inquiry, about: str, child: int
    ) -> tuple[Finding | None, int]:
        operation, shown, may = request.action.operation, {}, request.agent.may
        if inquiry.briefly:
            request = replace(request, attempts_max=1)
        if operation.before is not None and (may is None or operation.before.name in may):
            what = f"what {operation.name} would change"
            reading = _action(operation.before, operation.args_before(request.action.args), what)
            got = await self.carried(request, child, reading, request.agent)
            if got is None:
                return None, child
            if got.kind == "value":
                shown["before"] = canonical.decode(got.stored)
            child += 1
        if operation.rehearse is None:
            said = Said("cannot_tell", f"{operation.name} cannot be rehearsed", shown)
            return self._found(request, inquiry, about, said, child - 1), child
        foretold = await self._rehearse(request)
        if foretold is None:
            return None, child
        finding = self._found(request, inquiry, about, foretold_by(request, foretold, shown), child)
        self._settling.rehearsed(request, finding)
        return finding, child + 1

    # -- verification: somebody else's -------------------------------------------------------------------

    async def _verification(
        self, request: Request, inquiry: Inquiry, about: str, child: int
    ) -> tuple[Finding | None, int]:
        action, agent = request.action, request.agent
        verifier = self._parts.operations.get(inquiry.verifier)
        by = self._parts.agents.get(inquiry.by) if inquiry.by else agent
        if verifier is None or by is None:
            missing = f"operation {inquiry.verifier}" if verifier is None else f"agent {inquiry.by}"
            said = Said("cannot_tell", f"there is no {missing} (any more)", {})
            return self._found(request, inquiry, about, said, child), child
        try:
            args = args_of_verifier(request, verifier)
        except ContractError as error:
            said = Said("cannot_tell", short(str(error), REASON_CHARS_MAX), {})
            return self._found(request, inquiry, about, said, child), child
        verifying = _action(verifier, args, f"is {action.operation.name} as it should be?")
        got = await self.carried(request, child, verifying, by)
        if got is None:
            self._leave(request.run.no, f"{request.path}{CHILD}{child}", (inquiry, about))
            return None, child
        return self._found(request, inquiry, about, verified(verifier, got), child), child + 1

    async def foretold(self, about: Request, child: int) -> bytes | CallFailed | None:
        """What the service says would come of an action, recorded as the child of its path; None where the
        run does not go on for now."""
        foretold = await self._rehearse(about)
        if foretold is not None:
            finding = self._found(about, SHOWN, "", foretold_by(about, foretold, {}), child)
            self._settling.rehearsed(about, finding)
        return foretold

    async def carried(self, request: Request, child: int, action: Action[Any], by: Agent) -> Result | None:
        """An action of an inquiry, taken through the gate as the child of the path that it is about; None
        where the run does not go on for now."""
        run, path = request.run, f"{request.path}{CHILD}{child}"
        got = await self._carry_out(request, path, action, by)
        row = self._parts.store.read(lambda view: view.action(run.no, path)) if got is None else None
        if row is not None and row.state in UNSETTLED:
            # Nothing of the run is cancelled around it.
            run.record[path] = Known(action.operation.name, action.digest, row.state)
        return got

    def _leave(self, run_no: int, path: str, wanted: tuple[Inquiry, str]) -> None:
        self._left[run_no, path] = wanted
        if len(self._left) > LEFT_MAX:
            self._left.popitem(last=False)

    def _found(self, request: Request, inquiry: Inquiry, about: str, said: Said, child: int) -> Finding:
        path = f"{request.path}{CHILD}{child}"
        return self._finding(inquiry, about, said, path, self._parts.time.now_us())

    def _finding(self, inquiry: Inquiry, about: str, said: Said, path: str, at_us: int) -> Finding:
        shown = canonical.encode(said.shown)
        if len(shown) > SHOWN_BYTES_MAX:
            # The inquiry's own entry has it whole; here its digest tells it from another.
            said = replace(said, shown={"bytes": len(shown), "digest": canonical.digest(shown)})
        return Finding(inquiry, said.says, said.reason, said.shown, path, at_us, about)


def _action(operation: Operation[..., Any], args: bytes, why: str) -> Action[Any]:
    action: Action[Any] = Action(operation, args)
    action.why = why
    action.awaited = True
    return action


def args_of_verifier(request: Request, verifier: Operation[..., Any]) -> bytes:
    """What a verifier is given: what is to be done, and not why. Raises `ContractError`."""
    action = request.action
    intent = Intent(
        operation=action.operation.name,
        args=dict(request.args),
        agent=request.agent.name,
        automation=request.run.automation.name,
        expects=dict(action.expects),
    )
    return verifier.canonical_json({"intent": intent.model_dump(mode="json")})


def foretold_by(request: Request, got: bytes | CallFailed, before: dict[str, Any]) -> Said:
    """What the service's word says of an action."""
    if isinstance(got, CallDeclined):
        return Said("disagree", short(f"the service would say no: {got.reason}", REASON_CHARS_MAX), before)
    if isinstance(got, CallFailed):
        return Said("cannot_tell", short(got.reason, REASON_CHARS_MAX), before)
    after = canonical.decode(got)
    shown = before | {"after": after}
    unmet = unmet_of(request.action.expects, after)
    if unmet:
        return Said("disagree", short(unmet_sentence(unmet), REASON_CHARS_MAX), shown)
    return Said("agree", "", shown)


def verified(verifier: Operation[..., Any], got: Result) -> Said:
    """What a verifier has said; where it was not heard, it cannot tell."""
    if got.kind != "value":
        return Said("cannot_tell", short(got.reason, REASON_CHARS_MAX), {})
    try:
        said = verifier.decode_result(got.stored)
    except ValidationError as error:
        return Said("cannot_tell", short(f"its answer does not fit: {error}", REASON_CHARS_MAX), {})
    if not isinstance(said, Verification):
        return Said("cannot_tell", f"{verifier.name} is no verifier", {})
    return Said(said.says, short(said.reason, REASON_CHARS_MAX), dict(said.found))

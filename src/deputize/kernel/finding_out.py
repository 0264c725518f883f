"""What rules want to be found out about an action, in a rehearsal: as it was found then, else asked now.

Verifiers only read, so they are really asked. What a run did then is in the world by now, and would speak
against doing it: there, what was not asked then is taken to agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from deputize import canonical
from deputize.action import Action
from deputize.agent import Agent
from deputize.call import CallDeclined, CallFailed
from deputize.errors import ContractError
from deputize.finding import Finding, Findings, Inquiry, inquiries_of
from deputize.kernel.inquiring import Said, args_of_verifier, foretold_by, verified
from deputize.kernel.judging import Request
from deputize.kernel.overlay import Overlay
from deputize.kernel.ports import Foreseer
from deputize.kernel.recalling import Recalled
from deputize.kernel.result import Kind, Result
from deputize.operation import Operation
from deputize.rule import Verdict

_SAYS = {"agree": "agrees", "disagree": "does not agree", "cannot_tell": "cannot tell"}


@dataclass(frozen=True)
class When:
    """At what time an action is judged, on the books before which entry, and whether its run has really done
    it, or the like of it, so that it is in the world as it is now."""

    at_us: int
    before: int | None
    done_then: bool


class FindingOut:
    """Answers inquiries. `preview` asks the service of an action what would come of it."""

    def __init__(
        self,
        foreseer: Foreseer,
        books: Overlay,
        operations: Mapping[str, Operation[..., Any]],
        agents: Mapping[str, Agent],
        preview: Callable[[Action[Any]], bytes | CallFailed],
    ) -> None:
        self._foreseer = foreseer
        self._books = books
        self._operations = operations
        self._agents = agents
        self._preview = preview

    def find(
        self, request: Request, verdict: Verdict, recalled: Recalled | None, when: When
    ) -> tuple[Findings, tuple[str, ...]]:
        """What is found out, and how that is told."""
        found: dict[Inquiry, Finding] = {}
        told: list[str] = []
        for inquiry in inquiries_of(verdict.rules):
            if recalled is not None and inquiry in recalled.findings:
                finding, how = recalled.findings[inquiry], "as recorded"
            elif when.done_then:
                finding, how = _finding(request, inquiry, Said("agree", "", {}), when), "taken for granted"
            else:
                finding, how = _finding(request, inquiry, self._asked(request, inquiry, when), when), "now"
            found[inquiry] = finding
            reason = f": {finding.reason}" if finding.reason else ""
            told.append(f"{inquiry.verifier or 'a rehearsal'} {_SAYS[finding.says]} ({how}){reason}")
        return found, tuple(told)

    def _asked(self, request: Request, inquiry: Inquiry, when: When) -> Said:
        if inquiry.tier == "rehearse":
            return self._rehearsed(request)
        return self._verified(request, inquiry, when)

    def _rehearsed(self, request: Request) -> Said:
        operation = request.action.operation
        if operation.rehearse is None:
            return Said("cannot_tell", f"{operation.name} cannot be rehearsed", {})
        return foretold_by(request, self._preview(request.action), {})

    def _verified(self, request: Request, inquiry: Inquiry, when: When) -> Said:
        verifier = self._operations.get(inquiry.verifier)
        by = self._agents.get(inquiry.by) if inquiry.by else request.agent
        if verifier is None or by is None:
            missing = f"operation {inquiry.verifier}" if verifier is None else f"agent {inquiry.by}"
            return Said("cannot_tell", f"there is no {missing}", {})
        try:
            args = args_of_verifier(request, verifier)
        except ContractError as error:
            return Said("cannot_tell", str(error), {})
        action: Action[Any] = Action(verifier, args)
        asks = replace(
            request, action=action, args=canonical.decode(args), amount=None, inquiring=True, acting=by
        )
        judged = self._books.judge(asks, when.at_us, when.before)
        if judged.reason:
            return verified(verifier, Result("refused", b"null", judged.reason, when.at_us))
        try:
            return verified(verifier, Result("value", self._foreseer.read(verifier, args), "", when.at_us))
        except CallFailed as error:
            kind: Kind = "declined" if isinstance(error, CallDeclined) else "refused"
            return verified(verifier, Result(kind, b"null", error.reason, when.at_us))


def _finding(request: Request, inquiry: Inquiry, said: Said, when: When) -> Finding:
    return Finding(inquiry, said.says, said.reason, said.shown, request.path, when.at_us)

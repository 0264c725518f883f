"""Known bugs in what is found out before an action starts, to plant as those in `plants.py`."""

from __future__ import annotations

from dataclasses import replace

from deputize.finding import Finding, Findings
from deputize.kernel import inquiries, start
from deputize.kernel.asking import OfPeople, of_people
from deputize.kernel.gate import Gate
from deputize.kernel.inquiring import Inquiring
from deputize.kernel.judging import Request
from deputize.kernel.start import Inquire
from deputize.rule import Verdict
from deputize.testing.planting import Plant, set_in

NEVER_US = 2**62


def _disagreement_ignored() -> None:
    def agreed(verdict: Verdict, findings: Findings) -> OfPeople:
        agreeing = {inquiry: replace(one, says="agree") for inquiry, one in findings.items()}
        return replace(of_people(verdict, agreeing), findings=tuple(findings.values()))

    set_in(start, "of_people", agreed)


def _not_found_out() -> None:
    """Whatever is asked, it is as it should be."""

    async def answer(self: Inquiring, request: Request, wanted: Inquire) -> tuple[Finding, ...]:
        now = self._parts.time.now_us()
        return tuple(
            Finding(one, "agree", "", {}, f"{request.path}/{n}", now, wanted.about[one])
            for n, one in enumerate(wanted.inquiries, wanted.child)
        )

    set_in(Inquiring, "answer", answer)


def _rehearsed_in_earnest() -> None:
    async def rehearse(self: Gate, request: Request) -> bytes:
        perform = self.parts.performer.perform
        return await perform(request.action.operation, request.action.args, key="", attempt=1)

    set_in(Gate, "_rehearse", rehearse)


def _good_for_ever() -> None:
    set_in(inquiries, "FRESH_US", NEVER_US)


def _untouched() -> None:
    set_in(start, "touches", lambda request, force, leases, at_us: ())


INQUIRIES: dict[str, Plant] = {
    "disagreement_ignored": Plant("what a verifier does not agree with starts", _disagreement_ignored),
    "not_found_out": Plant("nobody looks, and it is said to be as it should be", _not_found_out),
    "rehearsed_in_earnest": Plant("a rehearsal has the effect", _rehearsed_in_earnest),
    "finding_from_before": Plant("what was found before another action still counts", _untouched),
    "finding_good_for_ever": Plant("what was found long ago still counts", _good_for_ever),
}
"""By name."""

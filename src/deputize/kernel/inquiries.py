"""Inquiries about an action: which rules want, which are answered, which are worth making for a card."""

from __future__ import annotations

from collections.abc import Mapping

from deputize import canonical
from deputize.finding import CHILD, FRESH_US, INQUIRIES_MAX, SHOWN, Finding, Findings, Inquiry, inquiries_of
from deputize.kernel.asking import Open
from deputize.kernel.judging import InForce, Request, under_way_of
from deputize.rule import Verdict
from deputize.standing import line_of
from deputize.store.protocol import Count, Tx, View

TOO_MANY = f"it was inquired about {INQUIRIES_MAX} times already"
TOUCHED = "touched"
"""The counter of what was done to a resource, or under way for a rule, in a day."""


def known(request: Request, asked: Open | None) -> Findings:
    """What was found out about an action, the latest of each inquiry, however long ago."""
    shown = asked.findings if asked is not None else []
    return {one.inquiry: one for one in (*shown, *request.findings)}


def answered(findings: Findings, about: Mapping[Inquiry, str], at_us: int) -> Findings:
    """Those that are about just this, and still say how things stand."""
    return {inquiry: one for inquiry, one in findings.items() if _stands(one, about, at_us)}


def _stands(finding: Finding, about: Mapping[Inquiry, str], at_us: int) -> bool:
    return at_us - finding.at_us < FRESH_US and finding.about == about.get(finding.inquiry)


def about_of(tx: Tx, request: Request, verdict: Verdict, force: InForce, at_us: int) -> dict[Inquiry, str]:
    """What each inquiry is about: the action, its agent and contract, the verifier, and what was done so far
    to the resources that it takes, and in the line of what it waits for.

    A finding of before any of that changed says nothing of how things stand.
    """
    action, contract = request.action, request.action.operation.contract
    wanted = {*inquiries_of(verdict.rules), *([SHOWN] if contract.rehearse or contract.before else [])}
    if not wanted:
        return {}
    this = [contract.digest, action.operation.code, action.digest, request.agent.name, dict(action.expects)]
    window = force.calendar.start("day", at_us)
    touched = [[key, window, tx.counted(TOUCHED, key, window)] for key in _watched(request, force)]
    found = {}
    for inquiry in wanted:
        verifier = force.operations.get(inquiry.verifier)
        by = [verifier.contract.digest, verifier.code] if verifier is not None else []
        found[inquiry] = canonical.digest(canonical.encode([this, by, touched]))[:16]
    return found


def touches(request: Request, force: InForce, leases: tuple[str, ...], at_us: int) -> tuple[Count, ...]:
    """What an action that starts is counted as having touched, where any rule wants things found out."""
    if not force.rules.inquires or request.action.operation.contract.effect == "read":
        return ()
    window = force.calendar.start("day", at_us)
    lines = [line_of(counter, subject) for counter, subject, _, _ in under_way_of(request, force)]
    return tuple((TOUCHED, key, window, 1) for key in (*leases, *lines))


def _watched(request: Request, force: InForce) -> list[str]:
    operation, agent = request.action.operation, request.agent.name
    needs = [need for need in force.rules.needs(operation.name) if need.under_way]
    lines = [line_of(need.counter, need.subject(agent, request.args)) for need in needs]
    return [*operation.resources(request.args), *lines]


def unanswered_inquiries(verdict: Verdict, findings: Findings) -> tuple[Inquiry, ...]:
    """What the rules of a verdict want to be found out, and is not."""
    return tuple(one for one in inquiries_of(verdict.rules) if one not in findings)


def worth_showing(request: Request, findings: Findings) -> tuple[Inquiry, ...]:
    """What no rule wants, but people who are asked should see: what there was before, and would be after."""
    contract = request.action.operation.contract
    can_tell = contract.rehearse or contract.before
    return (SHOWN,) if can_tell and SHOWN not in findings else ()


def next_child(view: View, request: Request) -> int:
    """The number of the next inquiry about an action; 0 where there were too many."""
    for number in range(1, INQUIRIES_MAX + 1):
        if view.action(request.run.no, f"{request.path}{CHILD}{number}") is None:
            return number
    return 0

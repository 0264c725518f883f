"""Inquiries about an action: which rules want, which are answered, which are worth making for a card."""

from __future__ import annotations

from deputize.finding import CHILD, FRESH_US, INQUIRIES_MAX, SHOWN, Findings, Inquiry, inquiries_of
from deputize.kernel.asking import Open
from deputize.kernel.judging import Request
from deputize.rule import Verdict
from deputize.store.protocol import View

TOO_MANY = f"it was inquired about {INQUIRIES_MAX} times already"


def answered(request: Request, asked: Open | None, at_us: int) -> Findings:
    """What is found out about an action, and still says how things stand: the latest of each inquiry."""
    shown = asked.findings if asked is not None else []
    latest = {one.inquiry: one for one in (*shown, *request.findings)}
    return {inquiry: one for inquiry, one in latest.items() if at_us - one.at_us < FRESH_US}


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
    of = f"{request.path}{CHILD}"
    made = [row.path.removeprefix(of) for row in view.actions(request.run.no) if row.path.startswith(of)]
    number = 1 + max((int(one) for one in made if one.isdigit()), default=0)
    return number if number <= INQUIRIES_MAX else 0

"""T2: the starting transaction. Everything is judged again on the facts of this moment, and either
the intent is written with all that it takes, or nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from deputize import canonical
from deputize.action import Action
from deputize.approval import Approval
from deputize.caching import Before
from deputize.finding import Finding, Inquiry, told
from deputize.kernel.asking import (
    Asked,
    OfPeople,
    Open,
    approved,
    ask,
    can_be_met,
    granted,
    of_people,
    open_of,
    still_asked,
    unanswered,
)
from deputize.kernel.begun import Begun
from deputize.kernel.inquiries import (
    TOO_MANY,
    about_of,
    answered,
    known,
    next_child,
    touches,
    unanswered_inquiries,
    worth_showing,
)
from deputize.kernel.judging import InForce, Request, barred, outright, under_way_of, verdict_of
from deputize.kernel.live import LiveRun
from deputize.kernel.lowering import confirmed
from deputize.kernel.nearing import tell_of_near
from deputize.kernel.reserving import Reserved, beyond, holds_of
from deputize.kernel.reusing import Reused, answered_by, before_of
from deputize.kernel.whole import Cover, covered
from deputize.ledger import Draft
from deputize.operation import Contract
from deputize.rule import Verdict
from deputize.standing import line_of
from deputize.store.protocol import Count, Hold, Tx

LATE = "the time in which it was to start was up"
START_WITHIN_S = 10.0
"""An intent is sent within this time (or the operation's own timeout, if that is less) or not at all."""


@dataclass(frozen=True, slots=True)
class RefusedStart:
    """Rules or a budget said no, or nobody said yes in time (`expired`); the entry is written."""

    reason: str
    at_us: int
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Busy:
    """Another action holds a resource."""

    resource: str


@dataclass(frozen=True, slots=True)
class StoppedStart:
    """A stop or a cancellation came first."""


@dataclass(frozen=True, slots=True)
class AnsweredStart:
    """A person has refused it, or changed its arguments, meanwhile: what came of that is told elsewhere."""


@dataclass(frozen=True, slots=True)
class Inquire:
    """These are to be answered first, and what each of them is about; nothing is written. The paths of the
    answers count from `child` on."""

    inquiries: tuple[Inquiry, ...]
    child: int
    about: Mapping[Inquiry, str]


@dataclass(frozen=True, slots=True)
class _Met:
    """Every demand is met: by these approvals, to be used up, these findings, and the grant of a plan."""

    approvals: tuple[Approval, ...] = ()
    findings: tuple[Finding, ...] = ()
    cover: Cover | None = None


Started = Begun | RefusedStart | Busy | StoppedStart | Asked | AnsweredStart | Inquire | Before | Reused


def start(tx: Tx, request: Request, force: InForce, ledger_id: str) -> Started:
    """Write the intent, or the refusal; or say what is in the way and write nothing."""
    run, action, at = request.run, request.action, tx.at_us
    contract = action.operation.contract
    asked = open_of(tx, tx.action(run.no, request.path), run.automation.name) if request.asking else None
    if request.asking and asked is None:
        return AnsweredStart()
    if action.due_us is not None and at >= action.due_us:
        return refuse(tx, request, LATE, at, expired=True)
    if why := outright(request, force):
        return refuse(tx, request, why, at)
    verdict, counted, facts = verdict_of(tx, request, force, at)
    verdict = confirmed(tx, request, verdict)
    found = _asked_before(tx, request, at) if verdict.decision != "refuse" else None
    if found is not None and found != request.before:
        return found
    before = request.before if found is not None else None
    # What is answered from the ledger takes nothing.
    reserved = holds_of(tx, request, force, at) if before is None else Reserved()
    verdict = beyond(verdict, reserved, inquiring=request.inquiring)
    met = _Met()
    if verdict.decision == "demand" and can_be_met(verdict) and not request.inquiring:
        demanded = _demanded(tx, request, verdict, facts, force, asked)
        if not isinstance(demanded, _Met):
            return demanded
        met = demanded
        busy = _under_way(request, force, facts)
        if busy is not None:
            return busy
    elif verdict.decision != "allow":
        said = verdict.sentence() if verdict.rules or not reserved.asking else reserved.asking
        return refuse(tx, request, said, at, verdict=verdict, facts=facts)
    leases = request.resources if before is None and (contract.resources or request.caching) else ()
    if leases and (busy := _leased(tx, leases)) is not None:
        return busy
    if reserved.over:
        return refuse(tx, request, reserved.over, at, verdict=verdict, facts=facts)
    under_way = under_way_of(request, force)
    counted = (*counted, *touches(request, force, leases, at))
    begun = begin(run, request.path, action, 1, at, ledger_id, leases, reserved.holds, counted, under_way)
    begun = replace(begun, barred=barred(request, force)) if action.weighs else begun
    begun = begun if before is None else replace(begun, first_sent=0, give_up_at=0)
    body = intent_body(begun, tx.place(begun.args), action, request, verdict, facts, force.rules.digest, at)
    if met.findings:
        body["findings"] = [one.body() for one in met.findings]
    if met.cover is not None:
        body |= met.cover.body()
    if asked is not None:
        body |= {"asked": asked.entry.seq, "approvals": [approved(one) for one in met.approvals]}
        tx.use_approvals([one.no for one in met.approvals])
    if before is not None:
        receipt, reused = answered_by(tx, begun.path, counted, under_way, begun.barred, before)
        run.version = tx.append(run.no, run.version, [Draft("intent", body), receipt])
        return reused
    run.version = tx.append(run.no, run.version, [Draft("intent", body)])
    tell_of_near(tx, begun.id, reserved.near, force.calendar)
    return begun


def _asked_before(tx: Tx, request: Request, at_us: int) -> Before | Busy | None:
    """The answer of before to the same question, where one may serve; or that it is being asked just now."""
    if request.caching is None:
        return None
    return before_of(tx, request, at_us) or _leased(tx, request.resources)


def _demanded(
    tx: Tx, request: Request, verdict: Verdict, facts: Mapping[str, int], force: InForce, asked: Open | None
) -> Started | _Met:
    """What rules demand, in order: a rehearsal, verifications, and in view of those what people say."""
    at, run = tx.at_us, request.run
    ever, cover = known(request, asked), covered(tx, request, verdict, force)
    if asked is not None and not unanswered_inquiries(verdict, ever):
        before_them = _besides(cover, of_people(verdict, ever))
        if before_them.rules and at >= asked.due:
            said = unanswered(asked, tx.approvals(run.no, request.path))
            return refuse(tx, request, said, at, expired=asked.expires)
        if (
            still_asked(asked, request, before_them)
            and granted(tx, request, before_them, force, asked) is None
        ):
            # Nothing is found out anew until people have said enough to what is before them.
            return Asked(asked.due)
    about = about_of(tx, request, verdict, force, at)
    findings = answered(ever, about, at)
    missing = unanswered_inquiries(verdict, findings)
    if missing:
        # What holds its resources, or is under way, may change what is found out.
        leases = request.action.operation.resources(request.args)
        busy = _under_way(request, force, facts) or (_leased(tx, leases) if leases else None)
        if busy is not None:
            return busy
        child = next_child(tx, request)
        return Inquire(missing, child, about) if child else refuse(tx, request, TOO_MANY, at)
    wanted = _besides(cover, of_people(verdict, findings))
    if not wanted.rules:
        return _Met((), wanted.findings, cover)
    if asked is None and (shown := worth_showing(request, findings)) and (child := next_child(tx, request)):
        return Inquire(shown, child, about)
    approvals = granted(tx, request, wanted, force, asked)
    if approvals is not None:
        return _Met(tuple(approvals), wanted.findings, cover)
    if not force.directory.people:
        return refuse(tx, request, _nobody(verdict, wanted.findings), at)
    return ask(tx, request, wanted, facts, force, asked)


def _besides(cover: Cover | None, wanted: OfPeople) -> OfPeople:
    """What is wanted of people that the grant of a plan does not cover."""
    return wanted if cover is None else cover.less(wanted)


def _nobody(verdict: Verdict, findings: tuple[Finding, ...]) -> str:
    """Why it is refused where there are no people."""
    found = "; ".join(line for one in findings if one.says != "agree" for line in told(one.body()))
    because = f" ({found})" if found else ""
    return f"{verdict.sentence()}{because}, and there is nobody to ask: add [people.NAME] to deputize.toml"


def _under_way(request: Request, force: InForce, facts: Mapping[str, int]) -> Busy | None:
    """What is under way, where that is in the way: the action stands in line, holding nothing."""
    agent = request.agent.name
    for need in force.rules.needs(request.action.operation.name):
        if need.under_way and facts[need.counter]:
            return Busy(line_of(need.counter, need.subject(agent, request.args)))
    return None


def _leased(tx: Tx, leases: tuple[str, ...]) -> Busy | None:
    """A resource that another action holds."""
    holder = tx.lease_holder(leases)
    return Busy(holder[0]) if holder is not None else None


def begin(
    run: LiveRun,
    path: str,
    action: Action[Any],
    round: int,
    at_us: int,
    ledger_id: str,
    leases: tuple[str, ...],
    holds: tuple[Hold, ...],
    counted: tuple[Count, ...],
    under_way: tuple[Count, ...] = (),
) -> Begun:
    """The intent of one round of an action."""
    contract = action.operation.contract
    return Begun(
        run.no,
        run.id,
        path,
        action.args,
        canonical.name(ledger_id, run.id, path, round),
        round,
        1,
        at_us,
        at_us + give_up_after_us(contract),
        contract.version,
        action.operation.code,
        leases,
        holds,
        counted,
        action.expects,
        under_way,
        waits=action.waits,
        due_us=action.due_us,
    )


def start_within_s(contract: Contract) -> float:
    """How long after its commit an intent may still be sent."""
    return min(contract.timeout_s, START_WITHIN_S)


def give_up_after_us(contract: Contract) -> int:
    """From the commit to the end of waiting for an answer, at most."""
    return int((start_within_s(contract) + contract.timeout_s) * 1_000_000)


def intent_body(
    begun: Begun,
    args: Any,
    action: Action[Any],
    request: Request,
    verdict: Verdict,
    facts: Mapping[str, int],
    rules_digest: str,
    at_us: int,
) -> dict[str, Any]:
    """The entry that makes it durable."""
    contract = action.operation.contract
    return {
        "path": begun.path,
        "op": contract.name,
        "digest": action.digest,
        "contract": contract.digest[:16],
        "version": contract.version,
        "code": begun.code,
        "args": args,
        "key": begun.key,
        "round": begun.round,
        "first_sent": begun.first_sent,
        "start_by": at_us + int(start_within_s(contract) * 1_000_000),
        "give_up_at": begun.give_up_at,
        "agent": request.agent.name,
        "why": action.why,
        "expects": dict(action.expects),
        "rules": [rule.id for rule in verdict.rules],
        "ruleset": rules_digest[:16],
        "facts": dict(facts),
        "leases": begun.leases,
        "holds": begun.holds,
        "counted": begun.counted,
        **request.provenance(),
        **({"under_way": begun.under_way} if begun.under_way else {}),
        **({"weighs": action.weighs} if action.weighs else {}),
        **({"due": begun.due_us} if begun.due_us is not None else {}),
        **({"settings": caching.settings} if (caching := action.operation.caching) is not None else {}),
    }


def refuse(
    tx: Tx,
    request: Request,
    reason: str,
    at_us: int,
    *,
    verdict: Verdict | None = None,
    facts: Mapping[str, int] | None = None,
    expired: bool = False,
    unavailable: bool = False,
) -> RefusedStart:
    """Record that an action was refused before it started."""
    run, action = request.run, request.action
    body = {
        "path": request.path,
        "op": action.operation.name,
        "digest": action.digest,
        "version": action.operation.contract.version,
        "args": tx.place(action.args),
        "agent": request.agent.name,
        "why": action.why,
        "reason": reason,
        "rules": [rule.id for rule in verdict.rules] if verdict is not None else [],
        "facts": dict(facts or {}),
        "was": "asking" if request.asking else "new",
        "leased": False,
        "holds": [],
        "counted": [],
        "at": at_us,
        **request.provenance(),
        **({"expired": True} if expired else {}),
        **({"unavailable": True} if unavailable else {}),
    }
    run.version = tx.append(run.no, run.version, [Draft("refused", body)])
    return RefusedStart(reason, at_us, expired)

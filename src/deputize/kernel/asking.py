"""T1: asking people, where a start finds that a rule demands it; and what they granted, where one goes on.

Asking is done in the transaction that would have started the action, and again in each later one: it
writes only what is not asked yet. It holds no lease, no budget and no count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from deputize.approval import (
    Approval,
    Asking,
    Demand,
    binding_of,
    demand_of_body,
    hand_on_of,
    handed_on,
    used_for,
)
from deputize.finding import Finding, Findings, finding_of_body, inquiry_of
from deputize.kernel.judging import InForce, Request
from deputize.kernel.result import CHANGED
from deputize.ledger import Draft, Entry
from deputize.person import KEEPER
from deputize.rule import RuleLine, Verdict
from deputize.sentence import listed
from deputize.store.protocol import ActionRow, Tx, View


@dataclass(frozen=True, slots=True)
class Asked:
    """It waits for people, until `due` at most (ledger time)."""

    due: int


@dataclass(frozen=True, slots=True)
class Open:
    """What is asked of people for an action, as its entry has it; `handed` is the entry that says who handed
    it on to the keeper."""

    entry: Entry
    body: Mapping[str, Any]
    asking: Asking
    handed: Entry | None = None

    @property
    def due(self) -> int:
        """Ledger time at which the answer is no."""
        return int(self.body["due"])

    @property
    def expires(self) -> bool:
        """Whether the await then raises `Expired`, and not `Refused`."""
        expire = all(demand.otherwise == "expire" for demand in self.demands)
        return expire or bool(self.body.get("bounded"))

    @property
    def findings(self) -> list[Finding]:
        """What had been found out about it, and was shown."""
        return [finding_of_body(one) for one in self.body.get("findings", ())]

    @property
    def demands(self) -> list[Demand]:
        """What its rules demanded when it was asked."""
        return [demand_of_body(one) for one in self.body["demands"]]


def open_of(view: View, row: ActionRow | None, automation: str) -> Open | None:
    """What is asked for an action; None where it waits for nobody."""
    entry = view.entry(row.intent) if row is not None and row.state == "asking" else None
    if entry is None or entry.body is None:
        return None
    body, handed = entry.body, handed_on(view.entries(entry.stream, entry.version), entry)
    at_us, by = hand_on_of(handed)
    asking = Asking(automation, body["binding"], entry.at_us, frozenset(body["requesters"]), at_us, by)
    return Open(entry, body, asking, handed)


@dataclass(frozen=True, slots=True)
class OfPeople:
    """What is wanted of people: by which rules, in view of which findings, in spite of which (`marks`)."""

    rules: tuple[RuleLine, ...]
    findings: tuple[Finding, ...]
    marks: tuple[str, ...]


def of_people(verdict: Verdict, findings: Findings) -> OfPeople:
    """What a verdict wants of people: what its rules ask of them, and where a finding does not agree."""
    rules: list[RuleLine] = []
    marks: list[str] = []
    for rule in verdict.rules:
        inquiry = inquiry_of(rule)
        if inquiry is None and rule.tier != "wait":
            rules.append(rule)
        elif inquiry is not None and (found := findings[inquiry]).says != "agree" and rule.demand is not None:
            rules.append(replace(rule, tier="approval", demand=replace(rule.demand, tier="approval")))
            marks.append(found.mark)
    return OfPeople(tuple(rules), tuple(findings.values()), tuple(sorted(set(marks))))


def granted(
    tx: Tx, request: Request, wanted: OfPeople, force: InForce, asked: Open | None
) -> list[Approval] | None:
    """The approvals that meet every demand, to be used up; None where one is not met.

    What was granted is bound to what was asked: other arguments, another contract, another agent, a rule or a
    finding against it that was not among those shown make it worth nothing.
    """
    if asked is None or not _is_asked(asked, request, wanted):
        return None
    approvals = tx.approvals(request.run.no, request.path)
    used = used_for(asked.asking, demands_of(wanted.rules), approvals, force.directory)
    return None if used is None else list(used)


def ask(
    tx: Tx, request: Request, wanted: OfPeople, facts: Mapping[str, int], force: InForce, asked: Open | None
) -> Asked:
    """Ask people, unless the same is asked of the same already."""
    if asked is not None and still_asked(asked, request, wanted):
        return Asked(asked.due)
    ids, demands = [rule.id for rule in wanted.rules], demands_of(wanted.rules)
    run, action, at = request.run, request.action, tx.at_us
    contract = action.operation.contract
    due = at + min(int(demand.within_s * 1_000_000) for demand in demands)
    bounded = action.due_us is not None and action.due_us < due
    if action.due_us is not None:
        due = min(due, action.due_us)
    binding = _binding(request, ids, wanted.marks)
    if asked is not None and binding == asked.asking.binding:
        # Of others, perhaps, by rules of now; what was granted for it so far is good for no longer.
        due = min(due, asked.due)
    title = f"{contract.name} waits for a person: {', '.join(rule.title for rule in wanted.rules)}"
    body = {
        "path": request.path,
        "kind": "approval",
        "title": title,
        "op": contract.name,
        "digest": action.digest,
        "contract": contract.digest[:16],
        "version": contract.version,
        "args": tx.place(action.args),
        "agent": request.agent.name,
        "why": action.why,
        "expects": dict(action.expects),
        "rules": ids,
        "ruleset": force.rules.digest[:16],
        "facts": dict(facts),
        "demands": [
            asdict(demand) | {"rule": rule.id, "title": rule.title}
            for rule, demand in zip(wanted.rules, demands, strict=True)
        ],
        "price_usd_micros": request.worst_usd_micros or 0,
        "undoable": bool(contract.undo),
        "requesters": sorted(request.requesters),
        "binding": binding,
        "due": due,
        "again": asked is not None,
        **({"bounded": True} if bounded else {}),
        **request.provenance(),
        **({"findings": [one.body() for one in wanted.findings]} if wanted.findings else {}),
        **({"marks": wanted.marks} if wanted.marks else {}),
    }
    run.version = tx.append(run.no, run.version, [Draft("asked", body)])
    return Asked(due)


def still_asked(asked: Open, request: Request, wanted: OfPeople) -> bool:
    """Whether all that is wanted of people is before them already."""
    demands = set(demands_of(wanted.rules))
    return bool(demands) and demands <= set(asked.demands) and _is_asked(asked, request, wanted)


def changers_of(view: View, run_no: int, path: str) -> tuple[str, ...]:
    """Who changed an action's arguments on the way to the one at `path`."""
    if CHANGED not in path:
        return ()
    changes = {
        body["changed"]["path"]: (str(body["path"]), str(body["changed"]["person"]))
        for entry in view.entries(run_no)
        if (body := entry.body) is not None and "changed" in body
    }
    found: list[str] = []
    while path in changes:
        path, person = changes[path]
        found.append(person)
    return tuple(found)


def demands_of(rules: Sequence[RuleLine]) -> list[Demand]:
    """What rules demand, one each."""
    return [demand_of(rule) for rule in rules]


def demand_of(rule: RuleLine) -> Demand:
    """What a rule demands; without a demand of its own, the word of any person."""
    return rule.demand or Demand("approval")


def _is_asked(asked: Open, request: Request, wanted: OfPeople) -> bool:
    """Whether just this was asked for, with all of these rules, and of the findings against it, shown."""
    rules, marks = asked.body["rules"], asked.body.get("marks", ())
    shown = {rule.id for rule in wanted.rules} <= set(rules) and set(wanted.marks) <= set(marks)
    return shown and asked.asking.binding == _binding(request, rules, marks)


def _binding(request: Request, rules: Sequence[str], marks: Sequence[str]) -> str:
    action, agent = request.action, request.agent.name
    contract = action.operation.contract
    return binding_of(request.id, contract.name, contract.digest, action.digest, agent, [*rules, *marks])


def unanswered(asked: Open, approvals: Sequence[Approval]) -> str:
    """Why it is refused at the end of its time."""
    if approvals:
        who = listed(sorted({one.person for one in approvals}))
        return f"{who} approved it, and it could not start in its time"
    keeper = {KEEPER} if asked.handed is not None else set()
    named = sorted({name for demand in asked.demands for name in demand.whom} | keeper)
    whom = " or ".join("the keeper" if name == KEEPER else name for name in named) or "the keeper"
    return f"it waited for the approval of {whom}, and had not got it in time"


def can_be_met(verdict: Verdict) -> bool:
    """Whether people, an inquiry, or the end of what is under way can meet all that a verdict demands."""
    return all(
        is_for_people(rule) or rule.tier == "wait" or inquiry_of(rule) is not None for rule in verdict.rules
    )


def is_for_people(rule: RuleLine) -> bool:
    """Whether a rule's demand is one that people can meet."""
    return rule.demand is not None and rule.demand.tier == "approval"


def approved(one: Approval) -> dict[str, Any]:
    """An approval as an intent's entry tells it."""
    return {"no": one.no, "person": one.person, "at": one.at_us}

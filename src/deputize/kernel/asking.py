"""T1: asking people, where a start finds that a rule demands it; and what they granted, where one goes on.

Asking is done in the transaction that would have started the action, and again in each later one: it
writes only what is not asked yet. It holds no lease, no budget and no count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from deputize.approval import Approval, Asking, Demand, binding_of, demand_of_body, used_for
from deputize.kernel.judging import InForce, Request
from deputize.kernel.result import CHANGED
from deputize.ledger import Draft, Entry
from deputize.rule import RuleLine, Verdict
from deputize.sentence import listed
from deputize.store.protocol import ActionRow, Tx, View


@dataclass(frozen=True, slots=True)
class Asked:
    """It waits for people, until `due` at most (ledger time)."""

    due: int


@dataclass(frozen=True, slots=True)
class Open:
    """What is asked of people for an action, as its entry has it."""

    entry: Entry
    body: Mapping[str, Any]
    asking: Asking

    @property
    def due(self) -> int:
        """Ledger time at which the answer is no."""
        return int(self.body["due"])

    @property
    def expires(self) -> bool:
        """Whether the await then raises `Expired`, and not `Refused`."""
        return all(demand.otherwise == "expire" for demand in self.demands)

    @property
    def demands(self) -> list[Demand]:
        """What its rules demanded when it was asked."""
        return [demand_of_body(one) for one in self.body["demands"]]


def open_of(view: View, row: ActionRow | None, automation: str) -> Open | None:
    """What is asked for an action; None where it waits for nobody."""
    entry = view.entry(row.intent) if row is not None and row.state == "asking" else None
    if entry is None or entry.body is None:
        return None
    requesters = frozenset(entry.body["requesters"])
    return Open(entry, entry.body, Asking(automation, entry.body["binding"], entry.at_us, requesters))


def granted(
    tx: Tx, request: Request, verdict: Verdict, force: InForce, asked: Open | None
) -> list[Approval] | None:
    """The approvals that meet every demand of a verdict, to be used up; None where one is not met.

    What was granted is bound to what was asked: other arguments, another contract, another agent or a rule
    that was not among those shown make it worth nothing.
    """
    if asked is None or not _is_asked(asked, request, [rule.id for rule in verdict.rules]):
        return None
    approvals = tx.approvals(request.run.no, request.path)
    used = used_for(asked.asking, demands_of(verdict.rules), approvals, force.directory)
    return None if used is None else list(used)


def ask(
    tx: Tx, request: Request, verdict: Verdict, facts: Mapping[str, int], force: InForce, asked: Open | None
) -> Asked:
    """Ask people, unless the same is asked of the same already."""
    ids, demands = [rule.id for rule in verdict.rules], demands_of(verdict.rules)
    if asked is not None and _is_asked(asked, request, ids) and set(demands) <= set(asked.demands):
        return Asked(asked.due)
    run, action, at = request.run, request.action, tx.at_us
    contract = action.operation.contract
    due = at + min(int(demand.within_s * 1_000_000) for demand in demands)
    title = f"{contract.name} waits for a person: {', '.join(rule.title for rule in verdict.rules)}"
    body = {
        "path": request.path,
        "kind": "approval",
        "title": title,
        "op": contract.name,
        "digest": action.digest,
        "contract": contract.digest[:16],
        "version": contract.version,
        "args": tx.place(action.args),
        "agent": run.automation.agent.name,
        "why": action.why,
        "expects": dict(action.expects),
        "rules": ids,
        "ruleset": force.rules.digest[:16],
        "facts": dict(facts),
        "demands": [
            asdict(demand) | {"rule": rule.id, "title": rule.title}
            for rule, demand in zip(verdict.rules, demands, strict=True)
        ],
        "price_usd_micros": contract.price_usd_micros,
        "undoable": bool(contract.undo),
        "requesters": sorted(request.requesters),
        "binding": _binding(request, ids),
        "due": due,
        "again": asked is not None,
    }
    run.version = tx.append(run.no, run.version, [Draft("asked", body)])
    return Asked(due)


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
    """What rules demand, one each; a rule without a demand of its own is one for any person."""
    return [rule.demand or Demand("approval") for rule in rules]


def _is_asked(asked: Open, request: Request, rules: Sequence[str]) -> bool:
    """Whether just this was asked for, with every one of these rules shown."""
    shown = asked.body["rules"]
    return set(rules) <= set(shown) and asked.asking.binding == _binding(request, shown)


def _binding(request: Request, rules: Sequence[str]) -> str:
    action, agent = request.action, request.run.automation.agent.name
    contract = action.operation.contract
    return binding_of(request.id, contract.name, contract.digest, action.digest, agent, rules)


def unanswered(asked: Open, approvals: Sequence[Approval]) -> str:
    """Why it is refused at the end of its time."""
    if approvals:
        who = listed(sorted({one.person for one in approvals}))
        return f"{who} approved it, and it could not start in its time"
    whom = " or ".join(sorted({name for demand in asked.demands for name in demand.whom})) or "the keeper"
    return f"it waited for the approval of {whom}, and had not got it in time"


def can_be_met(verdict: Verdict) -> bool:
    """Whether people, or the end of what is under way, can meet all that a verdict demands."""
    return all(is_for_people(rule) or rule.tier == "wait" for rule in verdict.rules)


def for_people(verdict: Verdict) -> Verdict:
    """A verdict with those of its rules alone that ask people."""
    return replace(verdict, rules=tuple(rule for rule in verdict.rules if rule.tier != "wait"))


def is_for_people(rule: RuleLine) -> bool:
    """Whether a rule's demand is one that people can meet."""
    return rule.demand is not None and rule.demand.tier == "approval"


def approved(one: Approval) -> dict[str, Any]:
    """An approval as an intent's entry tells it."""
    return {"no": one.no, "person": one.person, "at": one.at_us}

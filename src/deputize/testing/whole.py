"""What people granted with a whole plan, worked out anew for each start: from the entries, the rows of what
people said, and the plan itself. What an entry claims of that is not believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deputize import canonical
from deputize.approval import Demand, demand_of_body
from deputize.ledger import Entry
from deputize.planned import binding_of_plan
from deputize.plans.plan import Plan, PlanStep
from deputize.plans.references import Unresolved, resolved
from deputize.testing.case import Case
from deputize.testing.demanded import asked_of, asking_rules, demands_of, path_of, requesters_of
from deputize.testing.evidence import ApprovalRow, LedgerEvidence
from deputize.testing.judged import Judged


@dataclass(frozen=True)
class Whole:
    """What was asked for a plan and granted, as far as it is good for one start: the rules that its card
    listed for the step, whom the plan itself asks, when it was asked, and by which rows it was granted."""

    rules: frozenset[str]
    own: Demand
    asked_us: int
    rows: tuple[ApprovalRow, ...]


def whole_of(ledger: LedgerEvidence, one: Judged) -> Whole | None:
    """The grant of the plan that a start is a part of; None where there is none that is good for it."""
    part = one.body.get("part")
    if part is None or one.entry.type != "intent" or one.body["round"] > 1:
        return None
    before = [e for e in ledger.entries[one.run.no] if e.seq < one.entry.seq and e.body is not None]
    asked = next((e for e in before if e.type == "asked" and path_of(e) == part["plan"]), None)
    granted = next((e for e in before if e.type == "granted" and path_of(e) == part["plan"]), None)
    if asked is None or granted is None or asked.body is None or "plan" not in asked.body:
        return None
    body, shown = asked.body, asked.body["plan"]
    plan = Plan.model_validate(shown["whole"])
    within_us = min(int(demand["within_s"] * 1_000_000) for demand in body["demands"])
    due = asked.at_us + within_us
    binding = binding_of_plan(one.run.id, part["plan"], plan.digest, one.run.agent, shown["covers"])
    good = (
        plan.digest == shown["digest"]
        and one.entry.at_us < due
        and not any(e.type == "restored" and e.seq > granted.seq for e in ledger.system)
        and not any(
            e.type == "intent" and (e.body or {}).get("part") == part and path_of(e) != one.path
            for e in before
        )
        and _follows(ledger, one, plan, before)
    )
    if not good:
        return None
    rows = tuple(
        row
        for row in ledger.approvals
        if (row.run, row.path, row.binding) == (one.run.no, part["plan"], binding)
        and row.used
        and asked.at_us <= row.at < due
        and row.at <= granted.at_us
    )
    listed = frozenset(shown["covers"].get(part["step"], ()))
    return Whole(listed, demand_of_body(body["demands"][0]), asked.at_us, rows)


def plan_rows(ledger: LedgerEvidence) -> set[tuple[int, str]]:
    """The runs and paths at which people were asked for a whole plan."""
    return {
        (run, path_of(entry))
        for run, entries in ledger.entries.items()
        for entry in entries
        if entry.type == "asked" and "plan" in (entry.body or {})
    }


def _used(entry: Entry, part: Mapping[str, Any]) -> bool:
    return entry.type == "intent" and (entry.body or {}).get("part") == part


def _follows(ledger: LedgerEvidence, one: Judged, plan: Plan, before: list[Entry]) -> bool:
    """Whether the plan has just this action at its step, for its item."""
    part, event = one.body["part"], canonical.decode(ledger.events[one.run.event].data)
    answers = dict(_answers(plan, part["plan"], before))
    step = next((step for step in plan.steps if step.id == part["step"]), None)
    for each in (step, step.other if step is not None else None):
        if each is not None and each.operation == one.body["op"]:
            args = _resolved(each, {"event": event, "step": answers}, part["item"])
            if args is not None and args.items() <= one.body["args"].items():
                return True
    return False


def _resolved(step: PlanStep, scope: Mapping[str, Any], item: int) -> dict[str, Any] | None:
    try:
        items = resolved(step.each, scope) if step.each else [None]
        args: dict[str, Any] = resolved(step.arguments, {**scope, "each": items[item]})
    except (Unresolved, IndexError):
        return None
    return args if item < step.most else None


def _answers(plan: Plan, ask: str, before: list[Entry]) -> Iterator[tuple[str, Any]]:
    places: dict[str, tuple[str, int]] = {}
    found: dict[str, dict[int, Any]] = {}
    for entry in before:
        body, path = entry.body or {}, path_of(entry)
        part = body.get("part")
        if part is not None and part["plan"] == ask:
            places[path] = (part["step"], part["item"])
        if path in places and entry.type in ("read", "receipt"):
            id, item = places[path]
            found.setdefault(id, {})[item] = body["result"]
    for step in plan.steps:
        if step.id in found:
            came = [found[step.id][item] for item in sorted(found[step.id])]
            yield step.id, came if step.each else came[0]


def covered(case: Case, one: Judged) -> set[str]:
    """The rules that people have granted with the whole plan that it is a part of: those that the card listed
    for its step, and that enough of those who granted it may grant."""
    whole = whole_of(case.ledger, one)
    if whole is None:
        return set()
    requesters, automation, directory = requesters_of(case.ledger, one), one.run.automation, case.directory

    def enough(demand: Demand) -> bool:
        said = {
            row.person
            for row in whole.rows
            if row.person in asked_of(demand, automation, directory, row.at - whole.asked_us)
        }
        return len(said - requesters) >= demand.people

    asking = zip(asking_rules(one), demands_of(one), strict=True)
    found = {rule.id for rule, demand in asking if rule.tier == "approval" and enough(demand)}
    return found & whole.rules if enough(whole.own) else set()

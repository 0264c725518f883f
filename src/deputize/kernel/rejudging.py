"""Judging again what was decided, by other rules, on the facts that the entries hold. It changes nothing.

Known is what was asked for, by whom, when, from where, and how the counts stood. Not known is how the counts
would stand had the other rules been in force all along, what a budget or a verifier would say, and what
people would have answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deputize.finding import is_child
from deputize.kernel.time import Calendar
from deputize.origins import Origins
from deputize.rule import Question, RuleSet, Verdict
from deputize.store.protocol import Decided

Came = Literal["allowed", "checked", "asked", "refused"]
"""What rules say of an action: it goes on, or once something is found out, or people said yes, or never."""


@dataclass(frozen=True)
class Rejudged:
    """A decision of before, as one set of rules and as another has it."""

    decided: Decided
    was: Came
    now: Came


def first_asked(found: Iterable[Decided], operations: frozenset[str], limit: int) -> list[Decided]:
    """Of entries, the latest first, the first one of each action, of so many actions: what was wanted before
    people said anything."""
    actions: dict[tuple[str, str], Decided] = {}
    for one in found:
        body = one.entry.body
        if body is None or body.get("op") not in operations or is_child(body["path"]):
            continue
        if not isinstance(body.get("args"), Mapping) or _late_or_down(body):
            continue
        place = (one.run, str(body["path"]))
        if place not in actions and len(actions) == limit:
            break
        actions[place] = one
    return list(actions.values())


def rejudge(
    found: Sequence[Decided], was: RuleSet, now: RuleSet, calendar: Calendar
) -> tuple[list[Rejudged], int]:
    """Each of them by both sets, and how many cannot be told: an entry may lack a count that they need."""
    told, untold = [], 0
    for one in found:
        question = _question(one, now, calendar)
        if question is None:
            untold += 1
            continue
        told.append(Rejudged(one, came_of(was.judge(question)), came_of(now.judge(question))))
    return told, untold


def came_of(verdict: Verdict) -> Came:
    """What a verdict comes to. What only stands in line goes on."""
    if verdict.decision == "refuse":
        return "refused"
    tiers = {rule.tier for rule in verdict.rules} if verdict.decision == "demand" else set()
    if "approval" in tiers:
        return "asked"
    return "checked" if tiers & {"rehearse", "verify"} else "allowed"


def _question(one: Decided, rules: RuleSet, calendar: Calendar) -> Question | None:
    body: Mapping[str, Any] = one.entry.body or {}
    facts = body.get("facts", {})
    if any(need.counter not in facts for need in rules.needs(body["op"])):
        return None
    minute, weekday = calendar.time_of_day(one.entry.at_us)
    return Question(
        body["agent"],
        one.automation,
        body["op"],
        body["args"],
        facts,
        minute,
        weekday,
        Origins.from_body(body),
    )


def _late_or_down(body: Mapping[str, Any]) -> bool:
    """Refused for a reason that no rule has anything to do with."""
    return bool(body.get("expired") or body.get("unavailable"))

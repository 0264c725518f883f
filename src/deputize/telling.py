"""What a story is told from: a run's entries, the rules of their time, and what it waits for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from deputize.budget import Budget
from deputize.ledger import Entry
from deputize.money import Money
from deputize.rule import CONFIRM, OVER
from deputize.sentence import quoted
from deputize.standing import WaitsFor, moment


@dataclass(frozen=True)
class RuleText:
    """What a rule was called when it decided. `measure` is the argument that it sums, or `actions`."""

    title: str
    measure: str = ""

    def measured(self, amount: int, body: Mapping[str, Any]) -> str:
        """What it counts, in words, of an action as an entry has it."""
        args = body.get("args")
        value = args.get(self.measure) if isinstance(args, Mapping) else None
        if isinstance(value, Mapping) and "currency" in value:
            return str(Money(amount, str(value["currency"])))
        return f"{amount:,}"


_OWN = {
    CONFIRM: RuleText("It failed too often: each of its writes is confirmed"),
    OVER: RuleText("Its budget is used up: beyond it people are asked"),
}


@dataclass(frozen=True)
class RuleTexts:
    """The rules of one set, in force from an entry of the system stream on."""

    digest: str
    seq: int
    rules: Mapping[str, RuleText]


@dataclass(frozen=True)
class Telling:
    """What a story is told from. `event` is the run's, as the API shows it, or None; `schemas` are those
    of results by operation, where the project is at hand; `waits_for` is what its run waits for now."""

    run: str
    automation: str
    agent: str
    event: Mapping[str, Any] | None
    entries: Sequence[Entry]
    rulesets: Sequence[RuleTexts]
    zone: ZoneInfo
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    schemas: Mapping[str, str] = field(default_factory=dict)
    waits_for: Sequence[WaitsFor] = ()

    def when(self, at_us: int) -> str:
        """A moment in the project's zone."""
        return moment(at_us, self.zone)

    def held(self, budget: str, amount: int, of: str = "of") -> str:
        """What a budget, by its key, holds: with its name and in its own form where it is still there."""
        known = self.budgets.get(budget)
        shown, name = (known.show(amount), known.name) if known is not None else (f"{amount:,}", budget)
        return f"{shown} {of} {quoted(name)}"

    def rule(self, id: str, ruleset: str, seq: int) -> RuleText:
        """A rule as it was when an entry was written."""
        sets = [s for s in self.rulesets if s.digest.startswith(ruleset)] if ruleset else []
        sets = sets or [s for s in self.rulesets if s.seq <= seq]
        return (sets[-1].rules.get(id) if sets else None) or _OWN.get(id) or RuleText(id)

"""Rules: data that decide, default deny. `judge` takes an action and facts and no store.

The forms that people write are in `rules/`; this is what the gate knows of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from deputize import canonical
from deputize.approval import Demand
from deputize.origins import NOWHERE, Origins
from deputize.window import Window

Decision = Literal["allow", "refuse", "demand"]

OVER = "deputize.budget"
"""The id of what is demanded beyond a budget that asks; no rule of a project has it."""

CONFIRM = "deputize.confirm"
"""The id of what is demanded of an automation that failed too often; no rule of a project has it."""


@dataclass(frozen=True)
class RuleLine:
    """One rule that decided: its id, its title for people, and what it is."""

    id: str
    title: str
    effect: Literal["permit", "forbid"]
    tier: str = ""
    demand: Demand | None = None
    """What it wants before an action may start, where its tier is not `hard`."""


@dataclass(frozen=True)
class FactNeed:
    """A count that a rule needs, read and counted in the starting transaction.

    `counter` is the rule's id where one was given, else what is counted, in words: rules that count the
    same share it, and it outlives an edit of title or limit. `by` is the argument, or `agent`, whose
    value separates the counts (empty: one count for all). `measure` is the Money or int argument that is
    summed; empty counts actions. Doubts count; refused and declined actions are taken back. Where the
    rule holds only for some agents, automations or argument values, only the actions that `applies`
    accepts are counted; `when` holds argument names, each with the canonical JSON of the values that count.
    """

    counter: str
    per: Window
    by: str = ""
    measure: str = ""
    agents: frozenset[str] = frozenset()
    automations: frozenset[str] = frozenset()
    when: tuple[tuple[str, frozenset[bytes]], ...] = ()
    under_way: frozenset[str] = frozenset()
    """Not what was done is counted, but which actions of these operations are open or in doubt now."""

    def applies(self, agent: str, automation: str, args: Mapping[str, Any]) -> bool:
        """Whether an action with these canonical arguments is counted."""
        return (
            (not self.agents or agent in self.agents)
            and (not self.automations or automation in self.automations)
            and all(canonical.encode(args.get(name)) in values for name, values in self.when)
        )

    def subject(self, agent: str, args: Mapping[str, Any]) -> str:
        """Whose count this is, for canonical arguments."""
        if not self.by:
            return ""
        return agent if self.by == "agent" else str(args.get(self.by, ""))

    def weight(self, args: Mapping[str, Any]) -> int:
        """What this action adds to the count."""
        if not self.measure:
            return 1
        value = args.get(self.measure) or 0
        return int(value["minor"]) if isinstance(value, dict) else int(value)


@dataclass(frozen=True)
class Question:
    """What is judged. `args` are canonical; `facts` are the counts *before* this action, by counter.

    `minute_of_day` (0..1439) and `weekday` (Monday is 0) are in the project's time zone. `origins` are where
    the arguments may come from.
    """

    agent: str
    automation: str
    operation: str
    args: Mapping[str, Any]
    facts: Mapping[str, int]
    minute_of_day: int
    weekday: int
    origins: Origins = NOWHERE


@dataclass(frozen=True)
class Verdict:
    """What the rules say and every rule that decided it; `errors` make it a refusal."""

    decision: Decision
    rules: tuple[RuleLine, ...] = ()
    errors: tuple[str, ...] = ()

    def sentence(self) -> str:
        """For people."""
        if self.errors:
            return f"the rules could not be evaluated ({self.errors[0]}), so it is refused"
        titles = ", ".join(f'"{r.title}"' for r in self.rules)
        if self.decision == "allow":
            return f"allowed by {titles}"
        if not self.rules:
            return "no rule permits it"
        return f"{'refused' if self.decision == 'refuse' else 'held'} by {titles}"


class RuleSet(Protocol):
    """A set of rules in force, parsed once."""

    @property
    def digest(self) -> str:
        """SHA-256 over every rule and the schema."""
        ...

    def source(self) -> str:
        """The whole set as text, for the ledger."""
        ...

    def needs(self, operation: str) -> tuple[FactNeed, ...]:
        """The counts that judging this operation takes."""
        ...

    def under_way(self, operation: str) -> tuple[FactNeed, ...]:
        """The counts of actions under way that an action of this operation is part of."""
        ...

    def demands(self, operation: str) -> bool:
        """Whether a rule of this operation may demand something before it starts."""
        ...

    def bars(self, agent: str, automation: str, operation: str) -> str:
        """Why the rules let nothing of this operation start, whatever its arguments and the facts; empty
        where something may."""
        ...

    @property
    def inquires(self) -> bool:
        """Whether any rule wants something to be found out before an action starts."""
        ...

    def judge(self, question: Question) -> Verdict:
        """Decide. Never raises for what a question holds: an error is a refusal."""
        ...

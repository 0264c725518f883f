"""A rule in force, and what a set of them says of an operation in principle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deputize.rule import FactNeed, RuleLine
from deputize.rules.numbers import Number


@dataclass(frozen=True)
class LoadedRule:
    """A rule in force, and where it is written. `operations` are those that it can decide on."""

    rule: RuleLine
    cedar: str
    sentence: str
    file: str
    line: int
    operations: frozenset[str]
    need: FactNeed | None = None
    automations: tuple[str, ...] = ()
    """Those that it holds for; empty for all."""
    origins: tuple[str, ...] = ()
    """The patterns of origins that it looks for."""
    agents: tuple[str, ...] = ()
    """Those that it holds for; empty for all."""
    always: bool = False
    """It forbids, whatever an action's arguments and the facts are."""
    numbers: tuple[Number, ...] = ()
    """Those that people may change in a form."""

    def holds_for(self, agent: str, automation: str, operation: str) -> bool:
        """Whether it can decide on anything of this operation."""
        return (
            operation in self.operations
            and (not self.agents or agent in self.agents)
            and (not self.automations or automation in self.automations)
        )


def why_barred(rules: Iterable[LoadedRule], agent: str, automation: str, operation: str) -> str:
    """Why nothing of an operation can start, in words: a rule that forbids it always, or none that permits
    it. Empty where something may, whatever conditions say of a single action."""
    mine = [one for one in rules if one.holds_for(agent, automation, operation)]
    never = next((one for one in mine if one.always), None)
    if never is not None:
        return f'"{never.rule.title}" forbids {operation} always'
    return "" if any(one.rule.effect == "permit" for one in mine) else f"no rule permits {operation}"

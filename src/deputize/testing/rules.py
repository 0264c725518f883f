"""What your project's rules say of an action, for your project's own tests: no service, no ledger.

from deputize.testing.rules import rules, town_project  # in tests/conftest.py

def test_an_80_euro_refund_asks(rules):
    refund = {"charge": "ch_1", "amount": Money.parse("80.00 EUR")}
    assert rules.judge("payments.refund", refund, agent="returns-desk").says == "ask"
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from deputize import canonical
from deputize.kernel.asking import can_be_met
from deputize.origins import Origins
from deputize.project import Project, load_project
from deputize.rule import Question
from deputize.suggest import did_you_mean
from deputize.testing.town import town_project

__all__ = ["Judged", "ProjectRules", "rules", "town_project"]

NOON = 12 * 60

_Says = Literal["allow", "ask", "verify", "rehearse", "wait", "refuse"]
_SAYS: dict[str, _Says] = {"approval": "ask", "verify": "verify", "rehearse": "rehearse", "wait": "wait"}


@dataclass(frozen=True)
class Judged:
    """What the rules say: `ask` a person (whatever else is wanted, too), `verify` or `rehearse` it first,
    `wait` for what is under way, or `allow` or `refuse` it at once; and which rules decide, by title."""

    says: _Says
    titles: tuple[str, ...]


class ProjectRules:
    """The rules of a project, as they stand in its folder."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def judge(
        self,
        operation: str,
        arguments: Mapping[str, Any],
        *,
        agent: str,
        automation: str = "",
        counts: Mapping[str, int] | None = None,
        minute_of_day: int = NOON,
        weekday: int = 0,
        origins: Sequence[str] | Mapping[str, Sequence[str]] = (),
    ) -> Judged:
        """Judge an action of an agent, with these arguments.

        `counts` are those that rules have counted before it, by the title or id of the rule (0 where nothing
        is said); Monday is weekday 0. `origins` are where the arguments come from: types of events, and names
        of operations; all together, or those of each argument.

        Raises `ValueError` for an operation that is not there, `ContractError` for arguments that do not fit.
        """
        known = self._project.operations
        if operation not in known:
            raise ValueError(f"there is no operation {operation!r}{did_you_mean(operation, known)}")
        args = canonical.decode(known[operation].canonical_args(arguments))
        facts = self._facts(operation, counts or {})
        comes = Origins.exact(origins) if isinstance(origins, Mapping) else Origins.anywhere(origins)
        asked = Question(agent, automation, operation, args, facts, minute_of_day, weekday, comes)
        verdict = self._project.rules.judge(asked)
        titles = tuple(rule.title for rule in verdict.rules)
        if verdict.decision == "demand" and can_be_met(verdict):
            tiers = {rule.tier for rule in verdict.rules}
            says: _Says = next((says for tier, says in _SAYS.items() if tier in tiers), "ask")
            return Judged(says, titles)
        return Judged("allow" if verdict.decision == "allow" else "refuse", titles)

    def _facts(self, operation: str, counts: Mapping[str, int]) -> dict[str, int]:
        facts = {need.counter: 0 for need in self._project.rules.needs(operation)}
        by_rule = {
            name: rule.need.counter
            for rule in self._project.rules.explain()
            if rule.need is not None
            for name in (rule.rule.title, rule.rule.id)
        }
        for name, value in counts.items():
            if by_rule.get(name) not in facts:
                there = [name for name, counter in by_rule.items() if counter in facts]
                raise ValueError(f"no rule of {operation} called {name!r} counts{did_you_mean(name, there)}")
            facts[by_rule[name]] = value
        return facts


@pytest.fixture
def rules(town_project: Path) -> Iterator[ProjectRules]:
    """The rules of the project under test."""
    before = list(sys.path)
    yield ProjectRules(load_project(town_project))
    sys.path[:] = before

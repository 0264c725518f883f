"""Budgets: ceilings that are reserved against before a call and settled after it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Literal

from deputize.awaiting import caller_line
from deputize.errors import ProjectError
from deputize.money import Money
from deputize.operation import Contract
from deputize.suggest import did_you_mean
from deputize.window import WINDOWS, Window

Measure = Literal["count", "money", "cost"]
Scope = Literal["whole", "agent", "automation", "operation"]
Per = Window | Literal["call", "run"]
PERS: tuple[Per, ...] = ("call", "run", *WINDOWS)
NAMES_SHOWN = 5
NEAR_PERCENT = 80
"""From so much of its limit on, a budget is nearly used up, and people are told."""

_SCOPES: tuple[Scope, ...] = ("agent", "automation", "operation")


@dataclass(frozen=True)
class Budget:
    """At most `limit` per call, run or window, for one agent, automation or operation, or for the whole
    project.

    `limit` counts actions (`measure="count"`), minor units of `currency` (`"money"`) or micro-dollars
    (`"cost"`). `operations` are name patterns (`payments.*`) that it concerns. Beyond it an action is
    refused, or waits for one of those whom it is to `ask`. `name` is for sentences; what is used is kept
    under `key`. `where` is its file and line.
    """

    name: str
    limit: int
    measure: Measure
    currency: str = ""
    per: Per = "day"
    scope: Scope = "whole"
    of: str = ""
    operations: tuple[str, ...] = ("*",)
    ask: tuple[str, ...] = ()
    where: str = field(default="", compare=False, repr=False)

    @classmethod
    def of_text(
        cls,
        limit: str,
        *,
        name: str = "",
        per: Per = "day",
        operations: tuple[str, ...] = ("*",),
        scope: Scope = "whole",
        of: str = "",
    ) -> Budget:
        """`"200 actions"`, `"500.00 EUR"` (money moved) or `"2.50 USD cost"` (spent on priced calls).

        Raises `ProjectError` and says what the form is.
        """
        if per not in PERS:
            raise ProjectError(f"budget: per={per!r} must be one of {', '.join(PERS)}")
        measure, amount, currency = _parse_limit(limit)
        whose = "everything" if scope == "whole" else f"{scope} {of}"
        which = "" if operations == ("*",) else f" of {', '.join(operations)}"
        label = name or f"{whose}: {limit} per {per}{which}"
        return cls(label, amount, measure, currency, per, scope, of, operations)

    @cached_property
    def key(self) -> str:
        """What its use is kept under: the same after its limit or its name was changed."""
        whose = "everything" if self.scope == "whole" else f"{self.scope} {self.of}"
        what = "actions" if self.measure == "count" else f"{self.currency} {self.measure}"
        return f"{whose} · {what} · {self.per} · {', '.join(sorted(set(self.operations)))}"

    def measures(self, contract: Contract) -> bool:
        """Whether an action under this contract can use any of it: a write, an amount, a price."""
        if self.measure == "count":
            return contract.effect == "write"
        if self.measure == "money":
            return contract.amount is not None
        return contract.priced

    def concerns(self, contract: Contract, agent: str, automation: str) -> bool:
        """Whether an action by this agent and automation counts against this budget."""
        if not self.measures(contract):
            return False
        subject = {"whole": "", "agent": agent, "automation": automation, "operation": contract.name}[
            self.scope
        ]
        return (self.scope == "whole" or subject == self.of) and any(
            fnmatchcase(contract.name, pattern) for pattern in self.operations
        )

    def worst_case(self, money: Money | None, cost_usd_micros: int | None) -> int | None:
        """How much an action may use at most; None where that cannot be told (another currency, no price)."""
        if self.measure == "count":
            return 1
        if self.measure == "cost":
            return cost_usd_micros
        if money is None:
            return 0
        return money.minor if money.currency == self.currency and money.minor >= 0 else None

    def is_near(self, used: int) -> bool:
        """Whether so much, spent and held together, is nearly all of it. Where nothing may be used, nothing
        comes near that."""
        return self.limit > 0 and used * 100 >= self.limit * NEAR_PERCENT

    def show(self, amount: int) -> str:
        """An amount of this budget's measure in people's form."""
        if self.measure == "money":
            return str(Money(amount, self.currency))
        if self.measure == "cost":
            return f"{Decimal(amount).scaleb(-6):.4f} USD"
        return f"{amount:,} action{'' if amount == 1 else 's'}"


def budget(
    limit: str,
    *,
    per: Per = "day",
    operations: str | tuple[str, ...] = ("*",),
    name: str = "",
    ask: str | tuple[str, ...] = (),
) -> Budget:
    """A budget for the agent that it is given to. See `Budget.of_text` for the forms of `limit`."""
    found = Budget.of_text(limit, per=per, operations=_patterns(operations), name=name)
    return replace(found, ask=_people(ask), where=caller_line())


def budget_of_settings(row: Mapping[str, Any]) -> Budget:
    """A `[[budget]]` table of deputize.toml. Raises `ProjectError`."""
    known = {"limit", "per", "name", "operations", "ask", *_SCOPES}
    for key in row:
        if key not in known:
            raise ProjectError(f"[[budget]]: {key} is no setting{did_you_mean(key, known)}")
    if "limit" not in row:
        raise ProjectError('[[budget]] needs a limit, like limit = "500.00 EUR"')
    given: list[Scope] = [scope for scope in _SCOPES if scope in row]
    if len(given) > 1:
        raise ProjectError(f"[[budget]]: give {' or '.join(given)}, not both; a budget is for one of them")
    if "operation" in row and "operations" in row:
        raise ProjectError("[[budget]]: give operation or operations, not both")
    scope: Scope = given[0] if given else "whole"
    found = Budget.of_text(
        str(row["limit"]),
        name=str(row.get("name", "")),
        per=row.get("per", "day"),
        operations=_patterns(row.get("operations", "*")),
        scope=scope,
        of=str(row[scope]) if given else "",
    )
    return replace(found, ask=_people(row.get("ask", ())))


def wrong_budgets(
    budgets: Iterable[Budget],
    agents: Mapping[str, Collection[str] | None],
    automations: Collection[str],
    operations: Mapping[str, Contract],
    people: Collection[str],
) -> list[str]:
    """What is wrong with a project's budgets as a whole: names of nothing, limits that nothing can reach,
    and two that count the same. `agents` has what each may do, None for everything; `people` are those who
    can be asked."""
    known = {"agent": agents, "automation": automations, "operation": operations}
    first: dict[str, Budget] = {}
    wrong = []
    for budget in budgets:
        said = f'{budget.where or "budget"}: the budget "{budget.name}"'
        names = []
        if budget.scope != "whole" and budget.of not in known[budget.scope]:
            hint = did_you_mean(budget.of, known[budget.scope])
            names.append(f"{said}: there is no {budget.scope} {budget.of!r}{hint}")
        for pattern in budget.operations:
            if pattern != "*" and not any(fnmatchcase(name, pattern) for name in operations):
                hint = did_you_mean(pattern, operations)
                names.append(f"{said}: operations {pattern!r} matches nothing{hint}")
        for name in budget.ask:
            if name not in people:
                hint = did_you_mean(name, people)
                names.append(f"{said}: ask: there is no person, role or group {name!r}{hint}")
        wrong += names or _unreachable(said, budget, agents, operations)
        other = first.setdefault(budget.key, budget)
        if other is not budget:
            wrong.append(f'{said} counts the same as "{other.name}" ({budget.key}); keep one of them')
    return wrong


_MEASURED: dict[Measure, tuple[str, str]] = {
    "count": ("actions", "writes"),
    "money": ("money", "has an amount"),
    "cost": ("cost", "has a price"),
}


def _unreachable(
    said: str,
    budget: Budget,
    agents: Mapping[str, Collection[str] | None],
    operations: Mapping[str, Contract],
) -> list[str]:
    """Where there are operations that a budget is for, and none of them can use any of it."""
    may = agents[budget.of] if budget.scope == "agent" else None
    concerned = [
        contract
        for name, contract in operations.items()
        if (may is None or name in may)
        and (budget.scope != "operation" or name == budget.of)
        and any(fnmatchcase(name, pattern) for pattern in budget.operations)
    ]
    if not concerned or any(budget.measures(contract) for contract in concerned):
        return []
    limits, has = _MEASURED[budget.measure]
    names = sorted(contract.name for contract in concerned)
    more = ", …" if len(names) > NAMES_SHOWN else ""
    return [
        f"{said} limits {limits}, and nothing that it is for {has} ({', '.join(names[:NAMES_SHOWN])}{more})"
    ]


def _patterns(given: Any) -> tuple[str, ...]:
    patterns = (given,) if isinstance(given, str) else given
    if (
        not isinstance(patterns, list | tuple)
        or not patterns
        or not all(isinstance(p, str) for p in patterns)
    ):
        raise ProjectError("budget: operations are names or patterns, like 'payments.*', and at least one")
    return tuple(patterns)


def _people(given: Any) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not all(isinstance(one, str) and one for one in names):
        raise ProjectError("budget: ask names people, roles or groups, or 'keeper', who are asked beyond it")
    return tuple(names)


def _parse_limit(text: str) -> tuple[Measure, int, str]:
    if match := re.fullmatch(r"(\d{1,12}) actions?", text.strip()):
        return "count", int(match[1]), ""
    if match := re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?) USD cost", text.strip()):
        return "cost", int(Decimal(match[1]) * 1_000_000), "USD"
    try:
        money = Money.parse(text)
    except ValueError:
        raise ProjectError(
            f"budget limit {text!r}: write '200 actions', '500.00 EUR' or '2.50 USD cost'"
        ) from None
    return "money", money.minor, money.currency

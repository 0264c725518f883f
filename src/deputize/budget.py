"""Budgets: ceilings that are reserved against before a call and settled after it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Literal

from deputize.errors import ProjectError
from deputize.money import Money
from deputize.operation import Contract
from deputize.window import WINDOWS, Window

Measure = Literal["count", "money", "cost"]
Scope = Literal["whole", "agent", "automation", "operation"]


@dataclass(frozen=True)
class Budget:
    """At most `limit` per window, for one agent, automation or operation, or for the whole project.

    `limit` counts actions (`measure="count"`), minor units of `currency` (`"money"`) or
    micro-dollars (`"cost"`). `operations` are name patterns (`payments.*`) that it concerns.
    """

    name: str
    limit: int
    measure: Measure
    currency: str = ""
    per: Window = "day"
    scope: Scope = "whole"
    of: str = ""
    operations: tuple[str, ...] = ("*",)

    @classmethod
    def of_text(
        cls,
        limit: str,
        *,
        name: str = "",
        per: Window = "day",
        operations: tuple[str, ...] = ("*",),
        scope: Scope = "whole",
        of: str = "",
    ) -> Budget:
        """`"200 actions"`, `"500.00 EUR"` (money moved) or `"2.50 USD cost"` (spent on priced calls).

        Raises `ProjectError` and says what the form is.
        """
        if per not in WINDOWS:
            raise ProjectError(f"budget: per={per!r} must be one of {', '.join(WINDOWS)}")
        measure, amount, currency = _parse_limit(limit)
        label = name or f"{of or 'everything'}: {limit} per {per}"
        return cls(label, amount, measure, currency, per, scope, of, operations)

    def concerns(self, contract: Contract, agent: str, automation: str) -> bool:
        """Whether an action by this agent and automation counts against this budget."""
        if self.measure == "count" and contract.effect != "write":
            return False
        if self.measure == "money" and contract.amount is None:
            return False
        if self.measure == "cost" and contract.price_usd_micros == 0:
            return False
        subject = {"whole": "", "agent": agent, "automation": automation, "operation": contract.name}[
            self.scope
        ]
        return (self.scope == "whole" or subject == self.of) and any(
            fnmatchcase(contract.name, pattern) for pattern in self.operations
        )

    def worst_case(self, contract: Contract, money: Money | None) -> int | None:
        """How much an action may use at most; None where that cannot be told (another currency)."""
        if self.measure == "count":
            return 1
        if self.measure == "cost":
            return contract.price_usd_micros
        if money is None:
            return 0
        return money.minor if money.currency == self.currency and money.minor >= 0 else None

    def show(self, amount: int) -> str:
        """An amount of this budget's measure in people's form."""
        if self.measure == "money":
            return str(Money(amount, self.currency))
        if self.measure == "cost":
            return f"{Decimal(amount).scaleb(-6):.4f} USD"
        return f"{amount} actions"


def budget(
    limit: str, *, per: Window = "day", operations: str | tuple[str, ...] = ("*",), name: str = ""
) -> Budget:
    """A budget for the agent that it is given to. See `Budget.of_text` for the forms of `limit`."""
    patterns = (operations,) if isinstance(operations, str) else operations
    return Budget.of_text(limit, per=per, operations=patterns, name=name)


def budget_of_settings(row: Mapping[str, Any]) -> Budget:
    """A `[[budget]]` table of deputize.toml. Raises `ProjectError`."""
    scopes: tuple[Scope, ...] = ("agent", "automation", "operation")
    scope, of = next(((s, str(row[s])) for s in scopes if s in row), ("whole", ""))
    known = {"limit", "per", "name", "operations", *scopes}
    if extra := sorted(row.keys() - known):
        raise ProjectError(f"[[budget]]: unknown key {extra[0]!r}; there is {', '.join(sorted(known))}")
    if "limit" not in row:
        raise ProjectError('[[budget]] needs a limit, like limit = "500.00 EUR"')
    return Budget.of_text(
        str(row["limit"]),
        name=str(row.get("name", "")),
        per=row.get("per", "day"),
        operations=tuple(row.get("operations", ("*",))),
        scope=scope,
        of=of,
    )


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

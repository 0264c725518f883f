"""A small shop's operations, and shorthands, for the tests of rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

from deputize.call import Call
from deputize.connector import Connector
from deputize.money import Money
from deputize.operation import Operation
from deputize.origins import Origins
from deputize.rule import Question
from deputize.rules import CedarRules, rules_from_text
from deputize.verification import Intent, Verification


class Place(BaseModel):
    street: str
    floor: int | None = None
    height: float = 0.0


payments = Connector("payments", version="1")
mail = Connector("mail", version="1")
audit = Connector("audit", version="1")


async def preview(
    call: Call, charge: str, amount: Money, reason: Literal["damaged", "late", "other"] = "other"
) -> str:
    raise AssertionError("rules never rehearse anything")


@payments.operation(effect="write", risk="money", rehearse=preview)
async def refund(
    call: Call, charge: str, amount: Money, reason: Literal["damaged", "late", "other"] = "other"
) -> str:
    raise AssertionError("rules never perform anything")


@payments.operation(effect="write")
async def payout(call: Call, account: str, quantity: int, amount: Money | None = None, memo: str = "") -> str:
    raise AssertionError("rules never perform anything")


@mail.operation(effect="write", risk="message")
async def send(
    call: Call,
    to: str,
    place: Place,
    tags: list[str],
    urgent: bool = False,
    memo: Money | None = None,
    weight: float = 1.0,
    extra: dict[str, Any] | None = None,
) -> str:
    raise AssertionError("rules never perform anything")


@audit.operation(effect="read")
async def is_due(call: Call, intent: Intent) -> Verification:
    raise AssertionError("rules never verify anything")


OPERATIONS: Mapping[str, Operation[..., Any]] = payments.operations | mail.operations | audit.operations
EUR_50 = {"minor": 5000, "currency": "EUR"}
PERMIT_ALL = '[[rule]]\ntitle = "Everything"\noperation = "*"\npermit = true\n'


def rules(toml: str = "", cedar: str = "") -> CedarRules:
    texts = {"rules/a.toml": toml} if toml else {}
    return rules_from_text(texts | ({"rules/b.cedar": cedar} if cedar else {}), OPERATIONS)


def ask(operation: str = "payments.refund", **changed: Any) -> Question:
    """A question that nothing but a rule stands against: desk, Wednesday, ten in the morning."""
    usual: dict[str, dict[str, Any]] = {
        "payments.refund": {"charge": "ch_1", "amount": EUR_50, "reason": "other"},
        "payments.payout": {"account": "a", "quantity": 1, "amount": None, "memo": ""},
        "mail.send": {
            "to": "x",
            "place": {"street": "s", "floor": None, "height": 1.5},
            "tags": ["a"],
            "urgent": False,
            "memo": None,
            "weight": 2.5,
            "extra": {"__entity": 1},
        },
    }
    args = usual.get(operation, {}) | changed.pop("args", {})
    plain: dict[str, Any] = {
        "agent": "desk", "automation": "returns", "operation": operation, "args": args, "facts": {},
        "minute_of_day": 600, "weekday": 2,
    }  # fmt: skip
    if "origins" in changed:
        said = changed["origins"]
        exact = isinstance(said, Mapping)
        changed["origins"] = Origins.exact(said) if exact else Origins.anywhere(said)
    return Question(**(plain | changed))


def put_to_cedar(loaded: CedarRules, question: Question) -> dict[str, Any]:
    """What Cedar is given of a question."""
    part = loaded._slices[question.operation]
    return part.request(question.agent, part.context.put(question))

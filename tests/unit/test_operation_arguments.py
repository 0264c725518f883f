"""Wrong arguments of an operation, told at the line that gives them."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from deputize import Call, Connector, Money
from deputize.errors import ContractError

connector = Connector("payments", version="1")


class Refund(BaseModel):
    id: str


@connector.operation(effect="write", risk="money")
async def refund(call: Call, charge: str, amount: Money) -> Refund:
    return Refund(id=charge)


def told(*args: object, **given: object) -> str:
    with pytest.raises(ContractError) as raised:
        refund(*args, **given)  # type: ignore[call-arg, arg-type]
    return str(raised.value)


def test_a_misspelt_argument_is_named_with_the_nearest_right_one_before_what_is_missing() -> None:
    said = told(charge="ch", amonut=Money(1, "EUR"))
    assert __file__ in said
    right = (
        "payments.refund: it has no argument 'amonut'; did you mean 'amount'? (also: amount: Field required)"
    )
    assert said.endswith(right)


def test_an_argument_that_is_like_none_is_told_with_those_that_there_are() -> None:
    said = told(charge="ch", amount=Money(1, "EUR"), zzz=1)
    assert said.endswith("payments.refund: it has no argument 'zzz'; there is 'amount', 'charge'")


def test_a_missing_argument_alone_and_a_wrong_type_are_told_as_they_are() -> None:
    assert told("ch").endswith("payments.refund: amount: Field required")
    assert "payments.refund: charge: Input should be a valid string" in told(charge=7, amount=Money(1, "EUR"))


def test_many_mistakes_are_counted() -> None:
    said = told(**{f"z{n}": n for n in range(9)})
    assert "it has no argument 'z0'" in said and said.endswith("; and 8 more)")

"""What is told of a result beforehand where its service cannot foretell it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator

from deputize import Call, Connector, Money, canonical
from deputize.rehearsal import Prediction, Untold, derive

TEXT = st.text("ab\u2028", max_size=3)


class Refund(BaseModel):
    id: str
    charge: str
    amount: Money
    status: Literal["succeeded", "failed"]
    note: str = "none"
    fee: int | None = None


ARGS = canonical.encode({"charge": "ch", "amount": {"minor": 100, "currency": "EUR"}})
ID = canonical.encode({"id": "re-1", "status": "failed", "charge": "other"})


def operation(kind: Any) -> Any:
    own = Connector("payments", version="1")

    async def refund(call: Call, charge: str, amount: Money) -> Any: ...

    refund.__annotations__["return"] = kind
    return own.operation(effect="write", risk="money")(refund)


def told(kind: Any, expects: dict[str, Any], **more: bytes) -> dict[str, Any]:
    found = derive(operation(kind), ARGS, expects, **more)
    assert isinstance(found, Prediction), found
    value = canonical.decode(found.stored)
    assert isinstance(value, dict)
    return {name: (value[name], origin) for name, origin in found.origins.items()}


def test_a_result_is_what_is_expected_then_its_arguments_then_what_was_read_then_defaults() -> None:
    assert told(Refund, {"status": "succeeded"}, before=ID) == {
        "id": ("re-1", "read before"),
        "charge": ("ch", "argument"),
        "amount": ({"minor": 100, "currency": "EUR"}, "argument"),
        "status": ("succeeded", "expected"),
        "note": ("none", "default"),
        "fee": (None, "default"),
    }


def test_an_earlier_answer_of_the_same_operation_comes_before_what_is_read() -> None:
    earlier = canonical.encode({"id": "re-7", "status": "succeeded", "note": "as then"})
    found = told(Refund, {}, before=ID, earlier=earlier)
    assert found["id"] == ("re-7", "earlier answer") and found["note"] == ("as then", "earlier answer")
    assert found["charge"] == ("ch", "argument")


def test_a_field_that_nothing_tells_is_named_with_what_to_do() -> None:
    found = derive(operation(Refund), ARGS, {})
    assert isinstance(found, Untold)
    assert "nothing tells id and status of its result before" in found.reason
    assert "give its contract rehearse=, or say expecting(…)" in found.reason


def test_a_value_of_another_type_is_no_value_of_that_name() -> None:
    class Odd(BaseModel):
        charge: int = 3
        amount: str
        at: datetime

    before = canonical.encode({"amount": "as text", "at": "2026-01-01T00:00:00Z"})
    found = told(Odd, {}, before=before)
    assert found["charge"] == (3, "default") and found["amount"] == ("as text", "read before")
    assert found["at"][1] == "read before"


@dataclass
class Plain:
    charge: str
    left: int = 0


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid")
    charge: str


class Raising(BaseModel):
    charge: str

    @field_validator("charge")
    @classmethod
    def _never(cls, value: str) -> str:
        raise RuntimeError(value)


class Short(BaseModel):
    charge: str = Field(max_length=1)


@pytest.mark.parametrize("kind", [Plain, Forbidding, Refund | Plain, Plain | None])
def test_records_of_every_kind_are_derived(kind: Any) -> None:
    assert told(kind, {})["charge"] == ("ch", "argument")


@pytest.mark.parametrize("kind", [str, list[str], dict[str, int], Raising, Short])
def test_what_cannot_be_derived_is_said_and_never_raised(kind: Any) -> None:
    assert isinstance(derive(operation(kind), ARGS, {}), Untold)


def test_a_result_that_is_nothing_is_nothing() -> None:
    assert derive(operation(None), ARGS, {}) == Prediction(b"null", {})


@given(
    st.dictionaries(st.sampled_from(["id", "charge", "amount", "status", "note", "fee"]), st.none() | TEXT),
    st.dictionaries(st.sampled_from(["id", "charge", "status"]), st.integers(-9, 9) | TEXT),
)
def test_whatever_was_read_a_prediction_fits_its_result_type(
    before: dict[str, Any], earlier: dict[str, Any]
) -> None:
    of = operation(Refund)
    try:
        stored, other = canonical.encode(before), canonical.encode(earlier)
    except TypeError:
        return
    found = derive(of, ARGS, {"status": "succeeded"}, stored, other)
    if isinstance(found, Prediction):
        assert of.decode_result(found.stored).amount == Money(100, "EUR")
    else:
        assert "id" in found.reason

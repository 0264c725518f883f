"""References in a plan: where they point, of what type that is, and what is there."""

from __future__ import annotations

import pytest

from deputize.plans.references import Reference, Typed, Unresolved, look_up, reference_of

ORDERS = {
    "type": "object",
    "properties": {
        "orders": {"type": "array", "items": {"$ref": "#/$defs/Order"}},
        "by_day": {"type": "object", "additionalProperties": {"type": "integer"}},
        "words": {"type": "array", "items": {"type": "string"}},
    },
    "$defs": {"Order": {"type": "object", "properties": {"id": {"type": "string"}}}},
}
SCOPE = {"step": {"found": {"orders": [{"id": "o1"}, {"id": "o2"}], "by_day": {"0": 7}, "words": []}}}


def test_a_number_is_a_place_in_a_list() -> None:
    reference = reference_of("$step.found.orders.1.id")
    assert reference == Reference("step", ("found", "orders", "1", "id"))
    assert look_up(reference, SCOPE) == "o2"
    assert Typed.of(ORDERS).at(("orders", "0", "id")).words() == {"string"}
    assert Typed.of(ORDERS).at(("words", "12")).words() == {"string"}


def test_a_number_is_a_name_where_there_is_no_list() -> None:
    reference = reference_of("$step.found.by_day.0")
    assert reference is not None and look_up(reference, SCOPE) == 7
    assert Typed.of(ORDERS).at(("by_day", "0")).words() == {"integer"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$step.found.orders.2.id", "there are only 2"),
        ("$step.found.words.0", "there are only 0"),
        ("$step.found.orders.id", "there is no 'id'"),
        ("$step.found.orders.0.total", "there is no 'total'"),
    ],
)
def test_what_is_not_there_is_said(text: str, said: str) -> None:
    reference = reference_of(text)
    assert reference is not None
    with pytest.raises(Unresolved, match=said):
        look_up(reference, SCOPE)


@pytest.mark.parametrize("text", ["$step.found.-1", "$step.found.1000", "$step.found.0x", "$step.found.٣"])
def test_what_is_no_place_is_no_reference(text: str) -> None:
    with pytest.raises(Unresolved, match="is no reference"):
        reference_of(text)


@pytest.mark.parametrize("path", [("words", "0", "id"), ("orders", "first"), ("orders", "0", "0")])
def test_a_place_in_what_is_no_list_has_no_type(path: tuple[str, ...]) -> None:
    with pytest.raises(Unresolved, match="there is no"):
        Typed.of(ORDERS).at(path)

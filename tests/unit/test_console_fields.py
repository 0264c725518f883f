"""Forms for values: what stands in them comes out as it went in, and what does not fit is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.api.problem import Problem
from deputize.console.fields import Field, fields_for, fields_of, read_fields, read_value
from deputize.console.page import form_of

SCALARS = (
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r"), max_size=200)
    | st.integers(-(2**53), 2**53)
    | st.booleans()
    | st.none()
    | st.fixed_dictionaries(
        {"minor": st.integers(-(10**12), 10**12), "currency": st.sampled_from(["EUR", "JPY"])}
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c d"]), VALUES, max_size=3))
def test_a_form_that_is_sent_as_it_was_shown_says_the_same(args: dict[str, Any]) -> None:
    fields = fields_of(args, "args")
    assert read_fields(fields, {field.name: field.value for field in fields}) == args


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("number", "12.5", "'12.5' is no whole number"),
        ("number", "", "'' is no whole number"),
        ("money", "12,50", "is not an amount of money"),
        ("yes or no", "perhaps", "choose yes or no"),
        ("JSON", "{", "this is not JSON"),
        ("JSON", "", "this is not JSON"),
    ],
)
def test_what_does_not_fit_is_said_with_its_name(kind: Any, text: str, said: str) -> None:
    with pytest.raises(Problem) as raised:
        read_value(Field("args.a", "a", kind), text)
    assert raised.value.status == 422 and "a: " in str(raised.value) and said in str(raised.value)
    assert raised.value.more == {"field": "args.a"}


def test_a_result_has_a_field_for_each_property_and_what_is_not_needed_may_stay_empty() -> None:
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "n": {"type": "integer"},
            "paid": {"$ref": "#/$defs/Money"},
            "state": {"enum": ["open", "closed"]},
            "more": {"type": "array"},
        },
        "required": ["id", "paid"],
        "$defs": {"Money": {"title": "Money", "type": "object"}},
    }
    fields = fields_for(schema, "result")
    assert [(field.label, field.kind, field.needed) for field in fields] == [
        ("id", "line", True),
        ("n", "number", False),
        ("paid", "money", True),
        ("state", "one of", False),
        ("more", "JSON", False),
    ]
    form = {
        "result.id": "x",
        "result.n": "",
        "result.paid": "1.00 EUR",
        "result.state": '"open"',
        "result.more": "",
    }
    assert read_fields(fields, form) == {
        "id": "x",
        "paid": {"minor": 100, "currency": "EUR"},
        "state": "open",
    }
    with pytest.raises(Problem, match="id was not sent"):
        read_fields(fields, {})


@pytest.mark.parametrize("schema", [{}, {"type": "array"}, {"type": "object"}])
def test_what_has_no_properties_is_one_field_for_all_of_it(schema: dict[str, Any]) -> None:
    (field,) = fields_for(schema, "result")
    assert (field.name, field.label, field.kind) == ("result", "result", "JSON")


def test_a_form_is_read_and_what_is_none_is_refused() -> None:
    assert form_of(b"a=1&b=%C3%A9&c=") == {"a": "1", "b": "\u00e9", "c": ""}
    assert form_of(b"") == {}
    for body in (b"\xff", b"a=%FF", b"no form", b"&".join(b"a%d=1" % n for n in range(300))):
        with pytest.raises(Problem, match="this is no form of ours"):
            form_of(body)
    with pytest.raises(Problem, match="a was sent 2 times"):
        form_of(b"a=1&a=2")

"""What a model without tools may say: one of its choices, with what that takes."""

from __future__ import annotations

from typing import Any

from deputize.models.wire import calling
from deputize.thought import Choice

MONEY = {
    "type": "object",
    "title": "Money",
    "properties": {"minor": {"type": "integer"}, "currency": {"type": "string", "pattern": "^[A-Z]{3}$"}},
    "required": ["minor", "currency"],
}


def args_of(takes: dict[str, Any]) -> Any:
    """The shape of the arguments of a choice that takes this."""
    [one] = calling([Choice(name="desk.pay", about="", takes=takes)], None)["anyOf"]
    assert one["properties"]["call"] == {"const": "desk.pay"} and one["required"] == ["call", "args"]
    return one["properties"]["args"]


def test_each_choice_has_its_own_arguments_and_the_answer_is_one_of_them() -> None:
    takes = {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}
    answer = {"type": "object", "properties": {"value": {"enum": ["a", "b"]}}, "required": ["value"]}
    shapes = calling([Choice(name="desk.put", about="", takes=takes)], answer)["anyOf"]
    assert [one["properties"]["call"]["const"] for one in shapes] == ["desk.put", "answer"]
    assert [one["properties"]["args"]["required"] for one in shapes] == [["item"], ["value"]]
    assert shapes[1]["properties"]["args"]["properties"]["value"] == {"enum": ["a", "b"]}


def test_what_a_schema_refers_to_stands_in_its_place_for_the_root_is_another() -> None:
    takes = {
        "$defs": {"Money": MONEY},
        "type": "object",
        "properties": {
            "amount": {"$ref": "#/$defs/Money"},
            "parts": {"type": "array", "items": {"$ref": "#/$defs/Money"}},
            "tip": {"anyOf": [{"$ref": "#/$defs/Money"}, {"type": "null"}]},
        },
        "required": ["amount"],
    }
    args = args_of(takes)
    assert "$ref" not in str(args) and "$defs" not in str(args)
    plain = args["properties"]["amount"]
    assert plain["properties"] == {"minor": {"type": "integer"}, "currency": {"type": "string"}}
    assert plain["required"] == ["minor", "currency"] and plain["additionalProperties"] is False
    assert args["properties"]["parts"] == {"type": "array", "items": plain}
    assert args["properties"]["tip"] == {"anyOf": [plain, {"type": "null"}]}


def test_a_schema_that_refers_to_itself_or_to_nothing_comes_to_an_end() -> None:
    tree = {
        "type": "object",
        "properties": {"under": {"$ref": "#/$defs/Tree"}, "gone": {"$ref": "#/$defs/No"}},
    }
    args = args_of({"$defs": {"Tree": tree}, "$ref": "#/$defs/Tree"})
    assert args["properties"]["gone"] == {} and args["properties"]["under"]["properties"]["gone"] == {}


def test_an_argument_that_may_have_any_names_may_have_them() -> None:
    takes = {"type": "object", "properties": {"more": {"type": "object", "additionalProperties": True}}}
    assert args_of(takes)["properties"]["more"] == {"type": "object"}

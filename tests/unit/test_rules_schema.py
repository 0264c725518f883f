"""What rules see of an operation's arguments, and what they do not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import cedarpy
import pytest
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from deputize import canonical
from deputize.call import Call
from deputize.connector import Connector
from deputize.money import Money
from deputize.operation import Operation
from deputize.rules.schema import Context, View, cedar_schema, view_of


class Color(Enum):
    RED = "red"


class Place(BaseModel):
    street: str
    floor: int | None = None
    height: float = 0.0


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: str


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


Trick = TypedDict("Trick", {"__entity": str, "plain": str})


def view(function: Callable[..., Awaitable[str]]) -> View:
    return view_of(operation(function))


def operation(function: Callable[..., Awaitable[str]]) -> Operation[..., Any]:
    return Connector("shop", version="1").operation(effect="read")(function)


async def every(
    call: Call,
    text: str,
    number: int,
    flag: bool,
    amount: Money,
    choice: Literal["a", "b"],
    color: Color,
    day: date,
    price: Decimal,
    tags: list[str],
    sums: list[Money],
    place: Place,
    maybe: Money | None,
    default: str = "x",
) -> str:
    return ""


async def odd(
    call: Call,
    ratio: float,
    either: int | str,
    free: dict[str, Any],
    anything: Any,
    pair: tuple[int, str],
    holes: list[int | None],
    mixed: Literal["a", 1],
) -> str:
    return ""


def test_each_type_that_cedar_holds_exactly_is_seen() -> None:
    seen = view(every)
    kinds = {name: attribute.shape.kind for name, attribute in seen.attributes.items()}
    assert kinds == {
        "text": "text", "number": "whole number", "flag": "yes/no", "amount": "money", "choice": "text",
        "color": "text", "day": "text", "price": "text", "tags": "list", "sums": "list", "place": "record",
        "maybe": "money", "default": "text",
    }  # fmt: skip
    assert [name for name, a in seen.attributes.items() if not a.required] == ["maybe"]
    assert seen.attributes["choice"].shape.values == ("a", "b")
    assert seen.unseen == {}


def test_what_cedar_cannot_hold_is_unseen_with_a_reason() -> None:
    seen = view(odd)
    assert seen.attributes == {} and all(seen.unseen.values())
    assert set(seen.unseen) == {
        "ratio", "either", "free", "anything", "pair", "holes", "mixed",
    }  # fmt: skip


def test_a_name_that_cedar_reads_as_an_escape_is_kept_from_it() -> None:
    async def go(call: Call, trick: Trick) -> str:
        return ""

    assert view(go).project({"trick": {"__entity": "x", "plain": "y"}}) == {"trick": {"plain": "y"}}


def test_a_record_that_holds_itself_is_seen_down_to_a_bound() -> None:
    async def plant(call: Call, tree: Tree) -> str:
        return ""

    seen = view(plant)
    deep: dict[str, Any] = {"name": "leaf", "children": []}
    for _ in range(20):
        deep = {"name": "branch", "children": [deep]}
    taken = seen.project({"tree": deep})
    assert canonical.encode(taken).count(b"branch") <= 8


def test_only_what_is_seen_is_taken() -> None:
    async def go(call: Call, place: Place, open: Open, stops: list[Place], ratio: float) -> str:
        return ""

    place = {"street": "s", "floor": None, "height": 1.5}
    taken = view(go).project(
        {"place": place, "open": {"known": "k", "more": 1}, "stops": [place | {"floor": 2}], "ratio": 0.5}
    )
    assert taken == {
        "place": {"street": "s"},
        "open": {"known": "k"},
        "stops": [{"street": "s", "floor": 2}],
    }


def test_what_an_open_model_lets_in_beyond_its_fields_is_not_taken() -> None:
    async def go(call: Call, open: Open) -> str:
        return ""

    assert view(go).project({"open": {"known": "k", "more": 1}}) == {"open": {"known": "k"}}


@pytest.mark.parametrize("function", [every, odd])
def test_the_schema_takes_what_the_contract_lets_through(function: Any) -> None:
    seen = view(function)
    schema = cedar_schema({"shop.it": Context(seen, ("a-rule",), origins_of=seen.traced)})
    handle = cedarpy.Schema.from_json_str(schema)
    given = {
        "every": {
            "text": "t", "number": 1, "flag": True, "amount": Money(1, "EUR"), "choice": "a",
            "color": Color.RED, "day": date(2026, 1, 1), "price": Decimal("1.5"),
            "tags": [], "sums": [Money(2, "EUR")],
            "place": Place(street="s"), "maybe": None,
        },
        "odd": {
            "ratio": 0.5, "either": 1, "free": {"a": 1}, "anything": None,
            "pair": (1, "a"), "holes": [None], "mixed": 1,
        },
    }  # fmt: skip
    args = canonical.decode(operation(function).canonical_args(given[function.__name__]))
    context = {
        "args": seen.project(args),
        "facts": {"a-rule": 1},
        "time": {"minute_of_day": 0, "weekday": 0},
        "automation": "x",
        "origins": ["mail.get"],
        "origins_of": {name: ["mail.get"] for name in seen.traced},
        "untrusted": True,
    }
    request = {
        "principal": 'Agent::"a"',
        "action": 'Action::"shop.it"',
        "resource": 'Connection::"shop"',
        "context": context,
    }
    result = cedarpy.is_authorized(request, "permit (principal, action, resource);", "[]", handle)
    assert result.allowed, result.diagnostics.errors

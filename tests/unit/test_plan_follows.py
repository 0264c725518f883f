"""Whether an action is what a plan has at its place is worked out from plan, event and answers."""

from __future__ import annotations

from typing import Any

import pytest

from deputize import canonical
from deputize.plans.carrying import Carrying
from deputize.plans.checking import World, check
from deputize.plans.plan import Plan

from .till import till

TEXT: dict[str, Any] = {"type": "string"}
EVENT = {
    "type": "object",
    "properties": {"charge": TEXT, "others": {"type": "array", "items": TEXT}},
    "required": ["charge", "others"],
}
EURO = {"minor": 100, "currency": "EUR"}
PLAN = Plan.model_validate(
    {
        "goal": "Give it back",
        "steps": [
            {"id": "a", "operation": "till.refund", "arguments": {"charge": "$event.charge", "amount": EURO}},
            {"id": "b", "operation": "till.refund", "arguments": {"charge": "$step.a", "amount": EURO}},
            {
                "id": "c",
                "when": 'context.event.charge == "x"',
                "operation": "till.refund",
                "arguments": {"charge": "c", "amount": EURO},
                "else": {"operation": "till.swap", "arguments": {"a": "c", "b": "d"}},
            },
            {
                "id": "d",
                "each": "$event.others",
                "operation": "till.refund",
                "arguments": {"charge": "$each", "amount": EURO},
            },
            {
                "id": "e",
                "when": 'context.event.charge == "x"',
                "operation": "till.refund",
                "arguments": {"charge": "e", "amount": EURO},
                "otherwise": "end",
            },
            {"id": "f", "operation": "till.refund", "arguments": {"charge": "f", "amount": EURO}},
        ],
    }
)
ANSWERS = {("a", 0): "y", ("b", 0): "b", ("c", 0): "c", ("d", 0): "p", ("d", 1): "q", ("e", 0): "e"}


def follows(step: str, item: int, name: str, *, of: str = "x", answers: Any = ANSWERS, **args: Any) -> bool:
    checked = check(PLAN, World(EVENT, till.operations))
    assert checked.problems == []
    event = {"charge": of, "others": ["p", "q"]}
    operations = till.operations | {"till.twin": till.operations["till.refund"]}
    carrying = Carrying(PLAN, checked.conditions, operations, "till.ask", event, "r", (), "", "1")
    return carrying._follows(step, item, name, canonical.encode(args), answers)


def refund(step: str, item: int, charge: str, minor: int = 100, **more: Any) -> bool:
    args = {"charge": charge, "amount": {"minor": minor, "currency": "EUR"}}
    answers, of = more.pop("answers", ANSWERS), more.pop("of", "x")
    return follows(step, item, "till.refund", of=of, answers=answers, **args)


def test_what_the_plan_has_there_follows() -> None:
    assert refund("a", 0, "x") and refund("b", 0, "y") and refund("c", 0, "c") and refund("f", 0, "f")
    assert refund("d", 0, "p") and refund("d", 1, "q")
    assert follows("c", 0, "till.swap", of="z", a="c", b="d")


@pytest.mark.parametrize(
    "found",
    [
        lambda: refund("a", 0, "y"),
        lambda: refund("a", 0, "x", 101),
        lambda: follows("a", 0, "till.twin", charge="x", amount=EURO),
        lambda: refund("b", 0, "x"),
        lambda: refund("b", 0, "y", answers={}),
        lambda: refund("d", 1, "p"),
        lambda: refund("d", 2, "q"),
        lambda: refund("d", 0, "p", answers={("a", 0): "y"}),
        lambda: refund("g", 0, "f"),
        lambda: refund("c", 0, "c", of="z"),
        lambda: follows("c", 0, "till.swap", a="c", b="d"),
        lambda: refund("e", 0, "e", of="z"),
        lambda: refund("f", 0, "f", of="z"),
    ],
    ids=["another argument", "another amount", "another operation", "not what was answered",
         "no answer", "another item",
         "one item too many", "a step before it is open", "no such step", "not where its condition fails",
         "else where it holds", "a step left out", "after the end"],
)  # fmt: skip
def test_what_it_has_not_there_does_not(found: Any) -> None:
    assert found() is False

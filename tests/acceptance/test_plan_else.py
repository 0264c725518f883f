"""A step with `else`: where its `when` does not hold, that is done in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deputize.errors import ProjectError
from deputize.plans.carrying import sentences
from deputize.plans.plan import Plan
from deputize.plans.references import Typed, Unresolved, in_both
from deputize.project import load_project
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.rehearsals import CONNECTOR, event, rehearsed
from tests.support.running import running

from .test_plan_files import project

CHOICE = """\
on: desk.untidy
agent: worker
event: {item: text, colours: list of text}
goal: Tidy the desk
steps:
  - id: kept
    when: context.event.item == "a"
    operation: desk.put
    arguments: {item: kept}
    why: it is the one
    else:
      operation: desk.write
      arguments: {item: $event.item}
      why: it is another
      expects: {item: $event.item}
  - id: told
    operation: desk.put
    arguments: {item: $step.kept.item}
  - id: each
    each: $event.colours
    when: context.event.item == "a"
    operation: desk.put
    arguments: {item: $each}
    else: {operation: desk.write, arguments: {item: $each}}
end: tidied
"""


async def test_it_is_done_in_its_place_and_its_answer_stands_for_the_step(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk, CHOICE)
    done = {
        "a": [("desk.put", "kept"), ("desk.put", "kept"), ("desk.put", "red"), ("desk.put", "blue")],
        "b": [("desk.write", "b"), ("desk.put", "b"), ("desk.write", "red"), ("desk.write", "blue")],
    }
    runs = {}
    async with running(root) as world:
        for item, expected in done.items():
            run = runs[item] = await world.send(type="desk.untidy", item=item, colours=["red", "blue"])
            assert await world.label(run) == "done(tidied)"
            bodies = [e.body for e in world.entries(run, "intent") if e.body]
            assert [(b["op"], b["args"]["item"]) for b in bodies] == expected
        first, second, *_ = [e.body for e in world.entries(runs["b"], "intent") if e.body]
        assert first["why"] == "it is another" and first["expects"] == {"item": "b"}
        # What was done in its place has brought what it says.
        assert second["origins"] == ["desk.untidy", "desk.write"]
    async with running(root) as world:
        assert await world.label(runs["b"]) == "done(tidied)"


def test_it_is_told_in_the_same_sentence() -> None:
    given: dict[str, Any] = {"operation": "desk.write", "arguments": {"item": "$event.item"}, "why": "other"}
    step = {"id": "a", "when": "true", "operation": "desk.put", "why": "this", "else": given, "end": "over"}
    assert sentences(Plan.model_validate({"goal": "g", "steps": [step]}))[0] == (
        '1. if true: desk.put, because "this"; otherwise: desk.write with item the event\'s item, '
        "because \"other\"; then the plan ends as 'over'."
    )


WRONG = {
    "no condition": (
        CHOICE.replace('    when: context.event.item == "a"\n', "", 1),
        "steps.0: .*give the step a when",
    ),
    "an end as well": (
        CHOICE.replace("    why: it is the one\n", "    otherwise: end\n"),
        "steps.0: .*either else is done or otherwise ends",
    ),
    "a key that is none": (CHOICE.replace("expects: {item: $event", "expect: {item: $event"), "did you mean"),
    "no such operation": (CHOICE.replace("desk.write\n", "desk.wriet\n"), "kept: else: .*did you mean"),
    "no such argument": (CHOICE.replace("{item: $event.item}\n", "{itm: x}\n", 1), "else: .*'itm'"),
    "no such field": (CHOICE.replace("$event.item}\n", "$event.itm}\n", 1), "else: item: .*'itm'"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_it_is_told(tmp_path: Path, desk: Desk, wrong: str) -> None:
    plan, told = WRONG[wrong]
    with pytest.raises(ProjectError, match=told):
        load_project(project(tmp_path, desk, plan))


def test_what_its_condition_asks_for_is_not_there_for_the_else(tmp_path: Path, desk: Desk) -> None:
    plan = CHOICE.replace("    else:\n      operation: desk.write\n      arguments: {item: $event.item}\n"
                          "      why: it is another\n      expects: {item: $event.item}\n", "").replace(
        "    arguments: {item: $step.kept.item}\n",
        "    when: context.step has kept\n    arguments: {item: $step.kept.item}\n"
        "    else: {operation: desk.put, arguments: {item: $step.kept.item}}\n",
    )  # fmt: skip
    with pytest.raises(ProjectError, match="step told: else: the step kept may be left out"):
        load_project(project(tmp_path, desk, plan))


def test_only_what_both_answers_have_can_be_referred_to() -> None:
    text, number = {"type": "string"}, {"type": "integer"}
    one = {"type": "object", "properties": {"a": text, "b": text, "c": number}, "required": ["a", "b"]}
    other = {"type": "object", "properties": {"a": text, "b": number, "d": text}, "required": ["a"]}
    both = in_both(one, other)
    assert both["properties"] == {"a": text} and both["required"] == ["a"] and in_both(one, one) is one
    for gone in "bcd":
        with pytest.raises(Unresolved, match=f"there is no '{gone}'"):
            Typed.of(both).at((gone,))
    inner = {"properties": {"m": {"$ref": "#/$defs/M"}, "a": text}}
    assert in_both(inner | {"$defs": {"M": text}}, inner | {"$defs": {"M": number}})["properties"] == {
        "a": text
    }


def test_it_is_rehearsed_in_its_place(tmp_path: Path, desk: Desk) -> None:
    plan = CHOICE.replace("desk.put", "desk.note").replace("desk.write", "desk.mark")
    root = project(tmp_path, desk, plan)
    connector = root / "connectors" / "desk.py"
    connector.write_text(connector.read_text() + CONNECTOR)
    data: dict[str, Any] = {"item": "b", "colours": ["red"]}
    [told] = rehearsed(root, event(type="desk.untidy", **data), automation="tidy")["told"]
    assert [(a["operation"], a["would"], a["args"]["item"]) for a in told["actions"]] == [
        ("desk.mark", "done", "b"), ("desk.note", "done", "b"), ("desk.mark", "done", "red"),
    ]  # fmt: skip

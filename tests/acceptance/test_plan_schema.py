"""`deputize schema plan`: what an editor checks a plan's file by."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
import yaml

from tests.support.command import deputize
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.running import running

from .test_plan_files import TIDY, project

PAGE = Path(__file__).parents[2] / "docs" / "thinking.md"


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Any]:
    done = deputize(tmp_path_factory.mktemp("nowhere") / "project", "schema", "plan")
    assert done.code == 0, done.err
    checked: Callable[[Any], Any] = fastjsonschema.compile(done.json())
    return checked


def documented(number: int = 0) -> dict[str, Any]:
    files = re.findall(r"^```yaml\n(# automations/\w+\.plan\.yaml\n.*?)^```", PAGE.read_text(), re.M | re.S)
    # As editors read it (YAML 1.2): `on` is a name.
    found: dict[str, Any] = yaml.safe_load(files[number].replace("\non:", '\n"on":'))
    return found


def test_it_accepts_the_examples_of_the_page_and_one_with_everything(fits: Callable[[Any], Any]) -> None:
    fits(documented())
    fits(documented(1))
    other = {"operation": "notes.write", "arguments": {"page": "a", "text": "b"}, "expects": {"text": "b"}}
    plan = documented() | {"$schema": "plan.schema.json", "key": "guest:{name}", "approve": ["maya", "kim"]}
    plan["steps"][2]["else"] = other
    fits(json.loads(json.dumps(plan)))
    fits(plan | {"approve": "maya"})


WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "a key that is none": lambda plan: plan.update(ends="x"),
    "no goal": lambda plan: plan.pop("goal"),
    "no steps": lambda plan: plan.update(steps=[]),
    "too many steps": lambda plan: plan.update(steps=plan["steps"] * 20),
    "a step's key that is none": lambda plan: plan["steps"][0].update(whi="x"),
    "a step without an operation": lambda plan: plan["steps"][0].pop("operation"),
    "an id that is none": lambda plan: plan["steps"][0].update(id="First One"),
    "arguments that are none": lambda plan: plan["steps"][0].update(arguments="x"),
    "more than the most": lambda plan: plan["steps"][0].update(most=51),
    "no way to go on": lambda plan: plan["steps"][0].update(otherwise="stop"),
    "an else without an operation": lambda plan: plan["steps"][0].update({"else": {"arguments": {}}}),
    "an else with a condition": lambda plan: plan["steps"][0].update(
        {"else": {"operation": "notes.write", "when": "true"}}
    ),
    "a type that is none": lambda plan: plan["event"].update(name="txt"),
    "a field that can have no name": lambda plan: plan["event"].update({"_name": "text"}),
    "an approval by nobody": lambda plan: plan.update(approve=[]),
    "an approval within no time": lambda plan: plan.update(approve={"by": "maya", "within": "soon"}),
    "an approval with a key that is none": lambda plan: plan.update(approve={"by": "maya", "whom": "kim"}),
    "a schema that is no text": lambda plan: plan.update({"$schema": 1}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_it_rejects_what_is_no_plan(fits: Callable[[Any], Any], wrong: str) -> None:
    plan = documented()
    WRONG[wrong](plan)
    with pytest.raises(fastjsonschema.JsonSchemaException):
        fits(plan)


def test_a_schema_that_is_none_is_told_with_the_nearest(tmp_path: Path) -> None:
    done = deputize(tmp_path / "project", "schema", "plam")
    assert done.code == 2 and "there is no schema of 'plam'; did you mean 'plan'?" in done.err


async def test_a_plan_in_json_runs_as_the_same_one_in_yaml(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/items/a"] = {"item": "a chair", "key": "k"}
    plan = yaml.safe_load(TIDY.replace("on: ", '"on": ', 1)) | {"$schema": "plan.schema.json"}
    root = project(tmp_path, desk, json.dumps(plan), "tidy.plan.json")
    async with running(root) as world:
        run = await world.send(type="desk.untidy", item="a", colours=["red"], note="twice")
        assert await world.label(run) == "done(tidied)"
        bodies = [e.body for e in world.entries(run, "intent") if e.body]
        assert [(b["op"], b["args"]["item"]) for b in bodies] == [
            ("desk.put", "a chair"), ("desk.write", "red"), ("desk.put", "by hand"),
        ]  # fmt: skip

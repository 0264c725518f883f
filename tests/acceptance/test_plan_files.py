"""An automation may be a plan in a file, without Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.errors import ProjectError
from deputize.project import load_project
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import running

TIDY = """\
on: desk.untidy
agent: worker
event: {item: text, colours: list of text, note: text or nothing}
key: "item:{item}"
goal: Tidy the desk
steps:
  - id: found
    operation: desk.read
    arguments: {item: $event.item}
    why: to see what it is
  - id: put
    operation: desk.put
    arguments: {item: $step.found.item}
    expects: {item: $step.found.item}
  - id: each
    operation: desk.write
    each: $event.colours
    arguments: {item: $each}
  - id: last
    operation: desk.put
    when: context.event has note && context.event.note == "twice"
    arguments: {item: by hand}
end: tidied
"""


def project(
    root: Path, desk: Desk, plan: str = TIDY, name: str = "tidy.plan.yaml", rules: str = PERMIT
) -> Path:
    made = write_project(root / "project", desk.base, "", rules=rules)
    (made / "automations" / name).write_text(plan)
    return made


async def test_it_runs_like_any_automation(tmp_path: Path, desk: Desk) -> None:
    desk.pages["/items/a"] = {"item": "a chair", "key": "k"}
    root = project(tmp_path, desk)
    async with running(root) as world:
        run = await world.send(type="desk.untidy", item="a", colours=["red", "blue"])
        assert await world.label(run) == "done(tidied)"
        assert world.run(run).automation == "tidy"
        assert world.run(run).key == "item:a"
        bodies = [e.body for e in world.entries(run, "intent") if e.body]
        assert [(b["op"], b["args"]["item"]) for b in bodies] == [
            ("desk.put", "a chair"), ("desk.write", "red"), ("desk.write", "blue"),
        ]  # fmt: skip
        assert [b["origins"] for b in bodies] == [
            ["desk.read", "desk.untidy"],
            ["desk.untidy"],
            ["desk.untidy"],
        ]
        assert [b["origins_of"]["item"] for b in bodies] == [b["origins"] for b in bodies]
        twice = await world.send(type="desk.untidy", item="a", colours=[], note="twice")
        assert await world.label(twice) == "done(tidied)"
        [*_, last] = [e.body for e in world.entries(twice, "intent") if e.body]
        # Its author is whoever wrote the project: it comes from nowhere outside.
        assert last["args"] == {"item": "by hand"} and "origins" not in last and "untrusted" not in last
    async with running(root) as world:
        assert await world.label(run) == "done(tidied)"


def test_it_may_be_json(tmp_path: Path, desk: Desk) -> None:
    plan = {
        "on": "desk.untidy", "agent": "worker", "event": {"item": "text"}, "goal": "g",
        "steps": [{"id": "a", "operation": "desk.put", "arguments": {"item": "$event.item"}}],
    }  # fmt: skip
    root = project(tmp_path, desk, json.dumps(plan), "tidy-up.plan.json")
    assert load_project(root).automations["tidy_up"].on.event_type == "desk.untidy"


WRONG = {
    "no YAML": ("on: [", "tidy.plan.yaml: it cannot be read: "),
    "no plan": ("hello", "tidy.plan.yaml: the plan: Input should be"),
    "empty": ("", "tidy.plan.yaml: the plan: Input should be"),
    "a key that is none": (TIDY + "ends: x\n", "tidy.plan.yaml: ends: Extra .* permitted; did you mean"),
    "a step's key that is none": (TIDY.replace("why:", "whi:"), "steps.0.whi: .*; did you mean 'why'"),
    "no such agent": (TIDY.replace("agent: worker", "agent: werker"), "no agent 'werker'; did you mean"),
    "no such type": (TIDY.replace("item: text", "item: txt"), "event.item: 'txt' is no type; write text, "),
    "no such operation": (TIDY.replace("desk.read", "desk.raed"), "found: there is no operation 'desk.raed'"),
    "a field of another type": (TIDY.replace("item: text,", "item: money,"), "item: .event.item is object"),
    "a number beyond all": (TIDY.replace("{item: by hand}", "{item: 9999999999999999999999}"), "JSON cannot"),
    "a name that begins with a dash": (TIDY.replace("note: text", "_note: text"), "event._note"),
    "a step twice": (TIDY.replace("id: put", "id: found"), "two steps have the id 'found'"),
    "asked of nobody": (TIDY + "approve: []\n", "approve.by: List should have at least 1 item"),
    "asked of whom nobody knows": (TIDY + "approve: maja\n", "approve: .* no person, role or group 'maja'"),
    "asked within no time": (TIDY + "approve: {by: maya, within: soon}\n", "approve.within: .*write a time"),
    "asked with an unknown key": (TIDY + "approve: {by: maya, wihtin: 1 hour}\n", "did you mean 'within'"),
    "far too long": (TIDY + "#" + "x" * 200_000, "a plan has 200,000 bytes at most"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_it_is_told_with_its_place(tmp_path: Path, desk: Desk, wrong: str) -> None:
    plan, told = WRONG[wrong]
    with pytest.raises(ProjectError, match=told):
        load_project(project(tmp_path, desk, plan))


def test_what_no_rule_permits_is_told(tmp_path: Path, desk: Desk) -> None:
    rules = PERMIT.replace('"desk.*"', '["desk.read", "desk.put"]')
    with pytest.raises(ProjectError, match=r"tidy.plan.yaml: step each: no rule permits desk.write"):
        load_project(project(tmp_path, desk, rules=rules))


def test_two_of_one_name_are_refused(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    (root / "automations" / "tidy.plan.yml").write_text(TIDY)
    with pytest.raises(ProjectError, match="there is an automation of this name already"):
        load_project(root)

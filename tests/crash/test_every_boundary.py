"""The real process dies at every boundary; what must hold holds when it lives again."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest

import deputize
from deputize.testing.boundaries import BOUNDARIES
from deputize.testing.crash import CrashHarness
from deputize.testing.evidence import read_ledger
from deputize.testing.life import HarnessError
from deputize.town import Town
from tests.crash.people import SCENES as AMONG_PEOPLE
from tests.crash.scenes import SCENES, Scene, everything, fault, only

FAULTS = ("none", "lost", "cut_after", "cut_before", "late", "error_500", "too_many")
EFFECTS = (("payments", "refund"), ("mail", "send"), ("shop", "open_return"), ("shop", "hold_order"))
SAMPLED = ("t2.after", "send.answered", "t3.in", "group.after_commit")
SEEDS_FULL = 3
CALLS = ("boundary", "_boundary", "_reach")

PEOPLES = {"t1.in", "t1.after", "answer.in"} | {
    name
    for name in BOUNDARIES
    if name.startswith(("approve.", "refuse.", "change.", "hand.", "question.", "whole."))
}
"""Reached by what waits for people alone: `test_people.py` dies there."""

CASES = [(name, nth) for name in BOUNDARIES if name not in PEOPLES for nth in SCENES.get(name, Scene()).nths]


def test_the_list_of_boundaries_is_what_the_source_has() -> None:
    found: set[str] = set()
    names = {"SENDING", "ANSWERED"}
    for path in Path(deputize.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and _called(node) in CALLS and node.args:
                given = node.args[0]
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    found.add(given.value)
                elif isinstance(given, ast.Name) and given.id in names:
                    found.add({"SENDING": "send.during", "ANSWERED": "send.answered"}[given.id])
    assert found == set(BOUNDARIES)
    assert {name for name, _, _ in AMONG_PEOPLE} >= PEOPLES


@pytest.mark.parametrize(("name", "nth"), CASES, ids=[f"{name}-{nth}" for name, nth in CASES])
def test_a_crash_at_this_boundary_loses_and_doubles_nothing(
    harness: CrashHarness, town: Town, name: str, nth: int
) -> None:
    scene = SCENES.get(name, Scene())
    events = everything(town, f"{name}-{nth}")
    town.set_faults(*scene.faults)
    before = only(events, scene.only) if scene.only else events
    died = scene.play(harness, f"{name}:{nth}", before)
    assert died.died_at == name
    harness.recover(events)
    assert harness.broken() == [], harness.replay_note()
    assert unfinished(harness) == []


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("name", SAMPLED)
def test_a_crash_among_faults_loses_and_doubles_nothing(
    harness: CrashHarness, town: Town, name: str, kind: str
) -> None:
    crash_among_faults(harness, town, name, kind, seed=1)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2, 2 + SEEDS_FULL))
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize(
    "name", [name for name, nth in CASES if nth == 1 and not SCENES.get(name, Scene()).special]
)
def test_crashes_at_every_boundary_among_every_fault(
    harness: CrashHarness, town: Town, name: str, kind: str, seed: int
) -> None:
    crash_among_faults(harness, town, name, kind, seed)


def crash_among_faults(harness: CrashHarness, town: Town, name: str, kind: str, seed: int) -> None:
    """Two crashes, at occurrences that the seed chooses, while the services have one kind of fault."""
    chance = random.Random(f"{seed} {name} {kind}")
    events = everything(town, f"{name}-{kind}-{seed}")
    if kind != "none":
        town.set_faults(*(fault(kind, *effect, chance.randint(1, 3)) for effect in EFFECTS))
    harness.crash_at(f"{name}:{chance.randint(1, 3)}", events)
    again = harness.life(f"{name}:{chance.randint(1, 3)}")
    again.send(events)
    again.tell("quiet")
    try:
        again.wait("dies", "quiet")
    except HarnessError:
        assert again.died_at, again.words
    again.kill()
    harness.recover(events)
    assert harness.broken() == [], harness.replay_note()
    assert unfinished(harness) == []


def unfinished(harness: CrashHarness) -> list[str]:
    """Runs that have not ended, though every card was answered."""
    ledger = read_ledger(harness.project.settings.ledger)
    return [f"{run.automation} is {run.state}: {run.reason}" for run in ledger.runs if run.state != "ended"]


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""

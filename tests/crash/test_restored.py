"""A restored copy starts halted; what was unfinished is answered first, wherever its first life dies."""

from __future__ import annotations

import pytest

from deputize.testing.crash import CrashHarness
from deputize.testing.evidence import read_ledger
from deputize.town import Town
from tests.crash.people import among_people, asked_for, said
from tests.crash.restored import MORE, SCENES, Scene, lives_on, restored_life
from tests.crash.scenes import everything, only
from tests.crash.test_every_boundary import unfinished
from tests.crash.test_people import labels


@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_a_crash_in_a_restored_copy_loses_and_doubles_nothing(
    harness: CrashHarness, town: Town, scene: Scene
) -> None:
    a_crash_in_a_restored_copy(harness, town, scene)


@pytest.mark.full
@pytest.mark.parametrize("scene", MORE, ids=[scene.name for scene in MORE])
def test_nor_does_one_at_another_place(harness: CrashHarness, town: Town, scene: Scene) -> None:
    a_crash_in_a_restored_copy(harness, town, scene)


def a_crash_in_a_restored_copy(harness: CrashHarness, town: Town, scene: Scene) -> None:
    whole = everything(town, f"restored-{scene.name}")
    events = [one for ending in scene.endings for one in only(whole, ending)]
    town.set_faults(*scene.faults)
    scene.lost(harness, scene.copied_at, events)
    died = restored_life(harness, scene.dies_at, events)
    assert died.died_at == scene.dies_at.partition(":")[0], died.words
    lives_on(harness, events)
    assert harness.broken() == [], harness.replay_note()
    assert unfinished(harness) == []


def test_what_was_approved_before_the_copy_was_made_is_approved_again(
    harness: CrashHarness, town: Town
) -> None:
    harness.saying = said
    events = asked_for(town, "approved-before-copy", "approve", "both")
    assert among_people(harness, "approve.after:1", events).died_at == "approve.after"
    harness.restore(harness.back_up())
    lives_on(harness, events)
    assert harness.broken() == [], harness.replay_note()
    assert labels(harness) == ["done(refunded)", "done(refunded)"]
    ledger = read_ledger(harness.project.settings.ledger)
    (restored,) = (entry for entry in ledger.system if entry.type == "restored")
    assert ledger.approvals[0].at < restored.at_us and ledger.approvals[0].used
    used = {one["no"] for e in ledger.entries.values() for i in e if i.type == "intent"
            for one in (i.body or {}).get("approvals", ())}  # fmt: skip
    assert used == {row.no for row in ledger.approvals[1:]}

"""The process dies while what it undoes is in doubt: nothing is undone around that, and nothing twice."""

from __future__ import annotations

import pytest

from deputize.testing.crash import CrashHarness
from deputize.testing.evidence import read_ledger
from deputize.town import Town
from tests.crash.scenes import died
from tests.crash.undone import LOST, MORE, SCENES, Scene, done_before, it_did_not_happen, undoing


@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_a_crash_while_an_undo_is_in_doubt_undoes_nothing_around_it(
    harness: CrashHarness, town: Town, scene: Scene
) -> None:
    a_crash_while_an_undo_is_in_doubt(harness, town, scene)


@pytest.mark.full
@pytest.mark.parametrize("scene", MORE, ids=[scene.name for scene in MORE])
def test_nor_does_one_at_another_place(harness: CrashHarness, town: Town, scene: Scene) -> None:
    a_crash_while_an_undo_is_in_doubt(harness, town, scene)


def a_crash_while_an_undo_is_in_doubt(harness: CrashHarness, town: Town, scene: Scene) -> None:
    run = done_before(harness, scene.kind, f"undone-{scene.name}")
    town.set_faults(*scene.faults)
    life = undoing(harness, scene.dies_at, run)
    assert life.died_at == scene.dies_at.partition(":")[0], life.words
    harness.recover(answering=it_did_not_happen)
    assert harness.broken() == [], harness.replay_note()
    assert undone(harness) == ([] if scene.kind == "invite" else ["2", "1"])


def test_two_crashes_and_a_doubt_later_all_is_undone_once(harness: CrashHarness, town: Town) -> None:
    run = done_before(harness, "announce", "undone-twice")
    town.set_faults(*LOST)
    undoing(harness, "t4.after:1", run)
    died(harness.life("recovery.begun:1"))
    died(harness.life("resolve.found:1"))
    harness.recover()
    assert harness.broken() == [], harness.replay_note()
    assert undone(harness) == ["2", "1"]


def undone(harness: CrashHarness) -> list[str]:
    """What is undone of the one run, as its last word on that says."""
    (entries,) = read_ledger(harness.project.settings.ledger).entries.values()
    last = [entry for entry in entries if entry.type == "unwound"][-1]
    return list((last.body or {})["undone"])

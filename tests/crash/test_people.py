"""The process dies wherever people are asked, answer or are silent; their word holds, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from deputize.testing.crash import CrashHarness
from deputize.testing.evidence import read_ledger
from deputize.town import Town
from tests.crash.people import LABELS, MORE, SCENES, Play, asked_for, said


def ids(scenes: Iterable[tuple[str, int, Play]]) -> list[str]:
    return [f"{play.__name__}-{name}-{nth}" for name, nth, play in scenes]


@pytest.mark.parametrize(("name", "nth", "play"), SCENES, ids=ids(SCENES))
def test_a_crash_among_people_changes_nothing_of_what_they_say(
    harness: CrashHarness, town: Town, name: str, nth: int, play: Play
) -> None:
    a_crash_among_people(harness, town, name, nth, play)


@pytest.mark.full
@pytest.mark.parametrize(("name", "nth", "play"), MORE, ids=ids(MORE))
def test_nor_does_one_at_another_time(
    harness: CrashHarness, town: Town, name: str, nth: int, play: Play
) -> None:
    a_crash_among_people(harness, town, name, nth, play)


def a_crash_among_people(harness: CrashHarness, town: Town, name: str, nth: int, play: Play) -> None:
    """A life dies there, and the next is told the same: every run ends as if nobody had died."""
    harness.saying = said
    # Only a deadline needs time to pass.
    endings = [ending for ending in LABELS if ending != "lapse" or name.startswith("woke.")]
    events = asked_for(town, f"{play.__name__}-{name}-{nth}", *endings)
    died = play(harness, f"{name}:{nth}", events)
    assert died.died_at == name, died.words
    harness.recover(events)
    assert harness.broken() == [], harness.replay_note()
    assert labels(harness) == sorted(f"done({LABELS[ending]})" for ending in endings)


def labels(harness: CrashHarness) -> list[str]:
    """How every run ended."""
    return sorted(run.label or run.state for run in read_ledger(harness.project.settings.ledger).runs)

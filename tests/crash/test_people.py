"""The process dies wherever people are asked, answer or are silent; their word holds, and nothing else."""

from __future__ import annotations

import pytest

from deputize.testing.crash import CrashHarness
from deputize.testing.evidence import read_ledger
from deputize.town import Town
from tests.crash.people import LABELS, SCENES, Play, asked_for, said


@pytest.mark.parametrize(
    ("name", "nth", "play"), SCENES, ids=[f"{play.__name__}-{name}-{nth}" for name, nth, play in SCENES]
)
def test_a_crash_among_people_changes_nothing_of_what_they_say(
    harness: CrashHarness, town: Town, name: str, nth: int, play: Play
) -> None:
    harness.saying = said
    events = asked_for(town, f"{play.__name__}-{name}-{nth}")
    died = play(harness, f"{name}:{nth}", events)
    assert died.died_at == name, died.words
    harness.recover(events)
    assert harness.broken() == [], harness.replay_note()
    assert labels(harness) == sorted(f"done({label})" for label in LABELS.values())


def labels(harness: CrashHarness) -> list[str]:
    """How every run ended."""
    return sorted(run.label or run.state for run in read_ledger(harness.project.settings.ledger).runs)

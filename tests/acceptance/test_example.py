"""The example project keeps its promises: its own tests pass, its types hold, and its rules load."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import deputize
from deputize.event import parse_cloudevent
from deputize.project import load_project

EXAMPLE = Path(__file__).parents[2] / "examples" / "returns"
TIMEOUT_S = 120


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The example as a user has it: outside of any repository."""
    to = tmp_path / "shop"
    shutil.copytree(EXAMPLE, to, ignore=shutil.ignore_patterns("data", "__pycache__", ".env", ".*_cache"))
    return to


def run(*words: str, cwd: Path) -> str:
    """Run a module of this Python in a folder; what it said. It must succeed."""
    source = Path(deputize.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_tests_of_the_example_pass(copy: Path) -> None:
    said = run("pytest", "-q", "-p", "no:cacheprovider", cwd=copy)
    assert " passed" in said


@pytest.mark.slow
def test_the_types_of_the_example_hold_in_strict_mode(copy: Path) -> None:
    words = ("--strict", "--enable-error-code", "unused-awaitable", "--explicit-package-bases")
    run("mypy", *words, ".", cwd=copy)


def test_every_sample_is_an_event_that_an_automation_answers(copy: Path) -> None:
    project = load_project(copy, {})
    answered = {automation.on.event_type: automation.on for automation in project.automations.values()}
    samples = sorted((copy / "samples").glob("*.json"))
    assert len(samples) == len(answered) == 5
    for sample in samples:
        event = parse_cloudevent(json.loads(sample.read_text("utf-8")), received_us=0, parse_time=lambda _: 0)
        event.typed(answered[event.type], datetime(2026, 11, 20, tzinfo=UTC))

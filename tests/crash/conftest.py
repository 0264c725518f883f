"""A town for each module, and a harness on a fresh copy of the project for each test."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deputize.testing.crash import CrashHarness
from deputize.town import Town

PROJECT = Path(__file__).parent / "project"

MakeHarness = Callable[..., CrashHarness]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with Town.start(tmp_path_factory.mktemp("town"), customers=5) as started:
        yield started


@pytest.fixture
def harness(town: Town, tmp_path: Path) -> Iterator[CrashHarness]:
    town.set_faults()
    root = tmp_path / "project"
    shutil.copytree(PROJECT, root, ignore=shutil.ignore_patterns("__pycache__", "data"))
    with CrashHarness(root, town) as made:
        yield made
    town.set_faults()

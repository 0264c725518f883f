"""Towns to test against: real processes, talked to with a real HTTP client."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deputize.town import Town
from tests.town.calling import Caller


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One town for a whole module; each test plants orders of its own."""
    with Town.start(tmp_path_factory.mktemp("town"), customers=20) as started:
        yield started


@pytest.fixture
def call(town: Town) -> Iterator[Caller]:
    caller = Caller(town)
    yield caller
    caller.client.close()
    town.set_faults()


@pytest.fixture
def own_town(tmp_path: Path) -> Iterator[Town]:
    """A town that a test may kill."""
    with Town.start(tmp_path / "town", customers=5) as started:
        yield started


@pytest.fixture
def own_call(own_town: Town) -> Iterator[Caller]:
    caller = Caller(own_town)
    yield caller
    caller.client.close()

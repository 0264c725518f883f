"""Fixtures that several test modules import by name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.desk import Desk, desk_service


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with desk_service() as service:
        yield service

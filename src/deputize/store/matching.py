"""How what a run waits for is kept, so that a kept event finds it by its type and fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deputize import canonical


def fields_of(matching: Mapping[str, Any]) -> str:
    """The names of the fields that a wait matches on, in one form."""
    return ",".join(sorted(matching))


def match_of(matching: Mapping[str, Any]) -> str:
    """Their values, in one form."""
    return canonical.encode(dict(matching)).decode()

"""Known bugs to plant in a child process, so that the harness itself is seen to catch them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Plant:
    """One bug: what it breaks, for people, and how to put it into this process."""

    what: str
    put: Callable[[], None]


PLANTS: dict[str, Plant] = {}

"""What a planted bug is, and how one is put."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plant:
    """One bug: what it breaks, for people, and how to put it into this process."""

    what: str
    put: Callable[[], None]


def set_in(owner: Any, name: str, value: Any) -> None:
    """Replace what stands there, in this process alone: the product has no seam for bugs."""
    setattr(owner, name, value)

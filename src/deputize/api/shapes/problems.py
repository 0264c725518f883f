"""Problem details (RFC 9457)."""

from __future__ import annotations

from typing import Literal

from deputize.api.shapes.shape import Shape


class Problem(Shape):
    """What was wrong, and what to do."""

    type: Literal["about:blank"]
    title: str
    """The status in words."""
    status: int
    detail: str
    """A sentence for people: what is wrong, and what to do about it."""
    field: str | None = None
    """The field or parameter that is meant, where it is one."""

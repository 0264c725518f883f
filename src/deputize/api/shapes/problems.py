"""Problem details (RFC 9457)."""

from __future__ import annotations

from typing import Literal

from deputize.api.shapes.shape import Shape


class Problem(Shape):
    """What was wrong, and what to do."""

    type: Literal["about:blank", "deputize:role", "deputize:session", "deputize:fresh"]
    """`about:blank`: its status says it. The others: a role that may not, a session that has ended, and what
    needs the password once more."""
    title: str
    """The status in words."""
    status: int
    detail: str
    """A sentence for people: what is wrong, and what to do about it."""
    field: str | None = None
    """The field or parameter that is meant, where it is one."""
    act: str | None = None
    """What a role may not do."""
    roles: list[str] | None = None
    """The roles that may."""
    people: list[str] | None = None
    """Whom one could ask."""

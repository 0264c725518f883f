"""Scripts: something to await that is itself made of awaits, each an action of the run like any other.

Nothing of it is recorded but those awaits, so a replay goes through it as it goes through an automation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from deputize.awaiting import Awaiting, Steps

R_co = TypeVar("R_co", covariant=True)


class Script(Awaiting[R_co]):
    """Awaits one after another, as the generator that `begin` makes yields them: it is sent what came of
    each, or thrown its error. `name` is for messages."""

    __slots__ = ("_begin", "name")

    def __init__(self, name: str, begin: Callable[[], Steps[R_co]]) -> None:
        super().__init__()
        self.name = name
        self._begin = begin

    @property
    def composed(self) -> bool:
        return True

    def steps(self) -> Steps[R_co]:
        return self._begin()

    def describe(self) -> str:
        return f"{self.name}(…)"

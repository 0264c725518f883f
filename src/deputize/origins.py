"""Where the arguments of an action may come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Origins:
    """Types of events and names of operations (models' among them), each list sorted.

    `every` are those of all arguments together. `known` are those of each argument where that is exact, as in
    a plan; where it is empty, each argument may come from all of them.
    """

    every: tuple[str, ...] = ()
    known: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def anywhere(cls, read: Iterable[str]) -> Origins:
        """Of arguments of which no more is known than what was read before."""
        return cls(tuple(sorted(read)))

    @classmethod
    def exact(cls, known: Mapping[str, Iterable[str]], more: Iterable[str] = ()) -> Origins:
        """Of arguments of which each is known; `more` is what else decided that there is such an action."""
        found = {name: tuple(sorted(one)) for name, one in known.items()}
        return cls(tuple(sorted({*more, *(each for one in found.values() for each in one)})), found)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Origins:
        """As an entry has them."""
        known = {name: tuple(one) for name, one in body.get("origins_of", {}).items()}
        return cls(tuple(body.get("origins", ())), known)

    def to_body(self) -> dict[str, Any]:
        """For an entry; nothing where there are none."""
        found: dict[str, Any] = {"origins": self.every, "untrusted": True} if self.every else {}
        return found | ({"origins_of": dict(self.known)} if self.every and self.known else {})

    def of(self, argument: str) -> tuple[str, ...]:
        """Those of one argument. Where they are known, one that was left to its default has none."""
        return self.known.get(argument, ()) if self.known else self.every

    def __bool__(self) -> bool:
        return bool(self.every)


NOWHERE = Origins()
"""Of what nobody outside has said anything about."""

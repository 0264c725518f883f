"""What rules read of a question: nothing else need be put to Cedar.

Found in a policy's JSON form, where every way to a part of the context is written out. A way that is
not understood reads all there is, so that a mistake here costs time and never a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]


@dataclass(frozen=True)
class Reads:
    """The paths below `context` that some policies read, two names deep: `("args", "amount")`."""

    paths: frozenset[Path]

    def group(self, name: str) -> bool:
        """Whether anything of `context.<name>` is read."""
        return self.everything or any(path[0] == name for path in self.paths)

    def part(self, group: str, name: str) -> bool:
        """Whether `context.<group>.<name>` is read."""
        return self.everything or (group,) in self.paths or (group, name) in self.paths

    @property
    def everything(self) -> bool:
        """Whether the context is used as a whole."""
        return () in self.paths


def reads_of(policies: Iterable[Mapping[str, Any]]) -> Reads:
    """What these policies, in Cedar's JSON form, read of the context."""
    found: set[Path] = set()
    open: list[Any] = [condition for policy in policies for condition in policy.get("conditions", ())]
    while open:
        node = open.pop()
        path = path_of(node)
        if path is not None:
            found.add(path[:2])
        elif isinstance(node, Mapping):
            open.extend(node.values())
        elif isinstance(node, list):
            open.extend(node)
    return Reads(frozenset(found))


def path_of(node: Any) -> Path | None:
    """The way from the context that an expression is, by attributes alone; None for any other one.

    Of a question for presence (`has`), the way to what may be there.
    """
    names: list[str] = []
    while isinstance(node, Mapping) and len(node) == 1:
        if node.get("Var") == "context":
            return tuple(reversed(names))
        step = node.get(".") or node.get("has")
        if not isinstance(step, Mapping) or not isinstance(step.get("attr"), str):
            return None
        names.append(step["attr"])
        node = step.get("left")
    return None

"""What somebody looks for in the history, and whether an entry is that. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deputize.ledger import Entry

_PEOPLE = frozenset({"person", "by", "sender", "keeper"})
"""Under these names entries say who did something, as a text or within an object of its own."""


@dataclass(frozen=True)
class Sought:
    """What is looked for: all that is given must be so. `run` is a stream's number (0 for the system's own).

    `operation` is one of its name, or a connection for all of its; a `resource` is exactly so called, as in
    `charge:ch-1`. `text` is found in any value, in upper and lower case.
    """

    run: int | None = None
    automation: str = ""
    agent: str = ""
    operation: str = ""
    resource: str = ""
    person: str = ""
    text: str = ""

    def is_in(self, entry: Entry) -> bool:
        """Whether an entry has the person and the text that are looked for; the rest is a store's to see."""
        body = entry.body
        if body is None:
            return not self.person and not self.text
        if self.person and self.person not in people_in(body):
            return False
        return not self.text or holds(body, self.text)


def people_in(value: Any) -> set[str]:
    """The names of those who did something, or were asked to, as an entry's body has them."""
    found: set[str] = set()
    for name, one in _named(value):
        if name in _PEOPLE and isinstance(one, str) and one:
            found.add(one)
    return found


def holds(value: Any, text: str) -> bool:
    """Whether a text is in one of the values, in upper or lower case."""
    wanted = text.casefold()
    return any(wanted in one.casefold() for one in _texts(value))


def _named(value: Any) -> Iterator[tuple[str, Any]]:
    """Every name in objects with its value, however deep."""
    level = [value]
    while level:
        one = level.pop()
        if isinstance(one, Mapping):
            yield from one.items()
            level += one.values()
        elif isinstance(one, list):
            level += one


def _texts(value: Any) -> Iterator[str]:
    level = [value]
    while level:
        one = level.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            level += one.values()
        elif isinstance(one, list):
            level += one
        elif isinstance(one, int) and not isinstance(one, bool):
            yield str(one)

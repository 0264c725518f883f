"""Caching: what was answered before to the very same question is answered from the ledger, for a time.

Nothing is kept for it beside the ledger: an answer that is erased there answers nothing any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from deputize import canonical

_QUESTION = "question "


class Caching(Protocol):
    """How answers of an operation serve again, where they do at all."""

    @property
    def settings(self) -> str:
        """A digest of all that makes its request beside the arguments of a use."""
        ...

    @property
    def for_us(self) -> int:
        """For how long an answer serves again (microseconds)."""
        ...

    @property
    def shared(self) -> bool:
        """Whether it serves other agents, too."""
        ...


@dataclass(frozen=True, slots=True)
class Before:
    """An answer of before to the same question: the entry that has it, the action that it was of
    (`run/path`), when that was (ledger time), and its stored form."""

    seq: int
    action: str
    at_us: int
    stored: bytes


def question_of(operation: str, digest: str, agent: str, caching: Caching) -> str:
    """What an action holds while it asks, so that the same is not asked beside it. `digest` is that of its
    arguments."""
    whose = "" if caching.shared else agent
    return f"{_QUESTION}{canonical.name(operation, digest, caching.settings, whose)} to {operation}"


def is_question(resource: str) -> bool:
    """Whether what an action holds is a question."""
    return resource.startswith(_QUESTION)

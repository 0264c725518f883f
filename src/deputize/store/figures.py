"""What is asked of a store about budgets, and about how work goes (see `store/rates.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from deputize.ledger import Entry


@dataclass(frozen=True, slots=True)
class Added:
    """What an automation has added to the inbox: its open cards, and how many cards there were since a run of
    it last came to a good end."""

    open: int
    streak: int


@dataclass(frozen=True, slots=True)
class Decided:
    """An entry that says what became of an action before it started (`read`, `asked`, `intent`, `refused`),
    and whose it is."""

    run: str
    automation: str
    entry: Entry


class Figures(Protocol):
    """Reading."""

    def budgets(self) -> list[tuple[str, int, int, int]]:
        """Every budget's use: name, start of window, held, spent."""
        ...

    def waiting_cards(self) -> list[tuple[str, int, int]]:
        """The open cards by kind: how many, and since when the oldest waits (ledger time)."""
        ...

    def rates(self, since: int) -> list[tuple[str, str, int, int]]:
        """How work goes: name (`automation:x`, `connector:x`), what, how often, and how long in all (µs).

        Of the days that began at `since` (ledger time) or later; 0 for all there were."""
        ...

    def daily(self, since: int, prefix: str) -> list[tuple[str, str, int, int, int]]:
        """The same day by day, of names that begin with `prefix`: name, what, the beginning of the day
        (ledger time), how often, and how long in all; oldest first."""
        ...

    def decisions(self, operation: str, entries_max: int, limit: int) -> list[Decided]:
        """What was decided of actions before they started, the latest first: at most `limit` of them, looked
        for in the newest `entries_max` entries. Of one operation, or where it is empty of all."""
        ...

    def remembered(self) -> dict[str, dict[str, int]]:
        """What is remembered of each name of `rates`, by word."""
        ...

    def added(self) -> dict[str, Added]:
        """What automations have added to the inbox, of those with a card that waits for a person."""
        ...


class Failures(Protocol):
    """In a transaction."""

    def lowered(self, automation: str) -> bool:
        """Whether each write of an automation is to be confirmed by a person."""
        ...

    def neared(self, budget: str) -> tuple[int, int]:
        """The window and the limit of which people were last told that they are nearly used up, of a budget
        by its key."""
        ...

    def failures(self, automation: str, last: int) -> tuple[list[int], int]:
        """Of the last so many of its runs since the count began: those that failed or are stuck (by number,
        latest first), and how many there were."""
        ...

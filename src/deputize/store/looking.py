"""What is asked of a store about what was recorded, looked through backwards a stretch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from deputize.ledger import Entry
from deputize.sought import Sought
from deputize.store.rows import EventRow, RunRow


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that was looked for, with whose it is: its run's id (`system` for none) and what that runs.
    `operation` is that of its action, empty where it is about none; `event` the seq of its run's event."""

    entry: Entry
    run: str
    automation: str = ""
    agent: str = ""
    event: int = 0
    operation: str = ""


class Looking(Protocol):
    """Reading."""

    def sought(self, sought: Sought, below: int, down_to: int, limit: int) -> list[Found]:
        """Entries that are looked for, newest first: their seq is under `below` and at least `down_to`."""
        ...

    def runs_sought(
        self, outcome: str, automation: str, below: int, down_to: int, limit: int
    ) -> list[RunRow]:
        """Runs that are looked for, newest first, their number under `below` and at least `down_to`: of an
        automation, or (empty) of all; that came to an outcome like `failed`, or (empty) whatever they did."""
        ...

    def entries_of(self, run: int, type: str) -> list[Entry]:
        """A stream's entries of one type, oldest first."""
        ...

    def stretch(self, run: int | None, below: int, entries: int) -> int:
        """The seq at which so many entries before `below` begin, of one stream or (None) of all; 0 where
        there are not so many."""
        ...

    def seq_at(self, at_us: int) -> int:
        """The seq of the last entry at or before a time; 0 where there is none."""
        ...

    def version_at(self, run: int, at_us: int) -> int:
        """The version of a stream's last entry before a time; 0 where there is none."""
        ...

    def event_of(self, source: str, id: str) -> EventRow | None:
        """The kept event of a source with this id."""
        ...

"""What appending needs at hand: the heads of streams, fresh salts, and the entries not written yet."""

from __future__ import annotations

import os
import sqlite3
from collections import OrderedDict

from deputize.ledger import SALT_BYTES

HEADS_MAX = 20_000
SALTS_TOGETHER = 256


class Heads:
    """The version, hash and name of streams lately appended to; forgotten where a savepoint rolls back."""

    def __init__(self) -> None:
        self._heads: OrderedDict[int, tuple[int, bytes, str]] = OrderedDict()
        self.touched: set[int] = set()

    def get(self, stream: int) -> tuple[int, bytes, str] | None:
        """The head, or None where it must be read."""
        return self._heads.get(stream)

    def put(self, stream: int, head: tuple[int, bytes, str]) -> None:
        """Remember a head written in the current savepoint."""
        self._heads[stream] = head
        self.touched.add(stream)
        if len(self._heads) > HEADS_MAX:
            self._heads.popitem(last=False)

    def forget_touched(self) -> None:
        """After a rollback."""
        for stream in self.touched:
            self._heads.pop(stream, None)
        self.touched.clear()

    def forget(self) -> None:
        """After the rollback of a whole commit."""
        self._heads.clear()
        self.touched.clear()


class Salts:
    """Random salts, drawn from the system many at a time."""

    def __init__(self) -> None:
        self._drawn = b""
        self._taken = 0

    def take(self) -> bytes:
        """One that was never given before."""
        if self._taken == len(self._drawn):
            self._drawn, self._taken = os.urandom(SALT_BYTES * SALTS_TOGETHER), 0
        at = self._taken
        self._taken = at + SALT_BYTES
        return self._drawn[at : at + SALT_BYTES]


class NewEntries:
    """The entries of the commit under way, written together: a row by itself costs three times as much.

    Whatever reads entries writes them first (`SqliteTx.db`). Rolling a savepoint back takes out what its
    work added, and puts back what was written meanwhile of the works before it.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._entries: list[tuple[int, int, int, str, int, bytes, bytes]] = []
        self._bodies: list[tuple[int, bytes, bytes]] = []
        self._written = 0

    def add(self, entry: tuple[int, int, int, str, int, bytes, bytes], salt: bytes, stored: bytes) -> None:
        """One entry and its body."""
        self._entries.append(entry)
        self._bodies.append((entry[0], salt, stored))

    def write(self) -> None:
        """Write what is not written yet."""
        if self._written < len(self._entries):
            entries, bodies = self._entries[self._written :], self._bodies[self._written :]
            self._written = len(self._entries)
            self._db.executemany("INSERT INTO entry VALUES (?,?,?,?,?,?,?)", entries)
            self._db.executemany("INSERT INTO body VALUES (?,?,?)", bodies)

    def mark(self) -> tuple[int, int]:
        """Where a savepoint begins."""
        return len(self._entries), self._written

    def roll_back(self, mark: tuple[int, int]) -> None:
        """To where the savepoint began."""
        there, self._written = mark
        del self._entries[there:], self._bodies[there:]

    def forget(self) -> None:
        """The commit is over, one way or the other."""
        self._entries.clear()
        self._bodies.clear()
        self._written = 0

"""Rows of the SQLite ledger as entries."""

from __future__ import annotations

import sqlite3
from typing import Any, cast

from deputize import canonical
from deputize.ledger import Entry, EntryType


class SqliteEntries:
    """What is kept apart from an entry, put back into it; over one connection."""

    db: sqlite3.Connection

    def blob(self, digest: str) -> bytes:
        """A body that is stored by digest; empty where it was erased."""
        row = self.db.execute("SELECT bytes FROM blob WHERE digest=?", (digest,)).fetchone()
        return bytes(row[0]) if row else b"null"

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        seq, stream, version, type, at, hash, stored = row
        body: dict[str, Any] | None = None if stored is None else canonical.decode(stored)
        if body is not None and b'"$blob"' in stored:
            body = {name: self._unplaced(value) for name, value in body.items()}
        return Entry(seq, stream, version, cast("EntryType", type), at, body, hash)

    def _unplaced(self, value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {"$blob"}:
            return canonical.decode(self.blob(value["$blob"]))
        return value

"""How the suite opens each store, in its own process and in a child's."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from deputize.clock import Clock
from deputize.store.sqlite.store import SqliteStore


def open_sqlite(place: Path, clock: Clock) -> SqliteStore:
    return SqliteStore(place / "ledger.db", clock)


def count_blobs(place: Path) -> int:
    with closing(sqlite3.connect(place / "ledger.db")) as db:
        return int(db.execute("SELECT count(*) FROM blob").fetchone()[0])

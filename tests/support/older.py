"""A ledger's file as an earlier version of Deputize had it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

SINCE_2 = ("answer_once", "answer_open", "event_unanswered")
SUMMED = ("budget_use", "fact", "tally")


def make_older(path: Path, version: int) -> None:
    """Take a file of the present schema back to an earlier version."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        if version < 7:
            db.execute("DROP INDEX action_answered")
        if version < 6:
            db.execute("DROP VIEW rate")
            db.execute("DELETE FROM sums WHERE what IN ('rate', 'state', 'run')")
            db.execute("DELETE FROM setting WHERE name='rates_since'")
        if version < 5:
            db.execute("DROP TABLE approval")
            db.execute("DROP INDEX action_asking")
        if version < 4:
            _take_sums_apart(db)
        if version < 3:
            db.execute("DROP TABLE tally")
        if version < 2:
            for index in SINCE_2:
                db.execute(f"DROP INDEX {index}")
        db.execute(f"PRAGMA user_version = {version}")


def _take_sums_apart(db: sqlite3.Connection) -> None:
    for view in SUMMED:
        db.execute(f"CREATE TABLE old AS SELECT * FROM {view}")
        db.execute(f"DROP VIEW {view}")
        db.execute(f"ALTER TABLE old RENAME TO {view}")
    db.execute("DELETE FROM tally WHERE state='runs.ended'")
    db.execute("DROP TABLE sums")

"""Folding a ledger's entries anew: to compare the projections, to replace them, to erase a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deputize import canonical
from deputize.ledger import SYSTEM, SYSTEM_NAME
from deputize.store.fold import RUNS_ENDED, fold
from deputize.store.fold_cards import Sql
from deputize.store.rates import Mark
from deputize.store.sqlite.file import connect
from deputize.store.sqlite.schema import (
    PROJECTIONS,
    RATES_SINCE,
    SUMS_SINCE,
    TALLIED_SINCE,
    projection_tables,
    rates_since,
    schema_of,
)
from deputize.store.sqlite.sums import GatheredSums
from deputize.store.sqlite.view import SqliteView

CHUNK = 5_000
DIFFERENCES_MAX = 100

_KEPT_ROWS = ("run", "action", "inbox")
_KEPT_SUMS = ("budget_use", "fact")


def rebuild(path: Path, *, replace: bool) -> list[str]:
    """Fold every entry into fresh tables and compare. With `replace`, put them in place of the old.

    Works on one snapshot while the ledger is in use. A replacement keeps the writer waiting all the
    while: what is given to it for longer than its patience is answered with `StoreFull`.
    Returns one line a difference, at most `DIFFERENCES_MAX`.
    """
    db = connect(path, write=replace)
    try:
        # Temporary tables hide those of the same name, so that the fold needs no other statements.
        db.execute("PRAGMA temp_store=MEMORY")
        for statement in projection_tables("temp"):
            db.execute(statement)
        db.execute("BEGIN IMMEDIATE" if replace else "BEGIN")
        _fold_all(db)
        # One that an earlier version wrote is compared as it is, by who does not own it.
        schema = schema_of(db)
        since = {"tally": TALLIED_SINCE, "rate": RATES_SINCE}
        tables = [table for table in PROJECTIONS if schema >= since.get(table, 0)]
        if schema < SUMS_SINCE:
            db.execute("DELETE FROM temp.sums WHERE what='tally' AND name=?", (RUNS_ENDED,))
        differences = [line for table in tables for line in _compare(db, table)][:DIFFERENCES_MAX]
        if replace and differences:
            if schema >= SUMS_SINCE:
                tables = [table for table in tables if table not in _SUMMED] + ["sums"]
            for table in tables:
                db.execute(f"DELETE FROM main.{table}")
                db.execute(f"INSERT INTO main.{table} SELECT * FROM temp.{table}")
        db.execute("COMMIT")
        return differences
    finally:
        db.close()


def _fold_all(db: sqlite3.Connection) -> None:
    names: dict[int, str] = {SYSTEM: SYSTEM_NAME}
    names.update(db.execute("SELECT no, id FROM main.run"))
    kept = {
        entry.body["run_no"]: entry.body["kept"]
        for entry in SqliteView(db).entries(SYSTEM)
        if entry.type == "erased" and entry.body
    }
    after, sums = 0, GatheredSums(db, rates_since(db))
    while rows := db.execute(_CHUNK_SQL, (after, CHUNK)).fetchall():
        for seq, stream, type, at, stored in rows:
            marks = kept[stream].get("marks", {}) if stream in kept else None
            sums.rates.quiet = marks is not None and stored is None
            if stored is not None:
                fold(db.execute, sums, seq, stream, names.get(stream, ""), type, at, canonical.decode(stored))
            elif type == "ended" and stream in kept:
                _restore(db, sums, kept[stream])
            if marks:
                sums.rates.quiet = False
                sums.rates.see_kept(marks, seq)
        sums.write()
        sums.forget()
        after = rows[-1][0]


_CHUNK_SQL = (
    "SELECT e.seq, e.stream, e.type, e.at, b.body FROM main.entry e"
    " LEFT JOIN main.body b ON b.seq=e.seq WHERE e.seq>? ORDER BY e.seq LIMIT ?"
)


def blank(sql: Sql, run: int) -> None:
    """Take out of a run's projections what may be a person's: an erasure leaves the books alone."""
    sql("UPDATE run SET reason='', key=NULL WHERE no=?", (run,))
    sql("UPDATE action SET digest='' WHERE run=?", (run,))
    sql("UPDATE inbox SET body='{}', title='' WHERE run=?", (run,))


def kept_of(db: sqlite3.Connection, run: int, run_id: str) -> dict[str, Any]:
    """What an ended run leaves in the books once its bodies are erased, for a later rebuild.

    It is what the fold makes of this run's entries alone, without content, and `next`: the run that
    came out from behind it, None for none.
    """
    alone = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for statement in projection_tables("main"):
            alone.execute(statement)
        ended_seq, sums = 0, GatheredSums(alone, rates_since(db))
        marks: dict[str, list[Mark]] = {}
        sums.rates.noted = marks
        for seq, type, at, stored in db.execute(_RUN_SQL, (run,)):
            fold(alone.execute, sums, seq, run, run_id, type, at, canonical.decode(stored))
            ended_seq = seq
        sums.write()
        blank(alone.execute, run)
        kept: dict[str, Any] = {
            table: [list(row) for row in alone.execute(f"SELECT * FROM {table}")]
            for table in (*_KEPT_ROWS, *_KEPT_SUMS)
        }
        kept["marks"] = marks
    finally:
        alone.close()
    follower = db.execute(_NEXT_SQL, (run, run, ended_seq, ended_seq)).fetchone()
    return kept | {"next": follower[0] if follower else None}


_RUN_SQL = (
    "SELECT e.seq, e.type, e.at, b.body FROM entry e JOIN body b ON b.seq=e.seq"
    " WHERE e.stream=? ORDER BY e.version"
)

# The first run with the same key that had begun, and not ended, when this one ended.
_NEXT_SQL = (
    "SELECT other.no FROM run other JOIN run this"
    " ON this.no=? AND other.no<>? AND other.automation=this.automation AND other.key=this.key"
    " WHERE (SELECT seq FROM entry WHERE stream=other.no AND version=1) < ?"
    " AND NOT EXISTS (SELECT 1 FROM entry WHERE stream=other.no AND type='ended' AND seq<?)"
    " ORDER BY other.no LIMIT 1"
)


_ACTION_STATE = 3


def _restore(db: sqlite3.Connection, sums: GatheredSums, kept: dict[str, Any]) -> None:
    """An erased run's books come from the record of its erasure, where the run ended."""
    for table in _KEPT_ROWS:
        for row in kept[table]:
            db.execute(f"INSERT OR REPLACE INTO temp.{table} VALUES ({','.join('?' * len(row))})", row)
    sums.tally(RUNS_ENDED, 1)
    for row in kept["action"]:
        if row[_ACTION_STATE] not in ("open", "doubtful"):
            sums.tally(row[_ACTION_STATE], 1)
    for row in kept["budget_use"]:
        sums.use(*row)
    for row in kept["fact"]:
        sums.count(*row)
    db.execute("UPDATE temp.run SET state='ready' WHERE no=? AND state='behind'", (kept["next"],))


# A count may go down to nothing; what is compared is what the books say.
_COMPARED = {
    "budget_use": "SELECT * FROM {s}.budget_use WHERE held<>0 OR spent<>0",
    "fact": "SELECT * FROM {s}.fact WHERE value<>0",
    "tally": "SELECT * FROM {s}.tally WHERE n<>0",
    "rate": "SELECT * FROM {s}.rate WHERE amount<>0 OR spent<>0",
}


_SUMMED = ("budget_use", "fact", "tally", "rate")


def _compare(db: sqlite3.Connection, table: str) -> Iterator[str]:
    query = _COMPARED.get(table, f"SELECT * FROM {{s}}.{table}")
    live, anew = query.format(s="main"), query.format(s="temp")
    for row in db.execute(f"{live} EXCEPT {anew} LIMIT {DIFFERENCES_MAX}"):
        yield f"{table}: in use, but not what the entries say: {row}"
    for row in db.execute(f"{anew} EXCEPT {live} LIMIT {DIFFERENCES_MAX}"):
        yield f"{table}: the entries say, but not in use: {row}"

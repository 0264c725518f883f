"""Verifying, rebuilding and copying a ledger's file."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from deputize import canonical
from deputize.errors import StoreError
from deputize.ledger import GENESIS, SYSTEM, SYSTEM_NAME, Flaw
from deputize.store.fold import fold
from deputize.store.sqlite.file import connect
from deputize.store.sqlite.schema import PROJECTIONS, projection_tables

CHUNK = 5_000


def verify(path: Path, ledger_id: str, progress: Callable[[int], None] | None = None) -> Iterator[Flaw]:
    """Walk every chain. Yields what is wrong; a whole ledger yields nothing."""
    db = connect(path, write=False)
    try:
        yield from _verify_chains(db, ledger_id, progress)
        yield from _verify_blobs(db)
        yield from _verify_events(db)
    finally:
        db.close()


def _verify_chains(
    db: sqlite3.Connection, ledger_id: str, progress: Callable[[int], None] | None
) -> Iterator[Flaw]:
    names = dict(db.execute("SELECT no, id FROM run"))
    names[SYSTEM] = SYSTEM_NAME
    rows = db.execute(
        "SELECT e.stream, e.version, e.type, e.at, e.digest, e.hash, b.salt, b.body"
        " FROM entry e LEFT JOIN body b ON b.seq = e.seq ORDER BY e.stream, e.version"
    )
    erased = _erased(db)
    at_stream, at_version, before, name = -1, 0, GENESIS, ""
    done = 0
    sha256, hmac_digest = hashlib.sha256, hmac.digest
    while chunk := rows.fetchmany(CHUNK):
        for stream, version, type, at, digest, hash, salt, body in chunk:
            if stream != at_stream:
                at_stream, at_version, before = stream, 0, GENESIS
                name = names.get(stream, f"#{stream}")
            at_version += 1
            if version != at_version:
                yield Flaw(name, at_version, f"entry {at_version} is missing; the next is {version}")
                at_version = version
            head = f"{ledger_id}\n{name}\n{version}\n{type}\n{at}\n"
            if sha256(before + head.encode() + digest).digest() != hash:
                yield Flaw(name, version, "the entry, or the one before it, was changed")
            if body is None:
                if (stream, version) not in erased:
                    yield Flaw(name, version, "the body is gone without a record of its erasure")
            elif hmac_digest(salt, body, "sha256") != digest:
                yield Flaw(name, version, "the body or its salt was changed")
            before = hash
        done += len(chunk)
        if progress is not None:
            progress(done)


def _erased(db: sqlite3.Connection) -> set[tuple[int, int]]:
    sql = "SELECT b.body FROM entry e JOIN body b ON b.seq=e.seq WHERE e.stream=? AND e.type='erased'"
    found: set[tuple[int, int]] = set()
    for (stored,) in db.execute(sql, (SYSTEM,)):
        body = canonical.decode(stored)
        found.update((body["run_no"], version) for version in body["versions"])
    return found


def _verify_blobs(db: sqlite3.Connection) -> Iterator[Flaw]:
    for digest, data in db.execute("SELECT digest, bytes FROM blob"):
        if canonical.digest(data) != digest:
            yield Flaw("blobs", 0, f"the stored body {digest[:12]} was changed")


def _verify_events(db: sqlite3.Connection) -> Iterator[Flaw]:
    """An event that a run answers must be the one that the run's first entry names."""
    sql = (
        "SELECT r.id, v.source, v.id, v.type, v.subject, v.time, v.data, b.body FROM run r"
        " JOIN entry e ON e.stream=r.no AND e.version=1 JOIN body b ON b.seq=e.seq"
        " JOIN event v ON v.seq=r.event WHERE v.data IS NOT NULL"
    )
    for run_id, source, id, type, subject, time, data, stored in db.execute(sql):
        told = canonical.digest(canonical.encode([source, id, type, subject, time]) + data)
        if canonical.decode(stored)["event"]["digest"] != told:
            yield Flaw(run_id, 1, f"the event {id} that began it was changed")


def rebuild(db: sqlite3.Connection, *, replace: bool) -> list[str]:
    """Fold every entry into fresh tables and compare. With `replace`, put them in place of the old.

    Returns one line a difference, at most 100.
    """
    db.execute("ATTACH ':memory:' AS anew")
    try:
        for statement in projection_tables("anew"):
            db.execute(statement)
        _fold_all(db)
        differences = [line for table in PROJECTIONS for line in _compare(db, table)][:100]
        if replace and differences:
            db.execute("BEGIN IMMEDIATE")
            for table in PROJECTIONS:
                db.execute(f"DELETE FROM main.{table}")
                db.execute(f"INSERT INTO main.{table} SELECT * FROM anew.{table}")
            db.execute("COMMIT")
        return differences
    finally:
        db.execute("DETACH anew")


def _fold_all(db: sqlite3.Connection) -> None:
    names: dict[int, str] = {SYSTEM: SYSTEM_NAME}
    names.update(db.execute("SELECT no, id FROM main.run"))

    def sql(statement: str, values: tuple[Any, ...]) -> Any:
        return db.execute(_in_schema(statement, "anew"), values)

    after = 0
    while True:
        rows = db.execute(
            "SELECT e.seq, e.stream, e.type, e.at, b.body FROM main.entry e"
            " LEFT JOIN main.body b ON b.seq=e.seq WHERE e.seq>? ORDER BY e.seq LIMIT ?",
            (after, CHUNK),
        ).fetchall()
        if not rows:
            return
        for seq, stream, type, at, stored in rows:
            if type == "erased":
                _restore_kept(db, canonical.decode(stored)["kept"])
            elif stored is not None:
                fold(sql, seq, stream, names.get(stream, ""), type, at, canonical.decode(stored))
        after = rows[-1][0]


def kept_of(db: sqlite3.Connection, run: int) -> dict[str, Any]:
    """What an erasure keeps of a run's books: its rows, without content. See `_restore_kept`."""
    sums: dict[str, dict[str, int]] = {"spent": {}, "fact": {}}
    sql = "SELECT e.type, b.body FROM entry e JOIN body b ON b.seq=e.seq WHERE e.stream=? ORDER BY e.version"
    for type, stored in db.execute(sql, (run,)):
        body = canonical.decode(stored)
        spends = type in ("receipt", "drift", "abandoned")
        if spends:
            for budget, window, amount in body["holds"]:
                key = canonical.encode([budget, window]).decode()
                sums["spent"][key] = sums["spent"].get(key, 0) + amount
            for counter, subject, window, weight in body["counted"]:
                key = canonical.encode([counter, subject, window]).decode()
                sums["fact"][key] = sums["fact"].get(key, 0) + weight
    return {
        "run": [list(row) for row in db.execute("SELECT * FROM run WHERE no=?", (run,))],
        "action": [list(row) for row in db.execute("SELECT * FROM action WHERE run=?", (run,))],
        "inbox": [list(row) for row in db.execute("SELECT * FROM inbox WHERE run=?", (run,))],
        **sums,
    }


def _restore_kept(db: sqlite3.Connection, kept: dict[str, Any]) -> None:
    """In a rebuild, an erased run's books come from the record of its erasure."""
    for table in ("run", "action", "inbox"):
        for row in kept[table]:
            marks = ",".join("?" * len(row))
            db.execute(f"INSERT OR REPLACE INTO anew.{table} VALUES ({marks})", row)
    for key, amount in kept["spent"].items():
        db.execute(
            "INSERT INTO anew.budget_use VALUES (?,?,0,?)"
            " ON CONFLICT (budget, window) DO UPDATE SET spent = spent + excluded.spent",
            (*canonical.decode(key), amount),
        )
    for key, weight in kept["fact"].items():
        db.execute(
            "INSERT INTO anew.fact VALUES (?,?,?,?)"
            " ON CONFLICT (counter, subject, window) DO UPDATE SET value = value + excluded.value",
            (*canonical.decode(key), weight),
        )


def _in_schema(statement: str, schema: str) -> str:
    for table in PROJECTIONS:
        for verb in ("INTO", "UPDATE", "FROM"):
            statement = statement.replace(f"{verb} {table} ", f"{verb} {schema}.{table} ")
    return statement


# A wish may pass and a count go down to nothing; what is compared is what the books say.
_COMPARED = {
    "budget_use": "SELECT * FROM {s}.budget_use WHERE held<>0 OR spent<>0",
    "fact": "SELECT * FROM {s}.fact WHERE value<>0",
}


def _compare(db: sqlite3.Connection, table: str) -> Iterator[str]:
    query = _COMPARED.get(table, f"SELECT * FROM {{s}}.{table}")
    live, anew = query.format(s="main"), query.format(s="anew")
    for row in db.execute(f"{live} EXCEPT {anew} LIMIT 50"):
        yield f"{table}: in use, but not what the entries say: {row}"
    for row in db.execute(f"{anew} EXCEPT {live} LIMIT 50"):
        yield f"{table}: the entries say, but not in use: {row}"


def backup(source: Path, target: Path) -> None:
    """A consistent copy of a ledger in use. Raises `StoreError` where the target is there already."""
    if target.exists():
        raise StoreError(f"{target} is there already; name a file that is not")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    reader = connect(source, write=False)
    try:
        writer = sqlite3.connect(partial)
        try:
            reader.backup(writer, pages=2_000)
        finally:
            writer.close()
    finally:
        reader.close()
    partial.rename(target)

"""The shop's own SQLite file: changed records by world, what was performed, and the answers kept by key.

One connection, used from one thread. A commit outlives the process (kill -9), which is what the tests need;
it need not outlive the machine, so nothing is synced.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.retail.data import Base, Record, to_decimals
from tests.acceptance.retail.faults import Asked, FaultSettings
from tests.acceptance.retail.shop import WRITES, Answer, Done, World

SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
  world TEXT, kind TEXT, id TEXT, body TEXT NOT NULL, PRIMARY KEY (world, kind, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS performed (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  world TEXT NOT NULL, operation TEXT NOT NULL, key TEXT, args TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS kept (
  world TEXT, key TEXT, digest TEXT NOT NULL, operation TEXT NOT NULL, args TEXT NOT NULL,
  status INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (world, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (request BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fault (kind TEXT PRIMARY KEY, times INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, body TEXT NOT NULL);
"""

ADD_ONE_SEEN = """
INSERT INTO seen VALUES (?, 1) ON CONFLICT (request) DO UPDATE SET times = times + 1 RETURNING times
"""

ADD_ONE_FAULT = "INSERT INTO fault VALUES (?, 1) ON CONFLICT (kind) DO UPDATE SET times = times + 1"

PAGE_OF_LOG = "SELECT seq, world, operation, key, args FROM performed WHERE seq > ? ORDER BY seq LIMIT ?"


@dataclass(frozen=True)
class Reply:
    """What goes over the wire: an HTTP status and a JSON body, amounts as decimals."""

    status: int
    body: Record


class Store:
    """Worlds over a base that never changes: only changed records are kept."""

    def __init__(self, path: Path, base: Base) -> None:
        """Open or make the file at `path`."""
        self._base = base
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def world(self, world: str) -> World:
        """The world of that name; one that was never written to is the base."""
        records: dict[str, dict[str, Record]] = {"order": {}, "user": {}}
        for kind, id_, body in self._db.execute(
            "SELECT kind, id, body FROM record WHERE world = ?", (world,)
        ):
            records[kind][id_] = json.loads(body)
        return World(self._base, orders=records["order"], users=records["user"])

    def changed(self, world: str) -> Record:
        """All records of `world` that differ from the base, whole."""
        now, base = self.world(world), self._base
        orders = {id_: order for id_, order in sorted(now.orders.items()) if order != base.orders[id_]}
        users = {id_: user for id_, user in sorted(now.users.items()) if user != base.users[id_]}
        return {"orders": to_decimals(orders), "users": to_decimals(users)}

    def perform(self, world: str, operation: str, args: Mapping[str, Any], key: str | None) -> Reply:
        """Do a write, record it and keep its answer under `key`, in one transaction.

        A key seen before gives the kept answer and no second effect; without one, each call is a write.
        """
        args_text = canonical(args)
        digest = hashlib.sha256(f"{operation} {args_text}".encode()).hexdigest()
        with self._transaction() as db:
            kept = self._kept(world, key)
            if kept is not None:
                if kept["digest"] == digest:
                    return Reply(kept["status"], json.loads(kept["body"]))
                return Reply(422, {"error": "this idempotency key was used for another request"})
            answer = WRITES[operation](self.world(world), **args)
            reply = reply_to(answer)
            if isinstance(answer, Done):
                self._save(world, answer)
                db.execute(
                    "INSERT INTO performed (world, operation, key, args) VALUES (?, ?, ?, ?)",
                    (world, operation, key, args_text),
                )
            if key is not None:
                db.execute(
                    "INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (world, key, digest, operation, args_text, reply.status, json.dumps(reply.body)),
                )
            return reply

    def look_up(self, world: str, key: str) -> Record:
        """What became of the write with `key`. Conclusive: not found means that it has had no effect."""
        kept = self._kept(world, key)
        if kept is None:
            return {"found": False}
        said = "result" if kept["status"] == 200 else "error"
        body = json.loads(kept["body"])
        return {
            "found": True,
            "operation": kept["operation"],
            "args": json.loads(kept["args"]),
            "status": kept["status"],
            said: body if said == "result" else body["error"],
        }

    def log(self, after: int, limit: int) -> list[Record]:
        """Performed writes, oldest first, from behind `after`: never a refusal, never a repeated answer."""
        names = ("seq", "world", "operation", "key", "args")
        rows = self._db.execute(PAGE_OF_LOG, (after, limit)).fetchall()
        return [{**dict(zip(names, row, strict=True)), "args": json.loads(row[-1])} for row in rows]

    def times_seen(self, asked: Asked) -> int:
        """How often this request came before, this time then counted."""
        row = self._db.execute(ADD_ONE_SEEN, (asked.digest(),)).fetchone()
        return int(row[0]) - 1

    def count_fault(self, kind: str) -> None:
        """Count a fault that a request is about to meet."""
        self._db.execute(ADD_ONE_FAULT, (kind,))

    def fault_counts(self) -> dict[str, int]:
        """Faults met so far, by kind."""
        return dict(self._db.execute("SELECT kind, times FROM fault"))

    def fault_settings(self) -> FaultSettings:
        """The faults in force: they outlive the process, like all else here."""
        row = self._db.execute("SELECT body FROM setting WHERE name = 'faults'").fetchone()
        return FaultSettings() if row is None else FaultSettings.model_validate_json(row[0])

    def set_faults(self, settings: FaultSettings) -> None:
        """Put other faults in force; counts go on."""
        self._db.execute("INSERT OR REPLACE INTO setting VALUES ('faults', ?)", (settings.model_dump_json(),))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _kept(self, world: str, key: str | None) -> dict[str, Any] | None:
        if key is None:
            return None
        rows = self._db.execute(
            "SELECT digest, operation, args, status, body FROM kept WHERE world = ? AND key = ?", (world, key)
        )
        row = rows.fetchone()
        return None if row is None else dict(zip([name[0] for name in rows.description], row, strict=True))

    def _save(self, world: str, done: Done) -> None:
        for kind, records in (("order", done.orders), ("user", done.users)):
            self._db.executemany(
                "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)",
                [(world, kind, id_, json.dumps(record)) for id_, record in records.items()],
            )


def canonical(args: Mapping[str, Any]) -> str:
    """One text for equal arguments, whatever their order."""
    return json.dumps(args, sort_keys=True, separators=(",", ":"))


def reply_to(answer: Answer) -> Reply:
    """The HTTP form of an answer: 200; 404 where the thing does not exist; 422 for any other refusal."""
    if isinstance(answer, Done):
        return Reply(200, to_decimals(answer.result))
    return Reply(404 if answer.missing else 422, {"error": answer.text})

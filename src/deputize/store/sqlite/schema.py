"""The tables, and the way to them from every earlier version.

`entry` is append-only (triggers see to it); `body` can be erased. `event`, `answer`, `approval`, `wish` and
`setting` hold what people, the world and timers bring. Everything else is a projection.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from deputize.errors import SchemaTooNew, StoreError
from deputize.store.fold import RUNS_ENDED

PROJECTIONS = ("run", "action", "tally", "lease", "budget_use", "fact", "wait", "inbox", "rate")
"""What a rebuild compares: tables, and views of `sums`."""

_PROJECTION_TABLES = """
CREATE TABLE run (
  no INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, automation TEXT NOT NULL, agent TEXT NOT NULL,
  event INTEGER NOT NULL, key TEXT, priority INTEGER NOT NULL, state TEXT NOT NULL,
  label TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
  began_at INTEGER NOT NULL, ended_at INTEGER);
CREATE INDEX run_unfinished ON run(state, no) WHERE state <> 'ended';
CREATE INDEX run_key ON run(automation, key, no) WHERE key IS NOT NULL AND state <> 'ended';
CREATE TABLE action (
  run INTEGER NOT NULL, path TEXT NOT NULL, operation TEXT NOT NULL, state TEXT NOT NULL,
  digest TEXT NOT NULL, key TEXT NOT NULL, round INTEGER NOT NULL, attempts INTEGER NOT NULL,
  first_sent INTEGER NOT NULL, give_up_at INTEGER NOT NULL, connector_version TEXT NOT NULL,
  agent TEXT NOT NULL, intent INTEGER NOT NULL, at INTEGER NOT NULL, ended_at INTEGER,
  PRIMARY KEY (run, path)) WITHOUT ROWID;
CREATE INDEX action_unsettled ON action(state, run, path) WHERE state IN ('open', 'doubtful');
CREATE TABLE lease (
  resource TEXT PRIMARY KEY, run INTEGER NOT NULL, path TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE wait (
  run INTEGER NOT NULL, path TEXT NOT NULL, kind TEXT NOT NULL, due INTEGER,
  type TEXT NOT NULL, fields TEXT NOT NULL, match TEXT NOT NULL,
  PRIMARY KEY (run, path)) WITHOUT ROWID;
CREATE INDEX wait_due ON wait(due) WHERE due IS NOT NULL;
CREATE INDEX wait_match ON wait(type, fields, match) WHERE kind = 'event';
CREATE TABLE inbox (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, run INTEGER NOT NULL, path TEXT NOT NULL,
  title TEXT NOT NULL, body TEXT NOT NULL, at INTEGER NOT NULL, state TEXT NOT NULL);
CREATE INDEX inbox_open ON inbox(seq) WHERE state = 'open';
CREATE INDEX inbox_run ON inbox(run, path) WHERE state = 'open';
"""

_V1 = (
    """
CREATE TABLE entry (
  seq INTEGER PRIMARY KEY, stream INTEGER NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL,
  at INTEGER NOT NULL, digest BLOB NOT NULL, hash BLOB NOT NULL);
CREATE UNIQUE INDEX entry_place ON entry(stream, version);
CREATE TRIGGER entry_unchanged BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'entries never change'); END;
CREATE TRIGGER entry_kept BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'entries are never removed'); END;
CREATE TABLE body (seq INTEGER PRIMARY KEY, salt BLOB NOT NULL, body BLOB NOT NULL);
CREATE TABLE blob (digest TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE event (
  seq INTEGER PRIMARY KEY, source TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL,
  subject TEXT NOT NULL, time INTEGER NOT NULL, data BLOB, received_at INTEGER NOT NULL,
  state TEXT NOT NULL);
CREATE UNIQUE INDEX event_once ON event(source, id);
CREATE INDEX event_type ON event(type, seq);
CREATE TABLE answer (
  no INTEGER PRIMARY KEY, run INTEGER NOT NULL, path TEXT NOT NULL, what TEXT NOT NULL,
  body BLOB NOT NULL, person TEXT NOT NULL, at INTEGER NOT NULL, taken INTEGER NOT NULL DEFAULT 0);
CREATE TABLE wish (run INTEGER PRIMARY KEY, wish TEXT NOT NULL, at INTEGER NOT NULL);
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
    + _PROJECTION_TABLES
    + """
CREATE TABLE budget_use (
  budget TEXT NOT NULL, window INTEGER NOT NULL, held INTEGER NOT NULL, spent INTEGER NOT NULL,
  PRIMARY KEY (budget, window)) WITHOUT ROWID;
CREATE TABLE fact (
  counter TEXT NOT NULL, subject TEXT NOT NULL, window INTEGER NOT NULL, value INTEGER NOT NULL,
  PRIMARY KEY (counter, subject, window)) WITHOUT ROWID;
"""
)

# Version 2: answers are unique for one card and looked for by those not taken in yet, and events
# that nobody answers are listed without reading the others. Version 1 could hold an answer twice:
# the first counts.
_V2 = """
UPDATE answer SET taken = 1 WHERE taken = 0 AND no NOT IN (
  SELECT min(no) FROM answer WHERE taken = 0 GROUP BY run, path, what, body);
CREATE UNIQUE INDEX answer_once ON answer(run, path, what, body) WHERE taken = 0;
CREATE INDEX answer_open ON answer(no) WHERE taken = 0;
CREATE INDEX event_unanswered ON event(seq) WHERE state = 'unanswered';
"""

# Version 3: finished actions are counted by state as they finish, because there come to be millions.
_V3 = """
CREATE TABLE tally (state TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO tally SELECT state, count(*) FROM action WHERE state NOT IN ('open', 'doubtful') GROUP BY state;
"""

# Version 4: all sums are in one table, so that a commit changes one page for them and not three; and ended
# runs are counted as they end, for the numbers of runs may have gaps.
_SUMS = """
CREATE TABLE sums (
  what TEXT NOT NULL, name TEXT NOT NULL, subject TEXT NOT NULL, window INTEGER NOT NULL,
  amount INTEGER NOT NULL, spent INTEGER NOT NULL,
  PRIMARY KEY (what, name, subject, window)) WITHOUT ROWID;
CREATE VIEW budget_use AS
  SELECT name AS budget, window, amount AS held, spent FROM sums WHERE what='use';
CREATE VIEW fact AS
  SELECT name AS counter, subject, window, amount AS value FROM sums WHERE what='fact';
CREATE VIEW tally AS
  SELECT name AS state, amount AS n FROM sums WHERE what='tally';
"""
_V4 = (
    """
ALTER TABLE budget_use RENAME TO old_budget_use;
ALTER TABLE fact RENAME TO old_fact;
ALTER TABLE tally RENAME TO old_tally;
"""
    + _SUMS
    + f"""
INSERT INTO sums SELECT 'use', budget, '', window, held, spent FROM old_budget_use;
INSERT INTO sums SELECT 'fact', counter, subject, window, value, 0 FROM old_fact;
INSERT INTO sums SELECT 'tally', state, '', 0, n, 0 FROM old_tally WHERE state<>'{RUNS_ENDED}';
INSERT INTO sums SELECT 'tally', '{RUNS_ENDED}', '', 0, count(*), 0 FROM run WHERE state='ended';
DROP TABLE old_budget_use;
DROP TABLE old_fact;
DROP TABLE old_tally;
"""
)

# Version 5: people's approvals, each a row of its own, used once; and the actions that wait for them.
_V5 = """
CREATE TABLE approval (
  no INTEGER PRIMARY KEY, run INTEGER NOT NULL, path TEXT NOT NULL, binding TEXT NOT NULL,
  person TEXT NOT NULL, at INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX approval_once ON approval(run, path, binding, person) WHERE used = 0;
CREATE INDEX action_asking ON action(state, run, path) WHERE state = 'asking';
"""

# Version 6: how work goes is counted (`store/rates.py`), from here on: what earlier entries say is not known.
_RATES = """
CREATE VIEW rate AS
  SELECT what, name, subject, window, amount, spent FROM sums WHERE what IN ('rate', 'state', 'run');
"""
_V6 = (
    _RATES
    + """
INSERT INTO setting SELECT 'rates_since', CAST(last AS TEXT) FROM (SELECT max(seq) AS last FROM entry)
  WHERE last IS NOT NULL;
"""
)

# Version 7: what a model was asked before is found by the digest of the question.
_V7 = """
CREATE INDEX action_answered ON action(digest, ended_at)
  WHERE state = 'settled' AND first_sent > 0 AND operation GLOB '*.think';
"""

TALLIED_SINCE = 3
SUMS_SINCE = 4
APPROVALS_SINCE = 5
RATES_SINCE = 6
MIGRATIONS = (_V1, _V2, _V3, _V4, _V5, _V6, _V7)
VERSION = len(MIGRATIONS)


def migrate(db: sqlite3.Connection, *, up_to: int = VERSION) -> None:
    """Bring a file from whatever version it has to `up_to`, one transaction a version.

    Raises `SchemaTooNew` for a file that a newer version wrote.
    """
    have = schema_of(db)
    for version in range(have, up_to):
        # executescript would commit by itself, before the version is set.
        db.execute("BEGIN IMMEDIATE")
        for statement in split_statements(MIGRATIONS[version]):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {version + 1}")
        db.execute("COMMIT")


def refuse_foreign(db: sqlite3.Connection, path: Path) -> None:
    """Raises `SchemaTooNew`, and `StoreError` for a database of something else; only reads."""
    have = schema_of(db)
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    if "entry" not in tables and (have or tables):
        raise StoreError(f"{path} is a database of something else, not a ledger")


def schema_of(db: sqlite3.Connection) -> int:
    """The version of a file's schema. Raises `SchemaTooNew`."""
    have = int(db.execute("PRAGMA user_version").fetchone()[0])
    if have > VERSION:
        raise SchemaTooNew(
            f"this ledger has schema {have} and this version of Deputize knows {VERSION}: "
            "upgrade Deputize, or restore a backup made by this version"
        )
    return have


def rates_since(db: sqlite3.Connection) -> int:
    """The last entry that was written before rates were counted."""
    row = db.execute("SELECT value FROM setting WHERE name='rates_since'").fetchone()
    return int(row[0]) if row else 0


def split_statements(script: str) -> list[str]:
    """The statements of a script; triggers keep their inner semicolons."""
    statements: list[str] = []
    pending = ""
    for piece in script.split(";"):
        pending += piece + ";"
        if sqlite3.complete_statement(pending):
            if pending.strip(" ;\n"):
                statements.append(pending.strip())
            pending = ""
    return statements


def projection_tables(schema: str) -> list[str]:
    """The statements that make the projections in an attached schema, for a rebuild."""
    statements = []
    for statement in split_statements(_PROJECTION_TABLES + _SUMS + _RATES):
        statements.append(re.sub(r"^CREATE (TABLE|INDEX|VIEW) ", rf"CREATE \1 {schema}.", statement))
    return statements

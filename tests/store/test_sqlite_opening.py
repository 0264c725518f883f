"""Opening a ledger: older files, newer files, what is no ledger, and who owns it."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from deputize import canonical
from deputize.errors import LedgerOwned, SchemaTooNew, StoreError
from deputize.ledger import GENESIS, Draft, body_digest, entry_hash
from deputize.store.sqlite import schema
from deputize.store.sqlite.offline import OfflineLedger
from deputize.store.sqlite.store import SqliteStore
from deputize.testing import entries
from deputize.testing.entries import SteppedClock
from deputize.testing.store_suite import sound
from tests.support.older import make_older


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def open_store(path: Path) -> SqliteStore:
    return SqliteStore(path, SteppedClock())


# -- older and newer files --------------------------------------------------------------------------


def write_version_1(path: Path) -> None:
    """A ledger as the first version wrote it, through its raw tables."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        schema.migrate(db, up_to=1)
        db.execute("INSERT INTO setting VALUES ('ledger_id','old'), ('epoch','4'), ('poll:shop','cursor-9')")
        event = entries.occurrence("e1")
        db.execute(
            "INSERT INTO event VALUES (1,'test','e1',?,?,1,?,10,'answered')",
            (event.type, event.subject, event.data),
        )
        told = {"seq": 1, "digest": event.digest}
        began = {"automation": "triage", "agent": "desk", "event": told, "key": "order:1", "priority": 0}
        body = canonical.encode(began | {"state": "ready"})
        digest = body_digest(b"s" * 16, body)
        hash = entry_hash(GENESIS, "old", "run-e1", 1, "began", 10, digest)
        db.execute("INSERT INTO entry VALUES (1,1,1,'began',10,?,?)", (digest, hash))
        db.execute("INSERT INTO body VALUES (1,?,?)", (b"s" * 16, body))
        db.execute(
            "INSERT INTO run (no, id, automation, agent, event, key, priority, state, began_at)"
            " VALUES (1,'run-e1','triage','desk',1,'order:1',0,'ready',10)"
        )
        answer = (1, "2", "happened", b'{"refund":"re_1"}', "maya", 10)
        for _ in range(2):
            db.execute("INSERT INTO answer (run, path, what, body, person, at) VALUES (?,?,?,?,?,?)", answer)


async def test_a_file_of_the_first_version_opens_and_keeps_all(path: Path) -> None:
    write_version_1(path)
    store = open_store(path)
    try:
        assert (store.ledger_id, store.epoch) == ("old", 5)
        assert sound(store)
        run = store.read(lambda view: view.run("run-e1"))
        assert run is not None
        assert (run.key, run.state, run.version) == ("order:1", "ready", 1)
        assert [answer.body for answer in store.read(lambda view: view.answers(9))] == [{"refund": "re_1"}]
        assert await store.write(lambda tx: tx.setting("poll:shop")) == "cursor-9"
        assert await store.write(lambda tx: tx.keep_event(entries.occurrence("e1"), "unanswered")) is None
        assert await store.write(lambda tx: tx.append(1, 1, [entries.read("1")])) == 2
        assert sound(store)
    finally:
        store.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)


@pytest.mark.parametrize("version", [2, 3])
async def test_a_file_of_an_earlier_version_has_what_is_finished_counted(path: Path, version: int) -> None:
    store = open_store(path)
    no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
    begun = [entries.read("1"), entries.intent("2", holds=[("b", 0, 5)])]
    await store.write(lambda tx: tx.append(no, 1, begun))
    done, _ = await store.write(lambda tx: entries.begin(tx, "b"))
    await store.write(lambda tx: tx.append(done, 1, [entries.ended()]))
    counts = store.read(lambda view: view.counts())
    budgets = store.read(lambda view: view.budgets())
    assert counts["runs.ended"] == 1 and budgets
    store.close()
    make_older(path, version)
    # Read as it is first, by a command that does not own it.
    offline = OfflineLedger(path)
    assert offline.read(lambda view: view.counts()) == counts and offline.compare() == []
    offline.close()
    store = open_store(path)
    try:
        assert store.read(lambda view: view.counts()) == counts
        assert store.read(lambda view: view.budgets()) == budgets
        assert counts["actions.settled"] == counts["actions.open"] == 1
        assert sound(store)
    finally:
        store.close()


@pytest.mark.parametrize("version", [5, 6])
async def test_what_a_model_was_asked_under_an_earlier_version_is_found(path: Path, version: int) -> None:
    store = open_store(path)
    no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
    question = entries.intent("1", op="small.think", digest="q" * 64)
    receipt = Draft("receipt", {"path": "1", "result": {"text": "one"}} | entries.released())
    await store.write(lambda tx: tx.append(no, 1, [question, receipt]))
    store.close()
    make_older(path, version)
    offline = OfflineLedger(path)
    assert offline.compare() == []
    offline.close()
    store = open_store(path)
    try:
        (row,) = store.read(lambda view: view.answered("small.think", "q" * 64, "desk", 0, 9))
        found = store.read(lambda view: view.receipt_of(row))
        assert found is not None and found.body is not None and found.body["result"] == {"text": "one"}
        assert list(store.verify()) == []
    finally:
        store.close()
    assert "action_answered" in dict(_schema(path))


def test_a_migrated_file_has_the_schema_of_a_new_one(tmp_path: Path) -> None:
    write_version_1(tmp_path / "old.db")
    for name in ("old.db", "new.db"):
        open_store(tmp_path / name).close()
    assert _schema(tmp_path / "old.db") == _schema(tmp_path / "new.db")


def _schema(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_version_1(path)
    before = _schema(path)
    monkeypatch.setattr(
        schema, "MIGRATIONS", (schema.MIGRATIONS[0], "CREATE TABLE halfway (n); CREATE TABLE entry (n);")
    )
    with pytest.raises(StoreError, match="already exists"):
        open_store(path)
    assert _schema(path) == before
    monkeypatch.undo()
    open_store(path).close()


def test_a_newer_file_is_refused_and_not_changed(path: Path) -> None:
    open_store(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = hashlib.sha256(path.read_bytes()).digest()
    with pytest.raises(SchemaTooNew, match=r"schema 99 .* upgrade Deputize, or restore"):
        open_store(path)
    assert hashlib.sha256(path.read_bytes()).digest() == before
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {schema.VERSION}")
    open_store(path).close()


# -- what is no ledger ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"this is a shopping list\n" * 99, "cannot be opened as a ledger"), (b"", "is empty")],
)
def test_a_file_that_is_no_database_is_refused_and_not_changed(path: Path, content: bytes, what: str) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=what):
        open_store(path)
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE customer (name)")
    with pytest.raises(StoreError, match="a database of something else"):
        open_store(path)
    assert [name for name, _ in _schema(path)] == ["customer"]


def test_a_directory_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match="is a directory"):
        open_store(path)


def test_a_place_below_a_file_is_refused(path: Path) -> None:
    path.write_text("a file")
    with pytest.raises(StoreError, match="cannot be used as a ledger"):
        open_store(path / "ledger.db")


def test_a_place_with_signs_of_an_address_in_its_name_is_a_place(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c%20d" / "ledger.db"
    open_store(path).close()
    assert path.stat().st_size > 0


def test_a_read_only_file_is_refused(path: Path, tmp_path: Path) -> None:
    open_store(path).close()
    path.chmod(0o444)
    _let_others_in(tmp_path)
    tmp_path.chmod(0o777)
    (tmp_path / "ledger.db.lock").chmod(0o666)
    told = _opened_by_nobody(path)
    assert "StoreError" in told
    assert "is read-only" in told


def test_a_place_without_permission_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "closed"
    place.mkdir(mode=0o755)
    _let_others_in(tmp_path)
    told = _opened_by_nobody(place / "ledger.db")
    assert "StoreError" in told
    assert "Permission denied" in told


_OPEN = """
import os, sys
from pathlib import Path
from deputize.clock import SystemClock
from deputize.errors import StoreError
from deputize.store.sqlite.store import SqliteStore
if os.getuid() == 0:
    os.setuid(65534)
try:
    SqliteStore(Path(sys.argv[1]), SystemClock())
except StoreError as error:
    print(type(error).__name__, error)
"""


def _let_others_in(place: Path) -> None:
    """Temporary folders are for their owner alone: this one, and those that it is in."""
    for folder in (place, *place.parents):
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o005:
            folder.chmod(0o755)


def _opened_by_nobody(path: Path) -> str:
    """What a process without the superuser's right to write anywhere is told."""
    command = [sys.executable, "-c", _OPEN, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_write_ahead_log_without_its_file_is_refused(path: Path) -> None:
    log = path.with_name("ledger.db-wal")
    log.write_bytes(b"what was not yet in the file")
    with pytest.raises(StoreError, match=r"is gone, and its write-ahead log ledger\.db-wal is still there"):
        open_store(path)
    assert log.read_bytes() == b"what was not yet in the file"


def test_a_half_made_ledger_is_made_anew(path: Path) -> None:
    path.with_name("ledger.db.new").write_bytes(b"the process died here")
    open_store(path).close()
    assert not path.with_name("ledger.db.new").exists()


# -- who owns it ------------------------------------------------------------------------------------

_OWNER = """
import sys
from pathlib import Path
from deputize.clock import SystemClock
from deputize.store.sqlite.store import SqliteStore
store = SqliteStore(Path(sys.argv[1]), SystemClock())
print(store.epoch, flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_with_the_pid_of_the_first_until_that_is_killed(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        try:
            assert first.stdout.readline() == "1\n"
            with pytest.raises(LedgerOwned, match=f"process {first.pid}:"):
                open_store(path)
        finally:
            first.kill()
    assert first.returncode == -signal.SIGKILL
    store = open_store(path)
    assert store.epoch == 2
    assert (path.parent / "ledger.db.lock").read_text() == str(os.getpid())
    store.close()


def test_a_failed_opening_lets_go_of_the_ledger(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(StoreError, match="is empty"):
        open_store(path)
    path.unlink()
    open_store(path).close()


def test_ledger_ids_and_epochs(path: Path, tmp_path: Path) -> None:
    first = open_store(path)
    first.close()
    again = open_store(path)
    again.close()
    other = open_store(tmp_path / "other.db")
    other.close()
    assert again.ledger_id == first.ledger_id != other.ledger_id
    assert (first.epoch, again.epoch, other.epoch) == (1, 2, 1)


def test_a_ledger_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Customers' data are in it."""
    path = tmp_path / "ledger.db"
    before = os.umask(0o022)
    try:
        store = SqliteStore(path, SteppedClock())
        store.close()
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o644)
        SqliteStore(path, SteppedClock()).close()
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)

"""A ledger's file seen from another process than its owner: read beside it, or put in its place."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from deputize.errors import StoreError
from deputize.ledger import Flaw
from deputize.store.protocol import View
from deputize.store.sqlite import checks
from deputize.store.sqlite.file import PRIVATE, connect, connect_copy, sync, take_lock
from deputize.store.sqlite.rebuilding import rebuild
from deputize.store.sqlite.schema import refuse_foreign, schema_of
from deputize.store.sqlite.then import SqliteThen
from deputize.store.sqlite.view import SqliteView

T = TypeVar("T")

SIDE_FILES = ("", "-wal", "-shm")
LIKE_MAX = 5
KEPT_MAX = 1_000


class OfflineLedger:
    """Reads a ledger that this process does not own; nothing here can change it.

    Raises `StoreError` where there is none, `SchemaTooNew`.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise StoreError(f"there is no ledger at {path} yet; `deputize up` makes one")
        self.path = path
        self._db = connect(path, write=False)
        try:
            with self._told():
                refuse_foreign(self._db, path)
                self.schema = schema_of(self._db)
                row = self._db.execute("SELECT value FROM setting WHERE name='ledger_id'").fetchone()
        except StoreError:
            self._db.close()
            raise
        self.ledger_id = str(row[0]) if row else ""
        self._view = SqliteView(self._db)

    def read(self, query: Callable[[View], T]) -> T:
        """Run a query on a snapshot."""
        with self._told():
            self._db.execute("BEGIN")
            try:
                return query(self._view)
            finally:
                self._db.execute("ROLLBACK")

    def then(self, since: int | None) -> SqliteThen:
        """The books as they were, from the entry `since` on; as they are now with None."""
        return SqliteThen(self._db, since)

    def runs_like(self, prefix: str) -> list[str]:
        """The ids of some runs that begin so, at most `LIKE_MAX`."""
        sql = "SELECT id FROM run WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
        with self._told():
            rows = self._db.execute(sql, (prefix, prefix + "\U0010ffff", LIKE_MAX)).fetchall()
        return [str(row[0]) for row in rows]

    def settings(self, prefix: str) -> dict[str, str]:
        """The settings whose name starts with `prefix`, by the rest of their name."""
        sql = "SELECT name, value FROM setting WHERE name GLOB ?"
        with self._told():
            rows = self._db.execute(sql, (prefix + "*",)).fetchall()
        return {name.removeprefix(prefix): value for name, value in rows}

    def verify(self, progress: Callable[[int], None] | None = None) -> Iterator[Flaw]:
        """See `deputize.store.protocol.Store.verify`."""
        with self._told():
            yield from checks.verify(self.path, self.ledger_id, progress)

    def compare(self) -> list[str]:
        """The differences of the projections from the entries. See `Store.rebuild`."""
        with self._told():
            return rebuild(self.path, replace=False)

    def backup(self, target: Path) -> None:
        """See `deputize.store.protocol.Store.backup`."""
        checks.backup(self.path, target)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be read as a ledger: {error}") from None


def owner_of(path: Path) -> str | None:
    """The pid of the process that owns a ledger (`unknown` where it does not say), or None."""
    try:
        lock = path.with_name(path.name + ".lock").open("r")
    except OSError:
        return None
    with lock:
        pid = lock.read().strip()
        # Asking takes the lock for a moment where it is free: not then, when someone may be starting.
        if pid.isdigit() and not _alive(int(pid)):
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return pid or "unknown"
    return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def copy_of(copy: Path, path: Path) -> Path:
    """A backup's contents as a new file beside `path`, on disk. Raises `StoreError`."""
    staged = path.with_name(path.name + ".restoring")
    drop_copy(staged)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(connect(copy, write=False)) as reader, closing(connect_copy(staged)) as writer:
            reader.backup(writer)
    except (sqlite3.Error, OSError) as error:
        drop_copy(staged)
        raise StoreError(f"{copy} cannot be copied: {error}") from None
    sync(staged)
    return staged


def drop_copy(staged: Path) -> None:
    """Remove a staged copy and what belongs to it."""
    for end in (*SIDE_FILES, ".lock"):
        staged.with_name(staged.name + end).unlink(missing_ok=True)


def put_in_place(staged: Path, path: Path) -> Path | None:
    """Make a closed, staged file the ledger. Returns where the one that was there is kept, if any.

    Raises `LedgerOwned` while a process has it, and `StoreError`.
    """
    with take_lock(path):
        kept = None
        try:
            if path.exists():
                kept = _free_name(path)
                # The file first: a log without its file is told at the next start, and never used.
                for end in SIDE_FILES:
                    part = path.with_name(path.name + end)
                    if part.exists():
                        part.chmod(PRIVATE)
                        part.rename(kept.with_name(kept.name + end))
            staged.rename(path)
            sync(path.parent)
        except OSError as error:
            raise StoreError(f"{staged} could not be put in the place of {path}: {error}") from None
    drop_copy(staged)
    return kept


def _free_name(path: Path) -> Path:
    for number in range(1, KEPT_MAX):
        kept = path.with_name(f"{path.name}.replaced-{number}")
        if not kept.exists():
            return kept
    raise StoreError(f"{KEPT_MAX - 1} replaced ledgers are kept beside {path} already: remove some")

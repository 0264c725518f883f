"""The ledger's file: made, opened, owned by one process, and checked to be still there."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from io import TextIOWrapper
from pathlib import Path

from deputize.clock import Clock
from deputize.errors import LedgerOwned, StoreError, StoreFull, StoreLost
from deputize.store.sqlite.schema import migrate, refuse_foreign

FREE_BYTES_MIN = 16 * 1024 * 1024

FREE_BYTES_AMPLE = 4 * 1024**3
ROOM_LOOK_S = 0.1
"""With so many bytes free, more than a disk takes in this time, the room is looked at no more often than
that; with fewer, before each commit."""

BUSY_TIMEOUT_S = 5.0
PAGE_CACHE_KIB = 16_384
CHECKPOINT_PAGES = 4_000
PRIVATE = 0o600


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """A connection with our settings. Raises `StoreError` for what is no ledger."""
    try:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rwc' if write else 'ro'}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_S,
            cached_statements=256,
        )
        db.execute(f"PRAGMA cache_size=-{PAGE_CACHE_KIB}")
        if write:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA fullfsync=ON")
            db.execute("PRAGMA temp_store=MEMORY")
            # From the first write on: what a page held before is then never left in it to be read.
            db.execute("PRAGMA secure_delete=ON")
            db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        else:
            db.execute("SELECT 1 FROM sqlite_master LIMIT 1")
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path} cannot be opened as a ledger: {error}") from None
    return db


def connect_copy(path: Path) -> sqlite3.Connection:
    """A connection to a file that a ledger is copied to, for its owner's eyes alone. Raises `OSError`."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, PRIVATE))
    path.chmod(PRIVATE)
    return sqlite3.connect(path)


def take_lock(path: Path) -> TextIOWrapper:
    """The lock beside a ledger, held until it is closed. Raises `LedgerOwned` with the owner's pid."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = (path.parent / (path.name + ".lock")).open("a+")
    except OSError as error:
        raise StoreError(f"{path} cannot be used as a ledger: {error}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        pid = lock.read().strip() or "unknown"
        lock.close()
        raise LedgerOwned(
            f"{path} belongs to the running process {pid}: use the commands that go through it, "
            "or stop it first"
        ) from None
    lock.seek(0)
    lock.truncate()
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


class OwnedFile:
    """One process's hold on a ledger: a lock beside it, and the identity of the file itself.

    `epoch` is higher than that of every owner before; `ledger_id` was made once, with the file.
    Raises `LedgerOwned`, `SchemaTooNew`, and `StoreError` for what cannot be a ledger.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._name = str(path)
        self._clock = clock
        self._free_bytes = 0
        self._looked_at = 0.0
        self._lock = take_lock(path)
        try:
            self._open()
        except StoreError:
            self._lock.close()
            raise
        except (sqlite3.Error, OSError) as error:
            self._lock.close()
            raise StoreError(f"{path} cannot be used as a ledger: {error}") from None

    def _open(self) -> None:
        if self.path.exists():
            _refuse_unusable(self.path)
            self.path.chmod(PRIVATE)
        else:
            _make(self.path)
        self.db = connect(self.path, write=True)
        try:
            migrate(self.db)
            self.ledger_id = self._ledger_id()
            self.epoch = self._new_epoch()
        except (sqlite3.Error, StoreError):
            self.db.close()
            raise
        stat = self.path.stat()
        self._identity = (stat.st_dev, stat.st_ino)

    def _ledger_id(self) -> str:
        row = self.db.execute("SELECT value FROM setting WHERE name='ledger_id'").fetchone()
        if row:
            return str(row[0])
        made = os.urandom(12).hex()
        self.db.execute("INSERT INTO setting VALUES ('ledger_id',?)", (made,))
        return made

    def _new_epoch(self) -> int:
        self.db.execute("BEGIN IMMEDIATE")
        row = self.db.execute("SELECT value FROM setting WHERE name='epoch'").fetchone()
        epoch = int(row[0]) + 1 if row else 1
        self.db.execute(
            "INSERT INTO setting VALUES ('epoch',?) ON CONFLICT (name) DO UPDATE SET value=excluded.value",
            (str(epoch),),
        )
        self.db.execute("COMMIT")
        return epoch

    def check(self) -> None:
        """Before a commit, and while idle. Raises `StoreLost` where the file is gone, `StoreFull` where
        the disk is full."""
        try:
            stat = os.stat(self._name)  # noqa: PTH116 (a tenth of Path.stat's time, at each commit)
            same = (stat.st_dev, stat.st_ino) == self._identity
            self._look_for_room()
        except (FileNotFoundError, NotADirectoryError):
            same = False
        except OSError as error:
            raise StoreFull(f"{self.path} cannot be reached ({error}); nothing was accepted") from None
        if not same:
            raise StoreLost(f"{self.path} was removed or replaced under the running process; {self._save()}")
        if self._free_bytes < FREE_BYTES_MIN:
            raise StoreFull(
                f"the disk of {self.path} has less than {FREE_BYTES_MIN >> 20} MB left; "
                "nothing was accepted: make room"
            )

    def _look_for_room(self) -> None:
        now = self._clock.monotonic()
        if self._free_bytes < FREE_BYTES_AMPLE or now - self._looked_at >= ROOM_LOOK_S:
            disk = os.statvfs(self._name)
            self._free_bytes, self._looked_at = disk.f_bavail * disk.f_frsize, now

    def _save(self) -> str:
        saved = self.path.with_name(f"{self.path.name}.saved-{os.getpid()}")
        try:
            # The folder may be gone with the file.
            saved.parent.mkdir(exist_ok=True)
            with closing(connect_copy(saved)) as target:
                self.db.backup(target)
        except (sqlite3.Error, OSError) as error:
            return f"saving the open copy failed as well: {error}"
        return f"its contents up to the last commit were saved to {saved}"

    def wipe_log(self) -> bool:
        """Empty the write-ahead log, so that nothing erased is left in it. False while a reader is at it."""
        self.db.execute("PRAGMA busy_timeout=0")
        try:
            return bool(self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
        except sqlite3.OperationalError:
            return False
        finally:
            self.db.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")

    def close(self) -> None:
        """Let go of the lock; the file stays."""
        self.db.close()
        self._lock.close()


def _refuse_unusable(path: Path) -> None:
    """Before anything is written to it."""
    if path.is_dir():
        raise StoreError(f"{path} is a directory; name the ledger's file")
    if path.stat().st_size == 0:
        raise StoreError(f"{path} is empty: put a backup in its place, or remove it to start a new ledger")
    if not os.access(path, os.W_OK):
        raise StoreError(f"{path} is read-only; a ledger must be writable")
    with closing(connect(path, write=False)) as db:
        refuse_foreign(db, path)


def _make(path: Path) -> None:
    """A new ledger appears whole or not at all, whenever the process dies."""
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise StoreError(
            f"{path} is gone, and its write-ahead log {log.name} is still there: put the file (or a copy "
            "that was saved beside it) back, or remove the log too to start a new ledger"
        )
    made = path.with_name(path.name + ".new")
    made.unlink(missing_ok=True)
    os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
    with closing(sqlite3.connect(made, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA journal_mode=WAL")
        migrate(db)
    sync(made)
    made.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Have a file (or a folder's names) on disk before anything that follows."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

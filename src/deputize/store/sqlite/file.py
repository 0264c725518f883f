"""The ledger's file: opened, owned by one process, and checked to be still there."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from deputize.errors import LedgerOwned, StoreError, StoreFull, StoreLost
from deputize.store.sqlite.schema import migrate

FREE_BYTES_MIN = 16 * 1024 * 1024
BUSY_TIMEOUT_S = 5.0
PAGE_CACHE_KIB = 16_384
CHECKPOINT_PAGES = 4_000


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """A connection with our settings. Raises `StoreError` for what is no ledger."""
    try:
        db = sqlite3.connect(
            f"file:{path}?mode={'rwc' if write else 'ro'}",
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
            db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        else:
            db.execute("SELECT 1 FROM sqlite_master LIMIT 1")
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path} cannot be opened as a ledger: {error}") from None
    return db


class OwnedFile:
    """One process's hold on a ledger: a lock beside it, and the identity of the file itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = (path.parent / (path.name + ".lock")).open("a+")
        self._take_lock()
        self.db = connect(path, write=True)
        try:
            migrate(self.db)
        except StoreError:
            self.db.close()
            self._lock.close()
            raise
        stat = path.stat()
        self._identity = (stat.st_dev, stat.st_ino)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            pid = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise LedgerOwned(
                f"{self.path} belongs to the running process {pid}: use the commands that go through it, "
                "or stop it first"
            ) from None
        self._lock.seek(0)
        self._lock.truncate()
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def check(self) -> None:
        """Before a commit. Raises `StoreLost` where the file is gone, `StoreFull` where the disk is full."""
        try:
            stat = os.stat(self.path)  # noqa: PTH116 (a tenth of Path.stat's time, at each commit)
            same = (stat.st_dev, stat.st_ino) == self._identity
        except FileNotFoundError:
            same = False
        if not same:
            raise StoreLost(f"{self.path} was removed or replaced under the running process; {self._save()}")
        disk = os.statvfs(self.path)
        if disk.f_bavail * disk.f_frsize < FREE_BYTES_MIN:
            raise StoreFull(
                f"the disk of {self.path} has less than {FREE_BYTES_MIN >> 20} MB left; "
                "nothing was accepted: make room"
            )

    def _save(self) -> str:
        saved = self.path.with_name(f"{self.path.name}.saved-{os.getpid()}")
        try:
            with sqlite3.connect(saved) as target:
                self.db.backup(target)
            target.close()
        except (sqlite3.Error, OSError) as error:
            return f"saving the open copy failed as well: {error}"
        return f"its contents up to the last commit were saved to {saved}"

    def new_epoch(self) -> int:
        """Take a higher epoch than every owner before."""
        self.db.execute("BEGIN IMMEDIATE")
        row = self.db.execute("SELECT value FROM setting WHERE name='epoch'").fetchone()
        epoch = int(row[0]) + 1 if row else 1
        self.db.execute(
            "INSERT INTO setting VALUES ('epoch',?) ON CONFLICT (name) DO UPDATE SET value=excluded.value",
            (str(epoch),),
        )
        self.db.execute("COMMIT")
        return epoch

    def ledger_id(self) -> str:
        """The ledger's own id, made once."""
        row = self.db.execute("SELECT value FROM setting WHERE name='ledger_id'").fetchone()
        if row:
            return str(row[0])
        made = os.urandom(12).hex()
        self.db.execute("INSERT INTO setting VALUES ('ledger_id',?)", (made,))
        return made

    def close(self) -> None:
        """Let go of the lock; the file stays."""
        self.db.close()
        self._lock.close()

"""The SQLite store: works go to one writer thread, which shares commits among them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from deputize.clock import Clock
from deputize.errors import StoreError, StoreFull, StoreLost
from deputize.handover import Handover
from deputize.ledger import Flaw
from deputize.store.protocol import Tx, View
from deputize.store.sqlite import checks
from deputize.store.sqlite.file import OwnedFile, connect
from deputize.store.sqlite.rebuilding import rebuild
from deputize.store.sqlite.tx import SqliteTx
from deputize.store.sqlite.view import SqliteView

T = TypeVar("T")

BATCH_MAX = 256
"""Works that share a commit, at most."""

QUEUE_MAX = 20_000
"""Works that wait for the writer, at most; intake is bounded well below this."""

LAZY_S = 0.005
"""A lazy work waits this long at most for another to share its commit with."""

STAND_S = 0.002
"""The loop stands still for a commit so long at most; a disk that is slower has it go on meanwhile."""

EARLY_S = 0.0005
"""A commit waits so long at most for what its early word sets going; the disk takes about as long."""

LOOK_S = 2.0
"""A writer that has nothing to write looks so often whether its file is still there."""

EXIT_COMMIT_UNKNOWN = 70

_Given = tuple[Callable[[Any], Any], "asyncio.Future[Any]", Callable[[Any], None] | None]
_Result = tuple["asyncio.Future[Any]", Any, BaseException | None]


class SqliteStore:
    """See `deputize.store.protocol.Store`.

    `on_lost` is called, in the writer thread, when nothing more can be written (`StoreLost`): by
    default the process ends itself, because a commit whose outcome is unknown is only known again
    after a recovery. `boundary` is called with a name at each step of a commit, for crash tests.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        scrub: Callable[[bytes], bytes] = lambda data: data,
        on_lost: Callable[[StoreLost], None] | None = None,
        boundary: Callable[[str], None] | None = None,
    ) -> None:
        self.path = path
        self._clock = clock
        self._file = OwnedFile(path, clock)
        self.ledger_id = self._file.ledger_id
        self.epoch = self._file.epoch
        try:
            self._tx = SqliteTx(self._file.db, self.ledger_id, scrub)
            self._last_at = self._tx.last_at()
        except sqlite3.Error as error:
            self._file.close()
            raise StoreError(f"{path} cannot be used as a ledger: {error}; restore a backup") from None
        self._on_lost = on_lost or _end_process
        self._boundary = boundary
        self._data_version = -1
        self._readers = threading.local()
        self._open_readers: list[sqlite3.Connection] = []
        self._given: deque[_Given] = deque()
        self._woken = False
        self._later: asyncio.TimerHandle | None = None
        self._waits = False
        self._waits_until = 0.0
        self._signal: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._handover: Handover[Callable[[], None]] = Handover(
            lambda: self._signal.put(None), lambda made: made(), STAND_S
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lost: StoreLost | None = None
        self._closing = False
        self._unanswered = 0
        self.commits = 0
        self.works = 0
        self._writer = threading.Thread(target=self._write_forever, name="deputize-writer", daemon=True)
        self._writer.start()

    # -- giving works ----------------------------------------------------------------------------

    def write(
        self, work: Callable[[Tx], T], *, lazy: bool = False, early: Callable[[T], None] | None = None
    ) -> asyncio.Future[T]:
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._lost is not None or self._closing:
            future.set_exception(self._lost or StoreError("the ledger is closed"))
            return future
        if self._unanswered >= QUEUE_MAX:
            future.set_exception(StoreFull(f"{QUEUE_MAX:,} writes wait for the ledger; try again later"))
            return future
        self._unanswered += 1
        self._given.append((work, future, early))
        if not lazy:
            self._wake()
        elif not self._waits:
            self._waits = True
            self._waits_until = loop.time() + LAZY_S
            if self._later is None:
                self._later = loop.call_at(self._waits_until, self._late, loop)
        return future

    @property
    def waiting(self) -> int:
        """Works that are given and not yet on disk."""
        return self._unanswered

    def _late(self, loop: asyncio.AbstractEventLoop) -> None:
        """The timer of lazy works: one that is never called off costs less than one for each of them."""
        self._later = None
        if self._waits and loop.time() >= self._waits_until:
            self._wake()
        elif self._waits:
            self._later = loop.call_at(self._waits_until, self._late, loop)

    def _wake(self) -> None:
        """One wake of the writer for all that is given until it looks."""
        self._waits = False
        if not self._woken:
            self._woken = True
            self._handover.soon()

    # -- the writer thread -----------------------------------------------------------------------

    def _write_forever(self) -> None:
        while True:
            try:
                self._signal.get(timeout=LOOK_S)
            except queue.Empty:
                self._look()
                continue
            self._woken = False
            batch = self._taken()
            try:
                results = self._commit(batch) if batch else []
            except sqlite3.Error as error:
                results = self._lose(StoreLost(f"the ledger's file cannot be used ({error})"), batch)
            self._handover.back(functools.partial(self._settle, results))
            if self._closing and not self._given:
                return

    def _taken(self) -> list[_Given]:
        batch: list[_Given] = []
        while self._given and len(batch) < BATCH_MAX:
            batch.append(self._given.popleft())
        if self._given:
            self._signal.put(None)
        return batch

    def _look(self) -> None:
        """While idle: without its file, the lock beside it holds nobody off any more."""
        if self._lost is None:
            try:
                self._file.check()
            except StoreLost as error:
                self._lose(error, [])
            except StoreFull:
                return  # the next write tells it

    def _commit(self, batch: list[_Given]) -> list[_Result]:
        refused = self._lost or self._begun()
        results: list[_Result] = []
        # A loop, for what is prepared on an early word comes into the same commit.
        for work, future, early in batch:
            if refused is not None:
                results.append((future, None, refused))
                continue
            value, error = self._apply(work) if results else self._apply_first(work)
            results.append((future, value, error))
            if not self._file.db.in_transaction:
                if len(results) > 1 or error is None:
                    return self._rolled_back(batch, error)
                if len(batch) == 1:
                    return results
                refused = self._begun()
            elif early is not None and len(batch) == 1 and not self._given:
                self._tell_early(early, value)
                batch.extend(self._taken())
        return results if refused is not None else self._finish(batch, results)

    def _begun(self) -> BaseException | None:
        """Begin a commit, or say why not."""
        sql = self._file.db.execute
        try:
            self._file.check()
            sql("BEGIN IMMEDIATE")
        except StoreLost as error:
            self._lose(error, [])
            return error
        except (StoreFull, sqlite3.OperationalError) as error:
            return _full(error)
        if self._somebody_else_wrote():
            row = sql("SELECT value FROM setting WHERE name='epoch'").fetchone()
            if row is None or int(row[0]) != self.epoch:
                sql("ROLLBACK")
                self._lose(StoreLost("another process has taken this ledger over"), [])
                return self._lost
            self._tx.forget(all=True)
        self._tx.at_us = self._last_at = max(self._clock.now_us(), self._last_at)
        return None

    def _tell_early(self, early: Callable[[Any], None], value: Any) -> None:
        """Tell it, and wait a moment for what it sets going."""
        self._handover.back(lambda: early(value))
        with contextlib.suppress(queue.Empty):
            self._signal.get(timeout=EARLY_S)
            self._woken = False

    def _somebody_else_wrote(self) -> bool:
        """Whether another connection has committed since the last commit of this one.

        Asked inside the transaction: until its end nobody else can.
        """
        (version,) = self._file.db.execute("PRAGMA data_version").fetchone()
        if version == self._data_version:
            return False
        self._data_version = version
        return True

    def _apply_first(self, work: Callable[[Tx], Any]) -> tuple[Any, BaseException | None]:
        """The first work of a commit, without a savepoint: what it raises rolls back all there is."""
        mark = self._tx.mark()
        try:
            return work(self._tx), None
        except Exception as error:  # noqa: BLE001 - whatever a work raises is its caller's to see
            if self._file.db.in_transaction:
                self._file.db.execute("ROLLBACK")
            self._tx.roll_back(mark)
            return None, _told(error)

    def _apply(self, work: Callable[[Tx], Any]) -> tuple[Any, BaseException | None]:
        """A further work in its savepoint; what it raises rolls back its own writes and no others'."""
        sql = self._file.db.execute
        mark = self._tx.mark()
        sql("SAVEPOINT work")
        try:
            value = work(self._tx)
        except Exception as error:  # noqa: BLE001 - whatever a work raises is its caller's to see
            if self._file.db.in_transaction:
                sql("ROLLBACK TO work")
                sql("RELEASE work")
                self._tx.roll_back(mark)
            return None, _told(error)
        sql("RELEASE work")
        return value, None

    def _finish(self, batch: list[_Given], results: list[_Result]) -> list[_Result]:
        try:
            self._tx.write()
        except (sqlite3.Error, OverflowError) as error:
            if self._file.db.in_transaction:
                self._file.db.execute("ROLLBACK")
            return self._rolled_back(batch, error)
        self._reach("group.before_commit")
        try:
            self._file.db.execute("COMMIT")
        except sqlite3.Error as error:
            return self._lose(
                StoreLost(f"a commit has an unknown outcome ({error}); restart to recover"), batch
            )
        self._tx.forget()
        self.commits += 1
        self.works += len(batch)
        self._reach("group.after_commit")
        if self._tx.erased:
            self._tx.erased = not self._file.wipe_log()
        return results

    def _rolled_back(self, batch: list[_Given], error: BaseException | None) -> list[_Result]:
        """SQLite gave the whole transaction up (a full disk): nothing in this commit was written."""
        self._tx.forget(all=True)
        return [(future, None, _full(error or StoreFull())) for _, future, _ in batch]

    def _lose(self, error: StoreLost, batch: list[_Given]) -> list[_Result]:
        self._lost = error
        self._on_lost(error)
        return [(future, None, error) for _, future, _ in batch]

    def _settle(self, results: list[_Result]) -> None:
        self._unanswered -= len(results)
        for future, value, error in results:
            if future.done():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

    def _reach(self, name: str) -> None:
        if self._boundary is not None:
            self._boundary(name)

    # -- reading and looking after ---------------------------------------------------------------

    def read(self, query: Callable[[View], T]) -> T:
        view = getattr(self._readers, "view", None)
        if view is None:
            db = connect(self.path, write=False)
            self._open_readers.append(db)
            view = self._readers.view = SqliteView(db)
        view.db.execute("BEGIN")
        try:
            return query(view)
        finally:
            view.db.execute("COMMIT")

    def verify(self, progress: Callable[[int], None] | None = None) -> Iterator[Flaw]:
        return checks.verify(self.path, self.ledger_id, progress)

    def rebuild(self, *, replace: bool) -> list[str]:
        return rebuild(self.path, replace=replace)

    def backup(self, target: Path) -> None:
        checks.backup(self.path, target)

    def close(self) -> None:
        self._closing = True
        self._signal.put(None)
        self._writer.join(timeout=30)
        for db in self._open_readers:
            db.close()
        self._file.close()


def _told(error: Exception) -> BaseException:
    """What a work raised, in words that are no particular database's."""
    if isinstance(error, sqlite3.OperationalError):
        return _full(error)
    if isinstance(error, sqlite3.IntegrityError):
        return StoreError(f"the ledger does not allow this: {error}")
    return error


def _full(error: BaseException) -> BaseException:
    if isinstance(error, StoreFull):
        return error
    return StoreFull(f"the ledger could not be written ({error}); nothing was accepted")


def _end_process(error: StoreLost) -> None:
    os.write(2, f"deputize: {error}\n".encode())
    os._exit(EXIT_COMMIT_UNKNOWN)

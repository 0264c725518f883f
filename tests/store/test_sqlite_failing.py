"""When the world under the store fails: taken over, removed, busy, full, or a commit unknown."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from deputize.errors import StoreError, StoreFull, StoreLost
from deputize.store.protocol import Tx
from deputize.store.sqlite import file as store_file
from deputize.store.sqlite import store as store_module
from deputize.store.sqlite.checks import verify
from deputize.store.sqlite.store import SqliteStore
from deputize.testing import entries
from deputize.testing.entries import SteppedClock
from deputize.testing.store_suite import sound

Open = Callable[..., SqliteStore]


def begin(name: str) -> Callable[[Tx], Any]:
    return lambda tx: entries.begin(tx, name)


@pytest.fixture
def lost() -> list[StoreLost]:
    return []


@pytest.fixture
def open_store(tmp_path: Path, lost: list[StoreLost]) -> Iterator[Open]:
    opened: list[SqliteStore] = []

    def open(**options: Any) -> SqliteStore:
        opened.append(SqliteStore(tmp_path / "ledger.db", SteppedClock(), on_lost=lost.append, **options))
        return opened[-1]

    yield open
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Open) -> SqliteStore:
    return open_store()


# -- taken over, removed, replaced ------------------------------------------------------------------


async def test_a_store_that_was_taken_over_stops_writing(
    store: SqliteStore, open_store: Open, lost: list[StoreLost]
) -> None:
    await store.write(begin("a"))
    # Somebody removed the lock, and the next process found the ledger free.
    store.path.with_name("ledger.db.lock").unlink()
    second = open_store()
    await second.write(begin("b"))
    with pytest.raises(StoreLost, match="taken this ledger over"):
        await store.write(begin("c"))
    with pytest.raises(StoreLost):
        await store.write(begin("d"))
    assert len(lost) == 1
    await second.write(begin("e"))
    assert [run.id for run in second.read(lambda view: view.runs())] == ["run-a", "run-b", "run-e"]
    assert sound(second)


WAYS = ["removed", "replaced", "removed with its folder", "moved with its folder", "moved with its project"]


@pytest.mark.parametrize("seen", ["at a write", "while idle"])
@pytest.mark.parametrize("how", WAYS)
async def test_a_file_that_is_gone_stops_the_store_and_its_contents_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, seen: str
) -> None:
    path, told = tmp_path / "project" / "data" / "ledger.db", asyncio.Event()
    lost: list[StoreLost] = []
    loop = asyncio.get_running_loop()

    def on_lost(error: StoreLost) -> None:
        lost.append(error)
        loop.call_soon_threadsafe(told.set)

    monkeypatch.setattr(store_module, "LOOK_S", 0.01 if seen == "while idle" else 60.0)
    store = SqliteStore(path, SteppedClock(), on_lost=on_lost)
    await store.write(begin("a"))
    if how.startswith("moved"):
        gone = path.parent if how == "moved with its folder" else path.parent.parent
        gone.rename(tmp_path / "elsewhere")
    elif how == "removed with its folder":
        shutil.rmtree(path.parent)
    else:
        path.unlink()
        if how == "replaced":
            path.write_bytes(b"something else")
    if seen == "while idle":
        await asyncio.wait_for(told.wait(), 30)
    with pytest.raises(StoreLost, match="removed or replaced"):
        await store.write(begin("b"))
    assert len(lost) == 1
    store.close()
    saved = path.with_name(f"ledger.db.saved-{os.getpid()}")
    if how == "moved with its project":
        assert "saving the open copy failed as well" in str(lost[0])
        return
    assert str(saved) in str(lost[0])
    assert list(verify(saved, store.ledger_id)) == []
    path.unlink(missing_ok=True)
    saved.rename(path)
    again = SqliteStore(path, SteppedClock())
    assert [run.id for run in again.read(lambda view: view.runs())] == ["run-a"]
    assert sound(again)
    again.close()


async def test_an_idle_store_on_a_full_disk_waits_for_room(
    store: SqliteStore, lost: list[StoreLost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LOOK_S", 0.01)
    await store.write(begin("a"))
    looks = threading.Semaphore(0)

    def full() -> None:
        looks.release()
        raise StoreFull

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(store._file, "check", full)
        for _ in range(3):
            assert await asyncio.to_thread(looks.acquire, timeout=30)
    await store.write(begin("b"))
    assert lost == []


def test_by_default_a_lost_store_ends_its_process(tmp_path: Path) -> None:
    code = """
import asyncio, sys
from pathlib import Path
from deputize.clock import SystemClock
from deputize.store.sqlite.store import SqliteStore
async def main():
    store = SqliteStore(Path(sys.argv[1]), SystemClock())
    Path(sys.argv[1]).unlink()
    await store.write(lambda tx: None)
asyncio.run(main())
"""
    command = [sys.executable, "-c", code, str(tmp_path / "ledger.db")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == store_module.EXIT_COMMIT_UNKNOWN
    assert "was removed or replaced" in ended.stderr


# -- busy and full ----------------------------------------------------------------------------------


_LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_elsewhere(path: Path) -> Iterator[None]:
    """Another program holds the file's write lock."""
    command = [sys.executable, "-c", _LOCK, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == "locked\n"
            yield
        finally:
            other.kill()


async def test_a_ledger_locked_by_another_program_is_busy_and_goes_on_after(
    store: SqliteStore, lost: list[StoreLost]
) -> None:
    await store.write(begin("a"))
    store._file.db.execute("PRAGMA busy_timeout=50")
    with locked_elsewhere(store.path):
        results = await asyncio.gather(*(store.write(begin(name)) for name in "bc"), return_exceptions=True)
        assert [type(result) for result in results] == [StoreFull, StoreFull]
        assert "nothing was accepted" in str(results[0])
    await store.write(begin("b"))
    assert [run.id for run in store.read(lambda view: view.runs())] == ["run-a", "run-b"]
    assert lost == []
    assert sound(store)


async def test_when_a_whole_commit_is_rolled_back_nothing_of_it_counts(store: SqliteStore) -> None:
    def gives_up(tx: Tx) -> None:
        store._file.db.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    await store.write(begin("a"))
    work = lambda tx: tx.append(1, 1, [entries.read("1")])  # noqa: E731 - the same work, given twice
    given = [store.write(step) for step in (begin("b"), work, gives_up, begin("c"))]
    results = await asyncio.gather(*given, return_exceptions=True)
    assert [type(result) for result in results] == [StoreFull] * 4
    assert await store.write(work) == 2
    # What was prepared for the runs that were rolled back must not be taken for another one's.
    assert await store.write(begin("c")) == (3, "ready")
    assert store.read(lambda view: view.counts())["entries"] == 3
    await store.write(lambda tx: tx.append(3, 1, [entries.ended()]))
    assert store.read(lambda view: view.counts())["runs.ended"] == 1
    assert sound(store)


async def test_a_work_that_hides_that_all_was_rolled_back_is_not_told_as_done(store: SqliteStore) -> None:
    def hides(tx: Tx) -> str:
        tx.set_setting("half", "done")
        store._file.db.execute("ROLLBACK")
        return "kept"

    for given in ([hides], [hides, begin("b")]):
        results = await asyncio.gather(*map(store.write, given), return_exceptions=True)
        assert [type(result) for result in results] == [StoreFull] * len(given)
    assert await store.write(lambda tx: tx.setting("half")) is None
    assert sound(store)


async def test_when_the_first_work_of_a_commit_fails_the_others_are_written(store: SqliteStore) -> None:
    def fails(tx: Tx) -> None:
        begin("b")(tx)
        tx.set_setting("half", "done")
        raise ValueError("no")

    given = [store.write(step) for step in (fails, begin("c"), fails, begin("d"))]
    results = await asyncio.gather(*given, return_exceptions=True)
    assert [type(result) for result in results] == [ValueError, tuple, ValueError, tuple]
    assert [run.id for run in store.read(lambda view: view.runs())] == ["run-c", "run-d"]
    assert await store.write(lambda tx: tx.setting("half")) is None
    assert store.commits == 2
    assert sound(store)


async def test_nothing_is_accepted_on_a_disk_with_too_little_room(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write(begin("a"))
    real = os.statvfs(store.path)

    class Full:
        f_bavail, f_frsize = store_file.FREE_BYTES_MIN // real.f_frsize - 1, real.f_frsize

    with monkeypatch.context() as patched:
        patched.setattr(store_file.os, "statvfs", lambda path: Full)
        patched.setattr(store_file, "ROOM_LOOK_S", 0.0)
        with pytest.raises(StoreFull, match="less than 16 MB left; nothing was accepted: make room"):
            await store.write(begin("b"))
    await store.write(begin("b"))
    assert sound(store)


@pytest.mark.parametrize(("free", "looks_at_once"), [(1, 1), (-1, 4)])
async def test_ample_room_is_looked_at_a_few_times_a_second_and_less_at_each_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, looks_at_once: int
) -> None:
    class Disk:
        f_bavail, f_frsize = store_file.FREE_BYTES_AMPLE + free, 1

    clock = SteppedClock()
    looks: list[Any] = []
    monkeypatch.setattr(store_file.os, "statvfs", lambda path: looks.append(path) or Disk)
    with closing(SqliteStore(tmp_path / "ledger.db", clock)) as store:
        for name in "abcd":
            await store.write(begin(name))
        assert len(looks) == looks_at_once
        clock.at_us += int(2 * store_file.ROOM_LOOK_S * 1_000_000)
        looks.clear()
        await store.write(begin("e"))
        assert len(looks) == 1


async def test_a_file_that_cannot_be_looked_at_accepts_nothing_and_the_writer_lives(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Any) -> Any:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(store_file.os, "statvfs", broken)
        with pytest.raises(StoreFull, match="Input/output error"):
            await store.write(begin("a"))
    await store.write(begin("a"))


_FILL = """
import asyncio, os, sys
from pathlib import Path
from deputize.clock import SystemClock
from deputize.errors import StoreFull
from deputize.store.sqlite import file as store_file
from deputize.store.sqlite.store import SqliteStore
from deputize.testing import entries

if sys.argv[2] == "past the guard":
    store_file.FREE_BYTES_MIN = 0

async def main():
    store = SqliteStore(Path(sys.argv[1]) / "ledger.db", SystemClock())
    for n in range(2_000):
        name = str(n)
        try:
            await store.write(lambda tx: entries.begin(tx, name, data={"text": os.urandom(50_000).hex()}))
        except StoreFull as error:
            print(error, file=sys.stderr)
            return
        print("run-" + name, flush=True)

asyncio.run(main())
"""

_FILL_AND_GO_ON = """
import asyncio, subprocess, sys
from pathlib import Path
from deputize.clock import SystemClock
from deputize.store.sqlite.store import SqliteStore
from deputize.testing import entries
from deputize.testing.store_suite import sound

place, guard, fill = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
(place / "ballast").write_bytes(bytes(48 << 20))
filled = subprocess.run([sys.executable, "-c", fill, place, guard], capture_output=True, text=True)
(place / "ballast").unlink()

async def main():
    store = SqliteStore(place / "ledger.db", SystemClock())
    await store.write(lambda tx: entries.begin(tx, "after"))
    runs = store.read(lambda view: [run.id for run in view.runs(limit=9_999)])
    kept = filled.stdout.split()
    assert kept and runs[: len(kept)] == kept and runs[-1] == "run-after", (kept, runs)
    assert sound(store)
    store.close()

asyncio.run(main())
print(filled.returncode, filled.stderr)
"""


@pytest.mark.parametrize(
    ("guard", "told"),
    [
        ("the guard", "0 the disk of"),
        # Only COMMIT finds the disk full: its outcome is unknown, and the process ends itself.
        ("past the guard", f"{store_module.EXIT_COMMIT_UNKNOWN} deputize: a commit has an unknown outcome"),
    ],
)
def test_a_really_full_disk_loses_nothing_and_goes_on_when_there_is_room(
    tmp_path: Path, guard: str, told: str
) -> None:
    mount = f"mount -t tmpfs -o size=96m tmpfs '{tmp_path}'"
    try:
        may = subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode == 0
    except FileNotFoundError:
        may = False
    if not may:
        pytest.skip("needs the right to mount a small disk of its own")
    command = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c"]
    command += [_FILL_AND_GO_ON, str(tmp_path), guard, _FILL]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(told)


# -- a commit whose outcome is unknown --------------------------------------------------------------


class FailingCommit:
    """A connection whose COMMIT fails after, or before, it was done."""

    def __init__(self, db: sqlite3.Connection, *, done: bool) -> None:
        self.db, self.done = db, done

    def execute(self, sql: str, *values: Any) -> Any:
        if sql != "COMMIT":
            return self.db.execute(sql, *values)
        if self.done:
            self.db.execute(sql)
        raise sqlite3.OperationalError("disk I/O error")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)


@pytest.mark.parametrize("done", [True, False])
async def test_a_commit_of_unknown_outcome_is_never_told_as_success(
    store: SqliteStore, open_store: Open, lost: list[StoreLost], done: bool
) -> None:
    await store.write(begin("a"))
    real = store._file.db
    store._file.db = FailingCommit(real, done=done)  # type: ignore[assignment]
    first = [store.write(begin(name)) for name in "bc"]
    results = await asyncio.gather(*first, return_exceptions=True)
    assert all(isinstance(result, StoreLost) for result in results)
    assert "unknown outcome (disk I/O error)" in str(lost[0])
    store._file.db = real
    with pytest.raises(StoreLost):
        await store.write(begin("d"))
    assert len(lost) == 1, "it is lost once"
    store.close()
    again = open_store()
    found = [run.id for run in again.read(lambda view: view.runs())]
    assert found == (["run-a", "run-b", "run-c"] if done else ["run-a"])
    assert sound(again)


async def test_works_behind_a_failed_commit_are_not_written(open_store: Open, lost: list[StoreLost]) -> None:
    in_commit, go_on = threading.Event(), threading.Event()

    def boundary(name: str) -> None:
        if name == "group.before_commit" and not in_commit.is_set():
            in_commit.set()
            assert go_on.wait(30)

    store = open_store(boundary=boundary)
    first = store.write(begin("a"))
    await asyncio.to_thread(in_commit.wait, 30)
    behind = store.write(begin("b"))
    await asyncio.sleep(0)
    real = store._file.db
    store._file.db = FailingCommit(real, done=True)  # type: ignore[assignment]
    go_on.set()
    results = await asyncio.gather(first, behind, return_exceptions=True)
    store._file.db = real
    assert [type(result) for result in results] == [StoreLost, StoreLost]
    assert [run.id for run in store.read(lambda view: view.runs())] == ["run-a"]
    assert len(lost) == 1


async def test_a_damaged_file_stops_the_store_and_leaves_no_one_waiting(
    store: SqliteStore, lost: list[StoreLost]
) -> None:
    class Damaged(FailingCommit):
        def execute(self, sql: str, *values: Any) -> Any:
            raise sqlite3.DatabaseError("database disk image is malformed")

    real = store._file.db
    store._file.db = Damaged(real, done=False)  # type: ignore[assignment]
    with pytest.raises(StoreLost, match="malformed"):
        await store.write(begin("a"))
    store._file.db = real
    assert len(lost) == 1


# -- bounds, closing --------------------------------------------------------------------------------


async def test_the_queue_is_bounded_and_what_it_took_is_written(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "QUEUE_MAX", 50)
    given = [store.write(begin(str(n))) for n in range(60)]
    results = await asyncio.gather(*given, return_exceptions=True)
    assert [isinstance(result, StoreFull) for result in results] == [False] * 50 + [True] * 10
    await store.write(begin("later"))
    assert store.read(lambda view: view.counts())["entries"] == 51


async def test_closing_finishes_what_was_given_and_refuses_what_comes_after(
    store: SqliteStore, open_store: Open
) -> None:
    given = [store.write(begin(str(n))) for n in range(600)]
    store.close()
    assert len(await asyncio.gather(*given)) == 600
    with pytest.raises(StoreError, match="closed"):
        await store.write(begin("late"))
    assert open_store().read(lambda view: view.counts())["entries"] == 600


async def test_a_backup_says_why_it_cannot_be_made(store: SqliteStore, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    store.backup(target)
    with pytest.raises(StoreError, match="is there already"):
        store.backup(target)
    with pytest.raises(StoreError, match="could not be made"):
        store.backup(target / "below a file.db")


async def test_what_a_killed_backup_left_is_not_in_the_way_of_the_next(
    store: SqliteStore, tmp_path: Path
) -> None:
    await store.write(begin("a"))
    for left in ("copy.db.partial", "copy.db.partial-journal"):
        (tmp_path / left).write_bytes(b"half a page")
    store.backup(tmp_path / "copy.db")
    assert sorted(path.name for path in tmp_path.glob("copy.db*")) == ["copy.db"]


async def test_a_rebuild_mends_what_was_changed_while_others_write(store: SqliteStore) -> None:
    for name in "ab":
        await store.write(begin(name))
    await store.write(lambda tx: tx.append(1, 1, [entries.intent("1", leases=["charge:1"])]))
    with closing(sqlite3.connect(store.path, isolation_level=None)) as db:
        db.execute("DELETE FROM lease")
        db.execute("UPDATE run SET state='stuck' WHERE no=2")
    differences = store.rebuild(replace=False)
    assert [line.split(":")[0] for line in differences] == ["run", "run", "lease"]
    given = [store.write(begin(f"more-{n}")) for n in range(20)]
    assert len(await asyncio.to_thread(lambda: store.rebuild(replace=True))) == 3
    await asyncio.gather(*given)
    assert store.read(lambda view: view.leases()) == [("charge:1", "run-a", "1")]
    assert sound(store)

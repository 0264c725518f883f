"""The floor: what SQLite and the disk allow, with no system on top.

For every 50 runs, three commits of 50 rows of 400 bytes each, WAL and synchronous=FULL, and nothing
else. A system that shares commits perfectly and costs nothing would reach this rate.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from bench.measure import STEPS_PER_RUN, WARM_UP_RUNS, expect_count, main, sync_fully

ROW_BYTES = 400


def measure_throughput(runs: int, concurrency: int, directory: Path) -> float:
    """Runs per second, `concurrency` runs to a commit; `runs` is rounded up to whole commits."""
    batches = -(-runs // concurrency)
    warm_up_batches = -(-WARM_UP_RUNS // concurrency)
    database = directory / "floor.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        sync_fully(connection)
        connection.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        _write(connection, warm_up_batches, concurrency)
        started = time.perf_counter()
        _write(connection, batches, concurrency)
        elapsed_s = time.perf_counter() - started
    rows = (batches + warm_up_batches) * concurrency * STEPS_PER_RUN
    expect_count(database, "SELECT count(*) FROM entry", rows)
    return batches * concurrency / elapsed_s


def _write(connection: sqlite3.Connection, batches: int, rows_per_commit: int) -> None:
    rows = [(bytes(ROW_BYTES),)] * rows_per_commit
    for _ in range(batches * STEPS_PER_RUN):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO entry (body) VALUES (?)", rows)
        connection.execute("COMMIT")


if __name__ == "__main__":
    main("floor", sqlite3.sqlite_version, {"throughput": measure_throughput})

"""DBOS on the work: a workflow of three steps, its system database in SQLite.

DBOS has no setting for SQLite's journal or synchronous mode. An SQLAlchemy `connect` event on all
engines sets WAL and synchronous=FULL on every connection and reads them back.

Configuration, the fastest of those tried with 600 runs, 50 at once, on two cores, each twice (runs/s):
threads with a pool of 1, 2, 4 and 20 connections (20 is the default) 219–230, 213–218, 211–230 and
196–198; async workflows and steps, which take each database call to a thread and back, 131–145 with the
defaults, 181–188 and 166–191 with 8 executor threads and a pool of 1 and 4. Alone, threads: 3.6–3.9 ms.
So: plain functions on threads, one connection (SQLite has one writer; others wait in its busy handler),
no ping before use, logs for errors only; no conductor, telemetry or other network. The step is
therefore the plain form of the same no-op write.

A run is five commits: the workflow's start, three steps, its outcome. To count the syncs:
`strace -f -c -e trace=fdatasync .venv-bench/bin/python -m bench.peers.dbos_peer …`.
"""

import sqlite3
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from dbos import DBOS, DBOSConfig
from sqlalchemy import Engine, event

from bench.measure import STEPS_PER_RUN, WARM_UP_RUNS, expect_count, main, sync_fully

POOL_TIMEOUT_S = 600


def _write_nothing(number: int) -> dict[str, int]:
    return {"number": number}


_step = DBOS.step(name="write_nothing")(_write_nothing)


def _three_steps(number: int) -> int:
    for _ in range(STEPS_PER_RUN):
        _step(number)
    return number


_run = DBOS.workflow(name="three_steps")(_three_steps)


def measure_throughput(runs: int, concurrency: int, directory: Path) -> float:
    """Runs per second with `concurrency` threads, each starting its next run as the last one ends."""
    with launched(directory / "dbos.db"), ThreadPoolExecutor(concurrency) as threads:
        warm_up_runs = max(WARM_UP_RUNS, concurrency)
        list(threads.map(_run, range(warm_up_runs)))
        started = time.perf_counter()
        list(threads.map(_run, range(runs)))
        elapsed_s = time.perf_counter() - started
    _expect_recorded(directory / "dbos.db", runs + warm_up_runs)
    return runs / elapsed_s


def measure_latency(runs: int, concurrency: int, directory: Path) -> float:
    """Median milliseconds of one run, one at a time; `concurrency` has no part in it."""
    with launched(directory / "dbos.db"):
        for number in range(WARM_UP_RUNS):
            _run(number)
        elapsed_ms = [_timed_ms(number) for number in range(runs)]
    _expect_recorded(directory / "dbos.db", runs + WARM_UP_RUNS)
    return statistics.median(elapsed_ms)


def _timed_ms(number: int) -> float:
    started = time.perf_counter()
    _run(number)
    return (time.perf_counter() - started) * 1000


@contextmanager
def launched(database: Path) -> Iterator[None]:
    event.listen(Engine, "connect", _on_connect)
    config: DBOSConfig = {
        "name": "bench-peer",
        "system_database_url": f"sqlite:///{database}",
        "sys_db_pool_size": 1,
        # The pool serves waiting threads in no order: in a long run one may wait for most of it.
        "db_engine_kwargs": {"pool_pre_ping": False, "pool_timeout": POOL_TIMEOUT_S},
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()


def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
    sync_fully(connection)


def _expect_recorded(database: Path, runs: int) -> None:
    expect_count(
        database, "SELECT count(*) FROM operation_outputs WHERE output IS NOT NULL", runs * STEPS_PER_RUN
    )
    expect_count(database, "SELECT count(*) FROM workflow_status WHERE status = 'SUCCESS'", runs)


if __name__ == "__main__":
    main("dbos", version("dbos"), {"throughput": measure_throughput, "latency": measure_latency})

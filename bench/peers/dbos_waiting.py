"""DBOS waiting for a person's word: a workflow in `recv`, and a `send` that lets it do one step and end.

On PostgreSQL, as DBOS is meant to be run, with the server's own defaults (fsync and synchronous_commit on).
Measured from `send` to the workflow's result, which is handed back only when its outcome is committed.

Configuration: of those tried with 200 workflows, each twice, on two cores (ms): the defaults without a ping
before use 7.1–9.2, with it 9.0; pools of 2 and 4 connections (20 is the default) 7.8–8.4 and 7.9–10.0 (with
1 it never starts: its listener takes one); 2 executor threads 7.9–9.5; polling every millisecond in place of
LISTEN/NOTIFY 10.6; notifications gathered for 1 ms (10 is the default) 8.5; held on one processor 7.6–9.6.
All but polling lie within what the machine makes of it. So: the defaults without that ping, plain functions
on threads (for the spine's work coroutines were slower in every configuration, see `dbos_peer.py`), a Unix
socket, logs for errors only; no conductor, telemetry or other network.
"""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import psycopg
from dbos import DBOS, DBOSConfig, SetWorkflowID

from bench import postgres
from bench.measure import WARM_UP_RUNS, WorkNotDone, main

TOPIC = "granted"
WAIT_S = 60.0
LOOK_S = 0.001
LOOKS_MAX = 30_000
WAITING = """
SELECT count(*) FROM dbos.operation_outputs WHERE workflow_uuid = %s AND function_name = 'DBOS.sleep'
"""
"""The deadline of `recv` is the last thing that is written before it waits."""

ENDED = "SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'"
STEPS = "SELECT count(*) FROM dbos.operation_outputs WHERE function_name = 'write_nothing'"


def _write_nothing(number: int) -> dict[str, int]:
    return {"number": number}


_step = DBOS.step(name="write_nothing")(_write_nothing)


def _wait(number: int) -> str:
    granted = DBOS.recv(TOPIC, timeout_seconds=WAIT_S)
    if granted != "yes":
        raise WorkNotDone(f"workflow {number} was told {granted!r}")
    _step(number)
    return "filed"


_waits = DBOS.workflow(name="waits")(_wait)


def measure_grant_to_finished_ms(runs: int, concurrency: int, directory: Path) -> float:
    """The median of milliseconds from `send` to the workflow's durable result, one at a time."""
    with (
        postgres.serving(directory / "postgres") as sockets,
        psycopg.connect(host=sockets, user="bench", dbname="postgres", autocommit=True) as watching,
    ):
        _expect_durable(watching)
        watching.execute("CREATE DATABASE peer")
        with (
            _launched(f"postgresql+psycopg://bench@/peer?host={sockets}"),
            psycopg.connect(host=sockets, user="bench", dbname="peer", autocommit=True) as looking,
        ):
            times = [_granted_s(looking, number) for number in range(runs + WARM_UP_RUNS)]
            for what in (ENDED, STEPS):
                _expect(looking, what, runs + WARM_UP_RUNS)
    return statistics.median(times[WARM_UP_RUNS:]) * 1_000


def _granted_s(looking: psycopg.Connection, number: int) -> float:
    """One workflow waits, is told, and ends: seconds from telling it."""
    id = f"w{number}"
    with SetWorkflowID(id):
        handle = DBOS.start_workflow(_waits, number)
    _await_waiting(looking, id)
    began = time.perf_counter()
    DBOS.send(id, "yes", TOPIC)
    if handle.get_result() != "filed":
        raise WorkNotDone(f"workflow {number} did not end")
    return time.perf_counter() - began


def _await_waiting(looking: psycopg.Connection, id: str) -> None:
    for _ in range(LOOKS_MAX):
        if looking.execute(WAITING, (id,)).fetchone() == (1,):
            return
        time.sleep(LOOK_S)
    raise WorkNotDone(f"workflow {id} did not come to wait")


@contextmanager
def _launched(url: str) -> Iterator[None]:
    config: DBOSConfig = {
        "name": "bench-peer",
        "system_database_url": url,
        "log_level": "ERROR",
        "db_engine_kwargs": {"pool_pre_ping": False},
    }
    DBOS(config=config)
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()


def _expect_durable(connection: psycopg.Connection) -> None:
    for setting in ("fsync", "synchronous_commit"):
        if connection.execute(f"SHOW {setting}").fetchone() != ("on",):
            raise WorkNotDone(f"PostgreSQL has {setting} off")


def _expect(connection: psycopg.Connection, query: str, expected: int) -> None:
    found = connection.execute(query).fetchone()
    if found != (expected,):
        raise WorkNotDone(f"{query!r}: expected {expected}, found {found}")


if __name__ == "__main__":
    measures = {"grant_to_finished_ms": measure_grant_to_finished_ms}
    main("dbos", version("dbos"), measures, database=f"PostgreSQL {postgres.version()}")

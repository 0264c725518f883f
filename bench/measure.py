"""What every contender is: a process that performs one measure and prints one JSON line.

Only the standard library is imported here, for the peers run in an environment of their own.
"""

import argparse
import json
import platform
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

STEPS_PER_RUN = 3
WARM_UP_RUNS = 50


class Measure(Protocol):
    """One way to measure a system.

    `runs` is the size of the measured work, start-up and warm-up excluded; `concurrency` is how many
    runs are in flight at once; `directory` is empty and on the disk that is measured. The result is
    in the unit of the measure: runs per second for `throughput`, the median of milliseconds per run
    for `latency`; others carry their unit in their name. Work that is read in several ways results in a
    value for each, by its name. Raises `WorkNotDone` if the work was not done.
    """

    def __call__(self, runs: int, concurrency: int, directory: Path) -> float | Mapping[str, float]: ...


class WorkNotDone(Exception):
    """The system's own record does not hold the work that was measured, so the figure means nothing."""


def sync_fully(connection: sqlite3.Connection) -> None:
    """Set WAL and synchronous=FULL on a connection; raises `WorkNotDone` where SQLite does not take them."""
    (journal,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    connection.execute("PRAGMA synchronous=FULL")
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    if (journal, synchronous) != ("wal", 2):
        raise WorkNotDone(f"asked for WAL and synchronous=FULL (2), got {journal} and {synchronous}")


def expect_count(database: Path, query: str, expected: int) -> None:
    """Raise `WorkNotDone` unless `query` counts exactly `expected` rows in a database that is in WAL mode."""
    connection = sqlite3.connect(database)
    try:
        (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
        (found,) = connection.execute(query).fetchone()
    finally:
        connection.close()
    if journal != "wal" or found != expected:
        raise WorkNotDone(f"{query!r}: expected {expected} rows in WAL mode, found {found} in {journal} mode")


def main(system: str, version: str, measures: Mapping[str, Measure], *, database: str = "") -> None:
    """Read the command line, perform one of `measures` and print its reading as one line of JSON.

    `database` is what it keeps its record in, where that is not SQLite.
    """
    parser = argparse.ArgumentParser(prog=system)
    parser.add_argument("--measure", choices=sorted(measures), required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--dir", type=Path, required=True, help="an empty directory on the disk to measure")
    given = parser.parse_args()
    if given.runs < 1 or given.concurrency < 1:
        parser.error("--runs and --concurrency are at least 1")
    found = measures[given.measure](given.runs, given.concurrency, given.dir)
    value, values = (0.0, found) if isinstance(found, Mapping) else (found, {})
    reading = {
        "system": system,
        "version": version,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "database": database or f"SQLite {sqlite3.sqlite_version}",
        "measure": given.measure,
        "runs": given.runs,
        "concurrency": given.concurrency,
        "value": value,
        "values": dict(values),
    }
    print(json.dumps(reading), flush=True)

"""Who is measured, and how one of them is asked for one reading in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = ROOT / "build" / "bench"
"""Where databases are written: the project's own disk, for a temporary directory may be in memory."""

READING_TIMEOUT_S = 600
FOREIGN_SETTINGS = ("DBOS_", "LANGCHAIN_", "LANGSMITH_", "LANGGRAPH_", "OTEL_")


class ReadingFailed(Exception):
    """A contender could not be measured: it did not start, failed, or ran past its time."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A system that is measured: `module` run with `-m` by the Python at `python`. A reading takes no longer
    than `timeout_s`."""

    name: str
    python: Path
    module: str
    timeout_s: float = READING_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one measure, in the measure's unit, and the versions it was taken with.

    Where one piece of work is read in several ways, `values` has what each came to.
    """

    value: float
    version: str
    python: str
    sqlite: str
    database: str
    values: Mapping[str, float] = field(default_factory=dict)

    def of(self, measure: str) -> "Reading":
        """What one of these ways came to; where there are none, the reading itself."""
        return replace(self, value=self.values[measure]) if self.values else self


OURS = Contender("ours", Path(sys.executable), "bench.ours")
DECIDING = Contender("ours", Path(sys.executable), "bench.deciding")
LOOKING = Contender("ours", Path(sys.executable), "bench.looking", timeout_s=1_800)
PLANNING = Contender("ours", Path(sys.executable), "bench.planning_ours", timeout_s=7_200)
REHEARSING = Contender("ours", Path(sys.executable), "bench.rehearsing")
THINKING = Contender("ours", Path(sys.executable), "bench.thinking_ours")
QUEUEING = Contender("ours", Path(sys.executable), "bench.thinking_queue")
FLOOR = Contender("floor", Path(sys.executable), "bench.floor")
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
DBOS = Contender("dbos", PEERS_PYTHON, "bench.peers.dbos_peer")
DBOS_WAITING = Contender("dbos", PEERS_PYTHON, "bench.peers.dbos_waiting")
LANGGRAPH = Contender("langgraph", PEERS_PYTHON, "bench.peers.langgraph_peer")
DBOS_LOOP = Contender("dbos", PEERS_PYTHON, "bench.peers.dbos_loop")
LANGGRAPH_LOOP = Contender("langgraph", PEERS_PYTHON, "bench.peers.langgraph_loop")


def read(contender: Contender, measure: str, runs: int, concurrency: int) -> Reading:
    """Start `contender` once, in an empty directory, for one reading of `measure`.

    Raises `ReadingFailed`, with the end of what the contender wrote.
    """
    if not contender.python.exists():
        raise ReadingFailed(f"{contender.name} needs {contender.python}: make .venv-bench/stamp")
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix=f"{contender.name}-") as directory:
        work = ["--runs", str(runs), "--concurrency", str(concurrency), "--dir", directory]
        command = [str(contender.python), "-m", contender.module, "--measure", measure, *work]
        try:
            ended = subprocess.run(
                command,
                cwd=ROOT,
                env=_plain_environment(),
                capture_output=True,
                text=True,
                timeout=contender.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ReadingFailed(f"{contender.name} {measure}: not done in {contender.timeout_s} s") from error
    return _parse(f"{contender.name} {measure}", ended)


def _plain_environment() -> dict[str, str]:
    """The environment without settings that would turn a peer's tracing, cloud or network on."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}


def _parse(what: str, ended: subprocess.CompletedProcess[str]) -> Reading:
    lines = ended.stdout.splitlines()
    if ended.returncode != 0 or not lines:
        end = "\n".join((ended.stdout + ended.stderr).splitlines()[-12:])
        raise ReadingFailed(f"{what}: ended with {ended.returncode}\n{end}")
    try:
        found = json.loads(lines[-1])
        names = ("version", "python", "sqlite", "database")
        reading = Reading(float(found["value"]), *(found[name] for name in names))
        return replace(reading, values=found.get("values", {}))
    except (ValueError, KeyError, TypeError) as error:
        raise ReadingFailed(f"{what}: its last line is not a reading: {lines[-1][:200]}") from error

"""The demo: it ends well by itself, and goes on after every kind of kill, to the cent."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from deputize.models.local import is_installed
from deputize.town import Town

DEPUTIZE = Path(sys.executable).parent / "deputize"
WITHIN_S = 60.0
LOCAL_S = 240.0
EVERY_S = 0.05

pytestmark = pytest.mark.slow


class Demo:
    """The command in a folder, started as often as a test likes."""

    def __init__(self, folder: Path, model: str = "stand-in") -> None:
        self.model = model
        self.dir = folder / "state"
        self.report = folder / "report.json"
        self.process: subprocess.Popen[str] | None = None

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start it in a session of its own, so that its whole group can be killed."""
        options = ["--dir", str(self.dir), "--days", "1", "--per-second", "15", "--exit-when-idle"]
        options += ["--model", self.model]
        self.process = subprocess.Popen(
            [str(DEPUTIZE), "demo", *options, "--json", str(self.report), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self.process

    def finish(self, within_s: float = WITHIN_S) -> tuple[int, str]:
        """Wait for its end; the exit code and what it said."""
        assert self.process is not None
        said, _ = self.process.communicate(timeout=within_s)
        return self.process.returncode, said

    def reported(self) -> dict[str, Any]:
        """The figures that it wrote."""
        found: dict[str, Any] = json.loads(self.report.read_text("utf-8"))
        return found

    def pids(self) -> dict[str, int]:
        """The processes of the server and the town, where they have said so."""
        places = {
            "server": self.dir / "project" / "data" / "server.json",
            "town": self.dir / "town/town.json",
        }
        return {name: json.loads(at.read_text("utf-8"))["pid"] for name, at in places.items() if at.is_file()}

    def when_answered(self, count: int) -> None:
        """Wait until so many events were answered, by the runs in the ledger."""
        until(lambda: self._ended() >= count, f"{count} events answered")

    def _ended(self) -> int:
        ledger = self.dir / "project" / "data" / "ledger.db"
        if not ledger.is_file():
            return 0
        try:
            with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
                return int(db.execute("SELECT count(*) FROM run WHERE state = 'ended'").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # it is being made

    def end(self) -> None:
        """Leave nothing running."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds, by looking."""
    for _ in range(int(WITHIN_S / EVERY_S)):
        if holds():
            return
        threading.Event().wait(EVERY_S)
    raise AssertionError(f"not within {WITHIN_S:.0f} s: {what}")


def gone(*pids: int) -> None:
    """Wait until none of these processes runs any more."""
    until(
        lambda: (
            not any(
                psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
                for pid in pids
            )
        ),
        f"the processes {pids} are gone",
    )


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    yield demo
    demo.end()


def test_a_demo_that_is_left_alone_ends_well_and_says_so(demo: Demo) -> None:
    demo.start("--seed", "11")
    code, said = demo.finish()
    assert code == 0, said
    report = demo.reported()
    assert report["ok"] and all(report["checks"].values())
    assert report["answered"] == report["sent"] == report["of"] > 60
    assert report["book"] == report["ledger"] and report["book"]["EUR"] > 0
    assert "as a good shop would have ended them" in said
    assert "mails, read by a stand-in for a model: " in said
    assert report["mails"]["total"] > 5 and report["mails"]["thoughts"] > 5
    with Town.start(demo.dir / "town") as town:
        summary = town.summary()
    assert summary["refunded_minor"] == summary["refunded_in_state_minor"] == report["ledger"]
    assert summary["duplicates"] == 0
    assert next(demo.dir.rglob(".env")).stat().st_mode & 0o077 == 0


@pytest.mark.skipif(
    not is_installed(), reason="the packages of the model that runs here are not for this machine"
)
def test_a_small_model_reads_the_mails_and_moves_no_money_for_what_it_gets_wrong(tmp_path: Path) -> None:
    demo = Demo(tmp_path, "local")
    try:
        demo.start("--seed", "11")
        code, said = demo.finish(LOCAL_S)
        assert code == 0, said
        report = demo.reported()
    finally:
        demo.end()
    assert "mails, read by a small model on this machine: " in said
    assert report["checks"]["no_wrong_money"] and report["mails"]["total"] > 5
    assert report["book"] == report["ledger"]


def test_a_demo_that_is_killed_in_every_way_goes_on_and_agrees_to_the_cent(demo: Demo) -> None:
    process = demo.start()
    demo.when_answered(10)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    process = demo.start()
    demo.when_answered(25)
    pids = demo.pids()
    process.kill()
    process.communicate()
    gone(*pids.values())  # its children do not outlive it

    process = demo.start()
    demo.when_answered(40)
    before = demo.pids()
    os.kill(before["server"], signal.SIGKILL)
    until(lambda: demo.pids().get("server") not in (None, before["server"]), "the server is started again")
    demo.when_answered(60)
    os.kill(before["town"], signal.SIGKILL)
    code, said = demo.finish()
    assert code == 0, said
    assert "The server has ended; it is started again" in said
    assert "The town has ended; it is started again" in said

    first = demo.reported()
    assert first["ok"] and first["starts"] >= 4
    demo.start()
    assert demo.finish()[0] == 0
    assert demo.reported()["book"] == first["book"] == first["ledger"]
    assert demo.reported()["book_effects"] == first["book_effects"]


def test_a_demo_that_is_interrupted_stops_in_order_and_says_how_to_go_on(demo: Demo) -> None:
    process = demo.start()
    demo.when_answered(5)
    pids = demo.pids()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
    code, said = demo.finish()
    assert code == 130
    assert "goes on from here" in said and "Traceback" not in said
    assert not demo.reported()["finished"]
    gone(*pids.values())
    again = subprocess.run(
        [str(DEPUTIZE), "demo", "--dir", str(demo.dir), "--days", "2"],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    assert again.returncode == 2
    assert "was begun with --days 1" in again.stderr and "--fresh" in again.stderr


def test_a_second_demo_in_the_same_folder_and_a_strange_folder_are_refused(
    demo: Demo, tmp_path: Path
) -> None:
    demo.start()
    demo.when_answered(1)
    second = [str(DEPUTIZE), "demo", "--dir", str(demo.dir), "--fresh"]
    refused = subprocess.run(second, capture_output=True, text=True, timeout=WITHIN_S)
    assert refused.returncode == 2 and "a demo is running" in refused.stderr
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    strange = [str(DEPUTIZE), "demo", "--dir", str(mine), "--fresh"]
    refused = subprocess.run(strange, capture_output=True, text=True, timeout=WITHIN_S)
    assert refused.returncode == 2 and "in use for something else" in refused.stderr
    assert (mine / "thesis.txt").read_text() == "years of work"

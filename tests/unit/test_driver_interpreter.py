"""Code that keeps the interpreter to itself: the process ends within a bound, and the next one knows why."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from deputize import canonical
from deputize.automation import Automation
from deputize.event import Occurrence
from deputize.kernel import watchdog
from deputize.kernel.holding import HELD, keeps_first, take_in_left
from deputize.kernel.live import LiveRun
from deputize.kernel.watchdog import MARK_BYTES, Left, Watchdog, read_left
from tests.support.command import deputize, edit, new_project
from tests.support.living import living, lone_run
from tests.unit.driver_desk import connector
from tests.unit.test_driver_holding import healthy

SEARCHING = """
import re

from agents import host
from deputize import Event, EventData, Outcome, automation, done


class Text(EventData, type="text.came"):
    text: str


@automation(on=Text, agent=host)
async def search(event: Event[Text]) -> Outcome:
    found = re.search(r"(a+)+$", event.data.text)  # here
    return done("found" if found else "not found")
"""

UP = """
import sys
from deputize.kernel import watchdog
watchdog.HELD_CPU_S_MAX = 1.0
watchdog.os.cpu_count = lambda: 1
from deputize.cli import main
raise SystemExit(main(["up", "--project", sys.argv[1]]))
"""


@contextmanager
def up(project: Path) -> Iterator[subprocess.Popen[str]]:
    """`deputize up` with little patience."""
    with subprocess.Popen(
        [sys.executable, "-c", UP, str(project)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            line = process.stdout.readline()
            assert line.startswith("Deputize is ready"), line + process.stderr.read()
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def send(project: Path, text: str) -> str:
    sent = deputize(project, "send", "text.came", "--data", json.dumps({"text": text}), "--json")
    assert sent.code == 0, sent.err
    return str(sent.json()["runs"][0])


def finished(project: Path, text: str) -> str:
    sent = deputize(project, "send", "text.came", "--data", json.dumps({"text": text}), "--wait", "--json")
    return sent.out


def test_a_search_without_an_end_ends_the_process_and_its_run_is_stuck_at_the_next_start(
    tmp_path: Path,
) -> None:
    project = new_project(tmp_path)
    searching = project / "automations" / "searching.py"
    searching.write_text(SEARCHING)
    line = SEARCHING.splitlines().index(next(x for x in SEARCHING.splitlines() if "# here" in x)) + 1
    evil = "a" * 64 + "b"
    with up(project) as zeroth:
        # It is the only event there is, so it is looked at while its commit is on its way.
        sent = deputize(project, "send", "text.came", "--data", json.dumps({"text": evil}))
        assert sent.code == 3 and "cannot be reached" in sent.err
        assert zeroth.wait(30) == -signal.SIGPROF
    with up(project) as first:
        # Accepted; whether that is still answered before the interpreter is held is a matter of luck.
        deputize(project, "send", "text.came", "--data", json.dumps({"text": evil}))
        assert first.wait(30) == -signal.SIGPROF
        assert first.stderr is not None
        assert (
            "the event that led there was not accepted yet, and when it is sent again" in first.stderr.read()
        )
    with up(project) as second:
        assert "not found" in finished(project, "ab")
        (run,) = (one["id"] for one in deputize(project, "runs", "--state", "stuck", "--json").json()["runs"])
        shown = deputize(project, "show", run, "--json").out
        assert '"stuck"' in shown and f"{searching}:{line}: the automation kept the interpreter" in shown
        assert deputize(project, "inbox", "--json").out.count(run) >= 1
        second.send_signal(signal.SIGTERM)
        _, said = second.communicate(timeout=30)
        assert f"run {run} of search is stuck: {searching}:{line}: " in said
        assert second.returncode == 0
    assert "in search\n" in (project / "data" / "held.txt.last").read_text()
    # It is not stepped again by the next process either, until its code is another.
    with up(project) as third:
        assert "not found" in finished(project, "aab")
        third.send_signal(signal.SIGTERM)
        assert third.communicate(timeout=30)[1] == ""
    edit(searching, r'r"(a+)+$"', r'r"a+$"')
    with up(project):
        deputize(project, "send", "text.came", "--data", '{"text": "b"}', "--wait")
        assert "ended" in deputize(project, "show", run, "--json").out


STOPPED = """
import asyncio, re, sys, time
from pathlib import Path
from deputize import Event, Outcome, automation, done
from deputize.kernel import watchdog
from tests.support.living import living
from tests.unit.driver_desk import Ask, worker
watchdog.HELD_CPU_S_MAX = 1.0
watchdog.os.cpu_count = lambda: 1

@automation(on=Ask, agent=worker)
async def works(event: Event[Ask]) -> Outcome:
    print("stepping", flush=True)
    began = time.thread_time()
    while time.thread_time() - began < 0.3:
        pass
    return done("worked")

async def main():
    guard = watchdog.Watchdog(Path(sys.argv[1] + ".held"))
    async with living(Path(sys.argv[1]), [works], restart=print, watchdog=guard) as at:
        run = await at.send()
        await at.until(lambda view: view.run(run).state in ("ended", "stuck"))
        print(at.run(run).state, at.run(run).label, flush=True)

asyncio.run(main())
"""


def test_a_process_that_is_stopped_in_a_step_for_longer_than_the_bound_goes_on(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(tmp_path / "p")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": ":".join([str(Path(__file__).parents[2]), *sys.path])},
    ) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "stepping\n"
            child.send_signal(signal.SIGSTOP)
            time.sleep(2.5)  # time is what is tried here
            child.send_signal(signal.SIGCONT)
            assert child.stdout.readline() == "ended done(worked)\n"
            assert child.wait(20) == 0
        finally:
            child.kill()


# -- the watchdog by itself ------------------------------------------------------------------------------


def armed() -> bool:
    return signal.getitimer(signal.ITIMER_PROF)[0] > 0


@pytest.fixture
def run() -> LiveRun:
    return lone_run(healthy)


def test_it_is_armed_while_a_step_or_a_held_thread_runs_and_never_while_idle(
    tmp_path: Path, run: LiveRun
) -> None:
    guard = Watchdog(tmp_path / "held.txt")
    assert guard.start() is None and not armed()
    try:
        for held in (False, True):
            guard.renew(held)
            assert armed() == held
            guard.begin()
            guard.mark(run)
            assert armed()
            guard.renew(held)
            assert armed()
            guard.end()
            assert armed() == held
            guard.renew(False)
            assert not armed()
    finally:
        guard.stop()
    assert not armed() and not (tmp_path / "held.txt").exists()


def test_a_second_of_all_processors_is_always_let_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog.os, "cpu_count", lambda: 64)
    assert Watchdog(tmp_path / "held.txt")._limit_s == 64.0


def test_a_watchdog_without_a_file_leaves_the_process_alone(run: LiveRun) -> None:
    guard = Watchdog(None)
    assert guard.start() is None
    guard.begin()
    guard.mark(run)
    guard.renew(True)
    assert not armed()
    guard.end()
    guard.stop()


STACKS = """Current thread 0x00000000000000{current} (most recent call first):
  File "{library}", line 176 in search
  File "/shop/automations/a.py", line 7 in helper
  File "/shop/automations/a.py", line 12 in handle
  File "{package}/kernel/stepping.py", line 140 in _advance

Thread 0x00000000000000bb (most recent call first):
  File "/shop/connectors/b.py", line 3 in wait
"""


@pytest.mark.parametrize(("current", "sure"), [("aa", True), ("cc", False)])
def test_what_it_left_names_the_run_and_the_place(tmp_path: Path, current: str, sure: bool) -> None:
    path = tmp_path / "held.txt"
    package = Path(watchdog.__file__).parents[1]
    mark = "0x00000000000000aa r1 c0de".ljust(MARK_BYTES)
    path.write_text(mark + STACKS.format(current=current, package=package, library=re.__file__))
    left = read_left(path)
    assert left is not None and (left.run_id, left.code, left.sure) == ("r1", "c0de", sure)
    assert left.where == ("/shop/automations/a.py:7" if sure else "unknown place")
    assert abs(left.at_us / 1e6 - path.stat().st_mtime) < 0.001


@pytest.mark.parametrize("content", ["", "0x1 r1 c0de".ljust(MARK_BYTES), "garbage" * 99])
def test_a_file_without_a_mark_or_without_stacks_says_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "held.txt"
    assert read_left(path) is None
    path.write_text(content)
    assert read_left(path) is None


async def test_a_run_that_was_only_under_way_is_stuck_when_it_comes_again(tmp_path: Path) -> None:
    async with living(tmp_path, [healthy], [connector], sound=True) as at:
        at.kernel.parts.stops.stop("automation:healthy", "")
        run = await at.send()
        left = Left(run, healthy.code, f"{__file__}:1", time.time_ns() // 1000, sure=False)

        async def taken(left: Left | None) -> str:
            automations = {"healthy": healthy}
            return await at.system.store.write(lambda tx: take_in_left(tx, left, automations))

        assert "is tried again" in await taken(left)
        assert at.run(run).state == "ready"
        # Not in a row: a process in between has ended in another way.
        assert await taken(None) == ""
        assert "is tried again" in await taken(left)
        assert f"run {run} of healthy is stuck: {__file__}:1: " in await taken(left)
        assert at.run(run).state == "stuck"
        assert await at.system.store.write(lambda tx: sorted(tx.settings(HELD))) == [HELD + run]
        kept = canonical.encode({"code": "other", "where": f"{__file__}:1", "at": left.at_us}).decode()
        await at.system.store.write(lambda tx: tx.set_setting(HELD + run, kept))
        await taken(None)
        assert await at.system.store.write(lambda tx: tx.settings(HELD)) == {}


async def test_code_that_held_before_its_event_was_kept_is_known_until_it_is_changed(tmp_path: Path) -> None:
    async with living(tmp_path, [healthy], [connector], sound=True) as at:

        async def kept(*automations: Automation) -> frozenset[str]:
            known = {automation.name: automation for automation in automations}
            return await at.system.store.write(lambda tx: keeps_first(tx, known))

        assert await kept(healthy) == frozenset()
        left = Left("a-run-that-was-never-kept", healthy.code, f"{__file__}:1", 1, sure=True)
        told = await at.system.store.write(lambda tx: take_in_left(tx, left, {}))
        assert "the event that led there was not accepted yet" in told
        assert await kept(healthy) == await kept(healthy) == {healthy.code}
        at.kernel.intake.keeps_first = await kept(healthy)
        asked = Occurrence("/test", "e1", healthy.on.event_type, "", 1, b"{}")
        assert not at.kernel.intake._may_be_early([asked])
        assert at.kernel.intake._may_be_early([replace(asked, type="of.others")])
        assert await kept() == await kept(healthy) == frozenset(), "that code is gone, and the note with it"

"""Our threads are held on one processor, nothing else is, and they make room for others."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deputize import processor
from deputize.clock import SystemClock
from deputize.processor import AWAY_S_MAX, OneProcessor

EVERYWHERE = os.sched_getaffinity(0) if sys.platform == "linux" else set()
pytestmark = pytest.mark.skipif(len(EVERYWHERE) < 2, reason="there are not two processors to choose from")

ALLOWED = "import os; print(sorted(os.sched_getaffinity(0)))"


class HandClock(SystemClock):
    """Time that passes when it is told to."""

    at = 0.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def one(clock: HandClock) -> Iterator[OneProcessor]:
    made = OneProcessor(clock)
    yield made
    made.let_go()


@pytest.fixture
def threads() -> Iterator[list[threading.Thread]]:
    """A thread of ours, and another one."""
    end = threading.Event()
    made = [threading.Thread(target=end.wait, name=name) for name in ("deputize-driver", "other")]
    for thread in made:
        thread.start()
    yield made
    end.set()
    for thread in made:
        thread.join()


def allowed(thread: threading.Thread) -> set[int]:
    return os.sched_getaffinity(thread.native_id or 0)


def test_our_threads_are_held_on_one_processor_and_let_go_again(
    one: OneProcessor, threads: list[threading.Thread]
) -> None:
    ours, other = threads
    one.look()
    assert one.held_on in EVERYWHERE
    assert allowed(ours) == allowed(threading.current_thread()) == {one.held_on}
    assert allowed(other) == EVERYWHERE
    one.let_go()
    assert one.held_on is None
    assert allowed(ours) == allowed(threading.current_thread()) == EVERYWHERE


def test_a_thread_that_one_of_ours_begins_is_not_held_for_long(one: OneProcessor) -> None:
    one.look()
    end = threading.Event()
    begun = threading.Thread(target=end.wait)
    begun.start()
    assert allowed(begun) == {one.held_on}
    one.look()
    assert allowed(begun) == EVERYWHERE
    end.set()
    begun.join()


async def test_a_program_that_is_started_may_run_everywhere(one: OneProcessor) -> None:
    watching = asyncio.create_task(one.watch())
    await asyncio.sleep(0)
    assert os.sched_getaffinity(0) == {one.held_on}
    run = subprocess.run([sys.executable, "-c", ALLOWED], capture_output=True, text=True, check=True)  # noqa: ASYNC221
    assert run.stdout.strip() == str(sorted(EVERYWHERE))
    one.look()
    assert os.sched_getaffinity(0) == {one.held_on}
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert os.sched_getaffinity(0) == EVERYWHERE


def fake_proc(root: Path, busy_ticks: int) -> Path:
    """A /proc in which the real threads stand, and every processor has been busy for so long."""
    (root / "self").mkdir(parents=True, exist_ok=True)
    if not (root / "self/task").exists():
        (root / "self/task").symlink_to("/proc/self/task")
    lines = [f"cpu{number} {busy_ticks} 0 0 5 0 0 0 0 0 0" for number in EVERYWHERE]
    (root / "stat").write_text("\n".join(["cpu  9 9 9 9", *lines, "intr 0"]))
    return root


def test_they_are_let_go_where_others_want_the_processor_and_stay_away_longer_each_time(
    tmp_path: Path, clock: HandClock
) -> None:
    hertz = os.sysconf("SC_CLK_TCK")
    one = OneProcessor(clock, proc=fake_proc(tmp_path, 0))
    used_s = 0.0

    def after(seconds: float, others_s: float) -> int | None:
        nonlocal used_s
        clock.at += seconds
        used_s += others_s
        fake_proc(tmp_path, int(used_s * hertz))
        one.look()
        return one.held_on

    assert after(0, 0) is not None
    assert after(1, 0.1) is not None, "a little is no reason"
    away = []
    for _ in range(7):
        assert after(1, 0.7) is None
        assert os.sched_getaffinity(0) == EVERYWHERE
        began = clock.at
        while after(1, 0.7) is None:
            pass
        away.append(clock.at - began)
    assert away == [2, 4, 8, 16, 32, 64, AWAY_S_MAX]
    one.let_go()


def test_the_first_is_the_one_that_takes_in_most_interrupts_and_later_ones_are_where_we_run(
    tmp_path: Path, clock: HandClock
) -> None:
    for busy in EVERYWHERE:
        fake_proc(tmp_path, 0)
        stat = (tmp_path / "stat").read_text()
        (tmp_path / "stat").write_text(stat.replace(f"cpu{busy} 0 0 0 5 0 0 0", f"cpu{busy} 0 0 0 5 0 2 3"))
        one = OneProcessor(clock, proc=tmp_path)
        one.look()
        assert one.held_on == busy
        one.let_go()
        other = min(EVERYWHERE - {busy})
        os.sched_setaffinity(0, {other})
        one._away_until = 1.0
        assert one._best() == other
        os.sched_setaffinity(0, EVERYWHERE)


def test_what_our_own_threads_use_is_no_reason(tmp_path: Path, clock: HandClock) -> None:
    hertz = os.sysconf("SC_CLK_TCK")
    one = OneProcessor(clock, proc=fake_proc(tmp_path, int(time.thread_time() * hertz)))
    one.look()
    began_s = time.thread_time()
    while time.thread_time() - began_s < 0.3:
        pass
    clock.at += 0.4
    fake_proc(tmp_path, int(time.thread_time() * hertz))
    one.look()
    assert one.held_on is not None
    one.let_go()


def test_where_the_system_tells_nothing_nothing_is_done(tmp_path: Path, clock: HandClock) -> None:
    asyncio.run(OneProcessor(clock, proc=tmp_path).watch())
    assert os.sched_getaffinity(0) == EVERYWHERE


def test_on_a_single_processor_there_is_nothing_to_hold(
    monkeypatch: pytest.MonkeyPatch, clock: HandClock
) -> None:
    monkeypatch.setattr(processor.os, "sched_getaffinity", lambda pid: {0})
    asyncio.run(OneProcessor(clock).watch())

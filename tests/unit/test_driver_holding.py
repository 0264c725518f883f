"""Code that holds its thread: its run is stuck with file and line, the others move on, and the watch is
not deceived by a process that was stopped or debugged."""

# ruff: noqa: ASYNC251 (blocking is what is tried)

from __future__ import annotations

import asyncio
import io
import pdb
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize import Event, EventData, Outcome, automation, done
from deputize.automation import Automation
from deputize.kernel.driver import HELD_MAX, HELD_S_MAX
from tests.support.living import living
from tests.support.running import so
from tests.unit.driver_desk import Ask, connector, line_of, worker, write

Handler = Callable[[Event[Any]], Coroutine[Any, Any, Outcome]]

GATE = threading.Event()
"""What the held automations below wait for; opened when a test ends, so that nothing is left."""


class Hold(EventData, type="test.hold"):
    item: str = "i"


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    GATE.clear()
    yield
    GATE.set()
    for thread in threading.enumerate():
        if thread.name == "deputize-driver":
            thread.join(10)
            assert not thread.is_alive()


def holder(handler: Handler) -> Automation:
    return automation(on=Hold, agent=worker)(handler)


async def healthy_handler(event: Event[Ask]) -> Outcome:
    for n in range(3):
        await write(item=f"{event.data.item}{n}")
    return done("written")


healthy = automation(on=Ask, agent=worker, name="healthy")(healthy_handler)


async def waits(event: Event[Hold]) -> Outcome:
    await write(item="before")
    GATE.wait(30)  # here
    await write(item="after")
    return done("too late")


async def sleeps(event: Event[Hold]) -> Outcome:
    time.sleep(1.6)  # here
    return done("too late")


async def spins(event: Event[Hold]) -> Outcome:
    while not GATE.is_set():  # here
        pass
    return done("too late")


async def in_a_helper(event: Event[Hold]) -> Outcome:
    helper()
    return done("too late")


def helper() -> None:
    deeper = GATE.wait
    deeper(30)


@pytest.mark.parametrize("handler", [waits, sleeps, spins], ids=lambda h: h.__name__)
async def test_a_held_thread_is_abandoned_and_its_run_stuck_while_the_others_go_on(
    tmp_path: Path, handler: Handler
) -> None:
    held = holder(handler)
    async with living(tmp_path, [held, healthy], [connector], restart=pytest.fail) as at:
        run = await at.send(type="test.hold")
        others = [await at.send(item=f"o{n}") for n in range(5)]
        row = await at.state(run, "stuck")
        assert f"{line_of(held)}: the automation held its thread for more than 1 second" in row.reason
        assert "move long work into a connector's operation, and wait with sleep()" in row.reason
        assert [row.label for row in await at.ended(*others)] == ["done(written)"] * 5
        GATE.set()
        assert await at.label(await at.send(item="later")) == "done(written)"
        assert at.run(run).state == "stuck"
        assert "2" not in at.actions(run)


async def test_the_line_that_is_told_is_the_innermost_of_the_projects_own(tmp_path: Path) -> None:
    async with living(tmp_path, [holder(in_a_helper)], [connector], restart=pytest.fail) as at:
        row = await at.state(await at.send(type="test.hold"), "stuck")
    line = next(
        n for n, text in enumerate(Path(__file__).read_text().splitlines(), 1) if "deeper(30)" in text
    )
    assert row.reason.startswith(f"{__file__}:{line}: ")


async def test_four_threads_held_at_once_make_the_process_restart_itself(tmp_path: Path) -> None:
    said: list[str] = []
    asked = asyncio.Event()

    def restart(reason: str) -> None:
        said.append(reason)
        asked.set()

    held = holder(waits)
    async with living(tmp_path, [held, healthy], [connector], restart=restart) as at:
        for n in range(HELD_MAX):
            assert said == []
            await at.state(await at.send(type="test.hold", id=f"h{n}"), "stuck")
        async with asyncio.timeout(10):
            await asked.wait()
        assert said == [f"4 automations hold their threads; the last at {line_of(held)}"]
        assert await at.label(await at.send(item="still")) == "done(written)"


STEPS: list[str] = []


async def counts(event: Event[Hold]) -> Outcome:
    STEPS.append(event.data.item)
    GATE.wait(30)
    return done("too late")


async def counts_in_other_words(event: Event[Hold]) -> Outcome:
    STEPS.append(event.data.item)
    return done("in time")


async def test_a_run_that_holds_at_two_starts_is_not_stepped_at_the_next_until_its_code_is_changed(
    tmp_path: Path,
) -> None:
    """Four of them would make the process restart itself for ever."""
    STEPS.clear()
    held = automation(on=Hold, agent=worker, name="held")(counts)
    mended = automation(on=Hold, agent=worker, name="held")(counts_in_other_words)
    async with living(tmp_path, [held, healthy], [connector], restart=pytest.fail) as at:
        run = await at.send(type="test.hold")
        await at.state(run, "stuck")
    for automations in (held, held, mended):
        async with living(tmp_path, [automations, healthy], [connector], restart=pytest.fail) as at:
            if automations is mended:
                assert await at.label(run) == "done(in time)"
            elif len(STEPS) == 1:
                await at.until(lambda view: view.run(run))
                await so(lambda: at.kernel.driver._held)
                await at.gone()
            assert await at.label(await at.send()) == "done(written)"
            await at.gone()
    assert len(STEPS) == 3


async def test_threads_that_have_let_go_are_not_counted(tmp_path: Path) -> None:
    async with living(tmp_path, [holder(waits)], [connector], restart=pytest.fail) as at:
        for n in range(HELD_MAX):
            before = at.kernel.driver._current.thread
            await at.state(await at.send(type="test.hold", id=f"h{n}"), "stuck")
            GATE.set()
            await asyncio.to_thread(before.join, 10)
            GATE.clear()


def catastrophe() -> str:
    """A text on which the expression below takes a few seconds on this machine."""
    for length in range(14, 40):
        text = "a" * length + "b"
        began = time.perf_counter()
        re.search(r"(a+)+$", text)
        if time.perf_counter() - began > 0.1:
            return "aaaaa" + text
    raise AssertionError("no length took long")


TEXTS: list[str] = []


async def searches(event: Event[Hold]) -> Outcome:
    re.search(r"(a+)+$", TEXTS[0])
    await write(item="after")
    return done("too late")


async def test_a_search_that_keeps_the_interpreter_to_itself_is_found_out_when_it_lets_go(
    tmp_path: Path,
) -> None:
    TEXTS[:] = [catastrophe()]
    async with living(tmp_path, [holder(searches), healthy], [connector], restart=pytest.fail) as at:
        run = await at.send(type="test.hold")
        other = await at.send(item="other")
        row = await at.state(run, "stuck")
        assert "the automation held its thread for more than 1 second" in row.reason
        assert __file__ in row.reason
        assert await at.label(other) == "done(written)"


# -- what is no held thread ------------------------------------------------------------------------------


class Typing(io.StringIO):
    """Someone at a debugger's prompt, who thinks before going on."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]
        self.asked.set()
        GATE.wait(30)
        return "continue\n"


TYPING: list[Typing] = []


async def debugs(event: Event[Hold]) -> Outcome:
    pdb.Pdb(stdin=TYPING[0], stdout=io.StringIO()).set_trace()
    return done("looked at")


async def test_an_automation_in_a_debugger_is_left_alone(tmp_path: Path) -> None:
    TYPING[:] = [Typing()]
    async with living(tmp_path, [holder(debugs)], [connector], restart=pytest.fail) as at:
        run = await at.send(type="test.hold")
        assert await asyncio.to_thread(TYPING[0].asked.wait, 10)
        await asyncio.sleep(HELD_S_MAX + 0.8)  # time is what is tried here
        GATE.set()
        assert await at.label(run) == "done(looked at)"


CHILD = """
import asyncio, sys, time
from pathlib import Path
from deputize import Event, Outcome, automation, done
from tests.support.living import living
from tests.support.running import so
from tests.unit.driver_desk import Ask, worker

@automation(on=Ask, agent=worker)
async def works(event: Event[Ask]) -> Outcome:
    print("stepping", flush=True)
    began = time.thread_time()
    while time.thread_time() - began < 0.3:
        pass
    return done("worked")

async def main():
    async with living(Path(sys.argv[1]), [works], restart=print) as at:
        run = await at.send()
        await at.until(lambda view: view.run(run).state in ("ended", "stuck"))
        print(at.run(run).state, at.run(run).label, flush=True)

asyncio.run(main())
"""


def test_a_process_that_was_stopped_holds_nothing(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    root = Path(__file__).parent.parent.parent
    environment = {"PYTHONPATH": ":".join([str(root), *sys.path])}
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "p")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env=environment,
    ) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "stepping\n"
            child.send_signal(signal.SIGSTOP)
            time.sleep(HELD_S_MAX + 1.0)  # time is what is tried here
            child.send_signal(signal.SIGCONT)
            assert child.stdout.readline() == "ended done(worked)\n"
            assert child.wait(20) == 0
        finally:
            child.kill()

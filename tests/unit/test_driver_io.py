"""I/O, threads, asyncio and other foreign things in an automation: each is refused and explained."""

# ruff: noqa: ASYNC210, ASYNC221, ASYNC230, ASYNC250, PTH123, PTH207, PTH208, SIM115 (that is what is tried)

from __future__ import annotations

import asyncio
import contextvars
import gc
import glob
import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import urllib.request
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import getcontext
from pathlib import Path
from typing import Any

import anyio
import pytest

from deputize import Event, Outcome, automation, done
from deputize.automation import Automation
from deputize.kernel.live import Ends
from tests.support.living import living, lone_run, step
from tests.unit.driver_desk import Ask, connector, line_of, worker, write

HERE = str(Path(__file__))
LOOP = asyncio.new_event_loop()
LOOP.close()

Handler = Callable[[Event[Ask]], Any]
FORBIDDEN: list[tuple[Automation, str]] = []
FOREIGN: list[tuple[Automation, str]] = []
FINE: list[Automation] = []


def forbidden(says: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        FORBIDDEN.append((automation(on=Ask, agent=worker)(handler), says))
        return handler

    return keep


def foreign(says: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        FOREIGN.append((automation(on=Ask, agent=worker)(handler), says))
        return handler

    return keep


def fine(handler: Handler) -> Handler:
    FINE.append(automation(on=Ask, agent=worker)(handler))
    return handler


def name_of(value: object) -> str:
    return value.name if isinstance(value, Automation) else ""


# -- I/O ------------------------------------------------------------------------------------------


@forbidden("opened a file")
async def opens_a_file(event: Event[Ask]) -> Outcome:
    open(HERE)  # here
    return done()


@forbidden("opened a file")
async def reads_by_pathlib(event: Event[Ask]) -> Outcome:
    Path(HERE).read_text()  # here
    return done()


@forbidden("opened a file")
async def opens_by_number(event: Event[Ask]) -> Outcome:
    os.open(HERE, os.O_RDONLY)  # here
    return done()


@forbidden("opened a socket")
async def makes_a_socket(event: Event[Ask]) -> Outcome:
    socket.socket()  # here
    return done()


@forbidden("looked up a host")
async def looks_up_a_host(event: Event[Ask]) -> Outcome:
    socket.getaddrinfo("localhost", 80)  # here
    return done()


@forbidden("opened a connection")
async def fetches_a_page(event: Event[Ask]) -> Outcome:
    urllib.request.urlopen("http://127.0.0.1:9/")  # here
    return done()


@forbidden("ran a program")
async def runs_a_program(event: Event[Ask]) -> Outcome:
    subprocess.run(["true"])  # here
    return done()


@forbidden("ran a program")
async def runs_a_shell(event: Event[Ask]) -> Outcome:
    os.system("true")  # here
    return done()


@forbidden("forked the process")
async def forks(event: Event[Ask]) -> Outcome:
    os.fork()  # here
    return done()


@forbidden("opened a database")
async def opens_a_database(event: Event[Ask]) -> Outcome:
    sqlite3.connect(":memory:")  # here
    return done()


@forbidden("listed a folder")
async def lists_a_folder(event: Event[Ask]) -> Outcome:
    os.listdir("/")  # here
    return done()


@forbidden("listed a folder")
async def globs(event: Event[Ask]) -> Outcome:
    glob.glob("/*")  # here
    return done()


@forbidden("removed a file")
async def removes_a_file(event: Event[Ask]) -> Outcome:
    Path("/nowhere/at/all").unlink()  # here
    return done()


@forbidden("a folder")
async def makes_a_temporary_folder(event: Event[Ask]) -> Outcome:
    tempfile.mkdtemp()  # here
    return done()


@forbidden("removed a folder")
async def removes_a_tree(event: Event[Ask]) -> Outcome:
    shutil.rmtree("/nowhere/at/all")  # here
    return done()


@forbidden("changed the environment")
async def changes_the_environment(event: Event[Ask]) -> Outcome:
    os.environ["DRIVER_TEST"] = "1"  # here
    return done()


@forbidden("asked at the terminal")
async def asks_at_the_terminal(event: Event[Ask]) -> Outcome:
    input()  # here
    return done()


@forbidden("started a thread")
async def starts_a_thread(event: Event[Ask]) -> Outcome:
    threading.Thread(target=print).start()  # here
    return done()


@forbidden("started a thread")
async def uses_a_pool(event: Event[Ask]) -> Outcome:
    ThreadPoolExecutor().submit(print)  # here
    return done()


@forbidden("opened a file")
async def catches_what_it_raises(event: Event[Ask]) -> Outcome:
    try:
        open(HERE)  # here
    except Exception:  # noqa: BLE001
        return done("nobody saw it")
    return done()


@forbidden("opened a file")
async def catches_it_and_goes_on(event: Event[Ask]) -> Outcome:
    try:
        open(HERE)  # here
    except BaseException:  # noqa: BLE001
        await write(item="i")
    return done()


@forbidden("started an event loop of its own")
async def runs_an_event_loop(event: Event[Ask]) -> Outcome:
    asyncio.run(asyncio.sleep(0))  # here
    return done()


@forbidden("started an event loop of its own")
async def makes_an_event_loop(event: Event[Ask]) -> Outcome:
    asyncio.new_event_loop()  # here
    return done()


# -- what only an event loop can carry out ----------------------------------------------------------


@foreign("asyncio does not work inside an automation")
async def asks_for_the_loop(event: Event[Ask]) -> Outcome:
    asyncio.get_running_loop()  # here
    return done()


@foreign("asyncio does not work inside an automation")
async def creates_a_task(event: Event[Ask]) -> Outcome:
    coroutine = asyncio.sleep(0)
    try:
        asyncio.create_task(coroutine)  # type: ignore[unused-awaitable]  # noqa: RUF006 # here
    finally:
        coroutine.close()
    return done()


@foreign("asyncio does not work inside an automation")
async def sleeps_by_asyncio(event: Event[Ask]) -> Outcome:
    await asyncio.sleep(1)  # here
    return done()


@foreign("awaited asyncio.sleep(0) or a bare yield, which only an event loop can carry out")
async def yields_by_asyncio(event: Event[Ask]) -> Outcome:
    await asyncio.sleep(0)  # here
    return done()


@foreign("awaited a Future, which only an event loop can carry out")
async def awaits_a_future(event: Event[Ask]) -> Outcome:
    await asyncio.Future(loop=LOOP)  # here
    return done()


@foreign("asyncio does not work inside an automation")
async def sleeps_by_anyio(event: Event[Ask]) -> Outcome:
    await anyio.sleep(1)  # here
    return done()


class Yields:
    def __await__(self) -> Generator[Any, Any, None]:
        yield {"what": "ever"}


@foreign("awaited a dict, which only an event loop can carry out")
async def awaits_an_object_of_its_own(event: Event[Ask]) -> Outcome:
    await Yields()  # here
    return done()


@types.coroutine
def old() -> Generator[Any, Any, None]:
    yield 3


@foreign("awaited a int, which only an event loop can carry out")
async def awaits_a_generator(event: Event[Ask]) -> Outcome:
    await old()  # here
    return done()


# -- what is allowed --------------------------------------------------------------------------------


@fine
async def prints(event: Event[Ask]) -> Outcome:
    print("hello")
    return done()


@fine
async def logs_with_a_traceback(event: Event[Ask]) -> Outcome:
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("driver.test").exception("it failed")
        traceback.format_exc()
    return done()


@fine
async def warns(event: Event[Ask]) -> Outcome:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)
    return done()


@fine
async def imports_something_big(event: Event[Ask]) -> Outcome:
    import pydoc_data.topics
    import xml.dom.minidom  # noqa: F401

    assert pydoc_data.topics.topics
    return done()


@fine
async def names_a_time_zone(event: Event[Ask]) -> Outcome:
    from zoneinfo import ZoneInfo

    ZoneInfo.clear_cache()
    ZoneInfo("Pacific/Auckland")
    return done()


@fine
async def uses_an_async_generator(event: Event[Ask]) -> Outcome:
    async def numbers() -> Any:
        for n in range(3):
            yield n

    assert [n async for n in numbers()] == [0, 1, 2]
    return done()


# An event loop that could not be made is garbage that complains; let it do so here.
half_made = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine 'sleep' was never awaited"
)


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    yield
    gc.collect()


@half_made
@pytest.mark.parametrize(("automation", "says"), FORBIDDEN, ids=name_of)
def test_an_automation_that_does_io_ends_with_file_and_line(automation: Automation, says: str) -> None:
    ended = step(lone_run(automation))
    assert isinstance(ended, Ends)
    assert ended.kind == "failed"
    assert ended.reason.startswith(f"{line_of(automation)}: the automation")
    assert says in ended.reason
    assert "put this into a connector and await it" in ended.reason


@pytest.mark.parametrize(("automation", "says"), FOREIGN, ids=name_of)
def test_what_only_an_event_loop_can_carry_out_is_explained_with_file_and_line(
    automation: Automation, says: str
) -> None:
    ended = step(lone_run(automation))
    assert isinstance(ended, Ends)
    assert ended.kind == "failed"
    assert says in ended.reason
    assert line_of(automation) in ended.reason


@pytest.mark.parametrize("automation", FINE, ids=name_of)
def test_what_the_interpreter_reads_on_its_own_account_is_no_io(automation: Automation) -> None:
    for module in ("pydoc_data.topics", "xml.dom.minidom"):
        sys.modules.pop(module, None)
    ended = step(lone_run(automation))
    assert isinstance(ended, Ends)
    assert (ended.kind, ended.reason) == ("done", "")


def test_io_while_an_automation_unwinds_is_refused_too() -> None:
    done_it: list[str] = []

    @automation(on=Ask, agent=worker)
    async def cleans_up(event: Event[Ask]) -> Outcome:
        try:
            await asyncio.sleep(0)
        finally:
            open(HERE)
            done_it.append("opened")
        return done()

    assert isinstance(step(lone_run(cleans_up)), Ends)
    assert done_it == []


def test_the_hook_leaves_other_threads_alone() -> None:
    run = lone_run(FORBIDDEN[0][0])
    seen: list[str] = []

    def reader() -> None:
        seen.append(Path(HERE).read_text())

    step(run)
    thread = threading.Thread(target=reader)
    thread.start()
    thread.join()
    assert seen


COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


async def paint(event: Event[Ask]) -> Outcome:
    before = COLOUR.get()
    COLOUR.set(event.data.item)
    getcontext().prec = 3
    await write(item="i")
    return done(f"{before} then {COLOUR.get()} at {getcontext().prec}")


async def test_context_variables_reach_neither_other_runs_nor_the_loop(tmp_path: Path) -> None:
    COLOUR.set("the loop's")
    own = getcontext().prec
    paints = automation(on=Ask, agent=worker)(paint)
    async with living(tmp_path, [paints], [connector]) as at:
        runs = [await at.send(item=colour) for colour in ("red", "green", "blue")]
        labels = [await at.label(run) for run in runs]
    assert labels == [f"done(none then {colour} at 3)" for colour in ("red", "green", "blue")]
    assert (COLOUR.get(), getcontext().prec) == ("the loop's", own)


async def healthy_handler(event: Event[Ask]) -> Outcome:
    for n in range(3):
        await write(item=f"{event.data.item}{n}")
    return done("written")


@half_made
async def test_no_forbidden_or_foreign_thing_harms_another_run_or_the_process(tmp_path: Path) -> None:
    bad = [one for one, _ in FORBIDDEN + FOREIGN]
    healthy = automation(on=Ask, agent=worker, name="healthy")(healthy_handler)
    async with living(tmp_path, [*bad, healthy], [connector]) as at:
        arrived = await at.send_all([("test.ask", {"item": "a"}), ("test.ask", {"item": "b"})])
        assert all(arrived)
        runs = at.read(lambda view: view.runs(limit=1_000))
        assert len(runs) == 2 * (len(bad) + 1)
        ended = await at.ended(*[run.id for run in runs])
        for row in ended:
            if row.automation == "healthy":
                assert row.label == "done(written)"
            else:
                assert row.label == "failed", (row.automation, row.reason)
                assert HERE in row.reason

"""Serving one system over HTTP until a signal, and letting go of it in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from deputize import longlived
from deputize.api.app import build_app
from deputize.api.here import Readiness
from deputize.api.listening import listen
from deputize.api.log import Complaints, complain, complain_of
from deputize.api.operator import operator_key
from deputize.api.private import write_private
from deputize.clock import iso
from deputize.system import System

FILE = "server.json"
SHUTDOWN_S_MAX = 10
KEEP_ALIVE_S = 75
EXIT_AT_ONCE = 130

Pages = Callable[[FastAPI, System], None]


def _no_pages(app: FastAPI, system: System) -> None:
    """An API alone."""


async def serve(
    system: System,
    *,
    ready: Callable[[str], None],
    stop: asyncio.Event | None = None,
    listener: socket.socket | None = None,
    pages: Pages = _no_pages,
) -> None:
    """Start the system, serve it, and stop it on SIGTERM or SIGINT (or when `stop` is set).

    `ready` is told the base address once recovery is over. `listener` is the address where it is
    taken already (see `listen`). `pages` puts what people see into the app. The system is stopped, and
    the address let go, in every case.
    Raises `ProjectError` as `listen` and `operator_key` do.
    """
    try:
        with listener or listen(system.project.settings) as address:
            await _serve(system, ready, stop, address, pages)
    finally:
        await system.stop()


async def _serve(
    system: System,
    ready: Callable[[str], None],
    stop: asyncio.Event | None,
    listener: socket.socket,
    pages: Pages,
) -> None:
    settings = system.project.settings
    token = system.secrets.resolve(settings.token).reveal() if settings.token is not None else None
    stopping = stop or asyncio.Event()
    readiness = Readiness(stopping=stopping)
    app = build_app(system, readiness, operator=operator_key(settings.data), token=token)
    pages(app, system)
    server = _Server(_config(app), stopping)
    system.sources.on_trouble = lambda name, what: complain(
        system, "a source has trouble", source=name, reason=what
    )
    system.notifier.on_trouble = lambda name, what: complain(
        system, "people could not be told", channel=name, reason=what
    )
    system.telemetry.on_trouble = lambda what: complain(system, what)
    with _signals(stopping) if stop is None else contextlib.nullcontext(), _complaints(system):
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        url = _url(settings.host, listener)
        try:
            await system.start()
            longlived.settle()
            readiness.state = "ready"
            with _announced(settings.data / FILE, url, iso(system.time.now_us())):
                ready(url)
                await stopping.wait()
                readiness.state = "stopping"
        finally:
            stopping.set()
            await serving
            await app.state.mcp.close()


class _Server(uvicorn.Server):
    """Waits for its end instead of looking for it ten times a second, and leaves signals to us."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def main_loop(self) -> None:
        await self._stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        lifespan="off",
        access_log=False,
        log_config=None,
        date_header=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S_MAX,
        ws="none",
    )


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


@contextlib.contextmanager
def _announced(path: Path, url: str, started_at: str) -> Iterator[None]:
    """Say in a file of our own where this process is, so that commands find it."""
    write_private(path, json.dumps({"url": url, "pid": os.getpid(), "started_at": started_at}))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _signals(stopping: asyncio.Event) -> Iterator[None]:
    """The first SIGTERM or SIGINT stops in order, the second at once: the ledger recovers from that."""
    loop = asyncio.get_running_loop()

    def heard() -> None:
        if stopping.is_set():
            os._exit(EXIT_AT_ONCE)
        stopping.set()

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, heard)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _complaints(system: System) -> Iterator[None]:
    handler = Complaints(system)
    root = logging.getLogger()
    root.addHandler(handler)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complain_of(system, context))
    try:
        yield
    finally:
        loop.set_exception_handler(None)
        root.removeHandler(handler)

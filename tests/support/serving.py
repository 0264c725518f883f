"""A project that is served: in this process, or in one of its own that can be killed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from deputize.api.server import serve
from deputize.console.app import add_pages
from deputize.system import System
from tests.support.conforming import conforms
from tests.support.running import WAIT_S, Running

SERVER = "[server]\nport = 0\n"
PEOPLE = """
[people.maya]
name = "Maya"
roles = ["owner", "finance"]
email = "maya@example.com"
[people.kim]
roles = ["finance", "operator"]
groups = ["shop-floor"]
[people.ines]
"""


ADMINS = PEOPLE.replace('"operator"', '"admin"')
"""The same with two who may change rules and parameters."""


@dataclass
class Served:
    """A served system: its inside, and a client that speaks to it over HTTP, which holds every answer to its
    description."""

    app: Running
    http: httpx2.AsyncClient
    stop: asyncio.Event

    async def send(self, id: str, type: str = "test.ask", **data: Any) -> str:
        """Post one event; the id of the run that it began."""
        answer = await self.http.post("/v1/events", json=cloudevent(id, type, **data))
        assert answer.status_code == 202, answer.text
        runs = answer.json()["accepted"][0]["runs"]
        return runs[0] if runs else ""

    async def token(self, name: str) -> str:
        """A new token of a person's."""
        _, token = await self.app.kernel.tokens.issue(name, "the tests")
        return str(token)

    async def speak_as(self, name: str) -> None:
        """From now on every request has a token of this person's."""
        self.http.headers["authorization"] = f"Bearer {await self.token(name)}"


def cloudevent(id: str, type: str = "test.ask", **data: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "source": "/tests", "id": id, "type": type, "data": data}


@asynccontextmanager
async def serving(
    root: Path, headers: Mapping[str, str] | None = None, *, speaks: str = "", **options: Any
) -> AsyncIterator[Served]:
    """Serve a project on a free port of this process; its ledger is checked at the end. With `speaks` every
    request has a token of this person's."""
    app, stop = Running(), asyncio.Event()
    app.system = System.open(root, boundary=app.boundary, seed=1, **options)
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app.system, ready=url.set_result, stop=stop, pages=add_pages))
    await asyncio.wait([url, task], return_when=asyncio.FIRST_COMPLETED, timeout=WAIT_S)
    if not url.done():
        await task
    try:
        async with httpx2.AsyncClient(
            base_url=url.result(),
            headers=dict(headers or {}),
            timeout=WAIT_S,
            trust_env=False,
            event_hooks={"response": [conforms]},
        ) as http:
            served = Served(app, http, stop)
            if speaks:
                await served.speak_as(speaks)
            yield served
            app.sound()
    finally:
        stop.set()
        await task


class Child:
    """A served project in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def wait(self) -> tuple[int, str]:
        """Its exit code and all it wrote to stderr."""
        _, errors = await asyncio.wait_for(self.process.communicate(), WAIT_S)
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@asynccontextmanager
async def child(root: Path, environ: Mapping[str, str] | None = None) -> AsyncIterator[Child]:
    """Serve a project in a child; it is killed at the end if it still lives."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.serve_child",
        str(root),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environ or {})},
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), WAIT_S)
        yield Child(process, line.decode().strip())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

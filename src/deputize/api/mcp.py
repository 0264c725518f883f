"""`/mcp/NAME`: the calls of an agent that lives elsewhere, by MCP over streamable HTTP.

The library is imported when the first client comes: it takes a second and twenty megabytes that most
processes never need.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

import deputize
from deputize.agent import Agent
from deputize.api.agents import Calling
from deputize.api.body import BODY_BYTES_MAX
from deputize.api.calling import Calls
from deputize.api.problem import Problem, of_error
from deputize.errors import DeputizeError
from deputize.system import System

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from deputize.mcp.server import McpServer

CLOSE_S_MAX = 5.0

router = APIRouter(prefix="/mcp", include_in_schema=False)


@router.post("/{name}")
async def speak(request: Request, agent: Calling) -> Response:
    """One request of the protocol; see https://modelcontextprotocol.io."""
    door: Door = request.app.state.mcp
    return _Spoken(await door.manager())


class _Spoken(Response):
    """An answer that the library writes itself."""

    def __init__(self, manager: StreamableHTTPSessionManager) -> None:
        super().__init__()
        self._manager = manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._manager.handle_request(scope, receive, send)


class Door:
    """The library's server, once somebody has come. It keeps no sessions: each request stands for itself."""

    def __init__(self, system: System, calls: Calls, stopping: asyncio.Event) -> None:
        self._system = system
        self._calls = calls
        self._stopping = stopping
        self._opening = asyncio.Lock()
        self._manager: StreamableHTTPSessionManager | None = None
        self._server: McpServer | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    async def manager(self) -> StreamableHTTPSessionManager:
        """What answers requests. Raises `Problem` 503 while the process stops."""
        async with self._opening:
            if self._stopping.is_set():
                raise Problem(503, "this process is stopping; call again in a moment", retry_after_s=1)
            if self._manager is None:
                await asyncio.to_thread(_import)
                self._manager = await self._open()
        return self._manager

    async def close(self) -> None:
        """End it, once nobody speaks to it any more."""
        self._closed.set()
        if self._task is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._task, CLOSE_S_MAX)

    async def _open(self) -> StreamableHTTPSessionManager:
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        from deputize.mcp.server import McpServer

        server = self._server = McpServer(deputize.__version__, self._desk_of)
        manager = StreamableHTTPSessionManager(
            server.server, stateless=True, max_request_body_size=BODY_BYTES_MAX
        )
        opened = asyncio.get_running_loop().create_future()

        async def keep() -> None:
            async with manager.run():
                opened.set_result(None)
                await self._stopping.wait()
                server.closing = True
                await self._closed.wait()
                await server.settle()

        self._task = asyncio.create_task(keep())
        await opened
        return manager

    def _desk_of(self, context: Any) -> InProcess:
        request: Request = context.request
        speaker = request.state.speaker
        agent = self._system.project.agents[speaker.agent]
        return InProcess(self._calls, agent, speaker.token)


class InProcess:
    """The desk of one agent in this process; see `deputize.mcp.server.Desk`."""

    def __init__(self, calls: Calls, agent: Agent, token: str) -> None:
        self._calls = calls
        self._agent = agent
        self._token = token

    async def tools(self) -> list[dict[str, Any]]:
        return self._calls.tools(self._agent)

    async def call(
        self, tool: str, arguments: Any, call: str, because: str, known: Callable[[str], None]
    ) -> dict[str, Any]:
        with _Saying():
            return await self._calls.call(
                self._agent, tool, arguments, call=call, because=because, token=self._token, known=known
            )

    async def result(self, call: str) -> dict[str, Any]:
        with _Saying():
            return await self._calls.result(self._agent, call)

    async def cancel(self, call: str) -> None:
        with _Saying():
            await self._calls.cancel(self._agent, call)


class _Saying:
    """What cannot be taken is a no in words."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        from deputize.mcp.server import No

        if isinstance(error, Problem):
            raise No(error.detail) from None
        if isinstance(error, DeputizeError):
            raise No(of_error(error).detail) from None


def _import() -> None:
    for name in ("mcp.server.streamable_http_manager", "deputize.mcp.server"):
        importlib.import_module(name)

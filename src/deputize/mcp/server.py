"""The protocol itself, by its library: what a client may ask of a desk that takes calls in.

Nothing is kept here between two requests, so that either revision works on any connection: 2025-11-25 after
its handshake, 2026-07-28 without one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import mcp_types as types
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from deputize.mcp.answers import BECAUSE_META, CALL_META, answer_of, no
from deputize.mcp.tools import PAGE, RESULT

Context = ServerRequestContext[Any, Any]

IN_FLIGHT_MAX = 1_000
"""Requests whose calls are remembered, so that they can be called off."""

INSTRUCTIONS = (
    "Each tool is something that really happens, within rules that people made. A call may be answered as "
    "waiting for approval, not finished or not sure: then do not call it again, and ask "
    f"{RESULT} with its call later. "
    "A refusal means that nothing was done; do not try to get round it."
)


class No(Exception):
    """A call could not be taken; the message says why, and what to do."""


class Desk(Protocol):
    """What takes calls in, for one agent. Each raises `No`."""

    async def tools(self) -> list[dict[str, Any]]:
        """What there is to call, in one order."""

    async def call(
        self, tool: str, arguments: Any, call: str, because: str, known: Callable[[str], None]
    ) -> dict[str, Any]:
        """What came of a call; see `deputize.api.told`. `known` is told its id, as soon as it has one."""

    async def result(self, call: str) -> dict[str, Any]:
        """What came of an earlier one."""

    async def cancel(self, call: str) -> None:
        """Call off what has not started."""


DeskOf = Callable[[Context], Desk]


class McpServer:
    """A server of the protocol over desks.

    A request is called off by the client's word (`notifications/cancelled`), and over HTTP, where the
    revision says so, by the end of its connection. `closing` is set when neither means that any more.
    """

    def __init__(self, version: str, desk_of: DeskOf) -> None:
        self._desk_of = desk_of
        self._in_flight: OrderedDict[types.RequestId, _InFlight] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()
        self.closing = False
        self.server: Server[Any] = Server(
            "deputize",
            version=version,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )
        self.server.middleware.append(self._watch)

    async def settle(self) -> None:
        """Wait until what is being called off is."""
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _list(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        try:
            tools = await self._desk_of(context).tools()
        except No as said:
            raise MCPError(code=types.INTERNAL_ERROR, message=str(said)) from None
        after = params.cursor if params is not None and params.cursor is not None else ""
        left = [tool for tool in tools if tool["name"] > after]
        page, more = left[:PAGE], len(left) > PAGE
        return types.ListToolsResult(
            tools=[types.Tool.model_validate(tool) for tool in page],
            next_cursor=page[-1]["name"] if more else None,
        )

    async def _call(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        given: Mapping[str, Any] = dict(params.meta or {})
        try:
            if params.name == RESULT:
                told = await self._desk_of(context).result(_text(params.arguments or {}, "call"))
            else:
                told = await self._called(
                    context, params, _text(given, CALL_META), _text(given, BECAUSE_META)
                )
        except No as said:
            return types.CallToolResult.model_validate(no(str(said)))
        return types.CallToolResult.model_validate(answer_of(told))

    async def _called(
        self, context: Context, params: types.CallToolRequestParams, id: str, because: str
    ) -> dict[str, Any]:
        desk, number = self._desk_of(context), context.request_id
        one = _InFlight(desk, self._call_off)
        over_http = context.request is not None
        if number is not None and not over_http:
            self._in_flight[number] = one
            if len(self._in_flight) > IN_FLIGHT_MAX:
                self._in_flight.popitem(last=False)
        try:
            told = await desk.call(params.name, params.arguments, id, because, one.known)
        except asyncio.CancelledError:
            # Over HTTP the end of the connection is all that tells of it, and only since 2026-07-28.
            if over_http and context.protocol_version not in HANDSHAKE_PROTOCOL_VERSIONS:
                one.cancelled()
            raise
        if number is not None:
            self._in_flight.pop(number, None)
        return told

    async def _watch(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """The library ends a cancelled request's handler; what that had asked for is called off here."""
        if ctx.method == "notifications/cancelled" and ctx.request is None:
            one = self._in_flight.pop((ctx.params or {}).get("requestId", ""), None)
            if one is not None:
                one.cancelled()
        return await call_next(ctx)

    def _call_off(self, desk: Desk, id: str) -> None:
        if self.closing:
            return
        task = asyncio.get_running_loop().create_task(_quietly(desk.cancel(id)))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class _InFlight:
    """A call that is not answered yet: called off once its id is known, and whoever called wants that."""

    def __init__(self, desk: Desk, call_off: Callable[[Desk, str], None]) -> None:
        self._desk = desk
        self._call_off = call_off
        self._id = ""
        self._unwanted = False

    def known(self, id: str) -> None:
        self._id = id
        if self._unwanted:
            self._call_off(self._desk, id)

    def cancelled(self) -> None:
        self._unwanted = True
        if self._id:
            self._call_off(self._desk, self._id)


async def _quietly(cancelling: Awaitable[None]) -> None:
    try:
        await cancelling
    except No:
        # It was not taken in, or has come to its end: there is nothing to call off.
        return


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise No(f"{name} must be text")
    return value

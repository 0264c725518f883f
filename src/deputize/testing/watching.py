"""Boundaries that only the wire knows: the request is wholly sent; the answer has begun to come."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from deputize.operation import Operation
from deputize.system import ConnectorPerformer
from deputize.testing.boundaries import ANSWERED, SENDING


def report_sending(boundary: Callable[[str], None]) -> None:
    """From now on call `boundary` during every request of this process that may change something."""
    handle = httpx2.AsyncHTTPTransport.handle_async_request

    async def watched(transport: httpx2.AsyncHTTPTransport, request: httpx2.Request) -> httpx2.Response:
        if request.method != "GET":
            earlier = request.extensions.get("trace")

            async def trace(event: str, info: Mapping[str, Any]) -> None:
                if earlier is not None:
                    await earlier(event, info)
                if event.endswith(".send_request_body.complete"):
                    boundary(SENDING)
                elif event.endswith(".receive_response_headers.complete"):
                    boundary(ANSWERED)

            request.extensions = {**request.extensions, "trace": trace}
        return await handle(transport, request)

    httpx2.AsyncHTTPTransport.handle_async_request = watched  # type: ignore[assignment, method-assign]


def die_after(name: str, tell: Callable[..., None]) -> None:
    """Kill this process once the operation of this name was performed, whatever came of it."""
    perform = ConnectorPerformer.perform

    async def last(
        self: ConnectorPerformer, operation: Operation[..., Any], args: bytes, *, key: str, attempt: int
    ) -> bytes:
        try:
            return await perform(self, operation, args, key=key, attempt=attempt)
        finally:
            if operation.name == name:
                tell("dies", at=name, nth=1)
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()

    ConnectorPerformer.perform = last  # type: ignore[method-assign]

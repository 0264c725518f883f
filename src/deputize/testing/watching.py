"""Boundaries that only the wire knows: the request is wholly sent; the answer has begun to come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx2

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

"""Connections to one server, each taken for one request at a time: the one that was given back last.

httpcore's own pool looks at all of its connections twice a request, and asks the system of each idle one
whether it is still open. With fifty of them that was a seventh of what a thought costs here.
"""

from __future__ import annotations

import logging
import ssl
from collections import deque

import httpx2

from deputize.clock import Clock, SystemClock

IDLE_S_MAX = 5.0
"""One that was idle for longer is closed, as by pydantic-ai's own client."""

IDLE_MAX = 100


class Pool:
    """As many connections as there are requests at one time, which the gate bounds (`concurrent_max`)."""

    def __init__(self, tls: ssl.SSLContext, clock: Clock | None = None) -> None:
        self._tls = tls
        self._clock = clock or SystemClock()
        self._idle: deque[tuple[float, httpx2.AsyncHTTPTransport]] = deque()
        # Its debug lines hold the headers of answers, which may repeat a credential.
        logging.getLogger("httpcore2").setLevel(logging.WARNING)

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        """Send it, and read the whole answer. Raises httpx2's `RequestError`."""
        await self._close_old()
        transport = self._idle.pop()[1] if self._idle else self._opened()
        try:
            response = await transport.handle_async_request(request)
            response.request = request
            try:
                await response.aread()
            finally:
                await response.aclose()
        finally:
            # Whatever became of it: a transport closes a connection that cannot serve again by itself.
            self._idle.append((self._clock.monotonic(), transport))
        return response

    def _opened(self) -> httpx2.AsyncHTTPTransport:
        limits = httpx2.Limits(max_connections=1, keepalive_expiry=IDLE_S_MAX)
        return httpx2.AsyncHTTPTransport(verify=self._tls, limits=limits)

    async def _close_old(self) -> None:
        too_old = self._clock.monotonic() - IDLE_S_MAX
        while self._idle and (self._idle[0][0] < too_old or len(self._idle) > IDLE_MAX):
            await self._idle.popleft()[1].aclose()

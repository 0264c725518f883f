"""A connection to one service: its base address, its login, and one pool of connections."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from deputize.call import CallNotDone
from deputize.clock import Clock, SystemClock

BODY_BYTES_MAX = 1_000_000
# Below the five seconds that servers commonly keep an idle connection: one that the server is about
# to close would turn a write into a doubt.
IDLE_S_MAX = 3.0

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True)
class Received:
    """What came back: at most 1 MB of the body.

    `trouble` says why it is not whole; it is `unreadable` where the service did send all of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    trouble: str = ""
    unreadable: bool = False


class HttpConnection:
    """A connector's connections to its service: one pool, opened with the first request.

    `base` is the address from the settings, `login` the credential header if there is one,
    `concurrent_max` the most connections at one time. Proxies, netrc and cookies are never used.
    """

    def __init__(
        self,
        connector: str,
        base: str,
        *,
        login: tuple[str, str] | None = None,
        concurrent_max: int = 20,
        idempotency_header: str = "Idempotency-Key",
        clock: Clock | None = None,
    ) -> None:
        self.connector = connector
        self.base = httpx2.URL(base)
        self.base_path = self.base.raw_path.decode("ascii")
        self.idempotency_header = idempotency_header
        self.clock = clock or SystemClock()
        self._headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "deputize",
        }
        if login is not None:
            self._headers[login[0]] = login[1]
        self._limits = httpx2.Limits(
            max_connections=concurrent_max,
            max_keepalive_connections=concurrent_max,
            keepalive_expiry=IDLE_S_MAX,
        )
        self._transport: httpx2.AsyncHTTPTransport | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"HttpConnection({self.connector!r}, {str(self.base)!r})"

    async def send(
        self,
        method: Method,
        target: bytes,
        content: bytes | None,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        on_sending: Callable[[], None],
    ) -> Received:
        """Send one request and read its answer, whatever it is; redirects are not followed.

        `target` is a whole path with its query, below the base; `on_sending` is called once the
        connection stands, before the first byte. Raises httpx2's `RequestError`.
        """
        transport = self._open()

        async def trace(event: str, _info: Mapping[str, Any]) -> None:
            if event.endswith(".send_request_headers.started"):
                on_sending()

        # Ends before the whole operation does: a handshake that is cancelled leaves its socket open.
        connect_s = 0.8 * timeout_s
        timeout = httpx2.Timeout(timeout_s, connect=connect_s, pool=connect_s)
        request = httpx2.Request(
            method,
            self.base.copy_with(raw_path=target),
            headers={**self._headers, **headers},
            content=content,
            extensions={"timeout": timeout.as_dict(), "trace": trace},
        )
        return await _receive(await transport.handle_async_request(request))

    async def aclose(self) -> None:
        """Close every connection; later requests fail as not done."""
        self._closed = True
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    def _open(self) -> httpx2.AsyncHTTPTransport:
        if self._closed:
            raise CallNotDone(f"the connection {self.connector} is closed: Deputize is stopping")
        if self._transport is None:
            # Its debug lines hold the headers of answers, which may repeat a credential.
            logging.getLogger("httpcore2").setLevel(logging.WARNING)
            plain = self.base.scheme == "http"
            self._transport = httpx2.AsyncHTTPTransport(
                # Reading the machine's certificates takes longer than a cold start may.
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True,
                limits=self._limits,
                trust_env=False,
                http2=False,
                retries=0,
            )
        return self._transport


async def _receive(response: httpx2.Response) -> Received:
    """The whole answer, within bounds; of an answer that is not 2xx its status alone is certain."""
    chunks: list[bytes] = []
    size = 0
    trouble, unreadable = "", False
    try:
        async with aclosing(response.aiter_bytes()) as parts:
            async for chunk in parts:
                chunks.append(chunk)
                size += len(chunk)
                if size > BODY_BYTES_MAX:
                    trouble, unreadable = f"with more than {BODY_BYTES_MAX:,} bytes", True
                    break
    except httpx2.DecodingError as error:
        trouble, unreadable = f"with a body that cannot be decoded: {error}", True
    except httpx2.RequestError as error:
        trouble = f"{type(error).__name__}: {error}".removesuffix(": ")
    finally:
        await response.aclose()
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = b"".join(chunks)[:BODY_BYTES_MAX]
    return Received(response.status_code, headers, body, trouble, unreadable)

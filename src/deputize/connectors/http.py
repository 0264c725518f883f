"""A connection to one service, and the `Call` that reaches it: its base address and nowhere else."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from deputize import canonical
from deputize.call import CallBroken, CallDrifted, CallFailed, CallNotDone, CallUnknown
from deputize.clock import Clock, SystemClock
from deputize.connectors.answer import HttpAnswer, failure_class, readable, retry_after_s
from deputize.connectors.path import target_below
from deputize.connectors.secret import Secrets
from deputize.operation import Contract

BODY_BYTES_MAX = 1_000_000
BODY_BYTES_KEPT = 2_000  # of an answer that is too long
# Below the five seconds that servers commonly keep an idle connection: one that the server is about
# to close would turn a write into a doubt.
IDLE_S_MAX = 3.0

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True)
class Received:
    """What came back: `body` is cut after `BODY_BYTES_MAX`; `trouble` says why it is not whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    trouble: str = ""
    cut: bool = False


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
        self.idempotency_header = idempotency_header
        self.clock = clock or SystemClock()
        self._headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "deputize"}
        if login is not None:
            self._headers[login[0]] = login[1]
        self._limits = httpx2.Limits(
            max_connections=concurrent_max, max_keepalive_connections=concurrent_max, keepalive_expiry=IDLE_S_MAX
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

        request = httpx2.Request(
            method,
            self.base.copy_with(raw_path=target),
            headers={**self._headers, **headers},
            content=content,
            extensions={"timeout": httpx2.Timeout(timeout_s).as_dict(), "trace": trace},
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


class HttpCall:
    """A `Call`: one performance of one operation over its connection, which may be None.

    It keeps what the outcome depends on. A *deciding* request is any of a read, and every one but a
    GET of a write. `sent`: one has begun and nobody knows what became of it. `connecting`: one
    waits for a connection. `answered`: the last deciding answer of 2xx.
    """

    __slots__ = ("_connection", "_contract", "_secrets", "_tried", "answered", "connecting", "key", "read", "sent")

    def __init__(
        self, contract: Contract, connection: HttpConnection | None, key: str, secrets: Secrets, *, read: bool
    ) -> None:
        self.key = key
        self.read = read
        self.answered: HttpAnswer | None = None
        self.connecting = False
        self.sent = False
        self._contract = contract
        self._connection = connection
        self._secrets = secrets
        self._tried = False

    @property
    def operation(self) -> str:
        """The operation's name."""
        return self._contract.name

    @property
    def in_process(self) -> bool:
        """Whether the operation has no service to call."""
        return self._connection is None

    def get(self, path: str, *, params: Mapping[str, str] | None = None) -> Awaitable[HttpAnswer]:
        """GET a path below the base address."""
        return self._request("GET", path, params, None)

    def post(
        self, path: str, *, json: Any = None, params: Mapping[str, str] | None = None
    ) -> Awaitable[HttpAnswer]:
        """POST JSON."""
        return self._request("POST", path, params, json)

    def put(
        self, path: str, *, json: Any = None, params: Mapping[str, str] | None = None
    ) -> Awaitable[HttpAnswer]:
        """PUT JSON."""
        return self._request("PUT", path, params, json)

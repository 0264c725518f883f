"""The `Call` over a connection: what may be sent, and what each answer proves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from deputize import canonical
from deputize.call import CallBroken, CallDrifted, CallFailed, CallNotDone, CallUnknown
from deputize.connectors.answer import HttpAnswer, failure_class, readable, retry_after_s
from deputize.connectors.http import HttpConnection, Method, Received
from deputize.connectors.path import target_below
from deputize.connectors.secret import Secrets
from deputize.operation import Contract

BODY_BYTES_KEPT = 2_000  # of an answer of 2xx that is too long


class HttpCall:
    """A `Call`: one performance of one operation over its connection, which may be None.

    It keeps what the outcome depends on. A *deciding* request is any of a read, and every one but a
    GET of a write. `sent`: one has begun and nobody knows what became of it. `connecting`: one
    waits for its connection. `answered`: the last deciding answer of 2xx.
    """

    __slots__ = (
        "_connection",
        "_contract",
        "_secrets",
        "_tried",
        "answered",
        "connecting",
        "key",
        "read",
        "sent",
    )

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

    async def get(self, path: str, *, params: Mapping[str, str] | None = None) -> HttpAnswer:
        """GET a path below the base address."""
        return await self._request("GET", path, params, None)

    async def post(
        self, path: str, *, json: Any = None, params: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """POST JSON."""
        return await self._request("POST", path, params, json)

    async def put(
        self, path: str, *, json: Any = None, params: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """PUT JSON."""
        return await self._request("PUT", path, params, json)

    async def patch(
        self, path: str, *, json: Any = None, params: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """PATCH with JSON."""
        return await self._request("PATCH", path, params, json)

    async def delete(self, path: str, *, params: Mapping[str, str] | None = None) -> HttpAnswer:
        """DELETE."""
        return await self._request("DELETE", path, params, None)

    async def _request(
        self, method: Method, path: str, params: Mapping[str, str] | None, json: Any
    ) -> HttpAnswer:
        connection = self._connection
        if connection is None:
            name = self._contract.connector
            raise CallBroken(
                f'{self.operation} has no address to call: add base = "https://…" '
                f"under [connectors.{name}] in deputize.toml"
            )
        target, content = self._prepare(connection, method, path, params, json)
        headers = {} if content is None else {"content-type": "application/json"}
        if method != "GET":
            self._only_one(method, path)
            headers[connection.idempotency_header] = self.key
        begun = False

        def on_sending() -> None:
            nonlocal begun
            begun, self.connecting = True, False
            self.sent = self.sent or self._decides(method)

        self.connecting = True
        try:
            received = await connection.send(
                method, target, content, headers, timeout_s=self._contract.timeout_s, on_sending=on_sending
            )
        except httpx2.RequestError as error:
            self.connecting = False
            what = f"{type(error).__name__}: {error}".removesuffix(": ")
            if not begun:
                raise self._aside(
                    CallNotDone(f"{self._where(method, path)}: not connected: {what}")
                ) from None
            raise CallUnknown(f"{self._where(method, path)}: sent, and no answer came: {what}") from None
        return self._judged(connection, method, path, received)

    def _prepare(
        self,
        connection: HttpConnection,
        method: Method,
        path: str,
        params: Mapping[str, str] | None,
        json: Any,
    ) -> tuple[bytes, bytes | None]:
        try:
            return (
                target_below(connection.base_path, path, params),
                None if json is None else canonical.encode(json),
            )
        except ValueError as error:
            refused = CallBroken(f"{self._where(method, path)}: the path {error}")
        except TypeError as error:
            refused = CallBroken(f"{self._where(method, path)}: {error}")
        raise refused

    def _only_one(self, method: Method, path: str) -> None:
        if self.read:
            raise CallBroken(f"{self._where(method, path)}: a read, a look-up or a rehearsal may only GET")
        if self._tried:
            reason = f"{self._where(method, path)}: at most one request of an operation may change anything"
            raise CallUnknown(reason) if self.sent or self.answered else CallBroken(reason)
        self._tried = True

    def _judged(
        self, connection: HttpConnection, method: Method, path: str, received: Received
    ) -> HttpAnswer:
        """The answer, where it is a whole 2xx. Raises the `CallFailed` that it proves."""
        where = f"{self._where(method, path)}: the service answered {received.status}"
        failure = failure_class(self._contract, received.status, read=self.read)
        if failure is not None:
            if failure is not CallUnknown and self._decides(method):
                self.sent = False
            said = readable(received.body, self._secrets.scrub)
            if 300 <= received.status < 400:
                where = f"{where}, and redirects are refused"
            wait_s = retry_after_s(received.headers.get("retry-after"), connection.clock.now_us())
            raise self._aside(
                failure(f"{where}: {said}" if said else where, status=received.status, retry_after_s=wait_s)
            )
        if received.trouble and not received.unreadable:
            raise CallUnknown(
                f"{where}, then the connection failed: {received.trouble}", status=received.status
            )
        answer = HttpAnswer(received.status, received.headers, received.body)
        if self._decides(method):
            self.sent, self.answered = False, answer
        if received.trouble:
            if not self._decides(method):
                raise self._aside(CallBroken(f"{where}, {received.trouble}", status=received.status))
            kept = self._secrets.scrub(received.body)[:BODY_BYTES_KEPT]
            raise CallDrifted(f"{where}, {received.trouble}", status=received.status, body=kept)
        return answer

    def _aside(self, failure: CallFailed) -> CallFailed:
        """`failure`, or, in a write that has been sent, what it leaves unknown."""
        if self.read or not (self.sent or self.answered):
            return failure
        return CallUnknown(f"{failure.reason} (after the write had been sent)", status=failure.status)

    def _decides(self, method: Method) -> bool:
        return self.read or method != "GET"

    def _where(self, method: Method, path: str) -> str:
        return f"{method} {readable(path, self._secrets.scrub, 200)}"

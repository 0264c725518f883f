"""The one door to a service that a connector's function has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from deputize.errors import DeputizeError


class Answer(Protocol):
    """A service's 2xx answer."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Header names in lower case."""
        ...

    @property
    def body(self) -> bytes:
        """At most 1 MB."""
        ...

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError`."""
        ...


class Call(Protocol):
    """One performance of one operation: it reaches its connector's base address and nowhere else.

    Anything but a 2xx answer is raised past the connector's function, which need not catch it: the
    gate reads from it whether the action was declined, certainly not done, or is in doubt.
    """

    @property
    def key(self) -> str:
        """The idempotency key: the same for every attempt of one action. Sent as `Idempotency-Key`
        with every request that is not a GET; in a look-up, the key of the action in doubt."""
        ...

    @property
    def operation(self) -> str:
        """The operation's name."""
        ...

    async def get(self, path: str, *, params: Mapping[str, str] | None = None) -> Answer:
        """GET a path below the base address."""
        ...

    async def post(self, path: str, *, json: Any = None, params: Mapping[str, str] | None = None) -> Answer:
        """POST JSON. At most one request of an operation may be other than a GET."""
        ...

    async def put(self, path: str, *, json: Any = None, params: Mapping[str, str] | None = None) -> Answer:
        """PUT JSON."""
        ...

    async def patch(self, path: str, *, json: Any = None, params: Mapping[str, str] | None = None) -> Answer:
        """PATCH with JSON."""
        ...

    async def delete(self, path: str, *, params: Mapping[str, str] | None = None) -> Answer:
        """DELETE."""
        ...


class CallFailed(DeputizeError):
    """How a call ended without an answer of 2xx; the root of the four outcomes below."""

    def __init__(self, reason: str, *, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retry_after_s = retry_after_s


class CallDeclined(CallFailed):
    """The service said no, for good. A connector may raise it for a refusal in an answer of 2xx."""


class CallNotDone(CallFailed):
    """Proved: nothing was done (never connected, or an answer that the contract lists as such)."""


class CallUnknown(CallFailed):
    """Sent, and nobody knows what became of it."""


class CallBroken(CallFailed):
    """The connector's own code failed before anything was sent: not done, and no repeat will help."""


class CallDrifted(CallFailed):
    """An answer of 2xx that does not fit the consumed contract: done, with drift. `body` is kept."""

    def __init__(self, reason: str, *, status: int | None = None, body: bytes = b"") -> None:
        super().__init__(reason, status=status)
        self.body = body

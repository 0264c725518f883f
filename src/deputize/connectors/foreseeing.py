"""What a rehearsal knows of the world: reads and previews. By construction it can do nothing else, for it is
given no way to perform a write, and every request it makes is a GET.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from deputize.call import CallBroken, CallDeclined, CallDrifted, CallFailed
from deputize.connectors.connections import Connections
from deputize.connectors.http import HttpConnection
from deputize.connectors.perform import read_only, rehearse
from deputize.connectors.secret import Secrets
from deputize.operation import Operation

WAIT_S_MAX = 5.0
"""Between two attempts, at most, whatever the service asks for."""

Asks = Callable[[HttpConnection | None], Awaitable[bytes]]


class Foreseeing:
    """Over a project's connections, on an event loop of its own. See `deputize.kernel.ports.Foreseer`."""

    def __init__(self, connections: Connections, secrets: Secrets) -> None:
        self._connections = connections
        self._secrets = secrets
        self._runner = asyncio.Runner()

    def read(self, operation: Operation[..., Any], args: bytes) -> bytes:
        return self._ask(operation, lambda line: read_only(operation, line, args, secrets=self._secrets))

    def rehearse(self, operation: Operation[..., Any], args: bytes) -> bytes:
        return self._ask(operation, lambda line: rehearse(operation, line, args, secrets=self._secrets))

    def close(self) -> None:
        """Close every connection."""
        self._runner.run(self._connections.aclose())
        self._runner.close()

    def _ask(self, operation: Operation[..., Any], ask: Asks) -> bytes:
        return self._runner.run(self._answered(operation, ask))

    async def _answered(self, operation: Operation[..., Any], ask: Asks) -> bytes:
        """The first answer, in as many attempts as the contract has. Raises the last failure."""
        connection = self._connections.get(operation.contract.connector)
        for attempt in range(1, operation.contract.attempts_max):
            try:
                return await ask(connection)
            except (CallDeclined, CallBroken, CallDrifted):
                raise
            except CallFailed as error:
                wait_s = error.retry_after_s if error.retry_after_s is not None else 0.1 * 2.0**attempt
                await asyncio.sleep(min(wait_s, WAIT_S_MAX))
        return await ask(connection)

"""Stops: what people have halted or paused. Nothing new starts under a stop, and nothing is lost."""

from __future__ import annotations

import asyncio

ALL = "all"


class Stops:
    """The scopes that are stopped: `all`, `agent:x`, `connector:x`, `automation:x`, `run:x`."""

    def __init__(self) -> None:
        self.scopes: dict[str, str] = {}
        self._changed: asyncio.Event | None = None

    def stop(self, scope: str, reason: str) -> None:
        """From now on nothing starts in this scope."""
        self.scopes[scope] = reason

    def lift(self, scope: str) -> None:
        """Let those that wait look again."""
        self.scopes.pop(scope, None)
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def in_way(self, *scopes: str) -> str | None:
        """The first of these scopes, or `all`, that is stopped."""
        if not self.scopes:
            return None
        return next((s for s in (ALL, *scopes) if s in self.scopes), None)

    async def wait(self, *scopes: str) -> None:
        """Wait until none of these is stopped."""
        while self.in_way(*scopes) is not None:
            if self._changed is None:
                self._changed = asyncio.Event()
            await self._changed.wait()


class LeaseLine:
    """Those that wait for a resource, in line. Woken when a lease on it is let go."""

    def __init__(self) -> None:
        self._lines: dict[str, list[asyncio.Future[None]]] = {}

    async def wait(self, resource: str, timeout_s: float) -> None:
        """Wait until the resource was let go once, or the time is up (a lease let go elsewhere)."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(resource, []).append(turn)
        try:
            await asyncio.wait_for(turn, timeout_s)
        except TimeoutError:
            return
        finally:
            line = self._lines.get(resource, [])
            if turn in line:
                line.remove(turn)
            if not line:
                self._lines.pop(resource, None)

    def freed(self, resources: tuple[str, ...] | list[str]) -> None:
        """Wake the first in each line."""
        for resource in resources:
            for turn in self._lines.get(resource, ()):
                if not turn.done():
                    turn.set_result(None)
                    break

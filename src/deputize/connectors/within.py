"""Awaiting within a time; what never waits takes no timer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, TypeVar, cast

T = TypeVar("T")


class OutOfTime(Exception):
    """The time was up, and what was awaited was cancelled."""


async def within(timeout_s: float, awaited: Awaitable[T]) -> T:
    """The result of `awaited`, or what it raises. Raises `OutOfTime`."""
    if not isinstance(awaited, Coroutine):
        return await _timed(timeout_s, awaited)
    try:
        first = awaited.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    return await _timed(timeout_s, _Rest(awaited, first))


async def _timed(timeout_s: float, awaited: Awaitable[T]) -> T:
    scope = asyncio.timeout(timeout_s)
    try:
        async with scope:
            return await awaited
    # Whatever it makes of being cancelled, it is late.
    except Exception:
        if scope.expired():
            raise OutOfTime from None
        raise


class _Rest(Awaitable[T]):
    """A coroutine that has begun, and waits for `first`: awaited from there on."""

    def __init__(self, begun: Coroutine[Any, Any, T], first: Any) -> None:
        self._begun = begun
        self._first = first

    def __await__(self) -> Generator[Any, Any, T]:
        waits_for = self._first
        try:
            while True:
                try:
                    value = yield waits_for
                except GeneratorExit:
                    self._begun.close()
                    raise
                # A cancellation too is the coroutine's to see.
                except BaseException as error:  # noqa: BLE001
                    waits_for = self._begun.throw(error)
                else:
                    waits_for = self._begun.send(value)
        except StopIteration as done:
            return cast("T", done.value)

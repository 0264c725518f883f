"""What the kernel is given, and knows by protocol alone."""

from __future__ import annotations

from typing import Any, Protocol

from deputize.operation import Operation
from deputize.sources import Poll


class Performer(Protocol):
    """Performs operations. Its methods raise `CallFailed` for whatever is not a success."""

    async def perform(self, operation: Operation[..., Any], args: bytes, *, key: str, attempt: int) -> bytes:
        """Do it once; the stored form of the result."""
        ...

    async def look_up(self, operation: Operation[..., Any], args: bytes, *, key: str) -> bytes | None:
        """What the service knows of the action with this key: its result, or None where it knows none."""
        ...

    async def rehearse(self, operation: Operation[..., Any], args: bytes) -> bytes:
        """What would come of it, without doing it: the stored form of its result."""
        ...


class Foreseer(Protocol):
    """Reads, and asks services what would come of an action. It has no way to do one.

    Its methods wait for the answer, and raise `CallFailed` for whatever is not a success.
    """

    def read(self, operation: Operation[..., Any], args: bytes) -> bytes:
        """Perform a read; the stored form of its result. A write is refused (`CallBroken`)."""
        ...

    def rehearse(self, operation: Operation[..., Any], args: bytes) -> bytes:
        """What would come of a write whose contract has a rehearsal: the stored form of its result."""
        ...


class Then(Protocol):
    """The books as they were before an entry (its seq); as they are now with None."""

    def used(self, budget: str, window: int, before: int | None) -> int:
        """What a budget held and had spent in a window, together."""
        ...

    def counted(self, counter: str, subject: str, window: int, before: int | None) -> int:
        """A fact's value."""
        ...


class Poller(Protocol):
    """Asks services for what happened."""

    async def poll(self, poll: Poll, cursor: str) -> bytes:
        """Ask once, reading only: `{"events": [{"id", "type", "data"}], "cursor", "more"}`.

        Raises `CallFailed` where the service could not tell.
        """
        ...


class Boundary(Protocol):
    """Called with the name of each step that a crash may fall before or after; does nothing in earnest."""

    def __call__(self, name: str, /) -> None: ...


def no_boundary(name: str, /) -> None:
    """The boundary in earnest."""

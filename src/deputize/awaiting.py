"""What an automation may await, and the step in which it does.

An automation is driven one await at a time: each awaitable yields itself to the driver, which
carries it out and sends the result back. Nothing here does I/O.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Mapping
from random import Random
from types import FrameType
from typing import Any, Generic, TypeVar, cast

from deputize.errors import CodeError
from deputize.note import Note

R_co = TypeVar("R_co", covariant=True)


class Step:
    """The automation that the current thread is driving: what its code may ask for without awaiting."""

    __slots__ = (
        "_random",
        "automation",
        "barred",
        "built",
        "event",
        "notes",
        "now_us",
        "read",
        "run_id",
        "serial",
        "violation",
    )

    def __init__(self, run_id: str, now_us: int, automation: Any = None, event: Any = None) -> None:
        self.run_id = run_id
        self.now_us = now_us
        self.automation = automation
        """Whose run it is: a `deputize.automation.Automation`."""
        self.event = event
        """What it answers: a `deputize.event.Occurrence`."""
        self.read: set[str] = set()
        """What its code has seen so far: the types of events, and the names of operations that answered."""
        self.barred: dict[str, Mapping[str, str]] = {}
        """By the path of a thought: of the operations that it weighed, those that rules barred, and why."""
        self.notes: tuple[Note, ...] = ()
        """The pinned notes that its run began with."""
        self.serial = 0
        self.built: list[Awaiting[object]] = []
        self.violation: CodeError | None = None
        self._random: Random | None = None

    @property
    def random(self) -> Random:
        """Seeded by the run, made when first asked for."""
        if self._random is None:
            self._random = Random(self.run_id)
        return self._random


class _Local(threading.local):
    step: Step | None = None


_local = _Local()


def current_step() -> Step | None:
    """The step that this thread is driving, or None outside an automation."""
    return _local.step


def enter_step(step: Step | None) -> None:
    """Make `step` the one this thread drives. For the driver alone."""
    _local.step = step


def caller_line() -> str:
    """`file:line` of the nearest frame outside this package."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(20):
        if frame is None:
            break
        if not frame.f_globals.get("__name__", "").startswith("deputize."):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "unknown place"


class Awaiting(Generic[R_co]):
    """Something that only the driver can carry out; awaiting it hands it over."""

    __slots__ = ("_step", "awaited", "path", "where")

    def __init__(self) -> None:
        self.where = caller_line()
        self.awaited = False
        self.path = ""
        """Its place in its run, once the driver has it."""
        self._step = step = _local.step
        if step is not None:
            step.built.append(self)

    def describe(self) -> str:
        """A short name for messages."""
        return type(self).__name__

    @property
    def composed(self) -> bool:
        """Whether it is made of several awaits, instead of one that the driver carries out."""
        return False

    def steps(self) -> Steps[R_co]:
        """What the driver is to carry out for it, one after another. It must have been taken."""
        result = yield self
        return cast("R_co", result)

    def take(self) -> None:
        """Mark as handed over. Raises `CodeError` the second time, or where it is not this run's."""
        step = _local.step
        if step is None or step is not self._step:
            raise CodeError(self._misplaced(step))
        if self.awaited:
            raise CodeError(
                f"{self.describe()} built at {self.where} was awaited twice; build it again to do it again"
            )
        self.awaited = True

    def _misplaced(self, step: Step | None) -> str:
        what = f"{self.describe()} built at {self.where}"
        if step is None:
            return (
                f"{caller_line()}: {what} was awaited outside a run; only an automation that "
                "answers an event can act, and asyncio cannot carry this out"
            )
        if self._step is None:
            return f"{caller_line()}: {what} was built outside a run; build it where it is awaited"
        return f"{caller_line()}: {what} belongs to another run; build it in the run that awaits it"

    def __await__(self) -> Generator[Awaiting[Any], Any, R_co]:
        self.take()
        return (yield from self.steps())


Steps = Generator[Awaiting[Any], Any, R_co]
"""Awaits for the driver: each is sent what came of it, or thrown its error."""

"""Plans that people are asked for whole: foreseen first, then put before them, then granted.

What foresees a plan waits for each answer, so it has a thread of its own; whatever it reads, or asks a
service to foretell, goes through the gate here, and is recorded as an inquiry about the plan.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from deputize.action import Action
from deputize.call import CallBroken, CallDeclined, CallFailed
from deputize.errors import StoreError
from deputize.finding import CHILD
from deputize.kernel.asking import Asked
from deputize.kernel.foreseeing import Foresight
from deputize.kernel.imagining import foresee
from deputize.kernel.inquiring import Inquiring
from deputize.kernel.judging import Request
from deputize.kernel.live import LiveRun
from deputize.kernel.overlay import Overlay
from deputize.kernel.parts import Parts
from deputize.kernel.result import Known, Result
from deputize.kernel.whole import Foreseen, ask_whole, grant_whole
from deputize.operation import Operation
from deputize.planned import PLAN, Imagined, PlanAsk
from deputize.store.protocol import Store, Tx, View
from deputize.verification import Verification

AT_ONCE = 2
"""Plans that are foreseen at the same time; others wait."""

READS_MAX = 200
"""What is asked of services to foresee one plan, at most."""


class _Later(Exception):
    """The run does not go on for now: something is halted, or in doubt."""


class Planning:
    """Takes plans to people. `on_lost` and `on_due` are told as by the gate."""

    def __init__(
        self,
        parts: Parts,
        inquiring: Inquiring,
        on_lost: Callable[[LiveRun], None],
        on_due: Callable[[int], None],
    ) -> None:
        self._parts = parts
        self._inquiring = inquiring
        self._on_lost = on_lost
        self._on_due = on_due
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="foreseeing")

    def stop(self) -> None:
        """Foresee nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def carry_out(
        self, run: LiveRun, path: str, ask: PlanAsk, changers: tuple[str, ...] = ()
    ) -> Result | None:
        """Ask people for a plan, or take up what they granted. None where there is nothing to hand back for
        now."""
        known = run.record.get(path)
        work: Callable[[Tx], Asked | Result | None]
        try:
            if known is not None and known.state == "asking":
                work = lambda tx: grant_whole(tx, run, path, ask, self._parts.force)  # noqa: E731
            else:
                foreseen = await self._foreseen(run, path, ask)
                if foreseen is None:
                    return None
                work = lambda tx: ask_whole(tx, run, path, ask, foreseen, self._parts.force)  # noqa: E731
            self._parts.boundary("whole.before")
            came = await self._parts.store.write(partial(self._unless_over, run, work))
            self._parts.boundary("whole.after")
        except StoreError:
            self._on_lost(run)
            return None
        if not isinstance(came, Asked):
            return came
        run.record[path] = Known(PLAN, ask.digest, "asking")
        run.waited = run.carded = True
        self._on_due(came.due)
        return None

    def _unless_over(
        self, run: LiveRun, work: Callable[[Tx], Asked | Result | None], tx: Tx
    ) -> Asked | Result | None:
        came = work(tx) if not run.is_over() else None
        self._parts.boundary("whole.in")
        return came

    async def _foreseen(self, run: LiveRun, path: str, ask: PlanAsk) -> Foreseen | None:
        if run.is_over():
            return None
        parts, loop = self._parts, asyncio.get_running_loop()
        foreseer = _Foreseer(parts, self._inquiring, run, path, loop)
        books = Overlay(_Now(parts.store), parts.force)
        foresight = Foresight(parts.force, foreseer, books, parts.operations, parts.agents)
        try:
            return await loop.run_in_executor(
                self._threads, partial(foresee, run, path, ask.imagine(), foresight, foreseer.turn_to)
            )
        except _Later:
            return None
        finally:
            foreseer.shut()


class _Foreseer:
    """A `deputize.kernel.ports.Foreseer` over the gate, for one plan and for another thread: it has things
    inquired about on the loop, and waits for what they come to."""

    def __init__(
        self, parts: Parts, inquiring: Inquiring, run: LiveRun, path: str, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._inquiring = inquiring
        self._run = run
        self._path = path
        self._loop = loop
        self._child = parts.store.read(lambda view: _children(view, run.no, path))
        self._last = self._child + READS_MAX
        self._about: Request | None = None
        self._lock = threading.Lock()
        self._waits: Future[Any] | None = None
        self._shut = False

    def turn_to(self, one: Imagined) -> None:
        """The action that all that follows is about."""
        assert one.action is not None
        self._about = Request.of(self._run, self._path, one.action)

    def read(self, operation: Operation[..., Any], args: bytes) -> bytes:
        if operation.contract.effect != "read":
            raise CallBroken(f"{operation.name} is no read, and nothing is done before a plan is granted")
        if operation.result_type is Verification:
            raise CallFailed("it is asked when the action starts")
        got: Result = self._wait(self._read(operation, args))
        if got.kind == "declined":
            raise CallDeclined(got.reason)
        if got.kind != "value":
            raise CallFailed(got.reason)
        return got.stored

    def rehearse(self, operation: Operation[..., Any], args: bytes) -> bytes:
        got: bytes | CallFailed = self._wait(self._rehearse())
        if isinstance(got, CallFailed):
            raise got
        return got

    def shut(self) -> None:
        """Nobody waits for it any more: its thread ends at its next question."""
        with self._lock:
            self._shut = True
            if self._waits is not None:
                self._waits.cancel()

    def _wait(self, asking: Coroutine[Any, Any, Any]) -> Any:
        with self._lock:
            if self._shut:
                asking.close()
                raise _Later
            if self._child >= self._last:
                asking.close()
                raise CallFailed(f"no more than {READS_MAX} things are asked to foresee a plan")
            self._child += 1
            waits = asyncio.run_coroutine_threadsafe(asking, self._loop)
            self._waits = waits
        try:
            got = waits.result()
        except CancelledError:
            raise _Later from None
        if got is None:
            raise _Later
        return got

    async def _read(self, operation: Operation[..., Any], args: bytes) -> Result | None:
        assert self._about is not None
        reading: Action[Any] = Action(operation, args)
        reading.why, reading.awaited = "to foresee the plan", True
        return await self._inquiring.carried(self._about, self._child, reading, self._about.agent)

    async def _rehearse(self) -> bytes | CallFailed | None:
        assert self._about is not None
        return await self._inquiring.foretold(self._about, self._child)


class _Now:
    """The books as they are."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def used(self, budget: str, window: int, before: int | None) -> int:
        return sum(self._store.read(lambda view: view.used(budget, window)))

    def counted(self, counter: str, subject: str, window: int, before: int | None) -> int:
        return self._store.read(lambda view: view.counted(counter, subject, window))


def _children(view: View, run: int, path: str) -> int:
    """The highest number of an inquiry at a path so far."""
    found = (
        one.path.removeprefix(path + CHILD) for one in view.actions(run) if one.path.startswith(path + CHILD)
    )
    return max((int(number) for number in found if number.isdigit()), default=0)

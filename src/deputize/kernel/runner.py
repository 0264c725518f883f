"""The runner: runs in memory, from step to step.

A step asks for things; actions go to the gate, waits and sends to the ledger. When all that a run
awaits is known it is stepped again; when nothing of it is in hand any more (it waits, or is in
doubt) it leaves memory and goes on later from its record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

from deputize import canonical
from deputize.action import Action
from deputize.automation import Automation
from deputize.errors import BadEvent, CodeError, StoreError
from deputize.finding import CHILD, is_child
from deputize.kernel.cancelling import REASON, write_cancelling
from deputize.kernel.driver import Driver
from deputize.kernel.ending import Append, Ended, continued, end_by_hand, end_run
from deputize.kernel.failing import failed, readable, tell_error
from deputize.kernel.fitting import sent_by, unfit_of
from deputize.kernel.gate import Gate
from deputize.kernel.intake import Arrival, Intake
from deputize.kernel.live import UNSETTLED, Asks, Ends, Leaf, LiveRun, Stepped, Sticks
from deputize.kernel.loading import load_runs
from deputize.kernel.parts import Parts
from deputize.kernel.planning import Planning
from deputize.kernel.result import Changed, Known, Result, value
from deputize.kernel.stepping import catch_up, digest_of, follow_change, name_of
from deputize.kernel.sticking import stick_step
from deputize.kernel.undoing import plan_if_failed
from deputize.kernel.waiting import register_wait
from deputize.ledger import Draft
from deputize.operation import Operation
from deputize.planned import PlanAsk
from deputize.question import Question
from deputize.store.protocol import RunRow, Tx
from deputize.waits import Send, Sleep, WaitFor

RETRY_LOST_S = 1.0
REASON_CHARS_MAX = 2_000


class Runner:
    """Holds the runs in memory. `ready` puts a run back in line, `cancelled` does so past a pause, and
    `left` says that one has left."""

    def __init__(
        self,
        parts: Parts,
        automations: Mapping[str, Automation],
        driver: Driver,
        operations: Mapping[str, Operation[..., Any]],
        intake: Intake,
        append: Append,
        *,
        ready: Callable[[int], None],
        begun_behind: Callable[[int], None],
        cancelled: Callable[[int], None],
        left: Callable[[LiveRun], None],
        due: Callable[[int], None],
    ) -> None:
        self.parts = parts
        self.automations = automations
        self.gate: Gate
        self.planning: Planning
        self.known: Callable[[int], None]
        """Told of each run of which something has become known: it may be one that is being undone."""
        self.unwind: Callable[[int], None]
        """Told of each run that has failed and is to be undone."""
        self._driver = driver
        self._operations = operations
        self._intake = intake
        self._append = append
        self._ready = ready
        self._begun_behind = begun_behind
        self._cancelled = cancelled
        self._left = left
        self._due = due
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    async def stop(self) -> None:
        """Let go of all that is under way; the ledger has what the next owner needs."""
        self._stopped = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- into memory ----------------------------------------------------------------------------------

    def begin(self, run: LiveRun) -> None:
        """Step a run that is in `parts.live`."""
        self._driver.give(run)

    async def load(self, numbers: list[int]) -> list[LiveRun]:
        """Bring runs into memory from their records; those that cannot run now are left where they are."""

        def work(tx: Tx) -> list[LiveRun]:
            return load_runs(tx, numbers, self.parts.live, self.automations, self._intake)

        try:
            return await self.parts.store.write(work)
        except StoreError:
            asyncio.get_running_loop().call_later(RETRY_LOST_S, lambda: [self._ready(no) for no in numbers])
            return []

    def bring_in(self, run_no: int) -> None:
        """Load a run that is not in memory, so that its cancellation can be thrown."""
        self._cancelled(run_no)

    # -- from step to step ----------------------------------------------------------------------------

    def take(self, stepped: list[Stepped]) -> None:
        """Steps that the driver has finished."""
        for step in stepped:
            run = step.run
            run.stepping = False
            if not isinstance(step, Asks):
                # It is over: nothing that comes to be known of what it awaited steps it again.
                run.leaves = []
            if isinstance(step, Asks):
                if run.discarded:
                    # It left memory in mid-step: its coroutine is taken apart where it was driven.
                    self._driver.give_up(run)
                    continue
                self._ask(run, step.leaves)
            elif isinstance(step, Ends):
                if not run.discarded:
                    self._spawn(run, self._end(run, step))
            else:
                self._spawn(run, self._stick(run, step))

    def _ask(self, run: LiveRun, fresh: tuple[Leaf, ...]) -> None:
        at_us, directory = self.parts.time.now_us(), self.parts.force.directory
        unfit = None if run.cancel else unfit_of(run, fresh, self._intake, directory, at_us)
        if unfit is not None:
            self._spawn(run, self._end_unfit(run, unfit))
            return
        if run.was_stuck:
            self._unstick(run, fresh)
        catch_up(run)
        for leaf in fresh:
            awaiting = leaf.awaiting
            if isinstance(awaiting, Action | PlanAsk) and not run.pending([leaf]).isdisjoint(UNSETTLED):
                # An inquiry about it is for a person.
                continue
            run.busy += 1
            if isinstance(awaiting, Action | PlanAsk):
                self._spawn(run, self._carry(run, leaf))
            elif isinstance(awaiting, Send):
                self._spawn(run, self._send(run, leaf, awaiting))
            elif isinstance(awaiting, Sleep | WaitFor | Question):
                self._spawn(run, self._wait(run, leaf, awaiting))
        self.look(run)

    async def _carry(self, run: LiveRun, leaf: Leaf) -> None:
        leaf.carried, again = True, True
        try:
            while again and leaf.result is None:
                leaf.again = False
                awaiting = cast("Any", leaf.awaiting)
                carry = self.planning if isinstance(awaiting, PlanAsk) else self.gate
                got = await carry.carry_out(run, leaf.path, awaiting, leaf.changers)
                leaf.result = got or leaf.result
                again = leaf.again
        except StoreError:
            self.lose(run)
        leaf.carried = False
        run.busy -= 1
        self.look(run)

    async def _wait(self, run: LiveRun, leaf: Leaf, awaiting: Sleep | WaitFor[Any] | Question[Any]) -> None:
        if not run.cancel:
            run.waited, run.carded = True, run.carded or isinstance(awaiting, Question)
            try:
                self.parts.boundary("waiting.before")
                due, leaf.result = await self.parts.store.write(
                    lambda tx: register_wait(tx, run, leaf.path, awaiting)
                )
                self.parts.boundary("waiting.after")
                run.record[leaf.path] = Known(name_of(awaiting), digest_of(awaiting), "waiting")
                if due is not None and leaf.result is None:
                    self._due(due)
            except StoreError:
                self.lose(run)
        run.busy -= 1
        self.look(run)

    async def _send(self, run: LiveRun, leaf: Leaf, send: Send) -> None:
        occurrence = sent_by(run, leaf, send, self.parts.time.now_us())
        stored = canonical.encode({"source": occurrence.source, "id": occurrence.id})

        def work(tx: Tx) -> tuple[Arrival, int]:
            arrival = self._intake.arrive(tx, occurrence)
            event = {"seq": arrival.seq, "source": occurrence.source, "id": occurrence.id}
            body = {"path": leaf.path, "op": name_of(send), "digest": send.digest, "event": event}
            run.version = tx.append(run.no, run.version, [Draft("sent", body)])
            self.parts.boundary("sent.in")
            return arrival, tx.at_us

        if not run.cancel:
            try:
                arrival, at = await self.parts.store.write(work)
                self.parts.boundary("sent.after")
                leaf.result = value(stored, at)
                self._intake.begun(arrival)
            except StoreError:
                self.lose(run)
        run.busy -= 1
        self.look(run)

    async def _end_unfit(self, run: LiveRun, end: Ends | Sticks) -> None:
        await (self._end(run, end) if isinstance(end, Ends) else self._stick(run, end))
        self._driver.give_up(run)

    def deliver(self, run_no: int, path: str, result: Result | None) -> None:
        """A result from a resolution, a timer or an event, for a run in memory or not."""
        self.known(run_no)
        run = self.parts.live.get(run_no)
        if run is None or run.discarded:
            self._ready(run_no)
            return
        known = run.record.setdefault(path, Known("", "", "settled"))
        known.result = result
        if is_child(path):
            self.retry(run_no, path.rpartition(CHILD)[0])
            return
        for leaf in run.leaves:
            if leaf.path == path and leaf.result is None:
                leaf.result = result
        self.look(run)

    def retry(self, run_no: int, path: str, changed: Changed | None = None) -> None:
        """People have approved an action, in memory or not, or put another in its place: to the gate."""
        self.known(run_no)
        run = self.parts.live.get(run_no)
        if run is None or run.discarded:
            self._ready(run_no)
            return
        if changed is not None:
            run.record[path].state, run.record[path].changed = "refused", changed
        for leaf in () if run.stepping else run.leaves:
            if leaf.path != path or leaf.result is not None:
                continue
            if changed is not None:
                follow_change(run, leaf, changed)
            leaf.again = True
            if not leaf.carried:
                run.busy += 1
                self._spawn(run, self._carry(run, leaf))

    def look(self, run: LiveRun) -> None:
        """Step the run if all that it awaits is known; let it leave memory if nothing is in hand."""
        if run.discarded or run.stepping or run.throwing or not run.leaves:
            return
        if all(leaf.result is not None for leaf in run.leaves):
            self._driver.give(run)
        elif run.busy == 0:
            if run.cancel == "cancel" and not run.in_doubt():
                run.busy, run.throwing = run.busy + 1, True
                self._spawn(run, self._throw_cancel(run))
            else:
                self.leave(run)

    def leave(self, run: LiveRun) -> None:
        """Out of memory; the record is where it goes on from."""
        if not run.stepping:
            self._driver.give_up(run)
        self.parts.stops.call_off(f"run:{run.id}")
        self._gone(run)

    def lose(self, run: LiveRun) -> None:
        """An append failed: what memory has may not be what the ledger has. Load it again later."""
        if not run.discarded:
            self.leave(run)
            asyncio.get_running_loop().call_later(RETRY_LOST_S, self._ready, run.no)

    # -- ends -----------------------------------------------------------------------------------------

    async def _throw_cancel(self, run: LiveRun) -> None:
        leaf = next((leaf for leaf in run.leaves if leaf.result is None), None)

        def work(tx: Tx) -> int | None:
            at = write_cancelling(tx, run, leaf) if leaf is not None else None
            self.parts.boundary("cancel.in")
            return at

        try:
            at = await self.parts.store.write(work)
            self.parts.boundary("cancel.after")
        except StoreError:
            self.lose(run)
            return
        run.busy, run.throwing = run.busy - 1, False
        if leaf is not None and at is not None:
            run.cancel = ""
            leaf.result = Result("cancelled", b"null", REASON, at)
            self._driver.give(run)
        else:
            # What it waited for came first: told already, or about to be.
            self.look(run)

    async def _end(self, run: LiveRun, step: Ends) -> None:
        if step.state is not None:
            try:
                self._intake.check(continued(run, step.state, self.parts.time.now_us()))
            except BadEvent as error:
                step = failed(run, CodeError(f"{run.automation.where}: continue_with(): {error}"))
        self.parts.boundary("ended.before")
        try:
            ended = await self.parts.store.write(
                lambda tx: end_run(
                    tx, run, step, self._intake, plan_if_failed(tx, run, step, self._operations)
                )
            )
            self.parts.boundary("ended.after")
        except StoreError:
            self.lose(run)
            return
        self._gone(run)
        self.after(ended)
        if run.automation.unwind:
            self.unwind(run.no)

    def end_by_hand(self, tx: Tx, row: RunRow, reason: str) -> Ended:
        """End a run inside a person's work; call `after` with what it returns once that is committed."""
        return end_by_hand(tx, row, reason, self._intake, self._append)

    def after(self, ended: Ended) -> None:
        """After the commit: what the end of a run has set going."""
        for arrival in ended.arrivals:
            self._intake.begun(arrival)
            for unfit in arrival.unfit:
                asyncio.get_running_loop().call_exception_handler({"message": unfit})
        if ended.next_ready is not None:
            # It has done nothing yet: a new run like any other, and slowed like one.
            self._begun_behind(ended.next_ready)

    async def _stick(self, run: LiveRun, step: Sticks) -> None:
        try:
            self.parts.boundary("stuck.before")
            ended = await self.parts.store.write(
                lambda tx: stick_step(tx, run, step, self._intake, self._append)
            )
            self.parts.boundary("stuck.after")
        except StoreError:
            self.lose(run)
            return
        self._gone(run)
        if ended is not None:
            self.after(ended)

    def _gone(self, run: LiveRun) -> None:
        if self.parts.live.get(run.no) is run:
            del self.parts.live[run.no]
        run.discarded = True
        self._left(run)

    def _unstick(self, run: LiveRun, fresh: tuple[Leaf, ...]) -> None:
        """Its replay matches again. What it awaits says where it stands; a drift still needs a person."""
        pending = run.pending(run.leaves)
        if "drifted" in pending:
            return
        run.was_stuck = False
        state = "doubtful" if pending & {"open", "doubtful"} else "ready"
        if "waiting" in pending and not fresh and state == "ready":
            state = "waiting"

        def work(tx: Tx) -> None:
            run.version = tx.append(run.no, run.version, [Draft("unstuck", {"state": state})])
            self.parts.boundary("unstuck.in")

        self.parts.store.write(work).add_done_callback(
            lambda done: self.lose(run) if not done.cancelled() and done.exception() else None
        )

    def _spawn(self, run: LiveRun, coroutine: Coroutine[Any, Any, None], *, last: bool = False) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._spawned(run, done, last))

    def _spawned(self, run: LiveRun, done: asyncio.Task[None], last: bool) -> None:
        """A task has ended. By an error of ours its run is stuck and says so; the next owner tries again."""
        self._tasks.discard(done)
        error = tell_error(done, f"run {run.id} is stopped by an error of ours", run.id)
        if error is None or self._stopped:
            return
        if last:
            # Not even that could be written: the run stays in the ledger as it is.
            self._gone(run)
            return
        reason = f"an error of ours, not of the automation: {type(error).__name__}: {error}"[
            :REASON_CHARS_MAX
        ]
        self._spawn(run, self._end_unfit(run, Sticks(run, readable(reason))), last=True)

"""The kernel, wired: one object that is started, given events and people's decisions, and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from deputize import canonical
from deputize.agent import Agent
from deputize.automation import Automation
from deputize.circuit import Terms
from deputize.errors import StoreError
from deputize.kernel.agent_tokens import AgentTokens
from deputize.kernel.answering import Answering
from deputize.kernel.approving import Approving
from deputize.kernel.circuits import Change, Circuits, body_of
from deputize.kernel.doubts import Doubts
from deputize.kernel.driver import Driver
from deputize.kernel.failing import tell_error
from deputize.kernel.gate import Gate
from deputize.kernel.holding import keeps_first, take_in_left
from deputize.kernel.intake import Intake
from deputize.kernel.judging import InForce
from deputize.kernel.lanes import Lane, Rank
from deputize.kernel.lifting import Lifting, left_waiting
from deputize.kernel.live import LiveRun
from deputize.kernel.moved import refuse_moved
from deputize.kernel.noting import Noting
from deputize.kernel.parts import Parts
from deputize.kernel.people import STOP_SETTING, People
from deputize.kernel.planning import Planning
from deputize.kernel.ports import Boundary, Performer
from deputize.kernel.recording import Recording
from deputize.kernel.recovery import doubt_open_intents, ready_runs, watch_doubts
from deputize.kernel.restored import Unfinished, restored_of, unfinished
from deputize.kernel.runner import Runner
from deputize.kernel.scheduler import Scheduler
from deputize.kernel.sessions import Sessions
from deputize.kernel.settling import Settling
from deputize.kernel.slowing import Begin, Slowing
from deputize.kernel.standing import Standing
from deputize.kernel.stops import LeaseLine, Stops
from deputize.kernel.time import LedgerTime
from deputize.kernel.tokens import Opener, Tokens
from deputize.kernel.unwinding import Unwinding
from deputize.kernel.waiting import WAKE_MAX, Woken, wake_due
from deputize.kernel.watchdog import Watchdog
from deputize.ledger import SYSTEM, Draft
from deputize.operation import Operation
from deputize.store.protocol import Store, Tx

TIMER_S_MAX = 60.0
CIRCUIT_SETTING = "circuit:"
WAKE_AGAIN_US = 1_000_000
"""After so long waits are looked at again where that went wrong."""


@dataclass(frozen=True)
class Given:
    """What a kernel works on, all of it made elsewhere."""

    store: Store
    time: LedgerTime
    performer: Performer
    force: InForce
    automations: Mapping[str, Automation]
    operations: Mapping[str, Operation[..., Any]]
    agents: Mapping[str, Agent]
    params: Callable[[str], Mapping[str, Any]]
    lane: Callable[[str], Lane]
    circuit: Callable[[str], Terms]
    inbox_full_at: int
    boundary: Boundary
    random: Random
    restart: Callable[[str], None]
    watchdog: Watchdog
    opener: Opener


class Kernel:
    """Drives the runs of one ledger, on the running event loop."""

    def __init__(self, given: Given) -> None:
        self.given = given
        lanes: dict[str, Lane] = {}

        def lane_of(scope: str) -> Lane:
            lane = lanes.get(scope)
            if lane is None:
                lane = lanes[scope] = given.lane(scope)
            return lane

        self.lanes = lanes
        self.parts = Parts(
            store=given.store,
            time=given.time,
            performer=given.performer,
            force=given.force,
            stops=Stops(),
            circuits=Circuits(given.time.monotonic, given.circuit, self._go_on, self._circuit_changed),
            leases=LeaseLine(),
            boundary=given.boundary,
            random=given.random,
            lane_of=lane_of,
            live={},
            operations=given.operations,
            agents=given.agents,
        )
        self.recording = Recording(self.parts, lambda run: self.runner.lose(run), self._go_on)
        self._known: dict[int, Rank] = {}
        self.scheduler = Scheduler(self.parts.stops, self.parts.live, self._rank_of, self._slowing)
        self.driver = Driver(
            given.time.clock, lambda steps: self.runner.take(steps), given.restart, given.watchdog
        )
        self.intake = Intake(
            given.store,
            given.automations,
            given.params,
            self.recording.append,
            fresh=self._fresh,
            unbegun=self._unbegun,
            woken=lambda no, path, result: self.runner.deliver(no, path, result),
            backlog=lambda: self.scheduler.backlog,
            boundary=given.boundary,
        )
        self.runner = Runner(
            self.parts,
            given.automations,
            self.driver,
            given.operations,
            self.intake,
            self.recording.append,
            ready=self.scheduler.ready,
            begun_behind=self.scheduler.found,
            cancelled=self._cancelled,
            left=self._left,
            due=self._due_at,
        )
        self.scheduler.runner = self.runner
        settling = Settling(self.parts, self.recording, lambda b, o, e: self.doubts.watch(b, o, e))
        self.gate = Gate(self.parts, settling, self.runner.lose, self._due_at, self._late_in)
        self.runner.gate = self.gate
        self.planning = Planning(self.parts, self.gate.inquiring, self.runner.lose, self._due_at)
        self.runner.planning = self.planning
        self.doubts = Doubts(
            self.parts, self.recording, settling, self.gate, self.runner.deliver, self.intake.stand_in
        )
        self.people = People(
            self.parts,
            self.recording.append,
            self.doubts,
            self.runner,
            given.operations,
            self._lifted,
        )
        self.unwinding = Unwinding(
            self.parts, self.recording, self.gate, given.operations, self.intake.stand_in
        )
        self.runner.known, self.runner.unwind = self.unwinding.go_on, self.unwinding.begin
        self.standing = Standing(self.parts, self.scheduler)
        self.tokens, self.sessions = Tokens(self.parts), Sessions(self.parts)
        self.agent_tokens = AgentTokens(self.parts, given.agents)
        self.approving = Approving(self.parts, self.recording.append, self.runner, given.operations)
        self.lifting = Lifting(self.parts, self.runner.retry)
        self.noting = Noting(self.parts, self.recording)
        self.answering = Answering(self.parts, self.recording.append, self.runner.deliver)
        self.watchers: list[Callable[[LiveRun], None]] = []
        """Called with each run that leaves memory (it ended, waits, is in doubt or stuck)."""
        self._next_due: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waking = False
        self._stopped = False
        self._noting: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Recover, and begin. Halts that were in force stay so."""
        store = self.parts.store
        await store.write(self._opened)
        left = self.given.watchdog.start()
        told = await store.write(lambda tx: take_in_left(tx, left, self.given.automations))
        self.intake.keeps_first = await store.write(lambda tx: keeps_first(tx, self.given.automations))
        if told:
            asyncio.get_running_loop().call_exception_handler({"message": told})
        self.parts.time.on_back = self._clock_back
        self.parts.time.now_us()
        self.parts.boundary("recovery.opened")
        self.driver.start()
        await doubt_open_intents(self.parts)
        await self.people.take_in()
        watch_doubts(self.parts, self.doubts, self.given.operations)
        for no in store.read(lambda view: view.to_cancel()):
            self.scheduler.cancelled(no)
        for no in store.read(lambda view: view.approved_runs()):
            self.scheduler.ready(no)
        for no in store.read(left_waiting):
            self.scheduler.ready(no)
        for row in store.read(ready_runs):
            self._known[row.no] = Rank(row.priority, row.agent, row.automation)
            (self.scheduler.found if row.version == 1 else self.scheduler.ready)(row.no)
        self.unwinding.resume()
        self._due_at(store.read(lambda view: view.next_due()))
        self.parts.boundary("recovery.begun")

    async def stop(self) -> None:
        """Start nothing more and let go; what is under way is found by the next owner."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self.parts.stops.stop("all", "stopping")
        self.parts.circuits.stop()
        self.scheduler.slowing.stop()
        self.parts.time.on_back = lambda no_repeat_before: None
        for task in list(self._noting):
            task.cancel()
        await self.unwinding.stop()
        await self.doubts.stop()
        await self.recording.stop()
        await self.runner.stop()
        self.planning.stop()
        await self.driver.stop()

    def unfinished(self) -> list[Unfinished]:
        """The writes from before this ledger was restored that are neither looked up nor answered."""
        restored, operations = self.doubts.restored, self.given.operations
        if not restored.seq:
            return []
        return self.parts.store.read(lambda view: unfinished(view, operations, restored))

    def idle(self) -> bool:
        """Whether no run is in memory or in line, and none is being undone."""
        return not self.parts.live and self.scheduler.idle() and self.unwinding.idle()

    def _opened(self, tx: Tx) -> None:
        refuse_moved(tx)
        for name, reason in tx.settings(STOP_SETTING).items():
            self.parts.stops.stop(name.removeprefix(STOP_SETTING), reason)
        self.doubts.restored = restored_of(tx)
        for name, figures in tx.settings(CIRCUIT_SETTING).items():
            calls, failures, _ = canonical.decode(figures)
            self.parts.circuits.of(name.removeprefix(CIRCUIT_SETTING)).reopen((calls, failures))
        before = tx.setting("clock_back")
        self.parts.time.no_repeat_before = max(self.parts.time.no_repeat_before, int(before or 0))
        self.tokens.take_in(tx)
        self.sessions.take_in(tx)
        self.agent_tokens.take_in(tx)
        by = self.tokens.opened_by(self.given.opener)
        body = {"epoch": self.parts.store.epoch, "ruleset": self.parts.force.rules.digest, "by": by}
        tx.append(SYSTEM, tx.version(SYSTEM), [Draft("opened", body)])
        known = tx.setting("ruleset")
        if known != self.parts.force.rules.digest:
            # Rules are changed in files: whoever starts the process with them answers for the change.
            changed = {
                "digest": self.parts.force.rules.digest,
                "source": self.parts.force.rules.source(),
                "by": by,
            }
            tx.append(SYSTEM, tx.version(SYSTEM), [Draft("rules", changed)])
            tx.set_setting("ruleset", self.parts.force.rules.digest)

    def _clock_back(self, no_repeat_before: int) -> None:
        """The clock was set back: from now on, and for every later owner, no older key is repeated."""

        def work(tx: Tx) -> None:
            body = {"no_repeat_before": no_repeat_before}
            tx.append(SYSTEM, tx.version(SYSTEM), [Draft("clock_back", body)])
            tx.set_setting("clock_back", str(no_repeat_before))

        self._note(work)

    def _slowing(self, begin: Begin) -> Slowing:
        store, monotonic = self.given.store, self.given.time.monotonic
        return Slowing(
            self.given.inbox_full_at, monotonic, lambda: store.read(lambda view: view.added()), begin
        )

    def _circuit_changed(self, change: Change) -> None:
        """A circuit has opened or closed: written down, so that the next owner begins by trying it."""
        window_s = self.given.circuit(change.connector).window_s

        def work(tx: Tx) -> None:
            body = body_of(change, window_s)
            tx.append(SYSTEM, tx.version(SYSTEM), [Draft("circuit", body)])
            figures = canonical.encode([change.calls, change.failures, tx.at_us]).decode()
            tx.set_setting(CIRCUIT_SETTING + change.connector, figures if change.is_open else None)

        self._note(work)

    def _note(self, work: Callable[[Tx], None]) -> None:
        """Write something down that nothing waits for."""

        async def written() -> None:
            with suppress(StoreError):
                await self.recording.written(work)

        task = asyncio.get_running_loop().create_task(written())
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    def _go_on(self, no: int) -> None:
        """A run can go on (an action was settled late, a circuit may be tried), or what undoes it."""
        self.scheduler.ready(no)
        self.unwinding.go_on(no)

    def _lifted(self) -> None:
        self.scheduler.stops_changed()
        self.unwinding.resume()

    def _fresh(self, run: LiveRun) -> None:
        self._known[run.no] = run.rank
        self.scheduler.fresh(run)

    def _unbegun(self, run: LiveRun) -> None:
        self.scheduler.unbegun(run)
        self.parts.stops.parked.pop(run.no, None)
        self.parts.circuits.discard(run.no)
        self._known.pop(run.no, None)

    def _cancelled(self, no: int) -> None:
        # It tries no circuit any more; where it starts something after all it is parked anew.
        self.parts.circuits.discard(no)
        self.scheduler.cancelled(no)

    def _left(self, run: LiveRun) -> None:
        self._known.pop(run.no, None)
        self.scheduler.left(run)
        for watcher in self.watchers:
            watcher(run)

    def _rank_of(self, no: int) -> Rank:
        known = self._known.get(no)
        if known is None:
            row = self.parts.store.read(lambda view: view.run_no(no))
            known = Rank(row.priority, row.agent, row.automation) if row is not None else Rank(1, "", "")
            self._known[no] = known
        return known

    # -- timers ---------------------------------------------------------------------------------------

    def _late_in(self, no: int, left_s: float) -> None:
        """The time of what a run waits to start is up then: it looks again, whatever is in its way."""

        def look() -> None:
            if not self._stopped:
                self.scheduler.ready(no)

        asyncio.get_running_loop().call_later(max(left_s, 0.0), look)

    def _due_at(self, due_us: int | None) -> None:
        """A wait is due then."""
        if due_us is None or (self._next_due is not None and self._next_due <= due_us):
            return
        self._next_due = due_us
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._next_due is None or self._stopped:
            return
        # Wall time may be changed under us: look at least once a minute.
        wait_s = min(max((self._next_due - self.parts.time.now_us()) / 1e6, 0.0), TIMER_S_MAX)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._wake_soon)

    def _wake_soon(self) -> None:
        if not self._waking:
            self._waking = True
            task = asyncio.get_running_loop().create_task(self._wake())
            task.add_done_callback(lambda done: tell_error(done, "waits could not be ended; tried again"))

    def _wake_some(self, tx: Tx) -> tuple[list[Woken], int | None]:
        woken = wake_due(tx, self.recording.append)
        self.parts.boundary("woke.in")
        return woken

    async def _wake(self) -> None:
        # Unless all goes well, the waits are still there and are looked at again.
        due: int | None = self.parts.time.now_us() + WAKE_AGAIN_US
        try:
            while True:
                self.parts.boundary("woke.before")
                woken, following = await self.parts.store.write(self._wake_some)
                self.parts.boundary("woke.after")
                for no, path, result in woken:
                    self.runner.deliver(no, path, result)
                if len(woken) < WAKE_MAX:
                    due = following
                    break
        except StoreError:
            # Full or busy, which is told elsewhere.
            return
        finally:
            self._waking = False
            self._next_due = due
            self._set_timer()

"""The gate: the one door to the world. Only here is an operation performed.

An action's way, in the order of this file: carry out → (a read: judge, send) or (start: T2, then
send) → outcome → T3 receipt, declined, refused, drift, or T4 doubt. See `docs/actions.md`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal, TypeVar

from deputize import canonical
from deputize.action import Action
from deputize.call import CallBroken, CallDeclined, CallDrifted, CallFailed, CallNotDone, CallUnknown
from deputize.errors import StoreError, StoreFull
from deputize.kernel.lanes import Lane
from deputize.kernel.live import LiveRun
from deputize.kernel.ports import Boundary, Performer
from deputize.kernel.result import Result, unmet_of, unmet_sentence
from deputize.kernel.start import (
    Begun,
    Busy,
    InForce,
    RefusedStart,
    Request,
    StoppedStart,
    give_up_after_us,
    refuse,
    settled_part,
    start,
    start_within_s,
    verdict_of,
)
from deputize.kernel.stops import LeaseLine, Place, Stops
from deputize.kernel.time import LedgerTime
from deputize.kernel.turns import Turn, scopes_of
from deputize.ledger import Draft
from deputize.operation import Operation
from deputize.store.protocol import Store, Tx

T = TypeVar("T")
Kind = Literal["receipt", "refused", "declined"]
_RESULTS: Mapping[Kind, Literal["refused", "declined", "value"]] = {
    "receipt": "value",
    "refused": "refused",
    "declined": "declined",
}

LEASE_WAIT_S = 5.0
BACKOFF_S_MAX = 30.0
RETRY_AFTER_S_MAX = 3_600.0
DRIFT_CHARS_MAX = 4_000
WRITE_AGAIN_S = 1.0
"""After so long what must be recorded is given to a ledger that was full or busy once more."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """Proved not done, with attempts left: the same key again after a while."""

    because: str
    wait_s: float


@dataclass
class Parts:
    """What the gate works with; wired in `deputize.system`."""

    store: Store
    time: LedgerTime
    performer: Performer
    force: InForce
    stops: Stops
    leases: LeaseLine
    boundary: Boundary
    random: Random
    lane_of: Callable[[str], Lane]
    """A lane by `connector:x` or `agent:x`."""
    live: dict[int, LiveRun]
    """Runs in memory, by number."""


class Gate:
    """Carries out actions. `on_doubt` is told of each doubt, `on_drift` of each drift, `on_lost` of a
    run whose append failed and which must be taken out of memory."""

    def __init__(
        self,
        parts: Parts,
        on_doubt: Callable[[Begun, Operation[..., Any], str], None],
        on_lost: Callable[[LiveRun], None],
    ) -> None:
        self.parts = parts
        self._on_doubt = on_doubt
        self._on_lost = on_lost
        self.on_late: Callable[[int], None] = lambda run_no: None
        """Told of each run whose action was settled after the run had been taken out of memory."""
        self._late: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Leave what a full ledger did not take; the next owner finds it as a doubt."""
        late = list(self._late)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def carry_out(self, run: LiveRun, path: str, action: Action[Any]) -> Result | None:
        """Take an action through the gate. None where there is nothing to hand back for now: it is in
        doubt, it drifted, or the run is to be taken out of memory."""
        operation = action.operation
        args = canonical.decode(action.args)
        request = Request(run, path, action, args, operation.amount(args))
        # A read that is counted starts like a write: its fact is counted in the starting transaction.
        if operation.contract.unpriced_read and not self.parts.force.rules.needs(operation.name):
            return await self._read(request)
        return await self._write(request)

    # -- reads without a price: judged, sent, recorded with the next commit -------------------------

    async def _read(self, request: Request) -> Result | None:
        run, operation = request.run, request.action.operation
        turn = self._turn(request)
        try:
            if not await self._may_go_on(run, turn):
                return None
            refusal = await self._judge_read(request)
            if refusal is not None:
                return refusal
            begun = Begun(run.no, run.id, request.path, request.action.args, "", 0, 1, 0, 0,
                          operation.contract.version, (), (), (), request.action.expects)  # fmt: skip
            return await self._send_read(request, begun, turn)
        finally:
            turn.leave()

    async def _judge_read(self, request: Request) -> Result | None:
        parts, run = self.parts, request.run
        may = run.automation.agent.may
        name = request.action.operation.name
        if may is not None and name not in may:
            return await self._refuse(request, f"the agent {run.automation.agent.name} may not use {name}")
        at = parts.time.now_us()
        verdict, _, _ = verdict_of(None, request, parts.force, at)
        if verdict.decision != "allow":
            return await self._refuse(request, verdict.sentence())
        return None

    async def _send_read(self, request: Request, begun: Begun, turn: Turn) -> Result | None:
        operation = request.action.operation
        attempt = 1
        while True:
            self.parts.boundary("read.before")
            try:
                stored = await self.parts.performer.perform(
                    operation, request.action.args, key="", attempt=attempt
                )
            except CallDeclined as error:
                return self._post_failure(request, "declined", error.reason)
            except CallDrifted as error:
                self._post_drift(request.run, operation, begun, error, was="new", request=request)
                return None
            except CallBroken as error:
                return self._post_failure(request, "refused", error.reason)
            except CallFailed as error:
                if attempt >= operation.contract.attempts_max:
                    reason = f"no answer after {attempt} attempts; the last: {error.reason}"
                    return self._post_failure(request, "refused", reason)
                wait_s = self._back_off_s(operation, attempt, error)
                turn.leave()
                await asyncio.sleep(wait_s)
                if not await self._may_go_on(request.run, turn):
                    return None
                attempt += 1
                continue
            self.parts.boundary("read.after")
            return self._post_read(request, stored)

    def _post_read(self, request: Request, stored: bytes) -> Result:
        run, action, at = request.run, request.action, self.parts.time.now_us()
        unmet = unmet_of(action.expects, canonical.decode(stored)) if action.expects else {}

        def work(tx: Tx) -> None:
            body = {
                "path": request.path,
                "op": action.operation.name,
                "digest": action.digest,
                "version": action.operation.contract.version,
                "agent": run.automation.agent.name,
                "args": tx.place(action.args),
                "result": tx.place(stored),
                "why": action.why,
                "at": at,
            }
            if unmet:
                body["unmet"] = unmet
            run.version = tx.append(run.no, run.version, [Draft("read", body)])
            self.parts.boundary("read.in")

        self._post(run, work)
        return _result(stored, unmet, at)

    # -- writes (and priced reads): T2, send, T3 or T4 ----------------------------------------------

    async def _write(self, request: Request) -> Result | None:
        parts, run, operation = self.parts, request.run, request.action.operation
        parts.boundary("ask")
        turn, place = self._turn(request), parts.leases.place()
        started: Begun | RefusedStart | Busy | StoppedStart
        patient = True
        try:
            while True:
                if not await self._may_go_on(run, turn):
                    return None
                busy = self._ahead(request, place) if patient else None
                if busy is not None:
                    started = Busy(busy)
                else:
                    started_at = parts.time.monotonic()
                    parts.boundary("t2.before")
                    started = await parts.store.write(lambda tx: self._start(tx, request))
                if isinstance(started, Begun):
                    place.leave()
                    parts.boundary("t2.after")
                    by = started_at + start_within_s(operation.contract)
                    return await self.send(run, operation, started, by, turn)
                turn.leave()
                if isinstance(started, RefusedStart):
                    return Result("refused", b"null", started.reason, started.at_us)
                if isinstance(started, Busy):
                    # Whoever is first may be kept back by a halt or a slow lane: that is waited for once.
                    patient = await place.wait(started.resource, LEASE_WAIT_S)
        except StoreError:
            self._on_lost(run)
            return None
        finally:
            turn.leave()
            place.leave(next_too=True)

    def _ahead(self, request: Request, place: Place) -> str | None:
        """A resource for which others wait that came before; asked only where anyone waits at all."""
        if not self.parts.leases.waiting:
            return None
        return place.behind(request.action.operation.resources(request.args))

    def _start(self, tx: Tx, request: Request) -> Begun | RefusedStart | Busy | StoppedStart:
        parts = self.parts
        run = request.run
        if run.is_over() or parts.stops.in_way(*self._scopes(request)) is not None:
            return StoppedStart()
        started = start(tx, request, parts.force, parts.store.ledger_id)
        parts.boundary("t2.in")
        return started

    async def send(
        self, run: LiveRun | None, operation: Operation[..., Any], begun: Begun, send_by: float, turn: Turn
    ) -> Result | None:
        """Send a durable intent (or attempt) until something is known of it, in a turn that is entered.

        `send_by` is on the monotonic clock: past it nothing is sent, and that is a "not done". Raises
        `StoreError` where a further attempt cannot be made durable.
        """
        while True:
            sent = await self._send(run, operation, begun, send_by)
            if not isinstance(sent, NotYet):
                return sent
            turn.leave()
            await asyncio.sleep(sent.wait_s)
            await turn.enter()
            row = self.parts.store.read(lambda view, no=begun.run_no: view.run_no(no))  # type: ignore[misc]
            if row is None or row.state == "ended":
                return self._post_settled(run, begun, "refused", f"its run has ended; {sent.because}")
            send_by = self.parts.time.monotonic() + start_within_s(operation.contract)
            again = await self.attempt(operation, begun, sent.because, was="open")
            if again is None:
                return None
            begun = again

    async def _send(
        self, run: LiveRun | None, operation: Operation[..., Any], begun: Begun, send_by: float
    ) -> Result | NotYet | None:
        """Send once, and settle it by what comes of it."""
        parts = self.parts
        if parts.time.monotonic() > send_by:
            return self._not_done(run, operation, begun, CallNotDone("it was too late to send it"))
        parts.boundary("send.before")
        sent_at = parts.time.now_us()
        try:
            stored = await parts.performer.perform(
                operation, begun.args, key=begun.key, attempt=begun.attempt
            )
        except CallDeclined as error:
            parts.boundary("send.after")
            return self._post_settled(run, begun, "declined", error.reason)
        except CallBroken as error:
            return self._post_settled(run, begun, "refused", error.reason)
        except CallNotDone as error:
            return self._not_done(run, operation, begun, error)
        except CallDrifted as error:
            self._post_drift(run, operation, begun, error, was="open")
            return None
        except CallUnknown as error:
            answer_by = sent_at + int(operation.contract.timeout_s * 1_000_000)
            await self.doubt(operation, replace(begun, give_up_at=answer_by), error.reason)
            return None
        parts.boundary("send.after")
        return self.post_receipt(run, begun, stored)

    def _not_done(
        self, run: LiveRun | None, operation: Operation[..., Any], begun: Begun, error: CallFailed
    ) -> Result | NotYet:
        """Proved not done: once more with all holds kept, or the end of attempts."""
        if begun.attempt >= operation.contract.attempts_max:
            reason = f"not done after {begun.attempt} attempts; the last: {error.reason}"
            return self._post_settled(run, begun, "refused", reason)
        return NotYet(error.reason, self._back_off_s(operation, begun.attempt, error))

    async def attempt(
        self, operation: Operation[..., Any], begun: Begun, because: str, *, was: str
    ) -> Begun | None:
        """Make another attempt with the same key durable. None where the action is no longer as it was.

        Raises `StoreError`, and not for a ledger that is full or busy: that is waited out.
        """
        parts = self.parts

        def work(tx: Tx) -> Begun | None:
            if not self._is(tx, begun, was):
                return None
            again = replace(
                begun,
                attempt=begun.attempt + 1,
                give_up_at=tx.at_us + give_up_after_us(operation.contract),
            )
            body = {
                "path": begun.path,
                "n": again.attempt,
                "because": because,
                "start_by": tx.at_us + int(start_within_s(operation.contract) * 1_000_000),
                "give_up_at": again.give_up_at,
                "was": was,
            }
            self.append(tx, begun.run_no, [Draft("attempt", body)])
            parts.boundary("attempt.in")
            return again

        parts.boundary("attempt.before")
        again = await self.written(work)
        parts.boundary("attempt.after")
        return again

    async def doubt(self, operation: Operation[..., Any], begun: Begun, evidence: str) -> None:
        """T4: nobody knows what became of it. Holds, leases and facts stay."""
        parts = self.parts
        parts.boundary("t4.before")

        def work(tx: Tx) -> None:
            body = {"path": begun.path, "evidence": evidence, "give_up_at": begun.give_up_at}
            self.append(tx, begun.run_no, [Draft("doubt", body)])
            parts.boundary("t4.in")

        await self.written(work)
        parts.boundary("t4.after")
        self._on_doubt(begun, operation, evidence)

    async def written(self, work: Callable[[Tx], T]) -> T:
        """Write what must be recorded, and wait out a ledger that is full or busy.

        Raises every other `StoreError`: then it stays an open intent, a doubt to the next owner.
        """
        while True:
            try:
                return await self.parts.store.write(work)
            except StoreFull:
                await asyncio.sleep(WRITE_AGAIN_S)

    # -- settling ------------------------------------------------------------------------------------

    async def settle(self, begun: Begun, kind: Kind, given: bytes | str, *, by: Any) -> Result | None:
        """Settle what is in doubt, as a receipt (a result) or refused (a reason).

        None where someone else has settled it. Raises `StoreError`.
        """
        at = self.parts.time.now_us()
        body, result = _settling(begun, kind, given, at)

        def work(tx: Tx) -> bool:
            if not self._is(tx, begun, "doubtful"):
                return False
            body["by"] = by
            self.parts.boundary("t3.in")
            self._append_settled(tx, begun, kind, "doubtful", body)
            return True

        self.parts.boundary("t3.before")
        if not await self.written(work):
            return None
        self.parts.boundary("t3.after")
        self.parts.leases.freed(begun.leases)
        return result

    def post_receipt(self, run: LiveRun | None, begun: Begun, stored: bytes) -> Result:
        """T3: queued, not waited for; the run's next start follows it in the writer."""
        body, result = _settling(begun, "receipt", stored, self.parts.time.now_us())
        body["by"] = "answer"

        def work(tx: Tx) -> None:
            self.parts.boundary("t3.in")
            self._append_settled(tx, begun, "receipt", "open", body)

        self.parts.boundary("t3.before")
        self._post(run, work, begun)
        return result

    def _post_settled(self, run: LiveRun | None, begun: Begun, kind: Kind, reason: str) -> Result:
        body, result = _settling(begun, kind, reason, self.parts.time.now_us())

        def work(tx: Tx) -> None:
            self._append_settled(tx, begun, kind, "open", body)
            self.parts.boundary("settle.in")

        self.parts.boundary("settle.before")
        self._post(run, work, begun)
        return result

    def _append_settled(self, tx: Tx, begun: Begun, kind: Kind, was: str, body: dict[str, Any]) -> None:
        placed = {"result": tx.place(body["result"])} if "result" in body else {}
        self.append(tx, begun.run_no, [Draft(kind, settled_part(begun, was) | body | placed)])

    def _post_drift(
        self,
        run: LiveRun | None,
        operation: Operation[..., Any],
        begun: Begun,
        error: CallDrifted,
        *,
        was: str,
        request: Request | None = None,
    ) -> None:
        """Done, with an answer that does not fit: the answer is kept, the run stops for a person."""
        raw = error.body[:DRIFT_CHARS_MAX].decode("utf-8", "replace")
        reason = f"{operation.name} was answered, but not as its contract says: {error.reason}"
        body = settled_part(begun, was) | {"reason": reason, "raw": raw, "status": error.status}

        def work(tx: Tx) -> None:
            more = _identity(tx, request) if request is not None else {}
            self.append(tx, begun.run_no, [Draft("drift", body | more)])
            self.parts.boundary("drift.in")

        self._post(run, work, begun)

    def _post_failure(self, request: Request, kind: Any, reason: str) -> Result:
        run, at = request.run, self.parts.time.now_us()
        body = {
            "path": request.path, "reason": reason, "was": "new", "leased": False,
            "holds": [], "counted": [], "rules": [], "facts": {}, "at": at,
        }  # fmt: skip
        self._post(run, lambda tx: self.append(tx, run.no, [Draft(kind, _identity(tx, request) | body)]))
        return Result(kind, b"null", reason, at)

    async def _refuse(self, request: Request, reason: str) -> Result:
        refused = await self.parts.store.write(lambda tx: refuse(tx, request, reason, tx.at_us))
        return Result("refused", b"null", refused.reason, refused.at_us)

    def _post(self, run: LiveRun | None, work: Callable[[Tx], Any], begun: Begun | None = None) -> None:
        future = self.parts.store.write(work, lazy=True)

        def finished(done: asyncio.Future[Any]) -> None:
            if done.cancelled():
                return
            error = done.exception()
            if error is not None:
                if run is not None:
                    self._on_lost(run)
                if isinstance(error, StoreFull) and begun is not None and begun.key:
                    # What became of it is known here and nowhere else: record it once there is room.
                    task = asyncio.get_running_loop().create_task(self._post_late(work, begun))
                    self._late.add(task)
                    task.add_done_callback(self._late.discard)
                return
            self.parts.boundary("t3.after")
            if begun is not None and begun.leases:
                self.parts.leases.freed(begun.leases)

        future.add_done_callback(finished)

    async def _post_late(self, work: Callable[[Tx], Any], begun: Begun) -> None:
        def if_open(tx: Tx) -> None:
            if self._is(tx, begun, "open"):
                work(tx)

        try:
            await self.written(if_open)
        except StoreError:
            return
        self.parts.leases.freed(begun.leases)
        self.on_late(begun.run_no)

    def append(self, tx: Tx, run_no: int, drafts: list[Draft]) -> None:
        """Append to a run's stream, in memory or not."""
        run = self.parts.live.get(run_no)
        if run is not None:
            run.version = tx.append(run_no, run.version, drafts)
        else:
            tx.append(run_no, tx.version(run_no), drafts)

    def _is(self, tx: Tx, begun: Begun, state: str) -> bool:
        found = tx.action(begun.run_no, begun.path)
        return found is not None and found.state == state and found.round == begun.round

    # -- turns ----------------------------------------------------------------------------------------

    def turn(self, scopes: tuple[str, ...], priority: int, group: str) -> Turn:
        """A turn, not entered."""
        lanes = tuple(self.parts.lane_of(scope) for scope in scopes[:2])
        return Turn(self.parts.stops, lanes, scopes, priority, group)

    async def _may_go_on(self, run: LiveRun, turn: Turn) -> bool:
        """Take the turn for something new. False where the run is over, or parked at a stop."""
        if not run.is_over() and not await turn.enter_unless_stopped():
            self.parts.stops.parked.add(run.no)
            return False
        return not run.is_over()

    def _turn(self, request: Request) -> Turn:
        return self.turn(self._scopes(request), request.run.priority, request.run.automation.name)

    def _scopes(self, request: Request) -> tuple[str, ...]:
        automation = request.run.automation
        connector = request.action.operation.contract.connector
        return scopes_of(automation.agent.name, connector, automation.name, request.run.id)

    def _back_off_s(self, operation: Operation[..., Any], attempt: int, error: CallFailed) -> float:
        """How long to wait before another attempt: as the service asks, else twice as long each time."""
        if error.retry_after_s is not None:
            wait_s = min(error.retry_after_s, RETRY_AFTER_S_MAX)
            self.parts.lane_of(f"connector:{operation.contract.connector}").hold_off(wait_s)
        else:
            wait_s = min(0.1 * 2.0**attempt, BACKOFF_S_MAX)
        return wait_s * (1 + 0.25 * self.parts.random.random())


def _settling(begun: Begun, kind: Kind, given: bytes | str, at: int) -> tuple[dict[str, Any], Result]:
    """What a settling entry says beside what it lets go, and the same as the run's result."""
    if isinstance(given, str):
        return {"reason": given, "at": at}, Result(_RESULTS[kind], b"null", given, at)
    unmet = unmet_of(begun.expects, canonical.decode(given)) if begun.expects else {}
    more = {"unmet": unmet} if unmet else {}
    return {"result": given, "at": at, **more}, _result(given, unmet, at)


def _identity(tx: Tx, request: Request) -> dict[str, Any]:
    """What a settling entry says of an action that has no intent."""
    action = request.action
    return {
        "op": action.operation.name,
        "digest": action.digest,
        "version": action.operation.contract.version,
        "agent": request.run.automation.agent.name,
        "args": tx.place(action.args),
        "why": action.why,
    }


def _result(stored: bytes, unmet: Mapping[str, Any], at: int) -> Result:
    return Result("unmet" if unmet else "value", stored, unmet_sentence(unmet), at)

"""The gate: the one door to the world. Only here is an operation performed.

An action's way, in the order of this file: carry out → (a read: judge, send) or (start: T2, then
send) → outcome → T3 receipt, declined, refused, drift, or T4 doubt. See `docs/actions.md`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import orjson

from deputize import canonical
from deputize.action import Action
from deputize.call import CallBroken, CallDeclined, CallDrifted, CallFailed, CallNotDone, CallUnknown
from deputize.errors import StoreError
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
from deputize.kernel.stops import LeaseLine, Stops
from deputize.kernel.time import LedgerTime
from deputize.ledger import Draft
from deputize.operation import Operation
from deputize.store.protocol import Store, Tx

LEASE_WAIT_S = 5.0
BACKOFF_S_MAX = 30.0
RETRY_AFTER_S_MAX = 3_600.0
DRIFT_CHARS_MAX = 4_000


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

    async def carry_out(self, run: LiveRun, path: str, action: Action[Any]) -> Result | None:
        """Take an action through the gate. None where there is nothing to hand back for now: it is in
        doubt, it drifted, or the run is to be taken out of memory."""
        operation = action.operation
        args = canonical.decode(action.args)
        request = Request(run, path, action, args, operation.amount(args))
        if operation.contract.unpriced_read:
            return await self._read(request)
        return await self._write(request)

    # -- reads without a price: judged, sent, recorded with the next commit -------------------------

    async def _read(self, request: Request) -> Result | None:
        parts, run, operation = self.parts, request.run, request.action.operation
        needs_facts = bool(parts.force.rules.needs(operation.name))
        lanes = await self._enter(request)
        try:
            if run.cancel:
                return None
            refusal = await self._judge_read(request, needs_facts)
            if refusal is not None:
                return refusal
            begun = Begun(run.no, run.id, request.path, request.action.args, "", 0, 1, 0, 0,
                          operation.contract.version, (), (), (), request.action.expects)  # fmt: skip
            return await self._send_read(request, begun)
        finally:
            _leave(lanes)

    async def _judge_read(self, request: Request, needs_facts: bool) -> Result | None:
        parts, run = self.parts, request.run
        may = run.automation.agent.may
        name = request.action.operation.name
        if may is not None and name not in may:
            return await self._refuse(request, f"the agent {run.automation.agent.name} may not use {name}")
        at = parts.time.now_us()
        if needs_facts:
            verdict, _, _ = await parts.store.write(lambda tx: verdict_of(tx, request, parts.force, tx.at_us))
        else:
            verdict, _, _ = verdict_of(None, request, parts.force, at)
        if verdict.decision != "allow":
            return await self._refuse(request, verdict.sentence())
        return None

    async def _send_read(self, request: Request, begun: Begun) -> Result | None:
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
                await self._back_off(operation, attempt, error)
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
        parts, run = self.parts, request.run
        parts.boundary("ask")
        while True:
            lanes = await self._enter(request)
            try:
                if run.cancel:
                    return None
                started_at = parts.time.monotonic()
                parts.boundary("t2.before")
                started = await parts.store.write(lambda tx: self._start(tx, request))
                if isinstance(started, Begun):
                    parts.boundary("t2.after")
                    by = started_at + start_within_s(request.action.operation.contract)
                    return await self._send(run, request.action.operation, started, by)
            except StoreError:
                self._on_lost(run)
                return None
            finally:
                _leave(lanes)
            if isinstance(started, RefusedStart):
                return Result("refused", b"null", started.reason, started.at_us)
            if isinstance(started, Busy):
                await parts.leases.wait(started.resource, LEASE_WAIT_S)

    def _start(self, tx: Tx, request: Request) -> Begun | RefusedStart | Busy | StoppedStart:
        parts = self.parts
        if request.run.cancel or parts.stops.in_way(*self._scopes(request)) is not None:
            return StoppedStart()
        started = start(tx, request, parts.force, parts.store.ledger_id)
        parts.boundary("t2.in")
        return started

    async def _send(
        self, run: LiveRun | None, operation: Operation[..., Any], begun: Begun, send_by: float
    ) -> Result | None:
        """Send an intent that is durable, and settle it by what comes of it.

        `send_by` is on the monotonic clock: past it nothing is sent, and that is a "not done".
        """
        parts = self.parts
        if parts.time.monotonic() > send_by:
            return await self._not_done(run, operation, begun, CallNotDone("it was too late to send it"))
        parts.boundary("send.before")
        sent_at = parts.time.now_us()
        try:
            stored = await parts.performer.perform(
                operation, begun.args, key=begun.key, attempt=begun.attempt
            )
        except CallDeclined as error:
            parts.boundary("send.after")
            return self._post_settled(run, begun, "declined", error.reason, was="open")
        except CallBroken as error:
            return self._post_settled(run, begun, "refused", error.reason, was="open")
        except CallNotDone as error:
            return await self._not_done(run, operation, begun, error)
        except CallDrifted as error:
            self._post_drift(run, operation, begun, error, was="open")
            return None
        except CallUnknown as error:
            answer_by = sent_at + int(operation.contract.timeout_s * 1_000_000)
            await self.doubt(operation, replace(begun, give_up_at=answer_by), error.reason)
            return None
        parts.boundary("send.after")
        return self.post_receipt(run, begun, stored, by="answer", was="open")

    async def _not_done(
        self, run: LiveRun | None, operation: Operation[..., Any], begun: Begun, error: CallFailed
    ) -> Result | None:
        """Proved not done: the same key again after a while, all holds kept, or the end of attempts."""
        if begun.attempt >= operation.contract.attempts_max:
            reason = f"not done after {begun.attempt} attempts; the last: {error.reason}"
            return self._post_settled(run, begun, "refused", reason, was="open")
        await self._back_off(operation, begun.attempt, error)
        send_by = self.parts.time.monotonic() + start_within_s(operation.contract)
        again = await self.attempt(operation, begun, error.reason, was="open")
        if again is None:
            return None
        return await self._send(run, operation, again, send_by)

    async def attempt(
        self, operation: Operation[..., Any], begun: Begun, because: str, *, was: str
    ) -> Begun | None:
        """Make another attempt with the same key durable. None where the action is no longer as it was,
        or the ledger could not be written."""
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
        try:
            again = await parts.store.write(work)
        except StoreError:
            # What is in the ledger is an open intent; the next owner finds it so, and we cannot send.
            return None
        parts.boundary("attempt.after")
        return again

    async def send_again(self, operation: Operation[..., Any], begun: Begun, send_by: float) -> Result | None:
        """Send a further attempt that a resolution has made durable."""
        return await self._send(self.parts.live.get(begun.run_no), operation, begun, send_by)

    async def doubt(self, operation: Operation[..., Any], begun: Begun, evidence: str) -> None:
        """T4: nobody knows what became of it. Holds, leases and facts stay."""
        parts = self.parts
        parts.boundary("t4.before")

        def work(tx: Tx) -> None:
            body = {"path": begun.path, "evidence": evidence, "give_up_at": begun.give_up_at}
            self.append(tx, begun.run_no, [Draft("doubt", body)])
            parts.boundary("t4.in")

        # Where it cannot be recorded it stays an open intent: a doubt to whoever owns the ledger next.
        with suppress(StoreError):
            await parts.store.write(work)
        parts.boundary("t4.after")
        self._on_doubt(begun, operation, evidence)

    # -- settling ------------------------------------------------------------------------------------

    def post_receipt(self, run: LiveRun | None, begun: Begun, stored: bytes, *, by: Any, was: str) -> Result:
        """T3: queued, not waited for; the run's next start follows it in the writer."""
        at = self.parts.time.now_us()
        unmet = unmet_of(begun.expects, canonical.decode(stored)) if begun.expects else {}

        def work(tx: Tx) -> None:
            self.parts.boundary("t3.in")
            body = settled_part(begun, was)
            body |= {"result": tx.place(stored), "by": by, "at": at}
            if unmet:
                body["unmet"] = unmet
            self.append(tx, begun.run_no, [Draft("receipt", body)])

        self.parts.boundary("t3.before")
        self._post(run, work, begun.leases)
        return _result(stored, unmet, at)

    def _post_settled(self, run: LiveRun | None, begun: Begun, kind: Any, reason: str, *, was: str) -> Result:
        at = self.parts.time.now_us()
        body = settled_part(begun, was) | {"reason": reason, "at": at}

        def work(tx: Tx) -> None:
            self.append(tx, begun.run_no, [Draft(kind, body)])
            self.parts.boundary("settle.in")

        self.parts.boundary("settle.before")
        self._post(run, work, begun.leases)
        return Result(kind, b"null", reason, at)

    def post_refused(self, begun: Begun, reason: str, *, was: str) -> Result:
        """A resolution found it not done, and it is not to be done again: holds and facts returned."""
        run = self.parts.live.get(begun.run_no)
        return self._post_settled(run, begun, "refused", reason, was=was)

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
        if request is not None:
            body |= _identity(request)

        def work(tx: Tx) -> None:
            self.append(tx, begun.run_no, [Draft("drift", body)])
            self.parts.boundary("drift.in")

        self._post(run, work, begun.leases)

    def _post_failure(self, request: Request, kind: Any, reason: str) -> Result:
        run, at = request.run, self.parts.time.now_us()
        body = _identity(request) | {
            "path": request.path, "reason": reason, "was": "new", "leased": False,
            "holds": [], "counted": [], "rules": [], "facts": {}, "at": at,
        }  # fmt: skip
        self._post(run, lambda tx: self.append(tx, run.no, [Draft(kind, body)]))
        return Result(kind, b"null", reason, at)

    async def _refuse(self, request: Request, reason: str) -> Result:
        refused = await self.parts.store.write(lambda tx: refuse(tx, request, reason, tx.at_us))
        return Result("refused", b"null", refused.reason, refused.at_us)

    def _post(self, run: LiveRun | None, work: Callable[[Tx], Any], leases: tuple[str, ...] = ()) -> None:
        future = self.parts.store.write(work, lazy=True)

        def finished(done: asyncio.Future[Any]) -> None:
            if done.cancelled():
                return
            if done.exception() is not None:
                if run is not None:
                    self._on_lost(run)
                return
            self.parts.boundary("t3.after")
            if leases:
                self.parts.leases.freed(leases)

        future.add_done_callback(finished)

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

    def _scopes(self, request: Request) -> tuple[str, ...]:
        automation = request.run.automation
        return (
            f"agent:{automation.agent.name}",
            f"connector:{request.action.operation.contract.connector}",
            f"automation:{automation.name}",
            f"run:{request.run.id}",
        )

    async def _enter(self, request: Request) -> tuple[Lane, ...]:
        """Wait out every stop, then for a turn in the agent's and the connector's lanes."""
        parts, run = self.parts, request.run
        lanes: list[Lane] = []
        while True:
            if parts.stops.scopes:
                await parts.stops.wait(*self._scopes(request))
            for scope in self._scopes(request)[:2]:
                lane = parts.lane_of(scope)
                try:
                    await lane.enter(run.priority, run.automation.name)
                except asyncio.CancelledError:
                    _leave(tuple(lanes))
                    raise
                lanes.append(lane)
            if parts.stops.in_way(*self._scopes(request)) is None:
                return tuple(lanes)
            _leave(tuple(lanes))
            lanes.clear()

    async def _back_off(self, operation: Operation[..., Any], attempt: int, error: CallFailed) -> None:
        """Wait before another attempt: as long as the service asks, else twice as long each time."""
        if error.retry_after_s is not None:
            wait_s = min(error.retry_after_s, RETRY_AFTER_S_MAX)
            self.parts.lane_of(f"connector:{operation.contract.connector}").hold_off(wait_s)
        else:
            wait_s = min(0.1 * 2.0**attempt, BACKOFF_S_MAX)
        await asyncio.sleep(wait_s * (1 + 0.25 * self.parts.random.random()))


def _leave(lanes: tuple[Lane, ...]) -> None:
    for lane in lanes:
        lane.leave()


def _identity(request: Request) -> dict[str, Any]:
    """What a settling entry says of an action that has no intent."""
    action = request.action
    return {
        "op": action.operation.name,
        "digest": action.digest,
        "version": action.operation.contract.version,
        "agent": request.run.automation.agent.name,
        "args": orjson.Fragment(action.args),
        "why": action.why,
    }


def _result(stored: bytes, unmet: Mapping[str, Any], at: int) -> Result:
    return Result("unmet" if unmet else "value", stored, unmet_sentence(unmet), at)

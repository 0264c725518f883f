"""The gate: the one door to the world. Only here is an operation performed.

An action's way, in the order of this file: carry out → (a read: judge, send) or (start: T2, then
send) → outcome, which `settling.py` makes an entry and a result of. See `docs/actions.md`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Literal

from deputize.action import Action
from deputize.agent import Agent
from deputize.caching import Before
from deputize.call import CallBroken, CallDeclined, CallDrifted, CallFailed, CallNotDone, CallUnknown
from deputize.errors import StoreError
from deputize.kernel.asking import Asked
from deputize.kernel.begun import Begun
from deputize.kernel.inquiring import Inquiring
from deputize.kernel.judging import Request, outright, verdict_of
from deputize.kernel.live import LiveRun
from deputize.kernel.parts import Parts
from deputize.kernel.repeating import NotYet, back_off_s, be_patient, may_repeat
from deputize.kernel.result import Known, Result
from deputize.kernel.reusing import Reused, looked_at
from deputize.kernel.settling import Failure, Settling
from deputize.kernel.start import (
    LATE,
    AnsweredStart,
    Busy,
    Inquire,
    RefusedStart,
    Started,
    StoppedStart,
    refuse,
    start,
    start_within_s,
)
from deputize.kernel.stops import Place
from deputize.kernel.turns import Turn, turn_for
from deputize.operation import Operation
from deputize.origins import Origins
from deputize.standing import Stand
from deputize.store.protocol import Tx

LEASE_WAIT_S = 5.0


class Gate:
    """Carries out actions. `on_lost` is told of a run whose start could not be written and which must be
    taken out of memory, `on_due` of the time until which one waits for people, `on_late` of a run that leaves
    memory and of how long it is until it is to look again."""

    def __init__(
        self,
        parts: Parts,
        settling: Settling,
        on_lost: Callable[[LiveRun], None],
        on_due: Callable[[int], None],
        on_late: Callable[[int, float], None],
    ) -> None:
        self.parts = parts
        self._settling = settling
        self._on_lost = on_lost
        self._on_due = on_due
        self._on_late = on_late
        self.inquiring = Inquiring(parts, settling, self._inquire, self._rehearse)

    async def carry_out(
        self, run: LiveRun, path: str, action: Action[Any], changers: tuple[str, ...] = ()
    ) -> Result | None:
        """Take an action through the gate. None where there is nothing to hand back for now: it waits for
        people, it is in doubt, it drifted, or the run is to be taken out of memory.

        `changers` are those who changed its arguments."""
        operation, known = action.operation, run.record.get(path)
        asking = known is not None and known.state == "asking"
        request = Request.of(run, path, action, asking=asking, changers=changers)
        # A read that is counted, or that may wait for people, starts like a write: in the transaction.
        rules = self.parts.force.rules
        alone = not rules.needs(operation.name) and not rules.demands(operation.name)
        if operation.contract.unpriced_read and alone and not asking:
            return await self._read(request)
        return await self._write(request)

    async def _inquire(self, about: Request, path: str, action: Action[Any], by: Agent) -> Result | None:
        """An action of an inquiry about another: it goes this same way, but waits for nobody."""
        # Its own argument is the whole of what it is about.
        tries, origins = about.attempts_max, Origins.anywhere(about.origins.every)
        request = Request.of(
            about.run, path, action, inquiring=True, attempts_max=tries, acting=by, origins=origins
        )
        alone = not self.parts.force.rules.needs(action.operation.name)
        read = action.operation.contract.unpriced_read and alone
        return await (self._read(request) if read else self._write(request))

    # -- reads without a price: judged, sent, recorded with the next commit -------------------------

    async def _read(self, request: Request) -> Result | None:
        if not await request.run.is_kept():
            return None
        turn = turn_for(self.parts, request)
        try:
            if not await self._may_go_on(request.run, turn):
                return await self._kept_back(request, turn)
            judged = await self._judge_read(request)
            if isinstance(judged, Result):
                return judged
            return await self._send_read(judged, turn)
        finally:
            turn.leave()

    async def _judge_read(self, request: Request) -> Request | Result:
        """The request with the rules that permit it, or its refusal."""
        parts = self.parts
        at, force = parts.time.now_us(), parts.force
        if why := outright(request, force):
            return await self._refuse(request, why)
        verdict, _, _ = verdict_of(None, request, force, at)
        if verdict.decision != "allow":
            return await self._refuse(request, verdict.sentence())
        return replace(request, rules=tuple(r.id for r in verdict.rules), ruleset=force.rules.digest[:16])

    async def _refuse(
        self, request: Request, reason: str, kind: Literal["refused", "unavailable", "expired"] = "refused"
    ) -> Result:
        late, down = kind == "expired", kind == "unavailable"
        refused = await self.parts.store.write(
            lambda tx: refuse(tx, request, reason, tx.at_us, expired=late, unavailable=down)
        )
        return Result(kind, b"null", refused.reason, refused.at_us)

    async def _send_read(self, request: Request, turn: Turn) -> Result | None:
        operation, args = request.action.operation, request.action.args
        got = await self._asked_until_known(
            request,
            turn,
            lambda attempt: self.parts.performer.perform(operation, args, key="", attempt=attempt),
        )
        if got is None:
            return await self._kept_back(request, turn)
        if isinstance(got, bytes):
            return self._settling.read(request, got)
        if isinstance(got, CallDrifted) and not request.inquiring:
            self._settling.read_drift(request, got)
            return None
        kind: Failure = "declined" if isinstance(got, CallDeclined) else "refused"
        return self._settling.read_failed(request, kind, got.reason)

    async def _rehearse(self, request: Request) -> bytes | CallFailed | None:
        """What the service says would come of an action; None where the run does not go on for now."""
        turn = turn_for(self.parts, request, bounded=False)
        try:
            if not await request.run.is_kept():
                return None
            got: bytes | CallFailed | None = None
            if await self._may_go_on(request.run, turn):
                operation, args = request.action.operation, request.action.args
                got = await self._asked_until_known(
                    request, turn, lambda attempt: self.parts.performer.rehearse(operation, args)
                )
            if got is None and not request.run.is_over():
                turn.park(request.run.no)
            return got
        finally:
            turn.leave()

    async def _asked_until_known(
        self, request: Request, turn: Turn, ask: Callable[[int], Awaitable[bytes]]
    ) -> bytes | CallFailed | None:
        """The answer to what only reads, or why there is none; None where the run does not go on."""
        operation, attempt = request.action.operation, 1
        attempts_max = request.attempts_max or operation.contract.attempts_max
        while True:
            self.parts.boundary("read.before")
            try:
                stored = await turn.hear(ask(attempt))
            except (CallDeclined, CallDrifted, CallBroken) as error:
                return error
            except CallFailed as error:
                if attempt >= attempts_max:
                    return CallFailed(f"no answer after {attempt} attempts; the last: {error.reason}")
                wait_s = back_off_s(self.parts, operation, attempt, error)
                turn.leave()
                await self._pause(request.run, operation.contract.connector, wait_s)
                if not await self._may_go_on(request.run, turn):
                    return None
                attempt += 1
                continue
            self.parts.boundary("read.after")
            return stored

    # -- writes (and priced reads): T2, send, T3 or T4 ----------------------------------------------

    async def _write(self, request: Request) -> Result | None:
        parts, run, operation = self.parts, request.run, request.action.operation
        parts.boundary("ask")
        turn, place = turn_for(parts, request), parts.leases.place()
        started: Started
        patient = True
        try:
            while True:
                if not await self._may_go_on(run, turn):
                    return await self._kept_back(request, turn)
                busy = self._ahead(request, place) if patient else None
                if busy is not None:
                    started = Busy(busy)
                else:
                    started_at = parts.time.monotonic()
                    started = await self._started(request, turn)
                if isinstance(started, Begun):
                    # Who waited for a lease has it now; what was under way is in nobody's way any more.
                    place.leave(next_too=not place.is_for(started.leases))
                    parts.boundary("t2.after")
                    by = started_at + start_within_s(operation.contract)
                    return await self.send(run, operation, started, by, turn)
                turn.leave()
                if isinstance(started, RefusedStart):
                    kind: Literal["expired", "refused"] = "expired" if started.expired else "refused"
                    return Result(kind, b"null", started.reason, started.at_us)
                if isinstance(started, Asked):
                    self._asked(request, started)
                    return None
                if isinstance(started, AnsweredStart):
                    return None
                if isinstance(started, Reused):
                    return started.result
                if isinstance(started, Before):
                    request = looked_at(request, started)
                    continue
                if isinstance(started, Inquire):
                    # Its place in a line is kept: nobody goes before it while it is found out.
                    found = await self.inquiring.answer(request, started)
                    if found is None:
                        return None
                    request = replace(request, findings=(*request.findings, *found))
                    continue
                if isinstance(started, Busy):
                    # Whoever is first may be kept back by a halt or a slow lane: that is waited for once.
                    what = Stand("resource", started.resource)
                    wait_s = turn.at_most_s(LEASE_WAIT_S)
                    patient = await self._stand_by(run, place.stand(what.name), wait_s, what)
        except StoreError:
            self._on_lost(run)
            return None
        finally:
            turn.leave()
            place.leave(next_too=True)

    async def _started(self, request: Request, turn: Turn) -> Started:
        self.parts.boundary("t2.before")
        return await self.parts.store.write(lambda tx: self._start(tx, request, turn))

    def _asked(self, request: Request, asked: Asked) -> None:
        run, action = request.run, request.action
        run.record[request.path] = Known(action.operation.name, action.digest, "asking")
        run.waited = run.carded = True
        self.parts.boundary("t1.after")
        self._on_due(asked.due)

    def _ahead(self, request: Request, place: Place) -> str | None:
        """A resource for which others wait that came before; asked only where anyone waits at all."""
        if not self.parts.leases.waiting:
            return None
        return place.behind(request.resources)

    def _start(self, tx: Tx, request: Request, turn: Turn) -> Started:
        parts = self.parts
        run = request.run
        if run.is_over() or turn.is_shut():
            return StoppedStart()
        if run.stands_in:
            run.version = tx.version(run.no)
        started = start(tx, request, parts.force, parts.store.ledger_id)
        if isinstance(started, Asked):
            parts.boundary("t1.in")
        else:
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
            sent = await self._send(run, operation, begun, send_by, turn)
            if not isinstance(sent, NotYet):
                return sent
            if not await turn.enter_again(sent.wait_s, unless_down=not (begun.waits or begun.unproved)):
                kind: Failure = "expired" if turn.is_late() else "unavailable"
                why = LATE if turn.is_late() else turn.breaker.why
                return self._settling.failed(run, begun, kind, f"{why}; {sent.because}")
            if begun.unproved and not may_repeat(operation, begun, self.parts.time):
                return await self._no(run, operation, begun, "refused", sent.because)
            send_by = self.parts.time.monotonic() + start_within_s(operation.contract)
            again = await self._settling.attempt(
                operation, begun, sent.because, was="open", unproved=begun.unproved
            )
            if again is None:
                return None
            if again == "ended":
                return await self._no(run, operation, begun, "refused", f"its run has ended; {sent.because}")
            begun = again

    async def _send(
        self, run: LiveRun | None, operation: Operation[..., Any], begun: Begun, send_by: float, turn: Turn
    ) -> Result | NotYet | None:
        """Send once, and settle it by what comes of it."""
        parts = self.parts
        if parts.time.monotonic() > send_by:
            return await self._not_done(run, operation, begun, CallNotDone("it was too late to send it"))
        parts.boundary("send.before")
        sent_s = parts.time.monotonic()
        try:
            asked = parts.performer.perform(operation, begun.args, key=begun.key, attempt=begun.attempt)
            stored = await turn.hear(asked)
        except CallDeclined as error:
            parts.boundary("send.after")
            return await self._no(run, operation, begun, "declined", error.reason)
        except CallBroken as error:
            return await self._no(run, operation, begun, "refused", error.reason)
        except CallNotDone as error:
            return await self._not_done(run, operation, begun, error)
        except CallDrifted as error:
            self._settling.drift(run, operation, begun, error)
            return None
        except CallUnknown as error:
            if operation.contract.effect == "read":
                # It is asked anew; a write is asked after first, and people are not to wait for that.
                be_patient(parts, operation, error)
            left_s = operation.contract.timeout_s - (parts.time.monotonic() - sent_s)
            answer_by = parts.time.now_us() + int(left_s * 1_000_000)
            await self._settling.doubt(operation, replace(begun, give_up_at=answer_by), error.reason)
            return None
        parts.boundary("send.after")
        undo = operation.undo.of(operation, begun.args, stored) if operation.undo is not None else None
        return self._settling.receipt(run, begun, stored, undo, operation.used(begun.args, stored))

    async def _not_done(
        self, run: LiveRun | None, operation: Operation[..., Any], begun: Begun, error: CallFailed
    ) -> Result | NotYet | None:
        """Proved not done: once more with all holds kept, or the end of attempts."""
        if begun.attempt >= operation.contract.attempts_max:
            reason = f"not done after {begun.attempt} attempts; the last: {error.reason}"
            return await self._no(run, operation, begun, "refused", reason)
        return NotYet(error.reason, back_off_s(self.parts, operation, begun.attempt, error))

    async def _no(
        self, run: LiveRun | None, operation: Operation[..., Any], begun: Begun, kind: Failure, reason: str
    ) -> Result | None:
        """It was not done, for good; or in doubt still, where that says nothing of an earlier send."""
        if not begun.unproved:
            return self._settling.failed(run, begun, kind, reason)
        evidence = f"an earlier attempt may have been done, and the latest was not: {reason}"
        await self._settling.doubt(operation, begun, evidence)
        return None

    # -- turns ----------------------------------------------------------------------------------------

    async def _may_go_on(self, run: LiveRun, turn: Turn) -> bool:
        """Take the turn for something new. False where the run is over, or kept back."""
        return not run.is_over() and await turn.enter_unless_stopped() and not run.is_over()

    async def _kept_back(self, request: Request, turn: Turn) -> Result | None:
        """A stop or an open circuit is in the way: the run leaves memory until that is no more, unless it is
        to be told that the connection is down."""
        run = request.run
        if run.is_over():
            return None
        if turn.is_late():
            return await self._refuse(request, LATE, "expired")
        if request.action.waits or not turn.is_down():
            turn.park(run.no)
            if (left_s := turn.left_s()) is not None:
                self._on_late(run.no, left_s)
            return None
        return await self._refuse(request, turn.breaker.why, "unavailable")

    async def _stand_by(
        self, run: LiveRun, place: asyncio.Future[bool], timeout_s: float, what: Stand
    ) -> bool:
        """Let something new wait for its turn, so long at most, and no longer than its run goes on."""
        return not run.is_over() and await self.parts.stops.stand_by(f"run:{run.id}", place, timeout_s, what)

    async def _pause(self, run: LiveRun, connector: str, for_s: float) -> None:
        """Between two tries, and no longer than the run goes on."""
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        await self._stand_by(run, place, for_s, Stand("pause", connector))

"""Doubts: intents without a known outcome, and the lawful ways to know.

Each is asked after at the service, repeated with the same key where that is safe, or put before a
person. Line 13 of the specification.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from deputize import canonical
from deputize.action import Action
from deputize.agent import Agent
from deputize.call import CallFailed
from deputize.errors import StoreError
from deputize.finding import is_child
from deputize.kernel.asking import changers_of
from deputize.kernel.begun import Begun
from deputize.kernel.gate import Gate
from deputize.kernel.judging import Request
from deputize.kernel.lanes import FIRST, Rank
from deputize.kernel.live import LiveRun
from deputize.kernel.parts import Parts
from deputize.kernel.recording import Recording
from deputize.kernel.repeating import may_repeat
from deputize.kernel.restored import Restored
from deputize.kernel.result import Result
from deputize.kernel.rounds import start_again
from deputize.kernel.settling import Failure, Settling, has_ended
from deputize.kernel.start import LATE, RefusedStart, start_within_s
from deputize.kernel.turns import Turn, scopes_of, turn_of
from deputize.ledger import Draft
from deputize.operation import Operation
from deputize.origins import Origins
from deputize.store.protocol import Tx

LOOK_UP_EVERY_S = 0.5
LOOK_UP_EVERY_S_MAX = 60.0
LOOK_UPS_BEFORE_CARD = 6
ASK_AGAIN_S_MAX = 30.0


class Doubts:
    """Resolves doubts, one small task each. `deliver` is told of each result by run and path;
    `stand_in` gives a run as the ledger has it, for judging, or None where its automation is gone."""

    def __init__(
        self,
        parts: Parts,
        recording: Recording,
        settling: Settling,
        gate: Gate,
        deliver: Callable[[int, str, Result | None], None],
        stand_in: Callable[[Tx, int], LiveRun | None],
    ) -> None:
        self._parts = parts
        self._recording = recording
        self._settling = settling
        self._gate = gate
        self._deliver = deliver
        self._stand_in = stand_in
        self._tasks: dict[tuple[int, str], asyncio.Task[None]] = {}
        self.restored = Restored()
        """What was sent before that is not repeated by itself while all is halted."""
        self.absent: set[tuple[int, str]] = set()
        """What a service has said did not happen, and is sent again once no stop is in the way."""

    def watch(self, begun: Begun, operation: Operation[..., Any], evidence: str) -> None:
        """Take up a doubt."""
        self._spawn(begun, self._resolve(begun, operation, evidence))

    def put_before_people(self, begun: Begun, name: str, evidence: str) -> None:
        """A doubt about an operation that the project has no more: only a person can know."""
        self._spawn(begun, self._card(begun, name, f"{evidence}, and the project has no {name} any more"))

    def send_round(self, begun: Begun, operation: Operation[..., Any]) -> None:
        """Send a round that `start_round` has made durable."""
        send_by = self._parts.time.monotonic() + start_within_s(operation.contract)
        self._spawn(begun, self._send_round(begun, operation, send_by))

    def leave(self, run_no: int, path: str) -> None:
        """Someone else has resolved it."""
        task = self._tasks.get((run_no, path))
        if task is not None:
            task.cancel()

    async def stop(self) -> None:
        """Leave all of them as they are; the next owner takes them up."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, begun: Begun, coroutine: Coroutine[Any, Any, None]) -> None:
        place = (begun.run_no, begun.path)
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks[place] = task
        task.add_done_callback(lambda done: self._forget(place, done))

    def _forget(self, place: tuple[int, str], task: asyncio.Task[None]) -> None:
        if self._tasks.get(place) is task:
            del self._tasks[place]
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, StoreError):
            raise error

    async def _resolve(self, begun: Begun, operation: Operation[..., Any], evidence: str) -> None:
        contract = operation.contract
        if contract.effect == "read":
            await self._ask_anew(begun, operation, evidence)
            return
        if begun.code != operation.code:
            evidence = f"{evidence}, and the code of {contract.connector} has changed since"
        settled_at = begun.give_up_at + int(contract.settle_s * 1_000_000)
        repeat_at = begun.give_up_at if contract.repeatable else settled_at
        carded, look_ups = False, 0
        while True:
            # Decided before the look-up: only an absence seen wholly after this time proves anything.
            settled = self._now() >= settled_at
            if operation.lookup is not None:
                found, told = await self._look_up(operation, begun)
                if found is not None:
                    await self._settle(begun, found)
                    return
                look_ups += 1
                if told and settled and contract.lookup_conclusive:
                    await self._proved_absent(operation, begun)
                    return
                if not settled and self._now() >= settled_at:
                    # The time came during the look-up: the next one may prove what this one could not.
                    continue
            if self._now() >= repeat_at and self.may_repeat(operation, begun):
                await self._repeat(
                    operation, begun, "the same key may be repeated, and the outcome is unknown"
                )
                return
            waits = self._now() < settled_at or self._may_repeat_later(operation, begun, repeat_at)
            if not carded and (not waits or look_ups >= LOOK_UPS_BEFORE_CARD) and self._now() >= settled_at:
                carded = True
                await self._card(begun, operation.name, evidence)
            if operation.lookup is None and not waits:
                return
            await asyncio.sleep(self._pause_s(look_ups, operation, settled_at, repeat_at))

    def may_repeat(self, operation: Operation[..., Any], begun: Begun) -> bool:
        """Whether the same key and bytes may be sent again now."""
        if begun.first_sent < self.restored.at_us and self._parts.stops.in_way() is not None:
            return False
        return may_repeat(operation, begun, self._parts.time) and not self._ended(begun)

    def _may_repeat_later(self, operation: Operation[..., Any], begun: Begun, repeat_at: int) -> bool:
        return self._now() < repeat_at and self.may_repeat(operation, begun)

    def _ended(self, begun: Begun) -> bool:
        """Whether a person has ended its run: then nothing of it is sent any more."""
        return self._parts.store.read(lambda view: has_ended(view, begun.run_no, begun.path))

    async def _look_up(self, operation: Operation[..., Any], begun: Begun) -> tuple[bytes | None, bool]:
        """What the look-up found, and whether the service told at all."""
        lane = self._parts.lane_of(f"connector:{operation.contract.connector}")
        self._parts.boundary("resolve.look_up")
        await lane.enter(FIRST)
        try:
            found = await self._parts.performer.look_up(operation, begun.args, key=begun.key)
            self._parts.boundary("resolve.told")
            return found, True
        except CallFailed as error:
            if error.retry_after_s is not None:
                lane.hold_off(min(error.retry_after_s, LOOK_UP_EVERY_S_MAX))
            return None, False
        finally:
            lane.leave(FIRST)

    async def _settle(self, begun: Begun, found: bytes) -> None:
        self._parts.boundary("resolve.found")
        result = await self._settling.found(begun, found)
        if result is not None:
            self._deliver(begun.run_no, begun.path, result)

    async def _proved_absent(self, operation: Operation[..., Any], begun: Begun) -> None:
        """The service knows of no such action after the longest time for a late effect: not done."""
        self._parts.boundary("resolve.absent")
        if begun.attempt < operation.contract.attempts_max and not self._ended(begun):
            because = "the look-up found nothing, which proves it was not done"
            self.absent.add((begun.run_no, begun.path))
            try:
                await self._repeat(operation, begun, because, proved=True)
            finally:
                self.absent.discard((begun.run_no, begun.path))
            return
        reason = f"not done after {begun.attempt} attempts, as the service says when asked"
        result = await self._settling.absent(begun, reason)
        if result is not None:
            self._deliver(begun.run_no, begun.path, result)

    async def _repeat(
        self, operation: Operation[..., Any], begun: Begun, because: str, *, proved: bool = False
    ) -> None:
        self._parts.boundary("resolve.repeat")
        turn = self._turn(begun, operation)
        await turn.enter()
        try:
            if not (proved or self.may_repeat(operation, begun)):
                # The turn came too late (a halt, a slow lane): its key is no longer good, or its run ended.
                self.watch(begun, operation, "its turn to be sent again came too late")
                return
            send_by = self._parts.time.monotonic() + start_within_s(operation.contract)
            again = await self._settling.attempt(
                operation, begun, because, was="doubtful", unproved=not proved
            )
            if again is None:
                return
            if again == "ended":
                self.watch(begun, operation, "its run was ended before it was sent again")
                return
            # From here it is an open action again; should it end in doubt, that is a new doubt.
            run = self._parts.live.get(begun.run_no)
            result = await self._gate.send(run, operation, again, send_by, turn)
        finally:
            turn.leave()
        if result is not None:
            self._deliver(begun.run_no, begun.path, result)

    async def _ask_anew(self, begun: Begun, operation: Operation[..., Any], evidence: str) -> None:
        """A priced read: what it may have cost counts as spent, and it is asked again, so many times."""
        if begun.round >= operation.contract.attempts_max or self._ended(begun):
            if operation.contract.priced_by:
                # Nothing in the world says what became of a thought, so no person could.
                reason = f"no answer in {begun.round} attempts; the last: {evidence}"
                await self._unanswered(begun, operation, reason)
                return
            await self._card(begun, operation.name, evidence)
            return
        turn = self._turn(begun, operation, bounded=True)
        lane = self._parts.lane_of(f"connector:{operation.contract.connector}")
        wait_s = max(min(0.1 * 2.0**begun.round, ASK_AGAIN_S_MAX), lane.opens_in_s())
        because = "the answer was lost; a read may be asked again"
        while True:
            if not await turn.enter_again(wait_s, unless_down=False):
                await self._unanswered(
                    begun, operation, f"{LATE}; the last answer was lost: {evidence}", "expired"
                )
                return
            wait_s = 0.0
            try:
                send_by = self._parts.time.monotonic() + start_within_s(operation.contract)
                started = await self._recording.written(
                    lambda tx: self._unless_stopped(tx, turn, begun, operation, because)
                )
                if isinstance(started, Begun):
                    await self._send_round(started, operation, send_by, turn)
                    return
            finally:
                turn.leave()
            if started is None:
                # Settled meanwhile; or its run has ended or has no code any more: then it is for a person.
                await self._card(begun, operation.name, evidence)
                return
            if isinstance(started, Result):
                self._deliver(begun.run_no, begun.path, started)
                return

    async def _unanswered(
        self, begun: Begun, operation: Operation[..., Any], reason: str, kind: Failure = "refused"
    ) -> None:
        """It is not asked any more; what its answer may have cost is spent."""
        lost = operation.worst_usd_micros(begun.args) or 0
        result = await self._settling.unanswered(begun, reason, lost, kind)
        if result is not None:
            self._deliver(begun.run_no, begun.path, result)

    def _unless_stopped(
        self, tx: Tx, turn: Turn, begun: Begun, operation: Operation[..., Any], because: str
    ) -> Begun | Result | Literal["stopped"] | None:
        if self._parts.stops.in_way(*turn.scopes) is not None:
            return "stopped"
        return self.start_round(tx, begun, operation, because, spend=True)

    def start_round(
        self,
        tx: Tx,
        begun: Begun,
        operation: Operation[..., Any],
        because: str,
        *,
        spend: bool,
        person: str = "",
    ) -> Begun | Result | None:
        """T2 for the next round of an action in doubt, on a `person`'s word if on anyone's: what to send, or
        its refusal; None where it is in doubt no more, or its run has ended."""
        row = tx.action(begun.run_no, begun.path)
        if row is None or row.state != "doubtful" or row.round != begun.round:
            return None
        if has_ended(tx, begun.run_no, begun.path):
            return None
        intent, run = tx.entry(row.intent), self._stand_in(tx, begun.run_no)
        if intent is None or intent.body is None or run is None:
            return None
        action: Action[Any] = Action(operation, begun.args).because(intent.body["why"])
        action.expects, action.weighs = begun.expects, tuple(intent.body.get("weighs", ()))
        action.due_us = begun.due_us
        action.notes = tuple((name, digest) for name, digest in intent.body.get("notes", ()))
        changers = changers_of(tx, begun.run_no, begun.path)
        inquiring = is_child(begun.path)
        name = intent.body["agent"]
        # An agent that is not there any more may do nothing.
        by = self._parts.agents.get(name) or Agent(name, may=frozenset())
        request = Request.of(
            run,
            begun.path,
            action,
            changers=changers,
            inquiring=inquiring,
            acting=by if inquiring else None,
            origins=Origins.from_body(intent.body),
        )
        force, ledger_id = self._parts.force, self._parts.store.ledger_id
        again, draft = start_again(tx, request, begun, force, ledger_id, because, spend=spend, person=person)
        self._recording.append(tx, begun.run_no, [draft])
        self._parts.boundary("resolve.again")
        if isinstance(again, RefusedStart):
            return Result("refused", b"null", again.reason, again.at_us)
        return again

    async def _send_round(
        self, begun: Begun, operation: Operation[..., Any], send_by: float, turn: Turn | None = None
    ) -> None:
        entered, turn = turn is not None, turn or self._turn(begun, operation)
        try:
            if not entered:
                await turn.enter()
            run = self._parts.live.get(begun.run_no)
            result = await self._gate.send(run, operation, begun, send_by, turn)
        finally:
            turn.leave()
        if result is not None:
            self._deliver(begun.run_no, begun.path, result)

    def _turn(self, begun: Begun, operation: Operation[..., Any], *, bounded: bool = False) -> Turn:
        """A turn for an action whose run may have left memory; `bounded` by the time in which it is to
        start."""
        row = self._parts.store.read(lambda view: view.run_no(begun.run_no))
        action = self._parts.store.read(lambda view: view.action(begun.run_no, begun.path))
        agent = action.agent if action is not None else ""
        automation = row.automation if row is not None else ""
        scopes = scopes_of(agent, operation.contract.connector, automation, begun.run_id)
        due_us = begun.due_us if bounded else None

        def left() -> float:
            return ((due_us or 0) - self._now()) / 1e6

        return turn_of(self._parts, scopes, Rank(0, agent, automation), left if due_us is not None else None)

    async def _card(self, begun: Begun, name: str, evidence: str) -> None:
        self._parts.boundary("resolve.card")

        def work(tx: Tx) -> None:
            row = tx.action(begun.run_no, begun.path)
            if row is None or row.state != "doubtful" or tx.has_card(begun.run_no, begun.path):
                return
            body = {
                "path": begun.path,
                "kind": "doubt",
                "title": f"Nobody knows whether {name} happened: {evidence}",
                "op": name,
                "args": canonical.decode(begun.args),
                "key": begun.key,
                "attempts": begun.attempt,
                "evidence": evidence,
            }
            self._recording.append(tx, begun.run_no, [Draft("card", body)])
            self._parts.boundary("resolve.carding")

        await self._recording.written(work)

    def _pause_s(
        self, look_ups: int, operation: Operation[..., Any], settled_at: int, repeat_at: int
    ) -> float:
        ahead = [at - self._now() for at in (settled_at, repeat_at) if at > self._now()]
        next_s = min(ahead) / 1e6 + 0.001 if ahead else LOOK_UP_EVERY_S_MAX
        if operation.lookup is None:
            return next_s
        back_off_s = min(LOOK_UP_EVERY_S * 2.0 ** min(look_ups - 1, 10), LOOK_UP_EVERY_S_MAX)
        return min(next_s, back_off_s) * (1 + 0.1 * self._parts.random.random())

    def _now(self) -> int:
        return self._parts.time.now_us()

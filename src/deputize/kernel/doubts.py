"""Doubts: intents without a known outcome, and the lawful ways to know.

Each is asked after at the service, repeated with the same key where that is safe, or put before a
person. Line 13 of the specification.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from deputize import canonical
from deputize.call import CallFailed
from deputize.errors import StoreError
from deputize.kernel.gate import Gate, Parts
from deputize.kernel.result import Result
from deputize.kernel.start import Begun, start_again, start_within_s
from deputize.ledger import Draft
from deputize.operation import Contract, Operation
from deputize.store.protocol import ActionRow, Tx

LOOK_UP_EVERY_S = 0.5
LOOK_UP_EVERY_S_MAX = 60.0
LOOK_UPS_BEFORE_CARD = 6


class Doubts:
    """Resolves doubts, one small task each. `deliver` is told of each result by run and path."""

    def __init__(self, parts: Parts, gate: Gate, deliver: Callable[[int, str, Result | None], None]) -> None:
        self._parts = parts
        self._gate = gate
        self._deliver = deliver
        self._tasks: dict[tuple[int, str], asyncio.Task[None]] = {}

    def watch(self, begun: Begun, operation: Operation[..., Any], evidence: str) -> None:
        """Take up a doubt."""
        place = (begun.run_no, begun.path)
        task = asyncio.get_running_loop().create_task(self._resolve(begun, operation, evidence))
        self._tasks[place] = task
        task.add_done_callback(lambda done: self._forget(place, done))

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

    def _forget(self, place: tuple[int, str], task: asyncio.Task[None]) -> None:
        if self._tasks.get(place) is task:
            del self._tasks[place]

    async def _resolve(self, begun: Begun, operation: Operation[..., Any], evidence: str) -> None:
        contract = operation.contract
        if contract.effect == "read":
            await self._ask_anew(begun, operation)
            return
        settled_at = begun.give_up_at + int(contract.settle_s * 1_000_000)
        repeat_at = begun.give_up_at if contract.repeatable else settled_at
        carded, look_ups = False, 0
        while True:
            # Decided before the look-up: only an absence seen wholly after this time proves anything.
            settled = self._now() >= settled_at
            if operation.lookup is not None:
                found, told = await self._look_up(operation, begun)
                if found is not None:
                    self._settle(begun, found)
                    return
                look_ups += 1
                if told and settled and contract.lookup_conclusive:
                    await self._proved_absent(operation, begun)
                    return
            if self._now() >= repeat_at and self.may_repeat(contract, begun):
                await self._repeat(
                    operation, begun, "the same key may be repeated, and the outcome is unknown"
                )
                return
            waits = self._now() < settled_at or self._may_repeat_later(contract, begun, repeat_at)
            if not carded and (not waits or look_ups >= LOOK_UPS_BEFORE_CARD) and self._now() >= settled_at:
                carded = True
                await self._card(begun, operation, evidence)
            if operation.lookup is None and not waits:
                return
            await asyncio.sleep(self._pause_s(look_ups, operation, settled_at, repeat_at))

    def may_repeat(self, contract: Contract, begun: Begun) -> bool:
        """Whether the same key and bytes may be sent again now."""
        if begun.attempt >= contract.attempts_max:
            return False
        if contract.repeatable:
            return True
        if begun.connector_version != contract.version or contract.key_valid_s <= 0:
            return False
        if begun.first_sent <= self._parts.time.no_repeat_before:
            return False
        good_until = begun.first_sent + int((contract.key_valid_s - contract.key_margin_s) * 1_000_000)
        return self._now() < good_until

    def _may_repeat_later(self, contract: Contract, begun: Begun, repeat_at: int) -> bool:
        return self._now() < repeat_at and self.may_repeat(contract, begun)

    async def _look_up(self, operation: Operation[..., Any], begun: Begun) -> tuple[bytes | None, bool]:
        """What the look-up found, and whether the service told at all."""
        lane = self._parts.lane_of(f"connector:{operation.contract.connector}")
        self._parts.boundary("resolve.look_up")
        await lane.enter(0, "")
        try:
            found = await self._parts.performer.look_up(operation, begun.args, key=begun.key)
            self._parts.boundary("resolve.told")
            return found, True
        except CallFailed as error:
            if error.retry_after_s is not None:
                lane.hold_off(min(error.retry_after_s, LOOK_UP_EVERY_S_MAX))
            return None, False
        finally:
            lane.leave()

    def _settle(self, begun: Begun, found: bytes) -> None:
        self._parts.boundary("resolve.found")
        run = self._parts.live.get(begun.run_no)
        result = self._gate.post_receipt(run, begun, found, by="look-up", was="doubtful")
        self._deliver(begun.run_no, begun.path, result)

    async def _proved_absent(self, operation: Operation[..., Any], begun: Begun) -> None:
        """The service knows of no such action after the longest time for a late effect: not done."""
        self._parts.boundary("resolve.absent")
        if begun.attempt >= operation.contract.attempts_max:
            reason = f"not done after {begun.attempt} attempts, as the service says when asked"
            result = self._gate.post_refused(begun, reason, was="doubtful")
            self._deliver(begun.run_no, begun.path, result)
            return
        await self._repeat(operation, begun, "the look-up found nothing, which proves it was not done")

    async def _repeat(self, operation: Operation[..., Any], begun: Begun, because: str) -> None:
        self._parts.boundary("resolve.repeat")
        lane = self._parts.lane_of(f"connector:{operation.contract.connector}")
        await self._parts.stops.wait(f"connector:{operation.contract.connector}")
        await lane.enter(0, "")
        try:
            send_by = self._parts.time.monotonic() + start_within_s(operation.contract)
            again = await self._gate.attempt(operation, begun, because, was="doubtful")
            if again is None:
                return
            # From here it is an open action again; should it end in doubt, that is a new doubt.
            result = await self._gate.send_again(operation, again, send_by)
        finally:
            lane.leave()
        if result is not None:
            self._deliver(begun.run_no, begun.path, result)

    async def _ask_anew(self, begun: Begun, operation: Operation[..., Any]) -> None:
        """A priced read: what it may have cost counts as spent, and it is asked again."""
        await self.again(begun, operation, "the answer was lost; a read may be asked again", spend=True)

    async def again(self, begun: Begun, operation: Operation[..., Any], because: str, *, spend: bool) -> None:
        """Start the next round of an action that is in doubt, by T2."""

        def work(tx: Tx) -> Begun | None:
            row = tx.action(begun.run_no, begun.path)
            if row is None or row.state != "doubtful" or row.round != begun.round:
                return None
            intent = tx.entry(row.intent)
            if intent is None or intent.body is None:
                return None
            again, body = start_again(
                tx, operation, begun, intent.body, self._parts.store.ledger_id, because, spend=spend
            )
            self._gate.append(tx, begun.run_no, [Draft("intent", body)])
            self._parts.boundary("resolve.again")
            return again

        try:
            send_by = self._parts.time.monotonic() + start_within_s(operation.contract)
            again = await self._parts.store.write(work)
        except StoreError:
            return
        if again is not None:
            result = await self._gate.send_again(operation, again, send_by)
            if result is not None:
                self._deliver(begun.run_no, begun.path, result)

    async def _card(self, begun: Begun, operation: Operation[..., Any], evidence: str) -> None:
        self._parts.boundary("resolve.card")

        def work(tx: Tx) -> None:
            row = tx.action(begun.run_no, begun.path)
            if row is None or row.state != "doubtful" or tx.has_card(begun.run_no, begun.path):
                return
            body = {
                "path": begun.path,
                "kind": "doubt",
                "title": f"Nobody knows whether {operation.name} happened: {evidence}",
                "op": operation.name,
                "args": canonical.decode(begun.args),
                "key": begun.key,
                "attempts": begun.attempt,
                "evidence": evidence,
            }
            self._gate.append(tx, begun.run_no, [Draft("card", body)])
            self._parts.boundary("resolve.carding")

        try:
            await self._parts.store.write(work)
        except StoreError:
            return

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


def begun_of(row: ActionRow, intent: Mapping[str, Any]) -> Begun:
    """An action in the ledger as its intent had it, with its latest attempt."""
    return Begun(
        row.run,
        row.run_id,
        row.path,
        canonical.encode(intent["args"]),
        row.key,
        row.round,
        row.attempts,
        row.first_sent,
        row.give_up_at,
        row.connector_version,
        tuple(intent["leases"]),
        tuple((b, w, a) for b, w, a in intent["holds"]),
        tuple((c, s, w, n) for c, s, w, n in intent["counted"]),
        intent["expects"],
    )

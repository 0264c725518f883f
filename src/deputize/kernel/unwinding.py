"""Unwinding: the settled writes of an ended run are undone, latest first, each through the gate.

Line 17 of the specification. What is to be undone is written down as a whole before anything is; how far
it got follows from the actions `undo/…` of the run. A refusal stops it with a card that says what is
undone and what is not; a doubt, and what waits for people, keeps it waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deputize import canonical
from deputize.action import Action
from deputize.errors import StoreError
from deputize.kernel.gate import Gate
from deputize.kernel.live import LiveRun
from deputize.kernel.parts import Parts
from deputize.kernel.people import NotAnswerable
from deputize.kernel.recording import Recording
from deputize.kernel.result import Known
from deputize.kernel.undoing import is_unwinding, plan
from deputize.ledger import Draft, Entry
from deputize.operation import Operation
from deputize.store.protocol import ActionRow, RunRow, Tx, View
from deputize.undo import UNDO

RETRY_S = 1.0
_WAITING = ("open", "doubtful", "drifted")
_STOPPED = ("refused", "declined", "abandoned")


@dataclass(frozen=True, slots=True)
class _Step:
    """The next action that undoes another."""

    run: LiveRun
    path: str
    action: Action[Any]
    by: tuple[str, ...]
    """Who asked for it: nobody approves their own request."""


class Unwinding:
    """Undoes what ended runs have done. `stand_in` gives a run as the ledger has it, or None where its
    automation is not in the project."""

    def __init__(
        self,
        parts: Parts,
        recording: Recording,
        gate: Gate,
        operations: Mapping[str, Operation[..., Any]],
        stand_in: Callable[[Tx, int], LiveRun | None],
    ) -> None:
        self._parts = parts
        self._recording = recording
        self._gate = gate
        self._operations = operations
        self._stand_in = stand_in
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._again: set[int] = set()
        self._undoing: set[int] = set()

    # -- what people ask for -----------------------------------------------------------------------------

    async def undo(self, target: str, *, reason: str, person: str) -> str:
        """Undo a run, or one action of it (`run/path`). Returns a sentence.

        Raises `NotAnswerable`, saying why: no such run, not ended, nothing to undo.
        """
        run_id, _, path = target.partition("/")

        def work(tx: Tx) -> tuple[int, int]:
            run = tx.run(run_id)
            if run is None:
                raise NotAnswerable(f"there is no run {run_id!r}; `deputize runs` lists them")
            if run.state != "ended":
                raise NotAnswerable(f"run {run.id} is {run.state}; cancel it first, then undo what it did")
            if is_unwinding(tx, run.no):
                raise NotAnswerable(
                    f"run {run.id} is being undone already; `deputize show {run.id}` tells how far"
                )
            if doubtful := _in_doubt(tx, run.no):
                raise NotAnswerable(f"action {run.id}/{doubtful} is not settled; answer its card first")
            body = plan(tx, run, self._operations, path)
            if not body["steps"]:
                raise NotAnswerable(_nothing(run, path, body))
            by = {"person": person, "reason": reason}
            self._recording.append(tx, run.no, [Draft("unwinding", body | {"by": by})])
            self._parts.boundary("unwind.in")
            return run.no, len(body["steps"])

        no, steps = await self._parts.store.write(work)
        self._parts.boundary("unwind.begun")
        self.begin(no)
        return f"undoing {steps} of its actions" if steps > 1 else "undoing 1 action"

    # -- going on ------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Go on with all that is being undone: at start, and when a stop is lifted."""
        for no in self._parts.store.read(lambda view: view.unwinding_runs()):
            self.begin(no)

    def begin(self, no: int) -> None:
        """A run is to be undone from now on."""
        self._undoing.add(no)
        self.go_on(no)

    def go_on(self, no: int) -> None:
        """Something has become known of a run, which may be one that is being undone."""
        if no not in self._undoing:
            return
        self._again.add(no)
        if no not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._unwind(no))
            self._tasks[no] = task
            task.add_done_callback(lambda done: self._done(no, done))

    def idle(self) -> bool:
        """Whether nothing is being undone at this moment."""
        return not self._tasks

    async def stop(self) -> None:
        """Leave all of it as it is; the next owner goes on."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, no: int, task: asyncio.Task[None]) -> None:
        self._tasks.pop(no, None)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, StoreError):
            asyncio.get_running_loop().call_later(RETRY_S, self.go_on, no)
        elif error is not None:
            raise error
        elif no in self._again:
            self.go_on(no)

    async def _unwind(self, no: int) -> None:
        """From one undoing action to the next, as far as it goes now."""
        while no in self._again:
            self._again.discard(no)
            step = await self._parts.store.write(lambda tx: self._next(tx, no))
            self._parts.boundary("unwind.next")
            while step is not None:
                if await self._gate.carry_out(step.run, step.path, step.action, step.by) is None:
                    if step.run.discarded:
                        # It could not be written.
                        asyncio.get_running_loop().call_later(RETRY_S, self.go_on, no)
                    break
                step = await self._parts.store.write(lambda tx: self._next(tx, no))
                self._parts.boundary("unwind.next")

    def _next(self, tx: Tx, no: int) -> _Step | None:
        """The next undoing action; None where it waits, or has come to its end, which is then written."""
        entry = _unwinding(tx, no) if is_unwinding(tx, no) else None
        run = self._stand_in(tx, no)
        if entry is None or entry.body is None or run is None:
            self._undoing.discard(no)
            return None
        if _in_doubt(tx, no):
            # Nothing is undone around a doubt: what was done after it comes first, and that is not known.
            return None
        steps = entry.body["steps"]
        for at, step in enumerate(steps):
            row = tx.action(no, step["path"])
            if row is not None and row.state == "settled":
                continue
            if row is not None and row.state in _STOPPED:
                self._end(tx, no, entry.body, steps[:at], steps[at:], row)
                return None
            operation = self._operations.get(step["op"])
            if operation is None:
                self._end(tx, no, entry.body, steps[:at], steps[at:], None)
                return None
            action: Action[Any] = Action(operation, canonical.encode(step["args"]))
            action.why = f"undo of {step['undoes']}"
            if row is not None and row.state == "asking":
                run.record[step["path"]] = Known(operation.name, action.digest, "asking")
            person = entry.body["by"]["person"]
            return _Step(run, step["path"], action, (person,) if person else ())
        self._end(tx, no, entry.body, steps, [], None)
        return None

    def _end(
        self,
        tx: Tx,
        no: int,
        plan: Mapping[str, Any],
        done: list[dict[str, Any]],
        left: list[dict[str, Any]],
        stopped_by: ActionRow | None,
    ) -> None:
        """It ends here: what is undone, and what is not and why."""
        why = f"there is no operation {left[0]['op']} any more" if left and stopped_by is None else ""
        if stopped_by is not None:
            why = f"{stopped_by.operation} was {stopped_by.state}"
        undone = [step["undoes"] for step in done]
        remains = [{"path": s["undoes"], "op": s["of"], "why": why} for s in left[:1]]
        remains += [{"path": s["undoes"], "op": s["of"], "why": "it was done before that"} for s in left[1:]]
        remains += plan["left"]
        body: dict[str, Any] = {"path": UNDO, "undone": undone, "left": remains}
        if remains:
            told = "; ".join(f"{one['op']} ({one['path']}): {one['why']}" for one in remains)
            body["title"] = f"{len(undone)} of {len(undone) + len(remains)} actions are undone; not {told}"
            body["kind"] = "unwind"
        self._recording.append(tx, no, [Draft("unwound", body)])
        self._parts.boundary("unwind.ending")


def _unwinding(view: View, no: int) -> Entry | None:
    found = [entry for entry in view.entries(no) if entry.type == "unwinding"]
    return found[-1] if found else None


def _in_doubt(view: View, no: int) -> str:
    """The path of an action that is not settled; empty where all are."""
    return next((row.path for row in view.actions(no) if row.state in _WAITING), "")


def _nothing(run: RunRow, path: str, plan: Mapping[str, Any]) -> str:
    if plan["left"]:
        told = "; ".join(f"{one['op']} ({one['path']}): {one['why']}" for one in plan["left"])
        return f"nothing of run {run.id} can be undone: {told}"
    what = f"action {run.id}/{path}" if path else f"run {run.id}"
    return f"{what} has done nothing that is not undone already"

"""What people decide, taken in by the owner: answers to cards, cancellations, halts.

A person's act is a record of their own first; its effect on a run's stream follows here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from deputize import canonical
from deputize.card import result_form
from deputize.errors import DeputizeError
from deputize.kernel.begun import Begun, begun_of
from deputize.kernel.doubts import Doubts
from deputize.kernel.ending import Append, Ended
from deputize.kernel.parts import Parts
from deputize.kernel.restored import put_before_people, restored_of, unsettled_from_before
from deputize.kernel.result import Result, unmet_of, unmet_sentence
from deputize.kernel.runner import Runner
from deputize.kernel.settling import settled_part
from deputize.kernel.stops import ALL
from deputize.kernel.turns import scopes_of
from deputize.ledger import SYSTEM, Draft
from deputize.operation import Operation
from deputize.store.protocol import ActionRow, AnswerRow, RunRow, Tx

AnswerKind = Literal["happened", "did_not", "do_again", "abandon"]
STOP_SETTING = "stop:"
ANSWERS_AT_ONCE = 500


class NotAnswerable(DeputizeError):
    """There is nothing here to answer in this way; the message says what there is."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """What taking an answer in has to tell the rest of the kernel."""

    run_no: int
    path: str
    result: Result | None = None
    again: tuple[Begun, Operation[..., Any]] | None = None
    ended: Ended | None = None
    freed: tuple[str, ...] = ()


class People:
    """Carries out what people decide. `lifted` is told that a stop is no more."""

    def __init__(
        self,
        parts: Parts,
        append: Append,
        doubts: Doubts,
        runner: Runner,
        operations: Mapping[str, Operation[..., Any]],
        lifted: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._append = append
        self._doubts = doubts
        self._runner = runner
        self._operations = operations
        self._lifted = lifted

    # -- answers to cards -----------------------------------------------------------------------------

    async def answer(self, card: str, kind: AnswerKind, *, result: Any, reason: str, person: str) -> None:
        """Answer a card by its id (`run/path`, or a run's id for a stuck run).

        Raises `NotAnswerable`, saying why: no such card, a result that does not fit, answered already.
        """
        run_id, _, path = card.partition("/")

        def record(tx: Tx) -> list[_Taken]:
            run = tx.run(run_id)
            if run is None:
                raise NotAnswerable(f"there is no run {run_id!r}; `deputize inbox` lists what waits")
            self._check(tx, run, path, kind, result)
            tx.answer(run.no, path, kind, {"result": result, "reason": reason}, person)
            self._parts.boundary("people.answered")
            # Taken in at once, so that nothing can come between an answer and what it does.
            return self._take_all(tx)

        self._tell(await self._parts.store.write(record))

    async def take_in(self) -> None:
        """Take in every answer that is not yet; at start."""
        self._tell(await self._parts.store.write(self._take_all))

    def _tell(self, taken: list[_Taken]) -> None:
        self._parts.boundary("people.taken")
        for one in taken:
            self._doubts.leave(one.run_no, one.path)
            self._parts.leases.freed(one.freed)
            if one.again is not None:
                self._doubts.send_round(*one.again)
            elif one.ended is not None:
                self._tell_ended(one.run_no, one.ended)
            else:
                self._runner.deliver(one.run_no, one.path, one.result)

    def _tell_ended(self, run_no: int, ended: Ended) -> None:
        run = self._parts.live.get(run_no)
        if run is not None:
            self._runner.leave(run)
        self._runner.after(ended)

    def _take_all(self, tx: Tx) -> list[_Taken]:
        taken: list[_Taken] = []
        seen = 0
        # Each is taken in once, whatever becomes of the mark that it was.
        while (answers := tx.answers(limit=ANSWERS_AT_ONCE)) and answers[-1].no > seen:
            seen = answers[-1].no
            taken += self._take_some(tx, answers)
        return taken

    def _take_some(self, tx: Tx, answers: list[AnswerRow]) -> list[_Taken]:
        taken = []
        for answer in answers:
            tx.take_answer(answer.no)
            self._parts.boundary("people.taking")
            run = tx.run_no(answer.run)
            if run is None or (run.state == "ended" and not answer.path):
                continue
            by = {"person": answer.person, "reason": answer.body.get("reason", "")}
            if not answer.path:
                taken.append(_Taken(run.no, "", ended=self._end(tx, run, by)))
                continue
            row = tx.action(answer.run, answer.path)
            if row is None or row.state not in ("doubtful", "drifted"):
                continue
            taken.append(self._take(tx, run, row, answer.what, answer.body.get("result"), by))
        return taken

    def _take(
        self, tx: Tx, run: RunRow, row: ActionRow, kind: str, result: Any, by: Mapping[str, Any]
    ) -> _Taken:
        begun = self._begun(tx, row)
        at = tx.at_us
        part = settled_part(begun, row.state) | {"by": by, "at": at}
        if row.state == "drifted":
            # It was settled as done; what it held is let go already.
            part |= {"leased": False, "holds": [], "counted": [], "under_way": []}
        if kind == "happened":
            stored = self._stored(row, result)
            unmet = unmet_of(begun.expects, canonical.decode(stored))
            more = {"unmet": unmet} if unmet else {}
            self._append(tx, run.no, [Draft("receipt", part | {"result": tx.place(stored)} | more)])
            got = Result("unmet" if unmet else "value", stored, unmet_sentence(unmet), at)
            return _Taken(run.no, row.path, got, freed=begun.frees)
        if kind == "did_not":
            reason = f"{by['person']} says that it did not happen" + (
                f": {by['reason']}" if by["reason"] else ""
            )
            self._append(tx, run.no, [Draft("refused", part | {"reason": reason})])
            return _Taken(run.no, row.path, Result("refused", b"null", reason, at), freed=begun.frees)
        if kind == "do_again":
            operation = self._operations[row.operation]
            because = f"{by['person']} says that it did not happen, and asks for it again"
            again = self._doubts.start_round(tx, begun, operation, because, spend=False, person=by["person"])
            if isinstance(again, Begun):
                return _Taken(run.no, row.path, again=(again, operation))
            return _Taken(run.no, row.path, again, freed=begun.frees)
        self._append(tx, run.no, [Draft("abandoned", part)])
        if run.state == "ended":
            return _Taken(run.no, row.path, freed=begun.frees)
        return _Taken(run.no, row.path, ended=self._end(tx, run, by), freed=begun.frees)

    def _end(self, tx: Tx, run: RunRow, by: Mapping[str, Any]) -> Ended:
        live = self._parts.live.get(run.no)
        if live is not None:
            # Seen by every start that is in line behind this work: nothing of the run begins any more.
            live.cancel = "ended"
        reason = f"ended by {by['person']}" + (f": {by['reason']}" if by["reason"] else "")
        return self._runner.end_by_hand(tx, run, reason)

    def _check(self, tx: Tx, run: RunRow, path: str, kind: str, result: Any) -> None:
        if not path:
            if run.state != "stuck":
                raise NotAnswerable(f"run {run.id} is {run.state}, not stuck; there is nothing to answer")
            if kind != "abandon":
                raise NotAnswerable(
                    "a stuck run goes on by itself once matching code is there; it can only be abandoned"
                )
            return
        row = tx.action(run.no, path)
        if row is None or row.state not in ("doubtful", "drifted"):
            state = "unknown" if row is None else row.state
            raise NotAnswerable(f"action {run.id}/{path} is {state}; there is nothing to answer (any more)")
        if row.state == "drifted" and kind in ("did_not", "do_again"):
            raise NotAnswerable("the service says that it was done; say what came of it, or abandon the run")
        if kind == "happened":
            self._stored(row, result)
        if kind == "do_again":
            self._check_again(run, row)

    def _check_again(self, run: RunRow, row: ActionRow) -> None:
        if run.state == "ended":
            raise NotAnswerable(f"run {run.id} has ended; say whether it happened, or abandon it")
        operation = self._operations.get(row.operation)
        if operation is None or run.automation not in self._runner.automations:
            raise NotAnswerable(
                f"there is no {row.operation} or {run.automation} any more to do it again with"
            )
        scopes = scopes_of(run.agent, operation.contract.connector, run.automation, run.id)
        stopped = self._parts.stops.in_way(*scopes)
        if stopped is not None:
            raise NotAnswerable(f"nothing starts while {stopped} is halted; resume it and answer again")
        breaker = self._parts.circuits.of(operation.contract.connector)
        if not breaker.may_try():
            raise NotAnswerable(
                f"{breaker.why}, and nothing is sent to it now; answer again once it is tried"
            )

    def _stored(self, row: ActionRow, result: Any) -> bytes:
        operation = self._operations.get(row.operation)
        if operation is None:
            raise NotAnswerable(f"there is no operation {row.operation} any more to read the result")
        try:
            value = operation.decode_result(canonical.encode(result))
            return operation.encode_result(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "result"
            raise NotAnswerable(
                f"this result does not fit what {row.operation} returns: {place}: {first['msg']}; "
                f"it takes {result_form(operation.contract.output_schema)}"
            ) from None

    def _begun(self, tx: Tx, row: ActionRow) -> Begun:
        entry = tx.entry(row.intent) if row.intent else None
        intent = entry.body if entry is not None else None
        empty: dict[str, Any] = {"args": None, "leases": [], "holds": [], "counted": [], "expects": {}}
        return begun_of(row, intent or empty)

    # -- cancel, halt, resume -------------------------------------------------------------------------

    async def cancel(self, run_id: str, person: str) -> str:
        """Cancel a run: at once where it waits, after its open and doubtful actions otherwise.

        Returns a sentence that says which. Raises `NotAnswerable` for a run that is not there or ended.
        """

        def work(tx: Tx) -> tuple[int, str | Ended]:
            run = tx.run(run_id)
            if run is None:
                raise NotAnswerable(f"there is no run {run_id!r}; `deputize runs` lists them")
            if run.state == "ended":
                raise NotAnswerable(f"run {run.id} has ended already: {run.label}")
            unsettled = any(row.state in ("open", "doubtful") for row in tx.actions(run.no))
            if run.state in ("behind", "stuck") and not unsettled:
                return run.no, self._end(tx, run, {"person": person, "reason": ""})
            tx.set_wish(run.no, "cancel")
            return run.no, run.state

        no, state = await self._parts.store.write(work)
        self._parts.boundary("people.wished")
        if isinstance(state, Ended):
            self._tell_ended(no, state)
            return "cancelled"
        live = self._parts.live.get(no)
        if live is not None:
            live.cancel = "cancel"
            self._parts.stops.call_off(f"run:{live.id}")
            self._runner.look(live)
        else:
            # In line as it began, paused, or waiting: it is loaded, and its wish with it.
            self._runner.bring_in(no)
        if state in ("doubtful", "stuck"):
            return "will be cancelled once its doubt is resolved; `deputize inbox` shows what waits"
        return "is being cancelled"

    async def stop(self, scope: str, reason: str, person: str) -> None:
        """Halt or pause: nothing new starts in the scope, at once and across restarts."""
        self._parts.stops.stop(scope, reason)
        body = {"scope": scope, "reason": reason, "person": person}

        def work(tx: Tx) -> None:
            tx.append(SYSTEM, tx.version(SYSTEM), [Draft("halted", body)])
            tx.set_setting(STOP_SETTING + scope, reason)

        await self._parts.store.write(work)

    async def lift(self, scope: str, person: str) -> None:
        """Let the scope go on.

        Raises `NotAnswerable` for `all` while writes from before a restore are in doubt, and sees to it
        that each of them has a card.
        """

        def work(tx: Tx) -> int:
            unsettled = self._unsettled(tx) if scope == ALL else []
            for row in unsettled:
                put_before_people(tx, row, self._append)
            if not unsettled:
                tx.append(SYSTEM, tx.version(SYSTEM), [Draft("resumed", {"scope": scope, "person": person})])
                tx.set_setting(STOP_SETTING + scope, None)
            return len(unsettled)

        left = await self._parts.store.write(work)
        if left:
            writes = "1 write is" if left == 1 else f"{left:,} writes are"
            raise NotAnswerable(
                f"{writes} in doubt from before this ledger was restored; `deputize inbox` lists them: "
                "say of each whether it happened, then resume (what did not can be asked for anew after that)"
            )
        self._parts.stops.lift(scope)
        self._lifted()

    def _unsettled(self, tx: Tx) -> list[ActionRow]:
        """The writes from before a restore that are neither answered nor looked up: what a service has said
        did not happen is sent again once all goes on."""
        rows = unsettled_from_before(tx, self._operations, restored_of(tx))
        return [row for row in rows if (row.run, row.path) not in self._doubts.absent]

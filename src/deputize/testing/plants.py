"""Known bugs to plant in a child process, so that the harness itself is seen to catch them.

Each is the mistake that a plausible change would make, at the seam where it would be made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from deputize import canonical
from deputize.errors import Conflict
from deputize.kernel import doubts, gate, kernel, recovery, settling
from deputize.kernel.asking import Asked
from deputize.kernel.begun import Begun, begun_of
from deputize.kernel.intake import Intake
from deputize.kernel.parts import Parts
from deputize.kernel.start import start
from deputize.ledger import GENESIS, Draft, entry_hash
from deputize.operation import Operation
from deputize.store import fold
from deputize.store.sqlite import tx as sqlite_tx
from deputize.store.sqlite.tx import SqliteTx
from deputize.system import ConnectorPerformer
from deputize.testing.planting import Plant, set_in
from deputize.testing.plants_inquiries import INQUIRIES
from deputize.testing.plants_people import PEOPLES
from deputize.testing.plants_restored import RESTORES
from deputize.testing.plants_whole import WHOLES

Append = Callable[[SqliteTx, int, int, Any], int]


def _drafts(change: Callable[[Draft], list[Draft]]) -> None:
    """Change what is appended, before it is."""
    append: Append = SqliteTx.append

    def changed(tx: SqliteTx, stream: int, expected: int, drafts: Any) -> int:
        return append(tx, stream, expected, [new for draft in drafts for new in change(draft)])

    set_in(SqliteTx, "append", changed)


def _body(types: tuple[str, ...], **instead: Any) -> None:
    """Put something else into the bodies of these entries."""
    _drafts(lambda draft: [Draft(draft.type, {**draft.body, **instead})] if draft.type in types else [draft])


def _send_before_commit() -> None:
    _remember_performer()

    def started(tx: SqliteTx, request: Any, *more: Any) -> Any:
        begun = start(tx, request, *more)
        if isinstance(begun, Begun):
            _send_from_here(request.action.operation, begun)
        return begun

    set_in(gate, "start", started)


_performers: list[ConnectorPerformer] = []
_loops: list[asyncio.AbstractEventLoop] = []


def _remember_performer() -> None:
    init = ConnectorPerformer.__init__

    def remembering(performer: ConnectorPerformer, *args: Any) -> None:
        init(performer, *args)
        _performers.append(performer)
        _loops.append(asyncio.get_running_loop())

    set_in(ConnectorPerformer, "__init__", remembering)


def _send_from_here(operation: Operation[..., Any], begun: Any) -> None:
    """Perform it now and wait for the answer, from the writer's thread."""
    coroutine = _performers[0].perform(operation, begun.args, key=begun.key, attempt=begun.attempt)
    future = asyncio.run_coroutine_threadsafe(coroutine, _loops[0])
    future.exception(5)


def _sent_while_asked() -> None:
    _remember_performer()

    def started(tx: SqliteTx, request: Any, force: Any, ledger_id: str) -> Any:
        asked = start(tx, request, force, ledger_id)
        if isinstance(asked, Asked):
            key = canonical.name(ledger_id, request.run.id, request.path, 1)
            _send_from_here(request.action.operation, Sent(request.action.args, key))
        return asked

    set_in(gate, "start", started)


@dataclass(frozen=True)
class Sent:
    """What goes out, and under which key."""

    args: bytes
    key: str
    attempt: int = 1


def _resend_after_recovery() -> None:
    _remember_performer()
    recover = recovery.doubt_open_intents

    async def resend(parts: Parts) -> int:
        rows = parts.store.read(lambda view: view.actions_in(["open"], (0, ""), 500))
        for row in rows:
            entry = parts.store.read(lambda view, seq=row.intent: view.entry(seq))  # type: ignore[misc]
            begun = begun_of(row, entry.body)
            operation = _operations[row.operation]
            await asyncio.gather(
                _performers[0].perform(operation, begun.args, key=begun.key, attempt=1),
                return_exceptions=True,
            )
        return await recover(parts)

    set_in(kernel, "doubt_open_intents", resend)
    init = kernel.Kernel.__init__

    def remembering(wired: Any, given: Any) -> None:
        _operations.update(given.operations)
        init(wired, given)

    set_in(kernel.Kernel, "__init__", remembering)


_operations: dict[str, Operation[..., Any]] = {}


def _lease_freed_on_doubt() -> None:
    step = fold._STEPS["doubt"]

    def freed(sql: Any, sums: Any, seq: int, run: int, run_id: str, at: int, body: Any) -> None:
        step(sql, sums, seq, run, run_id, at, body)
        sql("DELETE FROM lease WHERE run=? AND path=?", (run, body["path"]))

    fold._STEPS["doubt"] = freed


def _key_of_each_attempt() -> None:
    perform = ConnectorPerformer.perform

    async def performed(self: Any, operation: Any, args: bytes, *, key: str, attempt: int) -> bytes:
        own = f"{key}-{attempt}" if key and attempt > 1 else key
        return await perform(self, operation, args, key=own, attempt=attempt)

    set_in(ConnectorPerformer, "perform", performed)


def _sent_twice() -> None:
    perform = ConnectorPerformer.perform

    async def performed(self: Any, operation: Any, args: bytes, *, key: str, attempt: int) -> bytes:
        if key:
            await asyncio.gather(
                perform(self, operation, args, key=key, attempt=attempt), return_exceptions=True
            )
        return await perform(self, operation, args, key=key, attempt=attempt)

    set_in(ConnectorPerformer, "perform", performed)


def _no_settle_time() -> None:
    resolve = doubts.Doubts._resolve

    async def resolved(self: Any, begun: Any, operation: Any, evidence: str) -> None:
        # As if the request could have no effect any more from the moment its answer was missed.
        settle_us = int(operation.contract.settle_s * 1_000_000)
        early = replace(begun, give_up_at=begun.give_up_at - settle_us - 10_000_000)
        await resolve(self, early, operation, evidence)

    set_in(doubts.Doubts, "_resolve", resolved)


def _key_good_for_ever() -> None:
    def may_repeat(self: Any, operation: Any, begun: Any) -> bool:
        return bool(operation.contract.repeatable or operation.contract.key_valid_s > 0)

    set_in(doubts.Doubts, "may_repeat", may_repeat)


def _repeat_speaks_for_all() -> None:
    async def no(self: Any, run: Any, operation: Any, begun: Any, kind: Any, reason: str) -> Any:
        return self._settling.failed(run, begun, kind, reason)

    set_in(gate.Gate, "_no", no)


def _attempts_not_recorded() -> None:
    async def unrecorded(self: Any, operation: Any, begun: Any, because: str, **more: Any) -> Any:
        return replace(begun, attempt=begun.attempt + 1)

    set_in(settling.Settling, "attempt", unrecorded)


def _accepted_at_once() -> None:
    accept = Intake.accept

    async def accepted(self: Any, occurrences: Any, *, outside: bool = True) -> Any:
        _tasks.append(asyncio.ensure_future(accept(self, occurrences, outside=outside)))
        return []

    set_in(Intake, "accept", accepted)


_tasks: list[asyncio.Task[Any]] = []


def _first_is_last() -> None:
    def hashed(before: bytes, *more: Any) -> bytes:
        return entry_hash(GENESIS, *more)

    set_in(sqlite_tx, "entry_hash", hashed)


def _beside_the_fold() -> None:
    append: Append = SqliteTx.append

    def marked(tx: SqliteTx, stream: int, expected: int, drafts: Any) -> int:
        version = append(tx, stream, expected, drafts)
        if drafts[-1].type == "ended":
            tx.db.execute("UPDATE run SET label='finished' WHERE no=?", (stream,))
        return version

    set_in(SqliteTx, "append", marked)


def _versions_unchecked() -> None:
    append: Append = SqliteTx.append

    def unchecked(tx: SqliteTx, stream: int, expected: int, drafts: Any) -> int:
        return append(tx, stream, tx.version(stream), drafts)

    set_in(SqliteTx, "append", unchecked)
    _stale_writer()


def _stale_writer() -> None:
    """A writer that does not know that it was overtaken: it appends each receipt where it once stood."""
    append: Append = SqliteTx.append

    def twice(tx: SqliteTx, stream: int, expected: int, drafts: Any) -> int:
        version = append(tx, stream, expected, drafts)
        if drafts[-1].type == "receipt":
            tx.db.execute("SAVEPOINT stale")
            try:
                version = append(tx, stream, expected, drafts)
            except Conflict:
                tx.db.execute("ROLLBACK TO stale")
            tx.db.execute("RELEASE stale")
        return version

    set_in(SqliteTx, "append", twice)


def _answers_stay() -> None:
    set_in(SqliteTx, "take_answer", lambda tx, no: None)


def _receipt_forgotten() -> None:
    _drafts(lambda draft: [] if draft.type == "receipt" else [draft])


PLANTS: dict[str, Plant] = (
    PEOPLES
    | INQUIRIES
    | RESTORES
    | WHOLES
    | {
        "send_before_commit": Plant("it sends while the intent is not committed", _send_before_commit),
        "sent_while_asked": Plant("what people are asked for is sent meanwhile", _sent_while_asked),
        "resend_after_recovery": Plant("a new owner sends open intents again", _resend_after_recovery),
        "restored_resends": Plant("a restored copy sends open intents again", _resend_after_recovery),
        "epoch_stands_still": Plant(
            "a new owner has the epoch of the one before", lambda: _body(("opened",), epoch=1)
        ),
        "sent_twice": Plant("each request goes out twice", _sent_twice),
        "lease_freed_on_doubt": Plant("a doubt lets go of its lease", _lease_freed_on_doubt),
        "held_money_forgotten": Plant(
            "a receipt does not settle what was held", lambda: _body(("receipt",), holds=[])
        ),
        "fact_kept_on_declined": Plant(
            "a declined action stays counted", lambda: _body(("declined",), counted=[])
        ),
        "answer_used_twice": Plant("a person's answer stays to be taken in", _answers_stay),
        "versions_unchecked": Plant("an overtaken writer may append", _versions_unchecked),
        "overtaken_writer": Plant("no bug: a writer that was overtaken, and is turned away", _stale_writer),
        "key_of_each_attempt": Plant("every attempt has a key of its own", _key_of_each_attempt),
        "no_settle_time": Plant("absence is believed before a late effect can have landed", _no_settle_time),
        "key_good_for_ever": Plant("a doubt is repeated after its key was forgotten", _key_good_for_ever),
        "repeat_speaks_for_all": Plant(
            "a repeat that is told no settles the first send too", _repeat_speaks_for_all
        ),
        "receipt_forgotten": Plant(
            "a result is handed back, and its receipt is not written", _receipt_forgotten
        ),
        "projection_beside_the_fold": Plant(
            "something else than the fold writes a projection", _beside_the_fold
        ),
        "attempts_not_recorded": Plant(
            "a further attempt is sent without being durable", _attempts_not_recorded
        ),
        "accepted_at_once": Plant("an event is accepted before it is committed", _accepted_at_once),
        "chain_without_links": Plant("an entry's hash does not cover the one before it", _first_is_last),
    }
)

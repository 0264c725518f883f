"""Intake: events become durable, once each, and begin the runs that answer them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deputize import canonical
from deputize.agent import PRIORITY
from deputize.automation import Automation
from deputize.errors import BadEvent, DeputizeError, StoreError
from deputize.event import OWN_TYPES, EventData, Occurrence
from deputize.kernel.live import LiveRun
from deputize.kernel.origins import read_by, read_by_sender
from deputize.kernel.ports import Boundary, no_boundary
from deputize.kernel.result import Result
from deputize.kernel.waiting import wake
from deputize.ledger import Entry
from deputize.note import Note
from deputize.store.protocol import EventRow, Store, Tx, WaitRow

BACKLOG_MAX = 10_000
"""Runs that are ready and not begun; past it events are turned away until there is room."""


class Overloaded(DeputizeError):
    """Too many runs wait to begin; send the event again later (nothing of it was kept)."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What an event became: its seq (0 for a duplicate), the runs it began and the waits it ended.

    `unfit` says of each automation that answers its type and cannot read its data why not.
    """

    seq: int
    runs: tuple[LiveRun, ...] = ()
    woken: tuple[tuple[int, str, Result], ...] = ()
    duplicate: bool = False
    unfit: tuple[str, ...] = ()


class Intake:
    """Takes events in. `fresh` puts new runs in line, `unbegun` takes out those whose event was not kept."""

    def __init__(
        self,
        store: Store,
        automations: Mapping[str, Automation],
        params: Callable[[str], Mapping[str, Any]],
        append: Callable[[Tx, int, list[Any]], None],
        *,
        fresh: Callable[[LiveRun], None],
        unbegun: Callable[[LiveRun], None],
        woken: Callable[[int, str, Result], None],
        backlog: Callable[[], int],
        boundary: Boundary = no_boundary,
    ) -> None:
        self._store = store
        self._params = params
        self._append = append
        self._fresh = fresh
        self._unbegun = unbegun
        self._woken = woken
        self._backlog = backlog
        self._boundary = boundary
        self._arriving = 0
        self.keeps_first: frozenset[str] = frozenset()
        """The code of automations whose runs are stepped only when their event is on disk."""
        self._by_type: dict[str, list[Automation]] = {}
        self.automations = automations
        for automation in automations.values():
            self._by_type.setdefault(automation.on.event_type, []).append(automation)

    def check(self, occurrence: Occurrence) -> None:
        """Raises `BadEvent` where an automation answers this type and its data does not fit."""
        for automation in self._by_type.get(occurrence.type, ()):
            occurrence.data_as(automation.on)

    def check_outside(self, occurrence: Occurrence) -> None:
        """The same for an event that is not our own: raises `BadEvent` for our own types too."""
        refuse_own_type(occurrence)
        self.check(occurrence)

    def run_ids(self, type: str, source: str, id: str) -> list[str]:
        """The ids of the runs that an event begins, or began."""
        return [self._run_id(automation, source, id) for automation in self._by_type.get(type, ())]

    async def accept(
        self,
        occurrences: Sequence[Occurrence],
        *,
        outside: bool = True,
        also: Callable[[Tx], None] | None = None,
        key: str | None = None,
    ) -> list[Arrival]:
        """Keep events and begin their runs, all in one commit; durable when this returns.

        A run may be stepped while its event's commit is on its way: what it asks for is written after
        that event, or with it, and nothing is sent before that is on disk.

        `also` is done in the same transaction (a source says there where to go on); `key` is that of
        the runs of automations that have none of their own.
        Raises `Overloaded` where too much waits already, `StoreFull` where nothing could be written.
        """
        if outside and self._backlog() + self._arriving + len(occurrences) > BACKLOG_MAX:
            raise Overloaded

        def work(tx: Tx) -> list[Arrival]:
            arrivals = [self.arrive(tx, occurrence, key=key) for occurrence in occurrences]
            if also is not None:
                also(tx)
            return arrivals

        early: list[LiveRun] = []

        def begin(arrivals: list[Arrival]) -> None:
            for arrival in arrivals:
                early.extend(arrival.runs)
                for run in arrival.runs:
                    run.kept = committed
                self._begin_runs(arrival)

        self._boundary("intake.before")
        told = begin if self._may_be_early(occurrences) else None
        committed = self._store.write(work, early=told)
        self._arriving += len(occurrences)
        try:
            # Whoever sent it may go away meanwhile; what is kept begins all the same.
            await asyncio.shield(committed)
        except asyncio.CancelledError:
            committed.add_done_callback(lambda _: self._accepted(committed, early))
            raise
        except StoreError:
            pass
        finally:
            self._arriving -= len(occurrences)
        self._accepted(committed, early)
        return committed.result()

    def _accepted(self, committed: asyncio.Future[list[Arrival]], early: list[LiveRun]) -> None:
        """After the commit: go on with the runs it began, or take back those that were early."""
        for run in early:
            # Each would keep the other in memory.
            run.kept = None
        if committed.exception() is not None:
            for run in early:
                self._unbegun(run)
            return
        self._boundary("intake.after")
        for arrival in committed.result():
            if not early:
                self._begin_runs(arrival)
            self._wake_runs(arrival)

    def _may_be_early(self, occurrences: Sequence[Occurrence]) -> bool:
        """Whether the runs of these events may be stepped while their commit is on its way."""
        return not self.keeps_first or all(
            automation.code not in self.keeps_first
            for occurrence in occurrences
            for automation in self._by_type.get(occurrence.type, ())
        )

    def arrive(self, tx: Tx, occurrence: Occurrence, *, key: str | None = None) -> Arrival:
        """Keep one event inside a work; call `begun` with what it returns once that is committed."""
        answering, unfit = self._readers(occurrence)
        seq = tx.keep_event(occurrence, "answered" if answering else "unanswered")
        self._boundary("intake.in")
        if seq is None:
            return Arrival(0, duplicate=True)
        begun = [self._begin(tx, a, data, occurrence, seq, key) for a, data in answering]
        runs = [run for run in begun if run is not None]
        woken = []
        waiting = tx.waiting_for(occurrence)
        if waiting:
            event = EventRow(seq, occurrence, tx.at_us, "answered")
            if not answering:
                tx.set_event_state(seq, "answered")
            # One event ends one wait of a run, the first; its others wait for the next.
            first = dict(sorted(waiting, key=_place, reverse=True))
            waits = [WaitRow(no, first[no], "event", None) for no in sorted(first)]
            woken = [wake(tx, self._append, wait, event) for wait in waits]
        return Arrival(seq, tuple(runs), tuple(woken), unfit=tuple(unfit))

    def begun(self, arrival: Arrival) -> None:
        """After the commit: put the new runs in line, and hand on what was waited for."""
        self._begin_runs(arrival)
        self._wake_runs(arrival)

    def _begin_runs(self, arrival: Arrival) -> None:
        for run in arrival.runs:
            self._fresh(run)

    def _wake_runs(self, arrival: Arrival) -> None:
        for no, path, result in arrival.woken:
            self._woken(no, path, result)

    def stand_in(self, tx: Tx, no: int) -> LiveRun | None:
        """A run as the ledger has it, to judge by; None where its automation is not in the project."""
        row = tx.run_no(no)
        automation = self.automations.get(row.automation) if row is not None else None
        kept = tx.event(row.event) if row is not None else None
        if row is None or automation is None or kept is None:
            return None
        event = kept.occurrence
        run = self.live_run(no, row.id, automation, event, row.event, {}, row.key, row.began_at)
        run.sender, run.stands_in = sender_of(tx.entries(no, limit=1)), True
        run.step.read |= read_by(tx, no)
        return run

    def live_run(
        self,
        no: int,
        run_id: str,
        automation: Automation,
        event: Occurrence,
        event_seq: int,
        params: Mapping[str, Any],
        key: str | None,
        began_us: int,
    ) -> LiveRun:
        """A run as it stands in memory before its first step."""
        step = automation.step(run_id, began_us, event)
        params, sender = dict(params), event.sender
        return LiveRun(no, run_id, automation, event, event_seq, params, key, began_us, 1, {}, step, sender)

    def _run_id(self, automation: Automation, source: str, id: str) -> str:
        return canonical.name(self._store.ledger_id, automation.name, source, id)

    def _readers(self, occurrence: Occurrence) -> tuple[list[tuple[Automation, EventData]], list[str]]:
        """The automations that answer an event, with its data, and why others of its type cannot read it.

        Whoever lets an event in checks it first; what is told of a run's end is nobody's to check, and
        must not keep that run from ending.
        """
        answering: list[tuple[Automation, EventData]] = []
        unfit = []
        for automation in self._by_type.get(occurrence.type, ()):
            try:
                answering.append((automation, occurrence.data_as(automation.on)))
            except BadEvent as error:
                unfit.append(f"the automation {automation.name} cannot read it: {error}")
        return answering, unfit

    def _begin(
        self,
        tx: Tx,
        automation: Automation,
        data: EventData,
        occurrence: Occurrence,
        seq: int,
        key: str | None,
    ) -> LiveRun | None:
        key = automation.key_of(data) if automation.key is not None else key
        params = dict(self._params(automation.name))
        run_id = self._run_id(automation, occurrence.source, occurrence.id)
        origins = read_by_sender(tx, occurrence.source)
        body = {
            "automation": automation.name,
            "code": automation.code,
            "agent": automation.agent.name,
            "event": {
                "seq": seq,
                "source": occurrence.source,
                "id": occurrence.id,
                "type": occurrence.type,
                "digest": occurrence.digest,
                **({"sender": occurrence.sender} if occurrence.sender else {}),
                **({"origins": origins} if origins else {}),
            },
            "params": params,
            **({"notes": _placed(tx, automation.agent.notes)} if automation.agent.notes else {}),
            "key": key,
            "priority": PRIORITY[automation.agent.service_level],
        }
        no, state = tx.begin_run(run_id, body)
        if state != "ready":
            return None
        run = self.live_run(no, run_id, automation, occurrence, seq, params, key, tx.at_us)
        run.step.read |= set(origins)
        return run


def _placed(tx: Tx, notes: Sequence[Note]) -> Any:
    """Pinned notes as a run begins with them: for all runs of an agent they stand in the ledger once."""
    return tx.place(canonical.encode([[note.name, note.text] for note in notes]), apart=True)


def sender_of(entries: Sequence[Entry]) -> str:
    """The person who sent a run's event, from its first entry; empty where none did, or it was erased."""
    body = entries[0].body if entries else None
    return str(body["event"].get("sender", "")) if body is not None else ""


def refuse_own_type(occurrence: Occurrence) -> None:
    """Raises `BadEvent` for a type of event that only Deputize itself sends."""
    if occurrence.type.startswith(OWN_TYPES):
        raise BadEvent(
            f"event {occurrence.id}: types that begin with {OWN_TYPES} are sent by Deputize alone; "
            "use another type"
        )


def _place(wait: tuple[int, str]) -> tuple[int, list[int]]:
    """The order of waits: by run, and within it as they stand in its code."""
    no, path = wait
    return no, [int(part) for part in path.split(".")]

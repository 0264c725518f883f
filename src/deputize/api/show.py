"""Rows as plain data for JSON: the same names as in code, times in ISO 8601."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from deputize import canonical
from deputize.card import Waiting, told_card
from deputize.clock import iso
from deputize.kernel.circuits import Breaker
from deputize.kernel.sources import Standing
from deputize.ledger import Entry
from deputize.notify.notifier import Standing as Telling
from deputize.person import Directory, Person
from deputize.standing import WaitsFor, moment
from deputize.store.protocol import ActionRow, CardRow, EventRow, RunRow, WaitRow
from deputize.token import Token


def show_run(run: RunRow) -> dict[str, Any]:
    """A run."""
    return {
        "no": run.no,
        "id": run.id,
        "automation": run.automation,
        "agent": run.agent,
        "event": run.event,
        "key": run.key,
        "priority": run.priority,
        "state": run.state,
        "label": run.label,
        "reason": run.reason,
        "began_at": iso(run.began_at),
        "ended_at": _time(run.ended_at),
        "version": run.version,
    }


def show_waits_for(waits_for: Sequence[WaitsFor], zone: ZoneInfo) -> dict[str, Any]:
    """What a run waits for: what each is, who is in its way, and the sentence that says so."""
    return {"waits_for": [wait.shown(lambda at_us: moment(at_us, zone)) for wait in waits_for]}


def show_action(action: ActionRow) -> dict[str, Any]:
    """An action."""
    return {
        "id": f"{action.run_id}/{action.path}",
        "run": action.run_id,
        "path": action.path,
        "operation": action.operation,
        "state": action.state,
        "digest": action.digest,
        "key": action.key,
        "round": action.round,
        "attempts": action.attempts,
        "first_sent": _time(action.first_sent or None),
        "give_up_at": _time(action.give_up_at or None),
        "connector_version": action.connector_version,
        "agent": action.agent,
        "at": iso(action.at),
        "ended_at": _time(action.ended_at),
    }


def show_wait(wait: WaitRow) -> dict[str, Any]:
    """What a run waits for."""
    return {"path": wait.path, "kind": wait.kind, "due": _time(wait.due)}


def show_event(event: EventRow) -> dict[str, Any]:
    """A kept event. `data` is null once erased."""
    occurrence = event.occurrence
    return {
        "seq": event.seq,
        "source": occurrence.source,
        "id": occurrence.id,
        "type": occurrence.type,
        "subject": occurrence.subject,
        "time": iso(occurrence.time_us),
        "data": canonical.decode(occurrence.data),
        "received_at": iso(event.received_at),
        "state": event.state,
    }


def show_entry(stream: str, entry: Entry) -> dict[str, Any]:
    """An entry of the ledger. `body` is null once erased."""
    return {
        "seq": entry.seq,
        "run": stream,
        "version": entry.version,
        "type": entry.type,
        "at": iso(entry.at_us),
        "body": dict(entry.body) if entry.body is not None else None,
        "hash": entry.hash.hex(),
    }


def show_card(card: CardRow, waiting: Waiting, schemas: Mapping[str, str]) -> dict[str, Any]:
    """Something that waits for a person; its `id` is what an answer names. See `told_card`."""
    return told_card(waiting, schemas) | {
        "seq": card.seq,
        "id": card.id,
        "kind": card.kind,
        "run": card.run_id,
        "path": card.path,
        "title": card.title,
        "body": dict(card.body),
        "at": iso(card.at),
        "state": card.state,
    }


def show_person(person: Person, directory: Directory, tokens: Sequence[Token]) -> dict[str, Any]:
    """Someone who may decide, with the ids of their tokens; `keeps` are automations, `default` all others."""
    return {
        "name": person.name,
        "shown": person.shown,
        "role": person.role,
        "roles": sorted(person.roles),
        "groups": sorted(person.groups),
        "keeps": sorted(kept or "default" for kept, name in directory.keepers.items() if name == person.name),
        "tokens": [show_token(token) for token in tokens],
    }


def show_token(token: Token) -> dict[str, Any]:
    """What is known of a token: since when and until when (null: without an end), for how much of what its
    person may (null: all of it), and what for."""
    return {
        "id": token.id,
        "at": iso(token.at_us),
        "scope": token.scope,
        "ends_at": _time(token.ends_us),
        "for": token.about,
    }


def show_circuit(breaker: Breaker, now_s: float) -> dict[str, Any]:
    """A connector's circuit: open or closed, with the calls of its window (while open: as it opened)."""
    circuit = breaker.circuit
    calls, failures = breaker.figures if circuit.is_open else circuit.figures(now_s)
    return {
        "state": "open" if circuit.is_open else "closed",
        "calls": calls,
        "failures": failures,
        "waiting": breaker.waiting,
        "tried_in_s": round(max(circuit.try_at_s - now_s, 0.0), 3) if circuit.is_open else None,
    }


def show_source(source: Standing) -> dict[str, Any]:
    """How a poll or a schedule stands; `trouble` is empty while all is well."""
    return {
        "name": source.name,
        "kind": source.kind,
        "next_at": _time(source.next_at),
        "last_at": _time(source.last_at),
        "events": source.events,
        "skipped": source.skipped,
        "failures": source.failures,
        "trouble": source.trouble,
    }


def show_channel(channel: Telling) -> dict[str, Any]:
    """How a channel stands by which people are told; `trouble` is empty while all is well."""
    return {
        "name": channel.name,
        "kind": "channel",
        "next_at": _time(channel.next_at),
        "last_at": _time(channel.last_at),
        "sent": channel.sent,
        "failures": channel.failures,
        "trouble": channel.trouble,
    }


def _time(at_us: int | None) -> str | None:
    return iso(at_us) if at_us is not None else None

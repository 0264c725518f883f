"""Replay equals live: every ended run, driven again from its record alone, must end the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deputize import canonical
from deputize.automation import Automation
from deputize.kernel.live import Ends, LiveRun
from deputize.kernel.result import read_record
from deputize.kernel.stepping import advance
from deputize.ledger import Entry
from deputize.note import notes_of_body
from deputize.store.protocol import RunRow
from deputize.testing.evidence import LedgerEvidence

_TOLD = ("kind", "label", "details", "reason")


def replay_differences(ledger: LedgerEvidence, automations: Mapping[str, Automation]) -> Iterator[str]:
    """One line for each ended run whose replay does not end as the run did."""
    for run in ledger.runs:
        automation = automations.get(run.automation)
        live = next((e.body for e in ledger.entries[run.no] if e.type == "ended"), None)
        if automation is None or live is None or _ended_by_person(ledger.entries[run.no]):
            continue
        replayed = _replay(ledger, run, automation)
        told = {name: live[name] for name in _TOLD}
        if replayed != told:
            yield f"run {run.id}: live it was {told}, and its replay is {replayed}"


def _ended_by_person(entries: tuple[Entry, ...]) -> bool:
    """A person's end is none of the code's doing."""
    types = {entry.type for entry in entries}
    last = entries[-1].body or {}
    return last.get("kind") == "cancelled" and "cancelling" not in types


def _replay(ledger: LedgerEvidence, run: RunRow, automation: Automation) -> object:
    entries = ledger.entries[run.no]
    event = ledger.events[run.event]
    params = dict((entries[0].body or {}).get("params", {}))
    data = {seq: occurrence.data for seq, occurrence in ledger.events.items()}
    step = automation.step(run.id, run.began_at, event)
    step.notes = notes_of_body((entries[0].body or {}).get("notes", ()))
    live = LiveRun(run.no, run.id, automation, event, run.event, params, run.key, run.began_at, 1, {}, step)
    live.record = read_record(entries, data)
    stepped = advance(live)
    if not isinstance(stepped, Ends):
        return stepped
    return {
        "kind": stepped.kind,
        "label": stepped.outcome.label,
        "details": canonical.decode(canonical.encode(dict(stepped.outcome.details))),
        "reason": stepped.reason,
    }

"""Replaying recorded runs against the code on disk, without doing anything: what `deputize check` tells.

Each run is stepped through its record alone. Where the record ends, so does the replay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from deputize.automation import Automation
from deputize.kernel.live import Asks, Ends, LiveRun, Sticks
from deputize.kernel.result import read_record
from deputize.kernel.stepping import advance, evict
from deputize.ledger import Entry
from deputize.note import notes_of_body
from deputize.store.protocol import EventRow, RunRow, View
from deputize.store.sqlite.offline import OfflineLedger

ENDED_MAX = 100
OPEN_MAX = 100_000
PAGE = 500
OPEN_STATES = ("ready", "waiting", "doubtful", "stuck", "behind")
NEWEST = 2**63 - 1

Fit = Literal["same", "changed", "stuck", "differs", "erased"]


@dataclass(frozen=True)
class Replayed:
    """One run under the code on disk.

    `same`: it matches. `changed`: it matches, and the code is not that which it began with. `stuck`:
    an open run that cannot go on, with both sides. `differs`: an ended run that would go another way.
    """

    run: str
    automation: str
    state: str
    fit: Fit
    reason: str = ""
    code: str = ""
    record: str = ""


@dataclass
class Replays:
    """All of them: how many were replayed, and those worth a word."""

    open: int = 0
    ended: int = 0
    told: list[Replayed] = field(default_factory=list)

    def take(self, one: Replayed) -> None:
        """Count it, and keep it where it is not simply the same."""
        if one.state == "ended":
            self.ended += 1
        else:
            self.open += 1
        if one.fit not in ("same", "erased") and not (one.fit == "changed" and one.state == "ended"):
            self.told.append(one)

    def shown(self) -> dict[str, Any]:
        """As plain data."""
        by_fit = {fit: [asdict(one) for one in self.told if one.fit == fit] for fit in _TOLD}
        return {"open": self.open, "ended": self.ended, **by_fit}


_TOLD = ("stuck", "differs", "changed")


def replay_ledger(
    ledger: OfflineLedger, automations: Mapping[str, Automation], at: Callable[[str], None]
) -> Replays:
    """Replay every open run and the latest ended ones. `at` is told the id of the run that is next."""
    replays = Replays()
    after = 0
    while replays.open < OPEN_MAX:
        rows = ledger.read(lambda view, after=after: view.runs(states=OPEN_STATES, after=after, limit=PAGE))  # type: ignore[misc]
        for row in rows:
            at(row.id)
            replays.take(_replay(ledger, row, automations))
        if len(rows) < PAGE:
            break
        after = rows[-1].no
    for row in ledger.read(lambda view: view.runs(states=["ended"], before=NEWEST, limit=ENDED_MAX)):
        at(row.id)
        replays.take(_replay(ledger, row, automations))
    return replays


def _replay(ledger: OfflineLedger, row: RunRow, automations: Mapping[str, Automation]) -> Replayed:
    entries, event, data = ledger.read(lambda view: _read(view, row))
    first = entries[0].body if entries else None
    if event is None or first is None or any(entry.body is None for entry in entries):
        return Replayed(row.id, row.automation, row.state, "erased")
    automation = automations.get(row.automation)
    if automation is None:
        reason = f"there is no automation {row.automation!r} in this project"
        return Replayed(row.id, row.automation, row.state, _misfit(row), reason)
    step = automation.step(row.id, row.began_at, event.occurrence)
    step.notes = notes_of_body(first.get("notes", ()))
    run = LiveRun(
        row.no,
        row.id,
        automation,
        event.occurrence,
        row.event,
        dict(first.get("params", {})),
        row.key,
        row.began_at,
        row.version,
        read_record(entries, data),
        step,
    )
    stepped = advance(run)
    evict(run)
    changed: Fit = "changed" if first.get("code") != automation.code else "same"
    if isinstance(stepped, Sticks):
        return Replayed(
            row.id, row.automation, row.state, _misfit(row), stepped.reason, stepped.ours, stepped.theirs
        )
    if row.state == "ended":
        ours = _end_of(stepped)
        theirs = _recorded_end(entries)
        if theirs and ours != theirs:
            reason = f"it would now come to {ours}, and came to {theirs}"
            return Replayed(row.id, row.automation, row.state, "differs", reason, ours, theirs)
    return Replayed(row.id, row.automation, row.state, changed)


def _misfit(row: RunRow) -> Fit:
    return "differs" if row.state == "ended" else "stuck"


def _read(view: View, row: RunRow) -> tuple[list[Entry], EventRow | None, dict[int, bytes]]:
    entries = view.entries(row.no)
    seqs = {e.body["event"]["seq"] for e in entries if e.type == "woke" and e.body and "event" in e.body}
    found = {seq: event for seq in seqs if (event := view.event(seq)) is not None}
    return entries, view.event(row.event), {seq: event.occurrence.data for seq, event in found.items()}


def _end_of(stepped: Asks | Ends) -> str:
    if isinstance(stepped, Asks):
        leaf = stepped.leaves[0] if stepped.leaves else None
        return f"something more at {leaf.path}, built at {leaf.awaiting.where}" if leaf else "a wait"
    return f"{stepped.kind}({stepped.outcome.label})" if stepped.outcome.label else stepped.kind


def _recorded_end(entries: list[Entry]) -> str:
    """How the run ended by itself; empty where a person ended it."""
    body = entries[-1].body or {}
    if entries[-1].type != "ended" or body["kind"] == "cancelled":
        return ""
    return f"{body['kind']}({body['label']})" if body["label"] else str(body["kind"])

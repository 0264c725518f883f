"""Recovery: what a new owner finds. Open intents of earlier owners are doubts, never resent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deputize.kernel.begun import begun_of
from deputize.kernel.doubts import Doubts
from deputize.kernel.parts import Parts
from deputize.ledger import Draft
from deputize.operation import Operation
from deputize.store.protocol import ActionRow, RunRow, Tx, View

CHUNK = 500
EVIDENCE = "the process ended before an answer was recorded"


async def doubt_open_intents(parts: Parts) -> int:
    """T4 for every intent that a former owner left open. Returns how many there were."""
    found = 0
    while True:
        rows = await parts.store.write(lambda tx: _doubt_some(tx, parts))
        found += rows
        parts.boundary("recovery.doubted")
        if rows < CHUNK:
            return found


def _doubt_some(tx: Tx, parts: Parts) -> int:
    rows = tx.actions_in(["open"], (0, ""), CHUNK)
    for row in rows:
        body = {"path": row.path, "evidence": EVIDENCE, "give_up_at": row.give_up_at}
        tx.append(row.run, tx.version(row.run), [Draft("doubt", body)])
        parts.boundary("recovery.doubting")
    return len(rows)


def watch_doubts(parts: Parts, doubts: Doubts, operations: Mapping[str, Operation[..., Any]]) -> None:
    """Take up every doubt in the ledger."""
    after = (0, "")
    while True:
        rows = parts.store.read(lambda view, at=after: _doubtful(view, at))  # type: ignore[misc]
        for row, intent in rows:
            operation = operations.get(row.operation)
            if operation is not None:
                doubts.watch(begun_of(row, intent), operation, EVIDENCE)
            else:
                doubts.put_before_people(begun_of(row, intent), row.operation, EVIDENCE)
        if len(rows) < CHUNK:
            return
        after = (rows[-1][0].run, rows[-1][0].path)


def _doubtful(view: View, after: tuple[int, str]) -> list[tuple[ActionRow, Mapping[str, Any]]]:
    found = []
    for row in view.actions_in(["doubtful"], after, CHUNK):
        entry = view.entry(row.intent)
        if entry is not None and entry.body is not None:
            found.append((row, entry.body))
    return found


def ready_runs(view: View) -> list[RunRow]:
    """Every run that can go on or is stuck, or has more to do beside what it waits for."""
    found = view.waiting_beside()
    after = 0
    while True:
        rows = view.runs(states=["ready", "stuck"], after=after, limit=CHUNK)
        found.extend(rows)
        if len(rows) < CHUNK:
            return found
        after = rows[-1].no

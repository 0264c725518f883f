"""What would undo a run: the inverse of each of its settled writes, latest first. Pure reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deputize import canonical
from deputize.kernel.live import Ends, LiveRun
from deputize.ledger import Entry
from deputize.operation import Operation
from deputize.store.protocol import RunRow, View
from deputize.undo import UNDO


def plan_if_failed(
    view: View, run: LiveRun, step: Ends, operations: Mapping[str, Operation[..., Any]]
) -> dict[str, Any] | None:
    """What undoes a run that has failed, where its automation wants that."""
    row = view.run_no(run.no) if run.automation.unwind and step.kind == "failed" else None
    return None if row is None else plan(view, row, operations)


def plan(
    view: View, run: RunRow, operations: Mapping[str, Operation[..., Any]], path: str = ""
) -> dict[str, Any]:
    """What would undo a run (or one action of it), latest first: `steps`, and what is `left` and why."""
    intents: dict[str, Entry] = {}
    receipts: dict[str, Entry] = {}
    for entry in view.entries(run.no):
        if entry.body is not None and entry.type == "intent":
            intents[entry.body["path"]] = entry
        elif entry.body is not None and entry.type == "receipt" and entry.body["path"] in intents:
            # A read without a price has none: a person has said what it would have answered.
            receipts[entry.body["path"]] = entry
    steps: list[dict[str, Any]] = []
    left: list[dict[str, Any]] = []
    for done, receipt in sorted(receipts.items(), key=lambda pair: -intents[pair[0]].seq):
        intent = intents[done].body or {}
        operation = operations.get(intent["op"])
        wanted = not path or done == path
        if done.startswith(UNDO) or not wanted or (operation and operation.contract.effect == "read"):
            continue
        undone_at = _undone_at(view, run.no, done)
        if undone_at is None:
            continue
        undo = (receipt.body or {}).get("undo") or _undo_now(operation, intent, receipt.body or {})
        place = {"path": undone_at, "undoes": done, "of": intent["op"]}
        if "op" in undo:
            steps.append(place | {"op": undo["op"], "args": undo["args"]})
        else:
            left.append({"path": done, "op": intent["op"], "why": undo["why"]})
    for row in view.actions(run.no):
        if row.state == "abandoned" and not row.path.startswith(UNDO) and path in ("", row.path):
            left.append({"path": row.path, "op": row.operation, "why": "nobody knows whether it happened"})
    return {"path": UNDO, "steps": steps, "left": left}


def is_unwinding(view: View, no: int) -> bool:
    """Whether a run is being undone."""
    return any(wait.kind == "unwind" for wait in view.waits(no))


def _undone_at(view: View, no: int, done: str) -> str | None:
    """Where an action is undone: a place of its own for each time it is tried; None where it is already."""
    number = 1
    while True:
        at = f"{UNDO}{done}" if number == 1 else f"{UNDO}{done}#{number}"
        row = view.action(no, at)
        if row is None:
            return at
        if row.state == "settled":
            return None
        number += 1


def _undo_now(
    operation: Operation[..., Any] | None, intent: Mapping[str, Any], receipt: Mapping[str, Any]
) -> dict[str, Any]:
    """For a receipt that says nothing of an undo: by the contract as it is now."""
    if operation is None:
        return {"why": f"there is no operation {intent['op']} any more"}
    if operation.undo is None:
        return {"why": "there is no undo for it"}
    args, result = canonical.encode(intent["args"]), canonical.encode(receipt["result"])
    return operation.undo.of(operation, args, result)

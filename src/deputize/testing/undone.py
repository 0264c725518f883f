"""What must hold of undoing, whatever was killed: one more check, as in `invariants.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deputize.ledger import Entry
from deputize.testing.case import Case
from deputize.undo import UNDO

_SETTLED = ("receipt", "declined", "refused", "abandoned")


def nothing_is_undone_around_a_doubt(case: Case) -> Iterator[str]:
    """What undoes an action starts when what came after it is undone, and nothing of its run is in doubt."""
    for run in case.ledger.runs:
        for what in _out_of_order(case.ledger.entries[run.no]):
            yield f"{run.id}/{what}"


def _out_of_order(entries: Sequence[Entry]) -> Iterator[str]:
    steps: Sequence[Mapping[str, Any]] = ()
    unknown: set[str] = set()
    undone: set[str] = set()
    for entry in entries:
        body = entry.body or {}
        path = str(body.get("path", ""))
        if entry.type == "unwinding":
            steps = body["steps"]
        elif entry.type == "intent":
            if path.startswith(UNDO):
                yield from (f"{path}: it started while {other} was in doubt" for other in unknown - {path})
                before = [step for step in _before(path, steps) if step not in undone]
                yield from (f"{path}: it started before {step} was done" for step in before)
            unknown.add(path)
        elif entry.type == "drift":
            unknown.add(path)
        elif entry.type in _SETTLED:
            unknown.discard(path)
            undone |= {path} if entry.type == "receipt" else set()
        elif entry.type == "unwound":
            done = {step["path"] for step in steps if step["undoes"] in body["undone"]}
            yield from (f"{path}: it is said to be done, and is not" for path in sorted(done - undone))


def _before(path: str, steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """What its plan has before it."""
    plan = [str(step["path"]) for step in steps]
    return plan[: plan.index(path)] if path in plan else []

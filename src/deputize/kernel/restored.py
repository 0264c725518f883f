"""A restored copy: what was unsettled when the copy was made is answered before anything new starts.

Line 21 of the specification. The world has moved on since, so that even what could be repeated by itself
is looked up or answered by a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deputize.kernel.ending import Append
from deputize.ledger import SYSTEM, Draft
from deputize.operation import Operation
from deputize.store.protocol import ActionRow, Tx

UNSETTLED_MAX = 100_000


def unsettled_from_before(tx: Tx, operations: Mapping[str, Operation[..., Any]]) -> list[ActionRow]:
    """The writes that began before the ledger was last restored, and of which nobody knows the outcome."""
    restored = max((entry.seq for entry in tx.entries(SYSTEM) if entry.type == "restored"), default=0)
    if not restored:
        return []
    rows = tx.actions_in(["open", "doubtful"], (0, ""), UNSETTLED_MAX)
    return [row for row in rows if row.intent < restored and not _reads(operations.get(row.operation))]


def put_before_people(tx: Tx, row: ActionRow, append: Append) -> None:
    """A card for one of these, unless it has one: what would repeat by itself has none yet."""
    intent = tx.entry(row.intent)
    if row.state != "doubtful" or intent is None or tx.has_card(row.run, row.path):
        return
    evidence = "it was unsettled when the copy of this ledger was made"
    body = {
        "path": row.path,
        "kind": "doubt",
        "title": f"Nobody knows whether {row.operation} happened: {evidence}",
        "op": row.operation,
        "args": intent.body["args"] if intent.body is not None else None,
        "key": row.key,
        "attempts": row.attempts,
        "evidence": evidence,
    }
    append(tx, row.run, [Draft("card", body)])


def _reads(operation: Operation[..., Any] | None) -> bool:
    return operation is not None and operation.contract.effect == "read"

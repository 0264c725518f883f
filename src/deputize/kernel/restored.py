"""A restored copy: what was unsettled when the copy was made is answered before anything new starts.

Line 21 of the specification. The world has moved on since, so that even what could be repeated by itself
is looked up or answered by a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deputize.clock import iso
from deputize.kernel.ending import Append
from deputize.ledger import SYSTEM, Draft
from deputize.operation import Operation
from deputize.sentence import asked_for
from deputize.store.protocol import ActionRow, Tx, View

UNSETTLED_MAX = 100_000
ABOUT_CHARS_MAX = 600

Operations = Mapping[str, Operation[..., Any]]


@dataclass(frozen=True, slots=True)
class Restored:
    """When this ledger was last made of a copy: the entry's seq, and ledger time; 0 for never."""

    seq: int = 0
    at_us: int = 0


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A write from before, of which nobody knows the outcome: its action's id, what was asked for, the key,
    when that was first sent (ledger time), and how its outcome comes to be known."""

    id: str
    operation: str
    about: str
    key: str
    first_sent: int
    how: str

    def shown(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "id": self.id,
            "operation": self.operation,
            "about": self.about,
            "key": self.key,
            "first_sent_at": iso(self.first_sent),
            "how": self.how,
        }


def restored_of(view: View) -> Restored:
    """When a ledger was last made of a copy."""
    found = (Restored(e.seq, e.at_us) for e in reversed(view.entries(SYSTEM)) if e.type == "restored")
    return next(found, Restored())


def unsettled_from_before(view: View, operations: Operations, restored: Restored) -> list[ActionRow]:
    """The writes that began before the ledger was last restored, and of which nobody knows the outcome."""
    if not restored.seq:
        return []
    rows = view.actions_in(["open", "doubtful"], (0, ""), UNSETTLED_MAX)
    return [row for row in rows if row.intent < restored.seq and not _reads(operations.get(row.operation))]


def unfinished(view: View, operations: Operations | None, restored: Restored) -> list[Unfinished]:
    """The same, for people; `operations` is None where the project is not at hand."""
    rows = unsettled_from_before(view, operations or {}, restored)
    return [_told(view, row, operations) for row in rows]


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


def _told(view: View, row: ActionRow, operations: Operations | None) -> Unfinished:
    intent = view.entry(row.intent)
    body = intent.body if intent is not None and intent.body is not None else {"op": row.operation}
    if view.has_card(row.run, row.path):
        how = "a person says whether it happened: its card is in the inbox"
    elif operations is None:
        how = "its service is asked where it can be; else a person says whether it happened"
    else:
        how = _how(operations.get(row.operation))
    id = f"{row.run_id}/{row.path}"
    return Unfinished(id, row.operation, asked_for(body)[:ABOUT_CHARS_MAX], row.key, row.first_sent, how)


def _how(operation: Operation[..., Any] | None) -> str:
    """How the outcome of an operation comes to be known in a restored copy."""
    if operation is None:
        return "a person says whether it happened: the project has no such operation (any more)"
    if operation.lookup is None:
        return "a person says whether it happened: its service cannot be asked"
    if operation.contract.lookup_conclusive:
        return "its service is asked, and what that says settles it"
    return "its service is asked; where that knows nothing of it, a person says whether it happened"


def _reads(operation: Operation[..., Any] | None) -> bool:
    return operation is not None and operation.contract.effect == "read"

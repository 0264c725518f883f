"""A ledger that was moved elsewhere: the copy that stayed behind starts nothing any more."""

from __future__ import annotations

from typing import Any

from deputize import canonical
from deputize.clock import iso
from deputize.errors import LedgerMoved
from deputize.store.protocol import Tx

MOVED = "moved"
"""The setting that says where a ledger went, when, and by which move."""


def moved_to(told: str | None) -> dict[str, Any] | None:
    """What the setting says: `to`, `at` (ledger time) and `nonce`; None where the ledger is still here."""
    return dict(canonical.decode(told)) if told else None


def refuse_moved(tx: Tx) -> None:
    """Raises `LedgerMoved` for what stayed behind of a move."""
    moved = moved_to(tx.setting(MOVED))
    if moved is not None:
        raise LedgerMoved(told_moved(moved))


def told_moved(moved: dict[str, Any]) -> str:
    """What to say of it, and what to do."""
    return (
        f"this copy was moved to {moved['to']} on {iso(moved['at'])} and starts no more: start the one that "
        "was unpacked from there. Only if that is lost: `deputize move --back` makes this one the ledger "
        "again, and then the other must never start"
    )

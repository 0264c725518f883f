"""Whether a ledger was moved elsewhere, asked without owning it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deputize.kernel.moved import MOVED, moved_to
from deputize.store.sqlite.offline import OfflineLedger


def gone(ledger: OfflineLedger) -> dict[str, Any] | None:
    """Where it went (see `moved_to`); None where it is still here."""
    return moved_to(ledger.settings(MOVED).get(""))


def gone_from(path: Path) -> dict[str, Any] | None:
    """The same of a file; None where there is none. Raises `StoreError` for one that is no ledger."""
    if not path.is_file():
        return None
    ledger = OfflineLedger(path)
    try:
        return gone(ledger)
    finally:
        ledger.close()

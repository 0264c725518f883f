"""`deputize restore`: a copy becomes the ledger, halted and in a new epoch (ACTIONS.md, line 21)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from deputize.cli.here import Here, Said
from deputize.cli.says import progress
from deputize.clock import SystemClock
from deputize.kernel.people import STOP_SETTING
from deputize.kernel.stops import ALL
from deputize.kernel.tokens import TOKEN_SETTING
from deputize.ledger import SYSTEM, Draft
from deputize.store.protocol import Tx
from deputize.store.sqlite.offline import OfflineLedger, copy_of, drop_copy, owner_of, put_in_place
from deputize.store.sqlite.store import SqliteStore


def restore_ledger(here: Here, copy: Path, *, force: bool) -> dict[str, Any]:
    """Put `copy` in the ledger's place. Raises `Said` and `StoreError`, and changes nothing then."""
    path = here.settings.ledger
    owner = owner_of(path)
    if owner is not None:
        raise Said(f"the running process {owner} has the ledger {path}: stop it first, then restore")
    if not copy.is_file():
        raise Said(f"there is no file {copy}; `deputize backup FILE` makes one")
    if path.exists() and copy.samefile(path):
        raise Said(f"{copy} is the ledger itself; name a copy of it")
    if path.exists() and not force:
        raise Said(f"there is a ledger at {path}: --force replaces it (and keeps it beside)")
    _refuse_damaged(copy)
    reason = f"restored from {copy.resolve()}"
    with progress("restoring"):
        staged = copy_of(copy, path)
        try:
            entries = asyncio.run(_mark(staged, reason))
            kept = put_in_place(staged, path)
        finally:
            drop_copy(staged)
    return {"ledger": str(path), "entries": entries, "kept": str(kept) if kept else None, "halted": ALL}


def _refuse_damaged(copy: Path) -> None:
    ledger = OfflineLedger(copy)
    try:
        entries = ledger.read(lambda view: view.counts())["entries"]
        with progress(f"verifying {copy}", entries) as done:
            flaw = next(iter(ledger.verify(done)), None)
    finally:
        ledger.close()
    if flaw is not None:
        raise Said(
            f"{copy} is damaged ({flaw.stream} at version {flaw.version}: {flaw.what}): take another copy"
        )


async def _mark(staged: Path, reason: str) -> int:
    """Open the copy as its owner, which takes a new epoch, and halt it. Returns its last entry's number."""
    store = SqliteStore(staged, SystemClock())

    def work(tx: Tx) -> int:
        restored = Draft("restored", {"epoch": store.epoch, "reason": reason})
        halted = Draft("halted", {"scope": ALL, "reason": reason, "person": "deputize restore"})
        tx.append(SYSTEM, tx.version(SYSTEM), [restored, halted])
        tx.set_setting(STOP_SETTING + ALL, reason)
        # Since the copy was made they may have been used in the ledger that it is a copy of.
        tx.void_approvals()
        # A token that was taken back since the copy was made must not come back with it.
        for name in tx.settings(TOKEN_SETTING):
            tx.set_setting(name, None)
        return tx.counts()["entries"]

    try:
        return await store.write(work)
    finally:
        store.close()

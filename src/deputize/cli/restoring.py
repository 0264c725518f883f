"""`deputize restore`: a copy becomes the ledger, halted and in a new epoch (ACTIONS.md, line 21)."""

from __future__ import annotations

import asyncio
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from deputize.cli.here import Here, Said
from deputize.cli.says import progress
from deputize.errors import DeputizeError, StoreError
from deputize.kernel.moved import told_moved
from deputize.kernel.restored import Operations, restored_of, unfinished
from deputize.kernel.stops import ALL
from deputize.moving.copies import mark_copy
from deputize.moving.gone import gone_from
from deputize.project import load_project
from deputize.store.sqlite.offline import OfflineLedger, copy_of, drop_copy, owner_of, put_in_place


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
    _refuse_moved(path)
    _refuse_moved(copy)
    reason = f"restored from {copy.resolve()}"
    with progress("restoring"):
        staged = copy_of(copy, path)
        try:
            entries = asyncio.run(mark_copy(staged, reason, "deputize restore", void=True))
            kept = put_in_place(staged, path)
        finally:
            drop_copy(staged)
    return {
        "ledger": str(path),
        "entries": entries,
        "kept": str(kept) if kept else None,
        "halted": ALL,
        "unfinished": unfinished_of(here, operations_of(here)),
    }


def operations_of(here: Here) -> Operations | None:
    """What a project's operations are; None where its code does not load here (yet)."""
    try:
        # What the code says while it is imported is no part of the answer.
        with redirect_stdout(sys.stderr):
            return load_project(here.root).operations
    except DeputizeError:
        return None


def unfinished_of(here: Here, operations: Operations | None) -> list[dict[str, Any]]:
    """The unfinished writes of the ledger of a project, each with how its outcome comes to be known."""
    ledger = OfflineLedger(here.settings.ledger)
    try:
        found = ledger.read(lambda view: unfinished(view, operations, restored_of(view)))
    finally:
        ledger.close()
    return [one.shown() for one in found]


def _refuse_moved(path: Path) -> None:
    try:
        moved = gone_from(path)
    except StoreError:
        # What cannot be read is what a restore is for.
        return
    if moved is not None:
        raise Said(told_moved(moved))


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

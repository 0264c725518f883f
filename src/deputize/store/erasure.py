"""Erasing an ended run: its content goes, its chain and its books stay."""

from __future__ import annotations

from deputize import canonical
from deputize.errors import StoreError
from deputize.ledger import SYSTEM, Draft
from deputize.store.protocol import Tx


def erase_run(tx: Tx, run: int, system_version: int) -> int:
    """Erase a run's bodies and salts, and record it in the system stream, in one work.

    `run` is the run's number, `system_version` the version that the system stream is expected to
    have. Returns the system stream's new version; where all was erased before, the one it had.
    Raises `StoreError` for a run that is not there or has not ended, `Conflict`.
    """
    row = tx.run_no(run)
    if row is None:
        raise StoreError(f"there is no run number {run}")
    if row.state != "ended":
        raise StoreError(
            f"run {row.id} is {row.state}: only a run that has ended can be erased; cancel it first"
        )
    if any(wait.kind == "unwind" for wait in tx.waits(run)):
        raise StoreError(f"run {row.id} is being undone; erase it when that has come to its end")
    whole = [entry for entry in tx.entries(run) if entry.body is not None]
    if not whole:
        return system_version
    versions = [entry.version for entry in whole]
    kept = tx.place(canonical.encode(tx.kept(run)))
    tx.erase(run, versions)
    body = {
        "run_no": run,
        "run": row.id,
        "versions": versions,
        "seqs": [entry.seq for entry in whole],
        "kept": kept,
    }
    return tx.append(SYSTEM, system_version, [Draft("erased", body)])

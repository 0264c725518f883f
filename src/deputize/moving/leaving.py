"""The side that is left: pack, mark, seal, name. The archive's seal is the one moment of the move.

    before the mark     this copy starts; what is packed has no seal, and is nothing
    marked, not sealed  this copy starts: whoever starts it takes the mark back first
    sealed              the archive can be unpacked, and this copy starts no more

A process that dies at any step leaves one of these. Only whoever has the ledger's lock marks, seals, or takes
the mark back.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deputize import canonical
from deputize.clock import SystemClock
from deputize.config import Settings
from deputize.errors import LedgerMoved, MoveError, StoreError
from deputize.kernel.moved import MOVED, moved_to, refuse_moved, told_moved
from deputize.ledger import SYSTEM, Draft
from deputize.moving.archive import (
    Manifest,
    Packed,
    digest_of,
    is_sealed,
    manifest_of,
    seal,
    write_archive,
)
from deputize.moving.gone import gone_from
from deputize.moving.packing import Belongings, belongings
from deputize.store.protocol import Tx
from deputize.store.sqlite.file import FREE_BYTES_MIN, sync
from deputize.store.sqlite.schema import VERSION
from deputize.store.sqlite.store import SqliteStore

PART = ".part"
COPY = ".moving"


@dataclass(frozen=True)
class Left:
    """What a move has packed: where, how much, what of it is private, and what is to be put in place there
    by hand."""

    archive: Path
    files: int
    bytes: int
    private: tuple[str, ...]
    elsewhere: tuple[str, ...]


def nothing(step: str, /) -> None:
    """In earnest nothing is told of each step."""


def look_ahead(settings: Settings, target: Path) -> Belongings:
    """Everything that can be known to be wrong before anything is stopped. Raises `MoveError`."""
    if target.exists() or target.is_symlink():
        raise MoveError(f"{target} is there already; name a file that is not")
    folder = target.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise MoveError(f"{folder} is no folder that can be written to")
    if folder.resolve().is_relative_to(settings.root.resolve()):
        raise MoveError(f"{target} is within the project; name a file outside of it")
    if not settings.ledger.is_file():
        raise MoveError(f"there is no ledger at {settings.ledger}; copying the folder is all there is to do")
    found = belongings(settings)
    # The log beside the ledger may hold as much as that, and comes into the copy.
    ledger = sum(
        p.stat().st_size for p in (settings.ledger, *settings.data.glob("ledger.db-wal")) if p.is_file()
    )
    _refuse_full(settings.data, ledger + FREE_BYTES_MIN)
    _refuse_full(folder, ledger + sum(p.stat().st_size for p in found.files.values()) + FREE_BYTES_MIN)
    return found


def leave(settings: Settings, target: Path, by: str, reached: Callable[[str], None] = nothing) -> Left:
    """Move a project whose ledger no process has into an archive. Raises `MoveError` and `StoreError`; unless
    the archive was sealed by then, this copy is as it was."""
    found = look_ahead(settings, target)
    store = SqliteStore(settings.ledger, SystemClock())
    try:
        return asyncio.run(_leave(store, settings, found, target, by, reached))
    finally:
        store.close()


async def _leave(
    store: SqliteStore,
    settings: Settings,
    found: Belongings,
    target: Path,
    by: str,
    reached: Callable[[str], None],
) -> Left:
    # With the lock: another move may have come to its end since `settle_move` looked.
    await store.write(refuse_moved)
    copy, part = settings.ledger.with_name(settings.ledger.name + COPY), _part(target)
    copy.unlink(missing_ok=True)
    reached("begun")
    # The copy, too, is for its owner's eyes alone.
    mask = os.umask(0o077)
    try:
        store.backup(copy)
        sources = found.files | {found.ledger: copy}
        manifest = _manifest(settings, store.ledger_id, found, sources)
        write_archive(part, manifest, sources)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MoveError(f"{error.filename or part} could not be packed: {error.strerror or error}") from None
    except (MoveError, StoreError):
        part.unlink(missing_ok=True)
        raise
    finally:
        os.umask(mask)
        copy.unlink(missing_ok=True)
    reached("packed")
    moved = {"to": str(target), "nonce": manifest.nonce}

    def mark(tx: Tx) -> None:
        tx.append(SYSTEM, tx.version(SYSTEM), [Draft("moved", moved | {"person": by})])
        tx.set_setting(MOVED, canonical.encode(moved | {"at": tx.at_us}).decode())

    await store.write(mark)
    reached("marked")
    try:
        seal(part)
        reached("sealed")
        _name(part, target)
    except OSError as error:
        raise MoveError(
            f"{part} could not be finished ({error.strerror or error}): move again, which says how far"
        ) from None
    reached("named")
    size = target.stat().st_size
    private = tuple(sorted(found.private & (found.files.keys() | {found.ledger})))
    return Left(target, len(manifest.files), size, private, found.elsewhere)


def settle_move(settings: Settings) -> bool:
    """Find out what became of a move from here: before anything starts.

    Returns whether one that had not come to its end was taken back. Raises `LedgerMoved` for one that had.
    """
    moved = gone_from(settings.ledger)
    if moved is None:
        return False
    target = Path(moved["to"])
    if not _is_ours(_part(target), moved["nonce"]):
        raise LedgerMoved(told_moved(moved))
    store = SqliteStore(settings.ledger, SystemClock())
    try:
        return asyncio.run(_settle(store, target))
    finally:
        store.close()


async def _settle(store: SqliteStore, target: Path) -> bool:
    """With the lock: nobody else marks or seals."""
    part = _part(target)
    moved = moved_to(await store.write(lambda tx: tx.setting(MOVED)))
    if moved is None:
        return False
    if not _is_ours(part, moved["nonce"]):
        raise LedgerMoved(told_moved(moved))
    if is_sealed(part):
        if not target.exists():
            _name(part, target)
        raise LedgerMoved(told_moved(moved))

    def take_back(tx: Tx) -> None:
        tx.append(SYSTEM, tx.version(SYSTEM), [Draft("moved", {"to": "", "nonce": moved["nonce"]})])
        tx.set_setting(MOVED, None)

    await store.write(take_back)
    part.unlink(missing_ok=True)
    return True


def _is_ours(part: Path, nonce: str) -> bool:
    """Whether this is what that move has packed."""
    try:
        return part.is_file() and manifest_of(part).nonce == nonce
    except MoveError:
        return False


def _manifest(settings: Settings, ledger_id: str, found: Belongings, sources: dict[str, Path]) -> Manifest:
    modes = {path: found.mode(path) for path in found.files} | {found.ledger: 0o600}
    files = tuple(
        Packed(path, source.stat().st_size, digest_of(source), modes[path])
        for path, source in sorted(sources.items())
    )
    return Manifest(ledger_id, found.ledger, VERSION, secrets.token_hex(16), settings.name, files)


def _name(part: Path, target: Path) -> None:
    if target.exists():
        raise MoveError(f"{target} came to be there meanwhile; the archive is {part}, and whole")
    part.rename(target)
    sync(target.parent)


def _part(target: Path) -> Path:
    return target.with_name(target.name + PART)


def _refuse_full(folder: Path, needed: int) -> None:
    if (free := shutil.disk_usage(folder).free) < needed:
        raise MoveError(
            f"{folder} has {free >> 20:,} MB free, and the move needs {needed >> 20:,} MB: make room"
        )

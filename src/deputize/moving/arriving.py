"""The side that is moved to: check, unpack beside, mark, and only then give it its name."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from deputize.config import read_settings
from deputize.errors import MoveError
from deputize.moving.archive import CHUNK, Manifest, Packed, checked
from deputize.moving.copies import mark_copy
from deputize.moving.leaving import nothing
from deputize.store.sqlite.file import FREE_BYTES_MIN, sync
from deputize.store.sqlite.offline import OfflineLedger
from deputize.store.sqlite.schema import VERSION


@dataclass(frozen=True)
class Arrived:
    """A project that was unpacked; `files` are how many."""

    root: Path
    name: str
    files: int


def arrive(archive: Path, root: Path, reached: Callable[[str], None] = nothing) -> Arrived:
    """Unpack an archive into a folder that is not there yet. Raises `MoveError` and `StoreError`, and then
    there is no such folder."""
    if not archive.is_file():
        raise MoveError(f"there is no file {archive}; `deputize move FILE` packs one where the project is")
    root = root.absolute()
    if root.is_symlink() or (root.exists() and (not root.is_dir() or any(root.iterdir()))):
        raise MoveError(f"{root} is there already; name a folder that is not")
    if not root.parent.is_dir():
        raise MoveError(f"there is no folder {root.parent}")
    with checked(archive) as (manifest, files):
        if manifest.schema > VERSION:
            raise MoveError(f"{archive} was packed by a newer version of Deputize: upgrade this one first")
        beside = root.with_name(f".{root.name}.arriving")
        _refuse_full(root.parent, manifest)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(mode=0o700)
        try:
            for packed, source in files:
                _unpack(beside, packed, source)
            reached("unpacked")
            _check(beside, manifest)
            asyncio.run(
                mark_copy(beside / manifest.ledger, f"moved from {archive.name}", "deputize move", void=False)
            )
            reached("marked")
            _sync_all(beside)
            beside.rename(root)
            sync(root.parent)
        except OSError as error:
            shutil.rmtree(beside, ignore_errors=True)
            raise MoveError(f"{root} could not be unpacked: {error.strerror or error}") from None
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    reached("named")
    return Arrived(root, manifest.name, len(manifest.files))


def _refuse_full(folder: Path, manifest: Manifest) -> None:
    needed = sum(packed.bytes for packed in manifest.files) + FREE_BYTES_MIN
    if (free := shutil.disk_usage(folder).free) < needed:
        raise MoveError(
            f"{folder} has {free >> 20:,} MB free, and unpacking needs {needed >> 20:,} MB: make room"
        )


def _unpack(beside: Path, packed: Packed, source: IO[bytes]) -> None:
    path = beside / packed.path
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of the modes that may come out of an archive these are all.
    mode = packed.mode if packed.mode in (0o600, 0o644, 0o755) else 0o600
    hashed = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
        while piece := source.read(CHUNK):
            hashed.update(piece)
            file.write(piece)
    if hashed.hexdigest() != packed.sha256:
        raise MoveError(f"{packed.path} is not what the archive's list says of it: it is damaged")


def _check(beside: Path, manifest: Manifest) -> None:
    """The ledger is where the settings want it, and whole."""
    settings = read_settings(beside)
    if settings.ledger.resolve() != (beside / manifest.ledger).resolve():
        raise MoveError(f"the archive's settings want the ledger at {settings.data}, and it is not there")
    ledger = OfflineLedger(settings.ledger)
    try:
        if ledger.ledger_id != manifest.ledger_id:
            raise MoveError("the archive's ledger is another than its list says")
        flaw = next(iter(ledger.verify()), None)
    finally:
        ledger.close()
    if flaw is not None:
        raise MoveError(
            f"the archive's ledger is damaged ({flaw.stream} at version {flaw.version}: {flaw.what})"
        )


def _sync_all(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        sync(path)
    sync(folder)

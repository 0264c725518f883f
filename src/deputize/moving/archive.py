"""The archive of a move: a tar whose first member says what is in it, and a seal behind its end.

An archive without its seal is nothing: it was cut short, or its move never came to its end. The seal is the
SHA-256 of every byte before it, so what was changed on the way is found out as well.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from deputize import canonical
from deputize.errors import MoveError
from deputize.store.sqlite.file import sync

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_BYTES_MAX = 50_000_000
FILES_MAX = 200_000
CHUNK = 1 << 20
PRIVATE = 0o600

_HEAD = b"\ndeputize move, sealed: sha256 "
_SEAL_BYTES = len(_HEAD) + 64 + 1


@dataclass(frozen=True)
class Packed:
    """A file of the archive: its path below the project's folder, and what is in it. `mode` is one of the
    few that are restored: 0600 for what is private, else 0644 or 0755."""

    path: str
    bytes: int
    sha256: str
    mode: int


@dataclass(frozen=True)
class Manifest:
    """What an archive holds. `ledger` is the path of the ledger in it, `schema` that ledger's, `nonce` what
    tells this move from every other."""

    ledger_id: str
    ledger: str
    schema: int
    nonce: str
    name: str
    files: tuple[Packed, ...]
    format: int = FORMAT

    def encode(self) -> bytes:
        """As the first member has it."""
        return canonical.encode(asdict(self))


def write_archive(path: Path, manifest: Manifest, sources: dict[str, Path]) -> None:
    """Write an archive without its seal, for its owner's eyes alone, and have it on disk.

    Raises `MoveError` where a file is not what the manifest says (any more).
    """
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE)
    with (
        os.fdopen(handle, "wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        told = manifest.encode()
        tar.addfile(_member(MANIFEST, len(told), PRIVATE), io.BytesIO(told))
        for packed in manifest.files:
            with sources[packed.path].open("rb") as source:
                reader = _Reader(source)
                try:
                    tar.addfile(_member(packed.path, packed.bytes, packed.mode), reader)
                except OSError as error:
                    raise MoveError(f"{sources[packed.path]} cannot be packed: {error}") from None
                if reader.digest() != packed.sha256 or source.read(1):
                    raise MoveError(f"{sources[packed.path]} was changed while it was packed: move again")
    sync(path)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_sealed(path: Path) -> bool:
    """Whether an archive has its seal, good or not."""
    return _seal_of(path) is not None


def seal(path: Path) -> None:
    """Seal an archive. From the moment that this is on disk on, it can be unpacked."""
    told = _HEAD + digest_of(path).encode() + b"\n"
    with path.open("ab") as file:
        file.write(told)
        file.flush()
        os.fsync(file.fileno())


def manifest_of(path: Path) -> Manifest:
    """What an archive says that it holds, sealed or not. Raises `MoveError` for what is no archive."""
    with _opened(path) as tar:
        return _manifest(path, tar)


@contextmanager
def checked(path: Path) -> Iterator[tuple[Manifest, Iterator[tuple[Packed, IO[bytes]]]]]:
    """Open a sealed archive: its manifest, and its files in turn, each of a safe name and the size that the
    manifest says. Raises `MoveError`, also while the files are gone through."""
    told = _seal_of(path)
    if told is None:
        raise MoveError(
            f"{path} is no finished archive: it was cut short, or its move did not come to its end "
            "(`deputize move` where it came from says which)"
        )
    with path.open("rb") as file:
        if _digest(file, path.stat().st_size - _SEAL_BYTES) != told:
            raise MoveError(f"{path} was changed or damaged since it was packed: copy it again")
    with _opened(path) as tar:
        manifest = _manifest(path, tar)
        yield manifest, _files(path, tar, manifest)


def _files(path: Path, tar: tarfile.TarFile, manifest: Manifest) -> Iterator[tuple[Packed, IO[bytes]]]:
    left = {packed.path: packed for packed in manifest.files}
    while (member := tar.next()) is not None:
        packed = left.pop(member.name, None)
        if packed is None or not member.isreg() or member.size != packed.bytes:
            raise MoveError(
                f"{path} holds {member.name!r}, which is not (so) in its list: nothing was unpacked"
            )
        source = tar.extractfile(member)
        assert source is not None
        yield packed, source
    if left:
        raise MoveError(f"{path} lacks {min(left)!r}, which is in its list: nothing was unpacked")


def _manifest(path: Path, tar: tarfile.TarFile) -> Manifest:
    member = tar.next()
    if member is None or member.name != MANIFEST or not member.isreg() or member.size > MANIFEST_BYTES_MAX:
        raise MoveError(f"{path} is no archive of `deputize move`: it does not begin with its list")
    source = tar.extractfile(member)
    assert source is not None
    try:
        told = canonical.decode(source.read())
        known = int(told["format"])
    except (ValueError, KeyError, TypeError, tarfile.TarError):
        raise MoveError(f"{path} is no archive of `deputize move`: its list cannot be read") from None
    if known != FORMAT:
        raise MoveError(
            f"{path} was packed by another version of Deputize (format {known}, and this knows {FORMAT}): "
            "use the same version on both sides"
        )
    try:
        manifest = Manifest(**told | {"files": tuple(_packed(**one) for one in told["files"])})
    except (KeyError, TypeError):
        raise MoveError(f"{path} is no archive of `deputize move`: its list cannot be read") from None
    _refuse_unsafe(path, manifest)
    return manifest


def _packed(path: object, bytes: object, sha256: object, mode: object) -> Packed:
    whole = isinstance(path, str) and isinstance(sha256, str)
    if not (whole and isinstance(bytes, int) and isinstance(mode, int)):
        raise TypeError
    return Packed(str(path), bytes, str(sha256), mode)


def _refuse_unsafe(path: Path, manifest: Manifest) -> None:
    """A name that leads out of the folder, is there twice, or is a file and a folder."""
    names = [packed.path for packed in manifest.files]
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    if len(names) > FILES_MAX:
        raise MoveError(f"{path} holds {len(names):,} files, and {FILES_MAX:,} are the most")
    seen: set[str] = set()
    for name in names:
        if not _is_safe(name) or name in seen or name in folders:
            raise MoveError(
                f"{path} holds a file of the name {name!r}, which is not safe: nothing was unpacked"
            )
        seen.add(name)
    if manifest.ledger not in seen:
        raise MoveError(f"{path} holds no ledger")


def _is_safe(name: str) -> bool:
    parts = name.split("/")
    return not any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, mode="r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError) as error:
        raise MoveError(f"{path} is no archive of `deputize move`: {error}") from None
    except OSError as error:
        raise MoveError(f"{path} cannot be read: {error.strerror or error}") from None


def _seal_of(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < _SEAL_BYTES:
                return None
            file.seek(-_SEAL_BYTES, os.SEEK_END)
            told = file.read()
    except OSError as error:
        raise MoveError(f"{path} cannot be read: {error.strerror or error}") from None
    whole = told.startswith(_HEAD) and told.endswith(b"\n")
    return told[len(_HEAD) : -1].decode("latin-1") if whole else None


def _digest(file: IO[bytes], size: int) -> str:
    hashed = hashlib.sha256()
    while size and (piece := file.read(min(size, CHUNK))):
        size -= len(piece)
        hashed.update(piece)
    return hashed.hexdigest()


def _member(name: str, size: int, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, mode
    return member


class _Reader(io.RawIOBase):
    """Reads a file, and what it reads into a digest."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._hashed = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(size)
        self._hashed.update(piece)
        return piece

    def digest(self) -> str:
        """Of all that was read."""
        return self._hashed.hexdigest()

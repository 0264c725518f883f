"""What belongs to a project: its files and its keys, without what is only of this place."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deputize.config import FILE, Settings
from deputize.errors import MoveError
from deputize.moving.archive import FILES_MAX, PRIVATE

_CACHES = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"})
_LOGIN = "login"
_OF_THIS_PLACE = ("server.json", "held.txt")
"""In the data folder, and of the process that ran here; the ledger's own file is copied, and not packed."""


@dataclass(frozen=True)
class Belongings:
    """The files to pack by their path below the project's folder; `private` are those for their owner's eyes
    alone. `elsewhere` are the secrets that are not in the folder, and have to be put in place by hand."""

    files: dict[str, Path]
    private: frozenset[str]
    elsewhere: tuple[str, ...]
    ledger: str

    def mode(self, path: str) -> int:
        """Of a file, when it is unpacked."""
        if path in self.private:
            return PRIVATE
        return 0o755 if os.access(self.files[path], os.X_OK) else 0o644


def belongings(settings: Settings) -> Belongings:
    """Everything that is to go with a project. Raises `MoveError` for what cannot."""
    root, data = settings.root.resolve(), settings.data.resolve()
    if not data.is_relative_to(root) or data == root:
        raise MoveError(
            f"{FILE}: [project] data is {settings.data}, which is not within the project: "
            "a move takes the project's folder alone; put it below that first"
        )
    files: dict[str, Path] = {}
    for folder, folders, names in os.walk(root, followlinks=False, onerror=_told):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not _is_skipped(here / name))
        for name in sorted(names):
            path = here / name
            if here == data and (name.startswith(settings.ledger.name) or name.startswith(_OF_THIS_PLACE)):
                continue
            if here == data and name == _LOGIN:
                # It speaks for whoever is logged in here, and not for whoever unpacks it.
                continue
            if not path.is_file():
                raise MoveError(f"{path} cannot be packed (a link to nowhere, or no file): remove it")
            files[path.relative_to(root).as_posix()] = path
            if len(files) > FILES_MAX:
                raise MoveError(
                    f"{root} holds more than {FILES_MAX:,} files: move what is no part of the project"
                )
    within = data.relative_to(root).as_posix()
    private = {path for path in files if path.startswith((".env", f"{within}/"))}
    inside, elsewhere = _secrets(root, files)
    ledger = f"{within}/{settings.ledger.name}"
    return Belongings(files, frozenset(private | inside | {ledger}), elsewhere, ledger)


def _is_skipped(folder: Path) -> bool:
    if folder.name in _CACHES or (folder / "pyvenv.cfg").is_file():
        return True
    if folder.is_symlink():
        raise MoveError(f"{folder} is a link to a folder, which is not packed: put the folder in its place")
    return False


def _secrets(root: Path, files: dict[str, Path]) -> tuple[set[str], tuple[str, ...]]:
    """The files of the project that are secrets, and the handles of the others."""
    inside: set[str] = set()
    elsewhere: set[str] = set()
    own = (root / ".env").read_text("utf-8") if ".env" in files else ""
    for handle in _handles(tomllib.loads((root / FILE).read_text("utf-8"))):
        kind, _, name = handle.partition(":")
        if kind == "env":
            if not re.search(rf"^\s*(?:export\s+)?{re.escape(name)}\s*=", own, re.MULTILINE):
                elsewhere.add(f"env:{name}")
        elif (path := (root / name).resolve()).is_relative_to(root):
            inside.add(path.relative_to(root).as_posix())
        else:
            elsewhere.add(f"file:{name}")
    return inside & files.keys(), tuple(sorted(elsewhere))


def _handles(value: Any) -> Iterator[str]:
    """Whatever names a variable or a file in the settings."""
    if isinstance(value, str) and value.startswith(("env:", "file:")):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _handles(one)


def _told(error: OSError) -> None:
    raise MoveError(f"{error.filename} cannot be packed: {error.strerror}")

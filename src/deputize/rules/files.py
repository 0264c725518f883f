"""The files of a project's rules, read as texts."""

from __future__ import annotations

from pathlib import Path

from deputize.errors import RuleError
from deputize.rules.forms import Problem

FILES_MAX = 500
FILE_BYTES_MAX = 1_000_000


def read_folder(folder: Path) -> tuple[dict[str, str], list[Problem]]:
    """The texts by name (`rules/refunds.toml`), in the order of names, and what cannot be read. Raises
    `RuleError` for a folder that cannot."""
    problems: list[Problem] = []
    texts: dict[str, str] = {}
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise RuleError(f"{folder.name}:1: the rules cannot be read: {error.strerror}") from None
    if len(paths) > FILES_MAX:
        raise RuleError(f"{folder.name}:1: there are more than {FILES_MAX} rules files")
    for path in paths:
        if path.name.startswith(".") or path.name.endswith("~") or path.suffix == ".md":
            continue
        file = f"{folder.name}/{path.name}"
        text = _read(path)
        if isinstance(text, str):
            texts[file] = text
        else:
            problems.append(Problem(file, *text))
    return texts, problems


def _read(path: Path) -> str | tuple[int, str]:
    """A rules file's text, or the line and what is wrong."""
    if path.suffix not in (".toml", ".cedar"):
        return 1, "is no rules file; rules are .toml or .cedar files, side by side"
    try:
        with path.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        return 1, f"cannot be read: {error.strerror}"
    if len(data) > FILE_BYTES_MAX:
        return 1, f"is larger than {FILE_BYTES_MAX:,} bytes"
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        return data.count(b"\n", 0, error.start) + 1, "is not UTF-8 text"

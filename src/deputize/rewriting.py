"""One value of a TOML text, written anew: comments, order and all else stay to the letter. Pure.

`tomllib` keeps no places. So every literal that could be the value is tried, and the one counts after which
the text means just what it meant, but for that value.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

TRIED_MAX = 200

Place = Sequence[str | int]
"""The way to a value from the top of a text: keys of tables, and numbers in lists."""

_LITERAL = re.compile(
    r"""#[^\n]*"""
    r"""|"(?:\\.|[^"\\\n])*"|'[^'\n]*'"""
    r"""|(?<![\w.\-"'])(?:[+-]?\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?|true|false)(?![\w\-.:])"""
)


def rewritten(text: str, place: Place, value: str | int | float | bool, lines: tuple[int, int]) -> str:
    """The text with another value there. It is looked for in these lines only, counted from 1, the last
    excluded.

    Raises `ValueError` where it is not written in one piece there, `KeyError` where there is none."""
    document = tomllib.loads(text)
    old = _at(document, place)
    wanted = deepcopy(document)
    _at(wanted, place[:-1])[place[-1]] = value
    starts = [0, *(match.end() for match in re.finditer("\n", text)), len(text)]
    first, end = starts[lines[0] - 1], starts[min(lines[1], len(starts)) - 1]
    tried = 0
    for match in _LITERAL.finditer(text, first, end):
        if match[0].startswith("#") or not _means(match[0], old):
            continue
        tried += 1
        if tried > TRIED_MAX:
            break
        found = text[: match.start()] + literal(value) + text[match.end() :]
        if _same(found, wanted):
            return found
    raise ValueError("it is not written there in one piece: change it by hand")


def literal(value: str | int | float | bool) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m[0]):04X}", escaped) + '"'


def added(text: str, table: Sequence[str], key: str, value: str | int | float | bool) -> str:
    """The text with one more key in a table, which is begun at the end where there is none.

    Raises `ValueError` where the table is written in another way."""
    line = f"{_key(key)} = {literal(value)}\n"
    wanted = tomllib.loads(text)
    where = wanted
    for part in table:
        where = where.setdefault(part, {})
    where[key] = value
    header = "[" + ".".join(_key(part) for part in table) + "]"
    shape = re.compile(rf"^[ \t]*{re.escape(header)}[ \t]*(?:#[^\n]*)?\n?", re.MULTILINE)
    begun = text if text.endswith("\n") or not text else f"{text}\n"
    tries = [
        text[: m.end()] + ("" if m[0].endswith("\n") else "\n") + line + text[m.end() :]
        for m in shape.finditer(text)
    ]
    for found in [*tries[:TRIED_MAX], f"{begun}\n{header}\n{line}"]:
        if _same(found, wanted):
            return found
    raise ValueError(f"[{'.'.join(table)}] is not written as a table of its own: add {key} by hand")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else literal(name)


def _same(text: str, wanted: Any) -> bool:
    try:
        return bool(_typed(tomllib.loads(text)) == _typed(wanted))
    except tomllib.TOMLDecodeError:
        return False


def _typed(value: Any) -> Any:
    """Values that differ where their types do: True is no 1 here."""
    if isinstance(value, dict):
        return {name: _typed(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_typed(one) for one in value]
    return type(value).__name__, value


def _means(written: str, value: Any) -> bool:
    try:
        return bool(_typed(tomllib.loads(f"v = {written}")["v"]) == _typed(value))
    except tomllib.TOMLDecodeError:
        return False


def _at(document: Any, place: Place) -> Any:
    found = document
    for part in place:
        if not isinstance(found, dict | list):
            raise KeyError(part)
        try:
            found = found[part]  # type: ignore[index]
        except (IndexError, TypeError):
            raise KeyError(part) from None
    return found

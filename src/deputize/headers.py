"""Where the tables of a TOML file stand: `tomllib` keeps no lines."""

from __future__ import annotations

import re
from functools import cache


def header_lines(text: str, name: str) -> list[int]:
    """The lines of the `[[name]]` headers in a TOML text, counted from 1."""
    lines, line, position = [], 1, 0
    for match in _header(name).finditer(text):
        line += text.count("\n", position, match.start())
        position = match.start()
        if match[0].lstrip().startswith("[["):
            lines.append(line)
    return lines


@cache
def _header(name: str) -> re.Pattern[str]:
    """A header, or a string or comment, which is stepped over."""
    return re.compile(
        rf"""^[ \t]*\[\[[ \t]*(?:{name}|"{name}"|'{name}')[ \t]*\]\]"""
        r"""|\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|#[^\n]*""",
        re.MULTILINE | re.DOTALL,
    )

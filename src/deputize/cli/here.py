"""What every command takes, wherever it stands on the line: `--project DIR`, `--json`, `--debug`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deputize.config import Settings

NO, USAGE, UNREACHABLE = 1, 2, 3


class Said(Exception):
    """The end of a command, said in one or two lines. `exit_code` is the process's."""

    def __init__(self, message: str, exit_code: int = NO) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Here:
    """Which project, and how to answer."""

    root: Path = Path()
    json: bool = False
    debug: bool = False

    @cached_property
    def settings(self) -> Settings:
        """The project's settings, without importing its code. Raises `ProjectError`."""
        from deputize.config import read_settings

        return read_settings(self.root.resolve())


def hoist(words: list[str]) -> tuple[Here, list[str]]:
    """The common options, and the other words in their order. Raises `Said` for `--project` alone."""
    here, left = Here(), []
    at = iter(words)
    for word in at:
        if word == "--":
            left += [word, *at]
        elif word == "--json":
            here = replace(here, json=True)
        elif word == "--debug":
            here = replace(here, debug=True)
        elif word == "--project" or word.startswith("--project="):
            folder = word.partition("=")[2] or next(at, "")
            if not folder:
                raise Said("--project needs a folder: --project DIR", USAGE)
            here = replace(here, root=Path(folder))
        else:
            left.append(word)
    return here, left

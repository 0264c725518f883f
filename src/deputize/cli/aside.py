"""A project's code run aside while somebody waits at the command line."""

from __future__ import annotations

from pathlib import Path

from deputize import aside
from deputize.aside import Aside
from deputize.cli.here import Said
from deputize.cli.says import progress


def run_aside(module: str, words: list[str], root: Path, within_s: float, what: str) -> Aside:
    """Run a module of ours on a project. Raises `Said` for a child that ends without a word."""
    with progress(what):
        try:
            return aside.run_aside(module, words, root, within_s, what)
        except aside.EndedWithoutReport as error:
            raise Said(str(error)) from None

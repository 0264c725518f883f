"""The code that makes a connector's requests, by digest: what other code has sent is not repeated."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from itertools import accumulate
from pathlib import Path

from deputize import canonical


def code_digest(module: str, root: Path) -> str:
    """A digest of an imported module's source, and of all that it imports of the project at `root`."""
    sources: dict[str, bytes] = {}
    todo = [module]
    # It ends: each module that is in memory is read once.
    while todo:
        name = todo.pop()
        found = sys.modules.get(name)
        if name in sources or found is None or found.__file__ is None:
            continue
        path = Path(found.__file__)
        if name != module and not _is_own(path, root):
            continue
        sources[name] = path.read_bytes()
        if path.suffix == ".py":
            todo.extend(_imported(sources[name], found.__package__ or ""))
    return canonical.name(
        *(part for name in sorted(sources) for part in (name, canonical.digest(sources[name])))
    )


def _is_own(path: Path, root: Path) -> bool:
    """Whether a file is the project's, and not a library's in an environment of its own."""
    return path.is_relative_to(root) and "site-packages" not in path.parts


def _imported(source: bytes, package: str) -> Iterator[str]:
    """Every name that may be a module which this source imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            try:
                base = resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:
                continue  # above the topmost package: it can only be in a line that never runs
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_parents(name: str) -> Iterator[str]:
    return accumulate(name.split("."), lambda parent, part: f"{parent}.{part}")

"""Writing a new project from a template."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from pathlib import Path

from deputize.access import OWNER, ROLES
from deputize.cli.here import USAGE, Said
from deputize.person import KEEPER
from deputize.suggest import did_you_mean

TEMPLATES = ("blank", "returns")
_PACKAGE = Path(__file__).parent.parent
_LEFT_OUT = ("data", ".demo", "__pycache__", ".env", ".pytest_cache")
_PRIVATE = 0o600
_EXAMPLE = "maya"
"""Who the templates name."""


def make_project(target: Path, template: str) -> list[str]:
    """Write the project; returns its files. Raises `Said` for a folder in use or an unknown template."""
    if template not in TEMPLATES:
        raise Said(f"there is no template {template!r}{did_you_mean(template, TEMPLATES)}", USAGE)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Said(f"{target} is there already and not empty; give another name")
    source = _folder_of(template)
    target.mkdir(parents=True, exist_ok=True)
    files = []
    for path in sorted(source.rglob("*")):
        inner = path.relative_to(source)
        if path.is_file() and not any(part in _LEFT_OUT for part in inner.parts):
            files.append(_write(path, target / inner.with_name(_real_name(inner.name))))
    _name_it(target)
    _own_person(target)
    _own_environment(target)
    return sorted(str(file.relative_to(target)) for file in {*files, target / ".env"})


def _folder_of(template: str) -> Path:
    """Inside the package, or in a checkout where the example is itself."""
    for folder in (_PACKAGE / "templates" / template, _PACKAGE.parent.parent / "examples" / template):
        if (folder / "deputize.toml").is_file():
            return folder
    raise Said(f"the template {template!r} is missing from this installation; install Deputize again")


def _real_name(name: str) -> str:
    """Hidden files are stored in sight, so that packaging neither leaves them out nor obeys them."""
    return f".{name.removeprefix('dot-')}" if name.startswith("dot-") else name


def _write(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target


def _name_it(target: Path) -> None:
    path = target / "deputize.toml"
    text = path.read_text(encoding="utf-8")
    name = re.sub(r"[^\w .-]", "", target.resolve().name) or "project"
    path.write_text(re.sub(r'(?m)^name = ".*"$', f'name = "{name}"', text, count=1), encoding="utf-8")


def _own_person(target: Path) -> None:
    """Whoever makes a project is the first who may decide in it."""
    path = target / "deputize.toml"
    text = path.read_text(encoding="utf-8")
    name = person_name()
    text = text.replace(f"[people.{_EXAMPLE}]", f"[people.{name}]").replace(f'"{_EXAMPLE}"', f'"{name}"')
    path.write_text(text, encoding="utf-8")


def person_name() -> str:
    """A name for `[people.NAME]`, from the one that this process's user is logged in with."""
    try:
        login = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        login = ""
    name = re.sub(r"[^a-z0-9_-]", "-", login.lower())[:60].lstrip("_-")
    return "me" if name in ("", KEEPER, OWNER, *ROLES) else name


def _own_environment(target: Path) -> None:
    """`.env` holds secrets sooner or later: from its first day only its owner reads it."""
    path, example = target / ".env", target / ".env.example"
    if not path.exists():
        text = example.read_text(encoding="utf-8") if example.exists() else "# NAME=value, one a line\n"
        path.write_text(text, encoding="utf-8")
    path.chmod(_PRIVATE)

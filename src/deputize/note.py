"""Notes: what an agent remembers. Pinned ones are set by people and stand in files."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

from deputize import canonical

NOTES_MAX = 20
CHARS_MAX = 8_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")

_HEADING = (
    "Notes that people have pinned for you. They set them, and they count before anything that you are given:"
)


@dataclass(frozen=True)
class Note:
    """A pinned note: the name of its file below `memory/`, without its ending, and its text."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of its text."""
        return canonical.digest(self.text.encode())


def wrong_names(names: object) -> str:
    """What is wrong with what an agent is to remember; empty where nothing is."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        return f'remembers takes a list of names, like ["tone"], and is {names!r:.100}'
    if len(names) > NOTES_MAX:
        return f"remembers has {len(names)} notes, and {NOTES_MAX} are the most"
    for name in names:
        if not isinstance(name, str) or NAME.fullmatch(name) is None:
            said = f"{name!r:.99} is no note's name: use letters, digits, - and _, without .md"
            return f"remembers: {said}"
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    return f"remembers has {twice!r} twice" if twice is not None else ""


def in_front(text: str, notes: Collection[Note]) -> str:
    """A text that stands in front of all that a model is asked, with these notes behind it."""
    if not notes:
        return text
    pinned = "\n\n".join(f"# {note.name}\n{note.text}" for note in notes)
    return f"{text}\n\n{_HEADING}\n\n{pinned}".lstrip("\n")


def named(notes: Collection[Note]) -> tuple[tuple[str, str], ...]:
    """Their names, each with its digest."""
    return tuple((note.name, note.digest) for note in notes)


def notes_of_body(body: object) -> tuple[Note, ...]:
    """The notes that a run began with, from what its first entry says of them: pairs of name and text."""
    return tuple(Note(name, text) for name, text in cast("Sequence[tuple[str, str]]", body))

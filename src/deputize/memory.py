"""The pinned notes of a project: `memory/NAME.md`, in git beside its code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from deputize.agent import Agent
from deputize.connectors.secret import Secrets
from deputize.errors import ProjectError
from deputize.note import CHARS_MAX, Note
from deputize.suggest import did_you_mean

FOLDER = "memory"
ENDING = ".md"
BYTES_MAX = 4 * CHARS_MAX + 3
"""No character of UTF-8 has more than four bytes; three may mark its beginning."""


def with_notes(root: Path, agents: Mapping[str, Agent]) -> dict[str, Agent]:
    """The agents with the notes that they remember. Raises `ProjectError` with all that is wrong, a line
    each."""
    wrong: list[str] = []
    names = dict.fromkeys(name for agent in agents.values() for name in agent.remembers)
    read = {name: _read(root, name, wrong, agents.values()) for name in names}
    if wrong:
        raise ProjectError("\n".join(wrong))
    return {
        name: replace(agent, notes=tuple(note for n in agent.remembers if (note := read[n]) is not None))
        for name, agent in agents.items()
    }


def check_notes(agents: Iterable[Agent], secrets: Secrets) -> list[str]:
    """The notes that hold what is never told to a model, nor stored: a login, or what looks like a token."""
    notes = {note.name: note for agent in agents for note in agent.notes}
    return [
        f"{FOLDER}/{note.name}{ENDING}: it holds a login, or what looks like one; take that out, a model is "
        "shown all of it"
        for note in notes.values()
        if secrets.scrub(note.text.encode()) != note.text.encode()
    ]


def _read(root: Path, name: str, wrong: list[str], agents: Iterable[Agent]) -> Note | None:
    """One note; None, and what is wrong, where there is none."""
    file = f"{FOLDER}/{name}{ENDING}"
    try:
        with (root / FOLDER / f"{name}{ENDING}").open("rb") as stream:
            data = stream.read(BYTES_MAX + 1)
        text = data.decode("utf-8-sig").replace("\r\n", "\n").strip()
    except FileNotFoundError:
        there = [path.name.removesuffix(ENDING) for path in sorted((root / FOLDER).glob(f"*{ENDING}"))]
        who = next(agent.name for agent in agents if name in agent.remembers)
        wrong.append(f"the agent {who}: remembers: there is no {file}{did_you_mean(name, there)}")
    except OSError as error:
        wrong.append(f"{file}: it cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        if len(data) > BYTES_MAX:
            wrong.append(f"{file}: it is longer than {CHARS_MAX:,} characters")
        else:
            line = data.count(b"\n", 0, error.start) + 1
            wrong.append(f"{file}:{line}: it is no UTF-8 text; save it as UTF-8")
    else:
        if len(text) > CHARS_MAX:
            wrong.append(f"{file}: it has {len(text):,} characters, and {CHARS_MAX:,} are the most")
        elif not text:
            wrong.append(f"{file}: it is empty; write what is to be remembered, or leave it out of remembers")
        else:
            return Note(name, text)
    return None

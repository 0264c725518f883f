"""Lines for people who watch a log: what an entry says, with ids and without anything that came from outside.
Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from deputize.ledger import Entry
from deputize.span import Run

Level = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line: what happened, and what it is about."""

    level: Level
    event: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def line_of(name: str, entry: Entry, run: Run | None) -> Line | None:
    """The line of an entry, if it has one; cards have lines of their own. `name` is that of its stream."""
    body = entry.body or {}
    about: dict[str, Any] = {"entry": entry.seq, "at_us": entry.at_us}
    if run is not None:
        about |= {"run": run.id, "automation": run.automation, "agent": run.agent}
    place = {"run": name, "path": body.get("path")}
    match entry.type:
        case "ended":
            kind = body.get("kind", "")
            took = {} if run is None else {"seconds": round((entry.at_us - run.began_us) / 1e6, 6)}
            level: Level = "warning" if kind == "failed" else "info"
            return Line(level, "a run ended", about | {"run": name, "kind": kind} | took)
        case "stuck":
            return Line("warning", "a run is stuck", about | {"run": name})
        case "doubt":
            return Line("warning", "an action is in doubt", about | place)
        case "drift":
            return Line(
                "warning", "an answer cannot be read", about | {"run": name, "path": body.get("path")}
            )
        case "halted":
            return Line("warning", "stopped", about | {"scope": body.get("scope")})
        case "resumed":
            return Line("info", "let go on", about | {"scope": body.get("scope")})
        case "circuit":
            opened = body.get("state") == "open"
            said = "a circuit opened" if opened else "a circuit closed"
            return Line("warning" if opened else "info", said, about | {"connector": body.get("connector")})
        case "lowered":
            said = "an automation asks before each write"
            return Line("warning", said, about | {"automation": body.get("automation")})
        case "lifted":
            said = "an automation asks no longer"
            return Line("info", said, about | {"automation": body.get("automation")})
    return None


ABOUT_RUNS = frozenset({"began", "ended", "stuck", "doubt", "drift"})
"""The types of entries for which a run is looked for."""

OPENS = frozenset({"asked", "waiting", "card", "stuck", "drift", "unwound", "lowered", "neared"})
"""The types of entries that may put a card before people."""


def opened_line(card: int, kind: str, run: str, path: str, at_us: int) -> Line:
    """A card waits for somebody. `card` is the entry that made it."""
    return Line("info", "a card was opened", _card(card, kind, run, path) | {"at_us": at_us})


def closed_line(card: int, kind: str, run: str, path: str) -> Line:
    """A card waits for nobody any more."""
    return Line("info", "a card was closed", _card(card, kind, run, path))


def _card(card: int, kind: str, run: str, path: str) -> dict[str, Any]:
    return {"card": card, "kind": kind, "run": run, "path": path}

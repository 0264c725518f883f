"""A run's story as data: what happened to it and to each of its actions, in the order of time. Pure.

The sentences are those of `why.py`; here they get their time, their action and their kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deputize.clock import iso
from deputize.event import RUN_SOURCE
from deputize.finding import CHILD, is_child
from deputize.happened import happened
from deputize.ledger import Entry
from deputize.sentence import asked_for, because, in_words, is_thought
from deputize.telling import Telling
from deputize.undo import UNDO
from deputize.why import asked_in, parts_of, told_of

OF_THE_RUN = frozenset({"began", "ended", "stuck", "unstuck", "cancelling", "unwinding", "unwound", "noted"})
"""Entries that are about the run as a whole."""

CHANGED = "~"
"""`3~1` is the path at which `3` went on with arguments that a person had changed."""

SHOWN = ("caused", "rules", "found", "taken", "compared", "cost")
"""The parts of `why.parts_of` that a story has beside its steps."""


def story(telling: Telling, until: int, whole: str = "") -> list[dict[str, Any]]:
    """What the entries of a telling say, each thing once, by the first entry that speaks of it.

    Things that begin after the version `until` are left out: the entries behind it only tell how the others
    went on. An action that began before all of them is told as far as they go. `whole` is the path of the
    thought whose conversation is told; of others only that there is one.
    """
    by_path: dict[str, list[Entry]] = {}
    for entry in telling.entries:
        path = _path_of(entry)
        if path:
            by_path.setdefault(path, []).append(entry)
    called = _called(by_path)
    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    for entry in telling.entries:
        if entry.version > until:
            break
        path = _path_of(entry)
        if entry.body is None:
            _erased(found, entry)
        elif not path:
            found.append({"kind": "run", "version": entry.version, **_step(telling, entry)})
        elif path not in seen:
            seen.add(path)
            found.append(_thing(telling, path, by_path[path], called.get(path, []), whole))
    for one in found:
        if "path" in one:
            one.update(_around(one["path"], by_path))
    return found


def _around(path: str, by_path: Mapping[str, Sequence[Entry]]) -> dict[str, list[str]]:
    """The other actions that are about one: what looked into it, undoes it, or went on in its place."""
    others = [other for other in by_path if about(other) == path]
    looked = [other for other in others if is_child(other)]
    undone = [other for other in others if other.startswith(UNDO) and other not in looked]
    went_on = [other for other in others if other not in looked and other not in undone]
    return {"inquiries": looked, "undone_by": undone, "went_on_as": went_on}


def _path_of(entry: Entry) -> str:
    """The action or wait that an entry is about; empty for the run as a whole."""
    return "" if entry.body is None or entry.type in OF_THE_RUN else str(entry.body.get("path", ""))


def _erased(found: list[dict[str, Any]], entry: Entry) -> None:
    """One more entry whose content was erased: those that follow each other are one thing."""
    if found and found[-1]["kind"] == "erased":
        found[-1]["entries"] += 1
        return
    found.append({"kind": "erased", "version": entry.version, "at": iso(entry.at_us), "entries": 1})


def _called(by_path: Mapping[str, Sequence[Entry]]) -> dict[str, list[str]]:
    """What each thought called for: paths by its path."""
    found: dict[str, list[str]] = {}
    for path, own in by_path.items():
        cause = _cause(own)
        if cause:
            found.setdefault(cause, []).append(path)
    return found


def _cause(own: Sequence[Entry]) -> str:
    return next((str(e.body["cause"]) for e in own if e.body and e.body.get("cause")), "")


def _thing(
    telling: Telling, path: str, own: Sequence[Entry], called: list[str], whole: str
) -> dict[str, Any]:
    """An action, a wait, or an event that the run sent."""
    first, asked = own[0], asked_in(own)
    body = asked.body if asked is not None and asked.body is not None else {}
    kind = {"waiting": "wait", "woke": "wait", "sent": "sent"}.get(first.type, "action")
    parts = parts_of(telling, own) if kind == "action" else {}
    cause = _cause(own)
    if cause:
        # It is told by its link.
        parts["caused"] = parts.get("caused", [])[1:]
    thought = is_thought(body.get("args"))
    plan = next((e.body["whole"]["plan"] for e in own if e.body and e.body.get("whole")), "")
    return {
        "kind": kind,
        "path": path,
        "version": first.version,
        "at": iso(first.at_us),
        "operation": str(body.get("op", "")),
        "reads": asked is not None and asked.type in ("read", "rehearsed"),
        "changed": any("changed" in (entry.body or {}) for entry in own),
        "began_before": kind == "action" and asked is None,
        "why": str(body.get("why", "")),
        "agent": str(body.get("agent", "")),
        "steps": [step for entry in own for step in _steps(telling, entry, asked, kind)],
        "parts": {name: parts[name] for name in SHOWN if parts.get(name)},
        "conversation": parts.get("conversation", []) if thought and path == whole else [],
        "is_thought": thought,
        "cause": cause,
        "called": called,
        "plan": str(plan),
        "about": about(path),
    }


def about(path: str) -> str:
    """The action that this one looks into, undoes, or goes on for; empty where it stands for itself."""
    if is_child(path):
        return path.rpartition(CHILD)[0]
    if path.startswith(UNDO):
        return path.removeprefix(UNDO).partition("#")[0]
    before, changed, number = path.rpartition(CHANGED)
    if not changed:
        return ""
    return before if number == "1" else f"{before}{CHANGED}{int(number) - 1}"


def _steps(telling: Telling, entry: Entry, asked: Entry | None, kind: str) -> list[dict[str, Any]]:
    """The sentences of one entry, each with its time."""
    if kind != "action":
        return [_step(telling, entry)]
    said = happened(telling, entry, "")
    step = {"at": iso(entry.at_us), "type": entry.type, "said": _sentence(said), "card": _card(entry)}
    steps = [step] if said else []
    if entry is asked and entry.body is not None:
        wanted = f"It asked for {asked_for(entry.body)}{because(entry.body)}."
        steps.insert(0, {"at": iso(entry.at_us), "type": "wanted", "said": wanted, "card": None})
    return steps


def _step(telling: Telling, entry: Entry) -> dict[str, Any]:
    """A sentence about the run, a wait or an event that it sent, with what it leads to."""
    event = (entry.body or {}).get("event")
    event = event if isinstance(event, Mapping) and entry.type in ("woke", "sent") else None
    step: dict[str, Any] = {
        "at": iso(entry.at_us),
        "type": entry.type,
        "said": _sentence(told_of(telling, entry, "")),
        "card": _card(entry),
    }
    if event is not None:
        source = str(event["source"])
        step["event"] = {"seq": event.get("seq"), "source": source, "id": str(event["id"])}
        step["from_run"] = source.removeprefix(RUN_SOURCE) if source.startswith(RUN_SOURCE) else ""
    return step


def _card(entry: Entry) -> int | None:
    """The place in the inbox of the card that an entry made."""
    body = entry.body or {}
    question = entry.type == "waiting" and body.get("kind") == "question"
    carded = entry.type in ("asked", "card", "drift", "stuck") or (entry.type == "unwound" and "kind" in body)
    return entry.seq if carded or question else None


def _sentence(text: str) -> str:
    """A line without its beginning as a sentence of its own."""
    text = text.strip()
    return text[:1].upper() + text[1:]


def line_of(telling: Telling, entry: Entry) -> str:
    """One entry of a run as a sentence of its own, for a list of entries of many runs."""
    body = entry.body
    if body is None:
        return "Its content has been erased."
    told = told_of(telling, entry, "").strip()
    if told:
        return _sentence(told)
    return f"{entry.type.capitalize()}: {in_words({k: v for k, v in body.items() if k != 'path'})}"

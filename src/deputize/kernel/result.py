"""What a run's record holds for each await, and how an automation gets it back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from deputize import canonical
from deputize.ledger import Entry
from deputize.undo import UNDO

Kind = Literal["value", "refused", "unavailable", "declined", "expired", "unmet", "cancelled"]


@dataclass(frozen=True, slots=True)
class Result:
    """An await's outcome in its stored form. `at_us` is the ledger time at which it was known."""

    kind: Kind
    stored: bytes
    reason: str
    at_us: int
    barred: Mapping[str, str] = field(default_factory=dict)
    """Of the operations that its action weighed, those that rules barred when it started, and why."""


CHANGED = "~"
"""`3~1` is the path of the action in the place of `3`, whose arguments a person changed."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A person has changed an action's arguments: where it goes on, with which, and by whom."""

    path: str
    args: bytes
    person: str


@dataclass(slots=True)
class Known:
    """What the record says of one path: what was asked there, and what came of it, if anything has."""

    what: str
    digest: str
    state: str
    args: Any = None
    result: Result | None = None
    changed: Changed | None = None


Record = dict[str, Known]


def read_record(entries: Iterable[Entry], event_data: Mapping[int, bytes]) -> Record:
    """The record of a run from its entries. `event_data` holds the data of events that woke it, by seq."""
    record: Record = {}
    for entry in entries:
        body = entry.body
        if body is None or "path" not in body or entry.type in ("card", "handed"):
            continue
        path = body["path"]
        if path.startswith(UNDO) or entry.type == "rehearsed":
            # What undoes an ended run is none of its code's; a rehearsal has no outcome of its own.
            continue
        if entry.type in ("asked", "intent", "waiting", "sent", "read"):
            record[path] = Known(body["op"], body["digest"], "open", body.get("args"))
        elif path not in record:
            record[path] = Known(body.get("op", ""), body.get("digest", ""), "open", body.get("args"))
        known = record[path]
        known.state = _STATES[entry.type]
        known.changed = changed_of(body)
        if known.changed is None:
            known.result = _result(entry.type, body, body.get("at", entry.at_us), event_data)
    return record


def _result(type: str, body: Mapping[str, Any], at_us: int, event_data: Mapping[int, bytes]) -> Result | None:
    if type in ("receipt", "read"):
        stored = canonical.encode(body["result"])
        unmet, barred = body.get("unmet"), body.get("barred", {})
        return Result("unmet" if unmet else "value", stored, unmet_sentence(unmet or {}), at_us, barred)
    if type == "granted":
        return value(b"null", at_us)
    if type == "sent":
        return value(canonical.encode({"source": body["event"]["source"], "id": body["event"]["id"]}), at_us)
    if type == "woke":
        return woke_result(body, at_us, event_data)
    if type in ("refused", "declined"):
        return Result(_refusal(body) if type == "refused" else "declined", b"null", body["reason"], at_us)
    if type == "cancelling":
        return Result("cancelled", b"null", body["reason"], at_us)
    return None


def _refusal(body: Mapping[str, Any]) -> Kind:
    """What kind of refusal an entry is."""
    if body.get("unavailable"):
        return "unavailable"
    return "expired" if body.get("expired") else "refused"


def changed_of(body: Mapping[str, Any]) -> Changed | None:
    """How a person has changed an action's arguments, from the entry that refuses it."""
    changed = body.get("changed")
    if changed is None:
        return None
    return Changed(changed["path"], canonical.encode(body["changed_args"]), changed["person"])


def woke_result(body: Mapping[str, Any], at_us: int, event_data: Mapping[int, bytes]) -> Result:
    """The outcome of a wait: an event, the end of a sleep, or the end of the time for an event."""
    if "event" in body:
        event = dict(body["event"])
        event["data"] = canonical.decode(event_data[event["seq"]])
        return value(canonical.encode(event), at_us)
    if body["kind"] == "event":
        return Result("expired", b"null", "no such event came in time", at_us)
    if "answer" in body:
        return value(canonical.encode(body["answer"]), at_us)
    if body["kind"] == "question":
        return Result("expired", b"null", "nobody answered in time", at_us)
    return value(b"null", at_us)


def value(stored: bytes, at_us: int) -> Result:
    """A success."""
    return Result("value", stored, "", at_us)


def unmet_of(expects: Mapping[str, Any], got: Any) -> dict[str, Any]:
    """Where a result differs from what was expected: `{field: {"expected", "got"}}`, else empty."""
    if not expects:
        return {}
    have = got if isinstance(got, dict) else {}
    return {
        field: {"expected": wanted, "got": have.get(field)}
        for field, wanted in expects.items()
        if have.get(field) != wanted
    }


def unmet_sentence(unmet: Mapping[str, Any]) -> str:
    """For people: what was expected and what was got."""
    parts = [f"{name} was expected to be {d['expected']!r} and is {d['got']!r}" for name, d in unmet.items()]
    return "; ".join(parts)


_STATES = {
    "asked": "asking",
    "granted": "granted",
    "intent": "open",
    "attempt": "open",
    "waiting": "waiting",
    "doubt": "doubtful",
    "drift": "drifted",
    "read": "settled",
    "receipt": "settled",
    "sent": "settled",
    "woke": "settled",
    "declined": "declined",
    "refused": "refused",
    "abandoned": "abandoned",
    "cancelling": "cancelled",
}

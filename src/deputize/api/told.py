"""What came of a call of an agent that lives elsewhere, from its run's record: for whoever called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from zoneinfo import ZoneInfo

from deputize.card import asked_whom
from deputize.finding import CHILD
from deputize.ledger import Entry
from deputize.sentence import listed, quoted, reason_of, short
from deputize.standing import Stand, StandKind, moment
from deputize.store.protocol import ActionRow, RunRow, View

State = Literal[
    "done", "waiting", "not_finished", "not_sure", "refused", "declined", "expired", "drift", "cancelled",
    "failed",
]  # fmt: skip

FINAL = frozenset({"done", "refused", "declined", "expired", "cancelled", "failed"})
"""Nothing else will come of it."""

REASON_CHARS_MAX = 1_000

TAKEN_UP_US = 3_000_000
"""An approval that was given so short a time ago may be about to be taken up."""

_NOTHING_DONE = "Nothing was done."


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a call: its `state`, `said` in words; `result` where it is done. `settles` while nobody is
    needed for more to come of it by itself."""

    state: State
    said: str
    result: Any = None
    settles: bool = False


def tell_call(
    view: View, run: RunRow, now_us: int, console: str, zone: ZoneInfo, stands: Sequence[Stand]
) -> Told:
    """What came of the call that a run answers. `console` is what addresses of pages begin with, empty for
    none; `stands` what memory knows of the run."""
    action, entries = _action(view, run), view.entries(run.no)
    path = action.path if action is not None else ""
    own = [entry for entry in entries if entry.body is not None and entry.body.get("path") == path]
    changed = own and (own[-1].body or {}).get("changed")
    if action is not None and action.state in _ENDS and not changed:
        return _ended(action, own)
    if run.state == "ended":
        return _run_ended(run, entries)
    if action is not None and action.state == "asking":
        fresh = any(one.at_us > now_us - TAKEN_UP_US for one in view.approvals(run.no, path))
        return replace(_waiting(run, action, own, console, zone), settles=fresh)
    if action is not None and action.state == "drifted":
        reason = _reason(own)
        return Told(
            "drift",
            f"It was done, but answered in a form that nobody can rely on: {reason}. A person looks at it. "
            "Do not call for it again.",
        )
    if action is not None and action.state == "doubtful":
        carded = view.has_card(run.no, action.path)
        who = "A person looks at it" if carded else "The service is being asked"
        return Told(
            "not_sure",
            f"Nobody knows whether it happened. {who}; do not call for it again.",
            settles=not carded,
        )
    if run.state == "stuck":
        return Told(
            "failed", f"Its run is stuck, and waits for a person: {short(run.reason, REASON_CHARS_MAX)}"
        )
    in_way = sorted({_IN_WAY[stand.kind] for stand in stands})
    where = f": it waits for {listed(in_way)}" if in_way else ""
    return Told(
        "not_finished", f"It is under way and not finished{where}. Do not call for it again.", settles=True
    )


_ENDS = frozenset({"settled", "declined", "refused", "abandoned"})


def _action(view: View, run: RunRow) -> ActionRow | None:
    """The one that its code asked for; where a person changed it, the one in its place."""
    rows = [row for row in view.actions(run.no) if CHILD not in row.path]
    return rows[-1] if rows else None


def _ended(action: ActionRow, own: Sequence[Entry]) -> Told:
    if action.state == "settled":
        last = next(e.body for e in reversed(own) if e.type in ("receipt", "read") and e.body is not None)
        return Told("done", "Done.", last["result"])
    reason = _reason(own)
    if action.state == "declined":
        return Told("declined", f"The service said no, for good: {reason}. {_NOTHING_DONE}")
    if action.state == "abandoned":
        return Told(
            "failed",
            f"A person gave it up, and nobody knows whether it happened: {reason}. Do not call for it again.",
        )
    body = own[-1].body if own else None
    if body is not None and body.get("expired"):
        return Told("expired", f"Its time was up: {reason}. {_NOTHING_DONE}")
    said = reason if reason.startswith("refused by ") else f"refused: {reason}"
    return Told("refused", f"It was {said}. {_NOTHING_DONE} Do not try to get round it.")


_IN_WAY: Mapping[StandKind, str] = {
    "resource": "something that is in use",
    "turn": "its turn",
    "pause": "the end of a pause that the service asked for",
    "circuit": "a service that is down",
    "stop": "the end of a halt",
    "place": "its turn",
}
"""What an agent that lives elsewhere is told of what is in its way: not whose that is."""


def _run_ended(run: RunRow, entries: Sequence[Entry]) -> Told:
    """It ended before there was an action, or while that waited."""
    body = next((e.body for e in reversed(entries) if e.type == "ended" and e.body is not None), {})
    if body.get("kind") == "cancelled":
        return Told("cancelled", f"It was cancelled. {_NOTHING_DONE}")
    given = str(body.get("details", {}).get("reason") or run.reason)
    reason = reason_of(short(given, REASON_CHARS_MAX))
    if body.get("kind") == "gave_up":
        return Told("refused", f"It was refused: {reason}. {_NOTHING_DONE}")
    return Told("failed", f"Its run failed: {reason}.")


def _waiting(run: RunRow, action: ActionRow, own: Sequence[Entry], console: str, zone: ZoneInfo) -> Told:
    asked: Mapping[str, Any] = next((e.body for e in reversed(own) if e.type == "asked" and e.body), {})
    whom = listed(
        [f"{quoted(short(d['title'], 200))} asks {asked_whom(d)}" for d in asked.get("demands", ())]
        or ["people"]
    )
    until = f" until {moment(asked['due'], zone)}" if asked.get("due") else ""
    card = f"{run.id}/{action.path}"
    at = f"{console}/cards/{card}" if console else f"card {card}"
    said = f"Waiting for approval{until}, and not done yet: {whom} ({at}). Do not call for it again."
    return Told("waiting", said)


def _reason(own: Sequence[Entry]) -> str:
    body = own[-1].body if own else None
    reason = str((body or {}).get("reason") or "")
    by = (body or {}).get("by")
    if not reason and isinstance(by, Mapping):
        reason = str(by.get("reason") or "")
    return reason_of(short(reason, REASON_CHARS_MAX))

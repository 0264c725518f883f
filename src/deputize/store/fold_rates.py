"""The part of the fold that sees how it goes with an action that has settled. See `deputize.store.rates`."""

from __future__ import annotations

from deputize.store.fold_cards import Body, Sql, automation_of
from deputize.store.rates import Rates

_FREED = (
    "SELECT automation FROM run WHERE no=? AND state<>'ended'"
    " AND NOT EXISTS (SELECT 1 FROM action WHERE run=? AND state='drifted')"
)


def never_started(sql: Sql, rates: Rates, run: int, body: Body, at: int, state: str) -> None:
    """How it goes: of a read without a price that was answered or not, and of what was refused unsent."""
    if state != "refused":
        rates.see("settled", body["op"], state, -1, at, True)
    elif body.get("unanswered"):
        rates.see("failed", body["op"], at)
        rates.see("settled", body["op"], state, -1, at, False)
    elif "changed" not in body:
        rates.see("refused", automation_of(sql, run), at)


def was_sent(sql: Sql, rates: Rates, run: int, row: tuple[str, int], body: Body, at: int, state: str) -> None:
    """How it goes, of what had an intent."""
    operation, since = row
    if body["was"] == "open" and state == "refused":
        rates.see("failed", operation, at)
    if body["was"] == "drifted":
        # It was counted as it drifted.
        freed = sql(_FREED, (run, run)).fetchone()
        if freed:
            rates.see("unstuck", freed[0], run)
        return
    if body.get("by") == "cache":
        # Nothing was sent, and these are figures of what was.
        return
    answered = (body["was"] == "open" and state != "refused") or body.get("by") == "look-up"
    rates.see("settled", operation, state, at - since if state == "settled" else -1, at, answered)


def began_of(sql: Sql, run: int) -> int:
    """When a run began."""
    row = sql("SELECT began_at FROM run WHERE no=?", (run,)).fetchone()
    return int(row[0]) if row else 0


def intended_of(sql: Sql, run: int, path: str) -> tuple[str, int] | None:
    """An action's operation, and when its intent was written."""
    row = sql("SELECT operation, at FROM action WHERE run=? AND path=?", (run, path)).fetchone()
    return (str(row[0]), int(row[1])) if row else None

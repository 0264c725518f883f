"""The part of the fold that sees how it goes with an action that has settled. See `deputize.store.rates`."""

from __future__ import annotations

from deputize.store.fold_cards import Body, Sql, automation_of
from deputize.store.rates import Rates
from deputize.taking import LOST, USED

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
    if USED in body:
        used, agent = body[USED], _agent_of(sql, run, body["path"])
        whose = (model_of(operation), agent, automation_of(sql, run))
        rates.see("thought", *whose, at - since, at, used["in"], used["out"], used["usd_micros"])
    elif LOST in body:
        lost(sql, rates, run, operation, _agent_of(sql, run, body["path"]), body, at)
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


def lost(sql: Sql, rates: Rates, run: int, operation: str, agent: str, body: Body, at: int) -> None:
    """A thought whose answer never came, and what counts as spent of it, where the entry says so."""
    if LOST in body:
        rates.see("lost", model_of(operation), agent, automation_of(sql, run), at, body[LOST])


def model_of(operation: str) -> str:
    """The model of `NAME.think`."""
    return operation.partition(".")[0]


def _agent_of(sql: Sql, run: int, path: str) -> str:
    return str(sql("SELECT agent FROM action WHERE run=? AND path=?", (run, path)).fetchone()[0])


def began_of(sql: Sql, run: int) -> int:
    """When a run began."""
    row = sql("SELECT began_at FROM run WHERE no=?", (run,)).fetchone()
    return int(row[0]) if row else 0


def intended_of(sql: Sql, run: int, path: str) -> tuple[str, int] | None:
    """An action's operation, and when its intent was written."""
    row = sql("SELECT operation, at FROM action WHERE run=? AND path=?", (run, path)).fetchone()
    return (str(row[0]), int(row[1])) if row else None

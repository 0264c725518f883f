"""Reading the SQLite ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, cast

from deputize import canonical
from deputize.approval import Approval
from deputize.ledger import SYSTEM, SYSTEM_NAME, Entry
from deputize.store.fold import RUNS_ENDED
from deputize.store.protocol import ActionRow, Added, AnswerRow, CardRow, Decided, EventRow, RunRow, WaitRow
from deputize.store.sqlite import listing
from deputize.store.sqlite.looking import RUN, SqliteLooking, event_row
from deputize.store.sqlite.schema import APPROVALS_SINCE, RATES_SINCE, SUMS_SINCE, TALLIED_SINCE

_ACTION = (
    "SELECT a.run, r.id, a.path, a.operation, a.state, a.digest, a.key, a.round, a.attempts, a.first_sent,"
    " a.give_up_at, a.connector_version, a.agent, a.intent, a.at, a.ended_at"
    " FROM action a JOIN run r ON r.no = a.run"
)
# The index is named because the planner would go through all actions, which it finds in order.
_UNSETTLED = _ACTION.replace("action a", "action a INDEXED BY action_unsettled")
_ASKING = _ACTION.replace("action a", "action a INDEXED BY action_asking")
_ANSWERED = (
    _ACTION.replace("action a", "action a INDEXED BY action_answered")
    + " WHERE a.state='settled' AND a.first_sent>0 AND a.operation GLOB '*.think'"
)
_UNSETTLED_COUNT = "SELECT state, count(*) FROM action WHERE state IN ('open', 'doubtful') GROUP BY state"
_ASKING_COUNT = "SELECT count(*) FROM action INDEXED BY action_asking WHERE state='asking'"
_FINISHED_COUNT = "SELECT state, count(*) FROM action WHERE state NOT IN ('open', 'doubtful') GROUP BY state"
_ENTRY = (
    "SELECT e.seq, e.stream, e.version, e.type, e.at, e.hash, b.body"
    " FROM entry e LEFT JOIN body b ON b.seq = e.seq"
)
_DECIDED = (
    "SELECT r.id, r.automation, e.seq, e.stream, e.version, e.type, e.at, e.hash, b.body FROM entry e"
    " CROSS JOIN body b ON b.seq = e.seq CROSS JOIN run r ON r.no = e.stream"
    " WHERE e.seq > (SELECT max(seq) FROM entry) - ? AND e.type IN ('read', 'asked', 'intent', 'refused')"
    " AND instr(b.body, ?) ORDER BY e.seq DESC LIMIT ?"
)
_EVENT = "SELECT seq, source, id, type, subject, time, data, received_at, state FROM event"
_CARD = (
    "SELECT i.seq, i.id, i.kind, i.run, COALESCE(r.id, ''), i.path, i.title, i.body, i.at, i.state"
    " FROM inbox i LEFT JOIN run r ON r.no = i.run"
)


class SqliteView(SqliteLooking):
    """Queries over one connection. See `deputize.store.protocol.View`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def entries(self, run: int, after: int = 0, limit: int | None = None) -> list[Entry]:
        sql = _ENTRY + " WHERE e.stream=? AND e.version>? ORDER BY e.version LIMIT ?"
        rows = self.db.execute(sql, (run, after, _bound(limit)))
        return [self._entry(row) for row in rows.fetchall()]

    def entries_after(
        self,
        seq: int,
        limit: int,
        *,
        run: int | None = None,
        types: Sequence[str] = (),
        until: int | None = None,
    ) -> list[tuple[str, Entry]]:
        where, values = listing.entries(seq, run=run, types=types, until=until)
        rows = self.db.execute(f"{_ENTRY} {where} LIMIT ?", (*values, limit)).fetchall()
        return [(self.stream_name(row[1]), self._entry(row)) for row in rows]

    def last_seq(self) -> int:
        return int(self.db.execute("SELECT COALESCE(max(seq), 0) FROM entry").fetchone()[0])

    def entry(self, seq: int) -> Entry | None:
        row = self.db.execute(_ENTRY + " WHERE e.seq=?", (seq,)).fetchone()
        return self._entry(row) if row else None

    def run(self, run_id: str) -> RunRow | None:
        row = self.db.execute(RUN + " WHERE id=?", (run_id,)).fetchone()
        if row is None and len(run_id) >= 4:
            upper = run_id + "\U0010ffff"
            rows = self.db.execute(RUN + " WHERE id>=? AND id<? LIMIT 2", (run_id, upper)).fetchall()
            row = rows[0] if len(rows) == 1 else None
        return RunRow(*row) if row else None

    def run_no(self, no: int) -> RunRow | None:
        row = self.db.execute(RUN + " WHERE no=?", (no,)).fetchone()
        return RunRow(*row) if row else None

    def runs(
        self,
        *,
        states: Sequence[str] = (),
        automation: str = "",
        agent: str = "",
        since: int | None = None,
        before: int | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[RunRow]:
        where, values = listing.runs(
            states=states, automation=automation, agent=agent, since=since, before=before, after=after
        )
        rows = self.db.execute(f"{RUN} {where} LIMIT ?", (*values, limit)).fetchall()
        return [RunRow(*row) for row in rows]

    def actions(self, run: int, after: str = "", limit: int | None = None) -> list[ActionRow]:
        sql = _ACTION + " WHERE a.run=?"
        values: list[Any] = [run]
        if after:
            sql += " AND (a.at, a.path) > (SELECT at, path FROM action WHERE run=? AND path=?)"
            values += [run, after]
        rows = self.db.execute(sql + " ORDER BY a.at, a.path LIMIT ?", (*values, _bound(limit))).fetchall()
        return [ActionRow(*row) for row in rows]

    def action(self, run: int, path: str) -> ActionRow | None:
        row = self.db.execute(_ACTION + " WHERE a.run=? AND a.path=?", (run, path)).fetchone()
        return ActionRow(*row) if row else None

    def answered(self, operation: str, digest: str, agent: str, after_us: int, limit: int) -> list[ActionRow]:
        sql = f"{_ANSWERED} AND a.digest=? AND a.ended_at>? AND a.operation=? AND (?='' OR a.agent=?)"
        values = (digest, after_us, operation, agent, agent, limit)
        rows = self.db.execute(f"{sql} ORDER BY a.ended_at DESC, a.run DESC, a.path DESC LIMIT ?", values)
        return [ActionRow(*row) for row in rows.fetchall()]

    def receipt_of(self, action: ActionRow) -> Entry | None:
        sql = _ENTRY + " WHERE e.stream=? AND e.type='receipt' AND e.at=? AND e.seq>?"
        rows = self.db.execute(sql, (action.run, action.ended_at, action.intent)).fetchall()
        found = (self._entry(row) for row in rows)
        return next((one for one in found if one.body and one.body["path"] == action.path), None)

    def version(self, run: int) -> int:
        row = self.db.execute("SELECT max(version) FROM entry WHERE stream=?", (run,)).fetchone()
        return int(row[0] or 0)

    def actions_in(self, states: Sequence[str], after: tuple[int, str], limit: int) -> list[ActionRow]:
        marks = ",".join("?" * len(states))
        among = f"{_ACTION} WHERE"
        if {"open", "doubtful"}.issuperset(states):
            among = f"{_UNSETTLED} WHERE a.state IN ('open', 'doubtful') AND"
        elif list(states) == ["asking"]:
            among = f"{_ASKING} WHERE a.state='asking' AND"
        sql = f"{among} a.state IN ({marks}) AND (a.run, a.path) > (?,?) ORDER BY a.run, a.path LIMIT ?"
        return [ActionRow(*row) for row in self.db.execute(sql, (*states, *after, limit)).fetchall()]

    def unsettled_of(self, run: int, limit: int) -> list[ActionRow]:
        sql = f"{_ACTION} WHERE a.run=? AND a.state IN ('open', 'doubtful') ORDER BY a.path LIMIT ?"
        return [ActionRow(*row) for row in self.db.execute(sql, (run, limit)).fetchall()]

    def waits(self, run: int) -> list[WaitRow]:
        rows = self.db.execute("SELECT run, path, kind, due FROM wait WHERE run=?", (run,)).fetchall()
        return [WaitRow(*row) for row in rows]

    def due_waits(self, at_us: int, limit: int) -> list[WaitRow]:
        sql = "SELECT run, path, kind, due FROM wait WHERE due IS NOT NULL AND due<=? ORDER BY due LIMIT ?"
        return [WaitRow(*row) for row in self.db.execute(sql, (at_us, limit)).fetchall()]

    def next_due(self) -> int | None:
        row = self.db.execute("SELECT min(due) FROM wait WHERE due IS NOT NULL").fetchone()
        return cast("int | None", row[0])

    def event(self, seq: int) -> EventRow | None:
        row = self.db.execute(_EVENT + " WHERE seq=?", (seq,)).fetchone()
        return event_row(row) if row else None

    def events(self, *, after: int, limit: int, state: str = "", type: str = "") -> list[EventRow]:
        where, values = listing.events(after, state=state, type=type)
        rows = self.db.execute(f"{_EVENT} {where} LIMIT ?", (*values, limit)).fetchall()
        return [event_row(row) for row in rows]

    def cards(
        self,
        *,
        after: int = 0,
        limit: int = 100,
        state: str = "open",
        kinds: Sequence[str] = (),
        automation: str = "",
    ) -> list[CardRow]:
        where, values = listing.cards(after, state=state, kinds=kinds, automation=automation)
        rows = self.db.execute(f"{_CARD} {where} LIMIT ?", (*values, limit)).fetchall()
        return [_card_row(row) for row in rows]

    def open_cards(self) -> int:
        sql = "SELECT count(*) FROM inbox INDEXED BY inbox_open WHERE state='open'"
        return int(self.db.execute(sql).fetchone()[0])

    def waiting_cards(self) -> list[tuple[str, int, int]]:
        sql = (
            "SELECT kind, count(*), min(at) FROM inbox INDEXED BY inbox_open WHERE state='open' GROUP BY kind"
        )
        return self.db.execute(sql).fetchall()

    def card(self, seq: int) -> CardRow | None:
        row = self.db.execute(_CARD + " WHERE i.seq=?", (seq,)).fetchone()
        return _card_row(row) if row else None

    def card_of(self, run: int, path: str) -> CardRow | None:
        sql = _CARD + " WHERE i.run=? AND i.path=? AND i.state='open' ORDER BY i.seq DESC LIMIT 1"
        row = self.db.execute(sql, (run, path)).fetchone()
        return _card_row(row) if row else None

    def cards_beside(self, seq: int) -> tuple[int, int, int]:
        of = "FROM inbox INDEXED BY inbox_open WHERE state='open' AND seq"
        before, n = self.db.execute(f"SELECT COALESCE(max(seq), 0), count(*) {of} < ?", (seq,)).fetchone()
        (after,) = self.db.execute(f"SELECT COALESCE(min(seq), 0) {of} > ?", (seq,)).fetchone()
        return before, after, n

    def has_card(self, run: int, path: str) -> bool:
        sql = "SELECT 1 FROM inbox WHERE run=? AND path=? AND state='open' LIMIT 1"
        return self.db.execute(sql, (run, path)).fetchone() is not None

    def answers(self, limit: int) -> list[AnswerRow]:
        sql = "SELECT no, run, path, what, body, person, at FROM answer WHERE taken=0 ORDER BY no LIMIT ?"
        rows = self.db.execute(sql, (limit,)).fetchall()
        return [_answer_row(row) for row in rows]

    def approvals(self, run: int, path: str) -> list[Approval]:
        sql = "SELECT no, binding, person, at FROM approval WHERE run=? AND path=? AND used=0 ORDER BY no"
        return [Approval(*row) for row in self.db.execute(sql, (run, path)).fetchall()]

    def approved_runs(self) -> list[int]:
        sql = (
            "SELECT DISTINCT a.run FROM action a INDEXED BY action_asking JOIN approval p"
            " ON p.run=a.run AND p.path=a.path AND p.used=0 WHERE a.state='asking' ORDER BY a.run"
        )
        return [int(no) for (no,) in self.db.execute(sql).fetchall()]

    def waiting_beside(self) -> list[RunRow]:
        sql = " WHERE state='waiting' AND no IN (SELECT run FROM wait WHERE instr(path, '.')) ORDER BY no"
        return [RunRow(*row) for row in self.db.execute(RUN + sql).fetchall()]

    def unwinding_runs(self) -> list[int]:
        rows = self.db.execute("SELECT run FROM wait WHERE kind='unwind' ORDER BY run").fetchall()
        return [int(no) for (no,) in rows]

    def counts(self) -> dict[str, int]:
        # Asked at each scrape, so no table is counted that only grows: events and entries are numbered
        # without gaps, what is finished is tallied, and what is unfinished or waits has an index of its own.
        one = self.db.execute
        found = {
            "events": one("SELECT COALESCE(max(seq), 0) FROM event").fetchone()[0],
            "events.unanswered": one("SELECT count(*) FROM event WHERE state='unanswered'").fetchone()[0],
            "entries": one("SELECT COALESCE(max(seq), 0) FROM entry").fetchone()[0],
            "cards": one("SELECT count(*) FROM inbox WHERE state='open'").fetchone()[0],
        }
        runs = dict(one("SELECT state, count(*) FROM run WHERE state<>'ended' GROUP BY state").fetchall())
        # A file of an earlier version is read as it is, by commands that do not own it.
        schema = one("PRAGMA user_version").fetchone()[0]
        tally = "SELECT state, n FROM tally" if schema >= TALLIED_SINCE else _FINISHED_COUNT
        actions = dict(one(tally).fetchall())
        runs["ended"] = actions.pop(RUNS_ENDED, 0)
        if schema < SUMS_SINCE:
            runs["ended"] = one("SELECT count(*) FROM run WHERE state='ended'").fetchone()[0]
        actions |= dict(one(_UNSETTLED_COUNT).fetchall())
        if schema >= APPROVALS_SINCE:
            actions |= {"asking": one(_ASKING_COUNT).fetchone()[0]}
        found |= {f"runs.{state}": n for state, n in runs.items() if n}
        return found | {f"actions.{state}": n for state, n in actions.items() if n}

    def rates(self, since: int) -> list[tuple[str, str, int, int]]:
        if not self._has_rates():
            return []
        sql = "SELECT name, subject, sum(amount), sum(spent) FROM rate WHERE what='rate' AND window>=?"
        return self.db.execute(f"{sql} GROUP BY name, subject", (since,)).fetchall()

    def daily(self, since: int, prefix: str) -> list[tuple[str, str, int, int, int]]:
        if not self._has_rates():
            return []
        # By a range of names, which the primary key of the sums knows; GLOB would go through all of them.
        sql = "SELECT name, subject, window, amount, spent FROM rate WHERE what='rate' AND name>=? AND name<?"
        bounds = (prefix, prefix + "\U0010ffff", since)
        return self.db.execute(f"{sql} AND window>=? ORDER BY window, name, subject", bounds).fetchall()

    def decisions(self, operation: str, entries_max: int, limit: int) -> list[Decided]:
        # As canonical JSON has it; what is in a text there has its quotes escaped.
        op = b'"op":' + (canonical.encode(operation) if operation else b'"')
        rows = self.db.execute(_DECIDED, (entries_max, op, limit)).fetchall()
        return [Decided(run, automation, self._entry(tuple(row))) for run, automation, *row in rows]

    def remembered(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        if self._has_rates():
            sql = "SELECT name, subject, amount FROM rate WHERE what='state' AND amount<>0"
            for name, subject, amount in self.db.execute(sql).fetchall():
                found.setdefault(name, {})[subject] = amount
        return found

    def added(self) -> dict[str, Added]:
        sql = (
            "SELECT COALESCE(r.automation, i.path), count(*) FROM inbox i INDEXED BY inbox_open"
            " LEFT JOIN run r ON r.no=i.run WHERE i.state='open' GROUP BY 1"
        )
        remembered = self.remembered()
        return {
            name: Added(n, remembered.get(f"automation:{name}", {}).get("streak", 0))
            for name, n in self.db.execute(sql).fetchall()
        }

    def _has_rates(self) -> bool:
        """A file of an earlier version is read as it is, by commands that do not own it."""
        return bool(self.db.execute("PRAGMA user_version").fetchone()[0] >= RATES_SINCE)

    def budgets(self) -> list[tuple[str, int, int, int]]:
        sql = "SELECT budget, window, held, spent FROM budget_use ORDER BY budget, window"
        return self.db.execute(sql).fetchall()

    def used(self, budget: str, window: int) -> tuple[int, int]:
        sql = "SELECT held, spent FROM budget_use WHERE budget=? AND window=?"
        row = self.db.execute(sql, (budget, window)).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def counted(self, counter: str, subject: str, window: int) -> int:
        sql = "SELECT value FROM fact WHERE counter=? AND subject=? AND window=?"
        row = self.db.execute(sql, (counter, subject, window)).fetchone()
        return int(row[0]) if row else 0

    def leases(self) -> list[tuple[str, str, str]]:
        sql = "SELECT l.resource, r.id, l.path FROM lease l JOIN run r ON r.no = l.run ORDER BY l.resource"
        return self.db.execute(sql).fetchall()

    def lease_holder(self, resources: Sequence[str]) -> tuple[str, int, str] | None:
        return holder_of(self.db.execute, resources)

    def run_before(self, run: RunRow) -> RunRow | None:
        sql = RUN + " WHERE automation=? AND key=? AND state<>'ended' AND no<? ORDER BY no DESC LIMIT 1"
        row = self.db.execute(sql, (run.automation, run.key, run.no)).fetchone()
        return RunRow(*row) if row else None

    def to_cancel(self) -> list[int]:
        sql = (
            "SELECT w.run FROM wish w JOIN run r ON r.no=w.run"
            " WHERE w.wish='cancel' AND r.state IN ('ready', 'waiting')"
        )
        return [int(no) for (no,) in self.db.execute(sql).fetchall()]

    def last_at(self) -> int:
        entry = self.db.execute("SELECT at FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
        event = self.db.execute("SELECT received_at FROM event ORDER BY seq DESC LIMIT 1").fetchone()
        return max(int(row[0]) if row else 0 for row in (entry, event))

    def stream_name(self, stream: int) -> str:
        """A stream's name: its run's id, or `system`."""
        if stream == SYSTEM:
            return SYSTEM_NAME
        row = self.db.execute("SELECT id FROM run WHERE no=?", (stream,)).fetchone()
        return str(row[0]) if row else f"#{stream}"


def _bound(limit: int | None) -> int:
    """For LIMIT: below zero is no limit in SQLite."""
    return -1 if limit is None else limit


def _card_row(row: tuple[Any, ...]) -> CardRow:
    seq, id, kind, run, run_id, path, title, body, at, state = row
    return CardRow(seq, id, kind, run, run_id, path, title, canonical.decode(body), at, state)


def _answer_row(row: tuple[Any, ...]) -> AnswerRow:
    no, run, path, what, body, person, at = row
    return AnswerRow(no, run, path, what, canonical.decode(body), person, at)


def holder_of(sql: Callable[..., sqlite3.Cursor], resources: Sequence[str]) -> tuple[str, int, str] | None:
    """The first of these resources that an action holds: the resource, the run's number and the path."""
    for resource in resources:
        row = sql("SELECT resource, run, path FROM lease WHERE resource=?", (resource,)).fetchone()
        if row is not None:
            return (row[0], row[1], row[2])
    return None

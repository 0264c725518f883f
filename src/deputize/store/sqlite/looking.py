"""Looking through the SQLite ledger backwards, without an index of what is in the entries."""

from __future__ import annotations

from typing import Any

from deputize import canonical
from deputize.event import Occurrence
from deputize.ledger import SYSTEM, SYSTEM_NAME, Entry
from deputize.sought import Sought
from deputize.store.looking import Found
from deputize.store.rows import EventRow, RunRow
from deputize.store.sqlite.entries import SqliteEntries

RUN = (
    "SELECT no, id, automation, agent, event, key, priority, state, label, reason, began_at, ended_at,"
    " (SELECT max(version) FROM entry WHERE stream = run.no) FROM run"
)
_PATH = "json_extract(CAST(b.body AS TEXT), '$.path')"
_OP = f"(SELECT a.operation FROM action a WHERE a.run=e.stream AND a.path={_PATH})"
_NAMED_OP = f"COALESCE(json_extract(CAST(b.body AS TEXT), '$.op'), {_OP}, '')"
_SOUGHT = (
    "SELECT e.seq, e.stream, e.version, e.type, e.at, e.hash, b.body,"
    f" COALESCE(r.id, ''), COALESCE(r.automation, ''), COALESCE(r.agent, ''), COALESCE(r.event, 0),"
    f" {_NAMED_OP}"
    " FROM entry e LEFT JOIN body b ON b.seq=e.seq LEFT JOIN run r ON r.no=e.stream"
)
# LIKE first, which is four times as fast as instr(): JSON is read only of what has the text somewhere. An
# action's resources are in its intent.
_RESOURCE = (
    "EXISTS (SELECT 1 FROM action a JOIN body i ON i.seq=a.intent"
    f" WHERE a.run=e.stream AND a.path={_PATH} AND CAST(i.body AS TEXT) LIKE ? ESCAPE '\\'"
    " AND EXISTS (SELECT 1 FROM json_each(CAST(i.body AS TEXT), '$.leases') WHERE value=?))"
)
_LARGE = "CAST(b.body AS TEXT) LIKE '%\"$blob\"%'"


class SqliteLooking(SqliteEntries):
    """Queries over one connection. See `deputize.store.looking.Looking`."""

    def sought(self, sought: Sought, below: int, down_to: int, limit: int) -> list[Found]:
        where, values = _conditions(sought)
        # Within a stream the order is the same, and its index has it.
        order = "e.seq" if sought.run is None else "e.version"
        sql = f"{_SOUGHT} WHERE {' AND '.join(['e.seq<?', 'e.seq>=?', *where])} ORDER BY {order} DESC"
        found: list[Found] = []
        # Read row by row: what only looks like what is sought does not count, and costs no more than itself.
        for row in self.db.execute(sql, (below, down_to, *values)):
            entry = self._entry(row[:7])
            if sought.is_in(entry):
                run, automation, agent, event, operation = row[7:]
                name = SYSTEM_NAME if entry.stream == SYSTEM else run
                found.append(Found(entry, name, automation, agent, event, operation))
                if len(found) == limit:
                    break
        return found

    def runs_sought(
        self, outcome: str, automation: str, below: int, down_to: int, limit: int
    ) -> list[RunRow]:
        where = ["no<?", "no>=?"]
        more: list[Any] = [below, down_to]
        if outcome:
            # With its label in brackets, where it has one.
            where.append("state='ended' AND (label=? OR substr(label, 1, ?)=?)")
            more += [outcome, len(outcome) + 1, f"{outcome}("]
        if automation:
            where.append("automation=?")
            more.append(automation)
        sql = f"{RUN} WHERE {' AND '.join(where)} ORDER BY no DESC LIMIT ?"
        return [RunRow(*row) for row in self.db.execute(sql, (*more, limit)).fetchall()]

    def entries_of(self, run: int, type: str) -> list[Entry]:
        sql = (
            "SELECT e.seq, e.stream, e.version, e.type, e.at, e.hash, b.body"
            " FROM entry e LEFT JOIN body b ON b.seq=e.seq WHERE e.stream=? AND e.type=? ORDER BY e.version"
        )
        return [self._entry(row) for row in self.db.execute(sql, (run, type)).fetchall()]

    def stretch(self, run: int | None, below: int, entries: int) -> int:
        if run is None:
            return max(0, below - entries)  # entries are numbered without gaps
        sql = "SELECT seq FROM entry WHERE stream=? AND seq<? ORDER BY version DESC LIMIT 1 OFFSET ?"
        row = self.db.execute(sql, (run, below, entries - 1)).fetchone()
        return int(row[0]) if row else 0

    def seq_at(self, at_us: int) -> int:
        last = self.db.execute("SELECT COALESCE(max(seq), 0) FROM entry").fetchone()[0]
        return self._last_before(last, "SELECT at FROM entry WHERE seq=?", (), at_us + 1)

    def version_at(self, run: int, at_us: int) -> int:
        last = self.db.execute("SELECT COALESCE(max(version), 0) FROM entry WHERE stream=?", (run,))
        sql = "SELECT at FROM entry WHERE stream=? AND version=?"
        return self._last_before(last.fetchone()[0], sql, (run,), at_us)

    def event_of(self, source: str, id: str) -> EventRow | None:
        sql = "SELECT seq, source, id, type, subject, time, data, received_at, state FROM event"
        row = self.db.execute(f"{sql} WHERE source=? AND id=?", (source, id)).fetchone()
        return event_row(row) if row else None

    def _last_before(self, last: int, sql: str, values: tuple[int, ...], at_us: int) -> int:
        """The last number whose row is before a time: both only grow, and no number is left out."""
        low, high = 0, last
        while low < high:
            middle = (low + high + 1) // 2
            if self.db.execute(sql, (*values, middle)).fetchone()[0] < at_us:
                low = middle
            else:
                high = middle - 1
        return low


def _conditions(sought: Sought) -> tuple[list[str], list[Any]]:
    """What a row must be, cheapest first."""
    where: list[str] = []
    values: list[Any] = []
    if sought.run is not None:
        where.append("e.stream=?")
        values.append(sought.run)
    if sought.automation:
        where.append("r.automation=?")
        values.append(sought.automation)
    if sought.agent:
        own = "COALESCE(json_extract(CAST(b.body AS TEXT), '$.agent'), r.agent)"
        where.append(f"{own}=?")
        values.append(sought.agent)
    for text in filter(None, (sought.person, sought.text)):
        alike = _alike(text)
        has = " OR ".join(["CAST(b.body AS TEXT) LIKE ? ESCAPE '\\'"] * len(alike))
        where.append(f"({has} OR {_LARGE})")
        values += alike
    if sought.operation:
        where.append(f"({_NAMED_OP}=? OR substr({_NAMED_OP}, 1, ?)=?)")
        of_connection = f"{sought.operation}."
        values += [sought.operation, len(of_connection), of_connection]
    if sought.resource:
        where.append(_RESOURCE)
        values += [_pattern(sought.resource), sought.resource]
    return where, values


def _alike(text: str) -> list[str]:
    """Patterns for a text in upper and lower case: LIKE knows that of ASCII alone."""
    if text.isascii():
        return [_pattern(text)]
    return sorted({_pattern(one) for one in (text, text.lower(), text.upper(), text.title())})


def _pattern(text: str) -> str:
    """For LIKE: a text somewhere in JSON, and nothing else."""
    inside = canonical.encode(text).decode()[1:-1]
    for special in "\\%_":
        inside = inside.replace(special, f"\\{special}")
    return f"%{inside}%"


def event_row(row: tuple[Any, ...]) -> EventRow:
    """An event's row as its record."""
    seq, source, id, type, subject, time, data, received_at, state = row
    return EventRow(
        seq,
        Occurrence(source, id, type, subject, time, data if data is not None else b"null"),
        received_at,
        state,
    )

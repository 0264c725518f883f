"""The books of a ledger as they were before an entry: what they are now, less what came since."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from contextlib import closing

from deputize import canonical
from deputize.taking import COST, TAKING, Taken, taken

_SINCE = (
    "SELECT e.seq, e.type, b.body FROM entry e JOIN body b ON b.seq = e.seq"
    f" WHERE e.seq >= ? AND (e.type IN ({','.join('?' * len(TAKING))})"
    f" OR e.type = 'receipt' AND instr(CAST(b.body AS TEXT), '\"{COST}\"')) ORDER BY e.seq"
)
_LAST = "SELECT COALESCE(max(seq), 0) FROM entry"
_NOW = {
    "use": "SELECT held + spent FROM budget_use WHERE budget=?1 AND ?2='' AND window=?3",
    "fact": "SELECT value FROM fact WHERE counter=?1 AND subject=?2 AND window=?3",
}


class SqliteThen:
    """Over a connection that reads a ledger, from the entry `since` on (None: only as it is now). What is
    appended meanwhile by its owner changes nothing of what it says of before.

    Of runs that were erased since then, it counts as done before what the books still have of them.
    """

    def __init__(self, db: sqlite3.Connection, since: int | None) -> None:
        self._db = db
        self._since = since
        self._seen = (since or 1) - 1
        self._seqs: dict[Taken, list[int]] = {}
        self._sums: dict[Taken, list[int]] = {}
        self._before_all: dict[Taken, int] = {}

    def used(self, budget: str, window: int, before: int | None) -> int:
        return self._at(("use", budget, "", window), before)

    def counted(self, counter: str, subject: str, window: int, before: int | None) -> int:
        return self._at(("fact", counter, subject, window), before)

    def _at(self, what: Taken, before: int | None) -> int:
        if self._since is None or before is None:
            return self._now(what)
        start = self._before_all.get(what)
        if start is None:
            start = self._before_all[what] = self._start(what)
        place = bisect_left(self._seqs.get(what, ()), before)
        return start + (self._sums[what][place - 1] if place else 0)

    def _start(self, what: Taken) -> int:
        """What it was before the first entry that is looked at. Both halves are of one moment."""
        self._db.execute("BEGIN")
        try:
            self._catch_up()
            since = self._sums.get(what)
            return self._now(what) - (since[-1] if since else 0)
        finally:
            self._db.execute("ROLLBACK")

    def _catch_up(self) -> None:
        last = int(self._db.execute(_LAST).fetchone()[0])
        if last == self._seen:
            return
        with closing(self._db.execute(_SINCE, (self._seen + 1, *TAKING))) as rows:
            for seq, type, body in rows:
                for what, amount in taken(type, canonical.decode(body)):
                    sums = self._sums.setdefault(what, [])
                    sums.append((sums[-1] if sums else 0) + amount)
                    self._seqs.setdefault(what, []).append(seq)
        self._seen = last

    def _now(self, what: Taken) -> int:
        kind, name, subject, window = what
        row = self._db.execute(_NOW[kind], (name, subject, window)).fetchone()
        return int(row[0]) if row else 0

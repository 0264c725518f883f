"""Writing the SQLite ledger: what a work may do inside its savepoint."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from deputize import canonical
from deputize.errors import Conflict, StoreError
from deputize.event import Occurrence
from deputize.health import AUTOMATION
from deputize.ledger import (
    GENESIS,
    INLINE_BYTES_MAX,
    SYSTEM,
    SYSTEM_NAME,
    Draft,
    Flaw,
    body_digest,
    entry_hash,
)
from deputize.store.fold import fold
from deputize.store.matching import match_of
from deputize.store.protocol import EventRow
from deputize.store.rates import BUDGET, FAILURE, FRESH, LIMIT, LOWERED, RUNS, WINDOW
from deputize.store.sqlite.appending import Heads, NewEntries, Salts
from deputize.store.sqlite.looking import event_row
from deputize.store.sqlite.rebuilding import blank, kept_of
from deputize.store.sqlite.schema import rates_since
from deputize.store.sqlite.sums import GatheredSums
from deputize.store.sqlite.view import _ENTRY, _EVENT, SqliteView, holder_of

HEADS_MAX = 20_000

SALTS_TOGETHER = 256

_REFERENCE = b'{"$blob"'

Mark = tuple[tuple[int, int], tuple[int, int]]


class SqliteTx(SqliteView):
    """See `deputize.store.protocol.Tx`. `scrub` takes secrets out of whatever is about to be stored."""

    def __init__(self, db: sqlite3.Connection, ledger_id: str, scrub: Callable[[bytes], bytes]) -> None:
        self._new = NewEntries(db)
        self._sums = GatheredSums(db, rates_since(db))
        super().__init__(db)
        self.at_us = 0
        self.erased = False
        self._sql = db.execute
        self._ledger_id = ledger_id
        self._heads = Heads()
        self._salts = Salts()
        self._scrub = scrub
        self._next_seq = self._max("entry", "seq") + 1
        self._next_run = self._max("run", "no") + 1

    @property
    def db(self) -> sqlite3.Connection:
        """The connection for reading: everything appended so far is there."""
        self.write()
        return self._db

    @db.setter
    def db(self, db: sqlite3.Connection) -> None:
        self._db = db

    # -- for the store: savepoints and commits ---------------------------------------------------------

    def write(self) -> None:
        """Write what was gathered."""
        self._new.write()
        self._sums.write()

    def mark(self) -> Mark:
        """Where a savepoint begins."""
        self._heads.touched.clear()
        return self._new.mark(), self._sums.mark()

    def roll_back(self, mark: Mark) -> None:
        """After a rollback to a savepoint."""
        self._heads.forget_touched()
        self._new.roll_back(mark[0])
        self._sums.roll_back(mark[1])
        self._resync()

    def forget(self, *, all: bool = False) -> None:
        """The commit is on disk; or it is not, or someone else has written, and `all` is to be read again."""
        self._new.forget()
        if all:
            self._sums.distrust()
            self._heads.forget()
            self._resync()
        else:
            self._sums.forget()

    # -- for works ---------------------------------------------------------------------------------------

    def append(self, stream: int, expected: int, drafts: Sequence[Draft]) -> int:
        version, before, name = self._heads.get(stream) or self._head(stream)
        if version != expected:
            raise Conflict(f"stream {name} is at version {version}, and {expected} was expected")
        sql, at = self._sql, self.at_us
        for draft in drafts:
            version += 1
            seq = self._next_seq
            self._next_seq += 1
            raw = orjson.dumps(draft.body, option=orjson.OPT_SORT_KEYS)
            stored = self._scrub(raw)
            body = draft.body if stored is raw else canonical.decode(stored)
            salt = self._salts.take()
            digest = body_digest(salt, stored)
            before = entry_hash(before, self._ledger_id, name, version, draft.type, at, digest)
            self._new.add((seq, stream, version, draft.type, at, digest, before), salt, stored)
            fold(sql, self._sums, seq, stream, name, draft.type, at, body)
        self._heads.put(stream, (version, before, name))
        return version

    def place(self, stored: bytes, *, apart: bool = False) -> Any:
        # A value that looks like our own reference is stored by digest too, so that none can be forged.
        if not apart and len(stored) <= INLINE_BYTES_MAX and not stored.startswith(_REFERENCE):
            return orjson.Fragment(stored)
        clean = self._scrub(stored)
        digest = canonical.digest(clean)
        self._sql("INSERT INTO blob VALUES (?,?) ON CONFLICT DO NOTHING", (digest, clean))
        return {"$blob": digest}

    def flaw(self, stream: int) -> Flaw | None:
        name, before = self.stream_name(stream), GENESIS
        rows = self.db.execute(
            "SELECT e.version, e.type, e.at, e.digest, e.hash, b.salt, b.body FROM entry e"
            " LEFT JOIN body b ON b.seq=e.seq WHERE e.stream=? ORDER BY e.version",
            (stream,),
        )
        for expected, (version, type, at, digest, hash, salt, body) in enumerate(rows, 1):
            if version != expected:
                return Flaw(name, expected, f"entry {expected} is missing")
            if entry_hash(before, self._ledger_id, name, version, type, at, digest) != hash:
                return Flaw(name, version, f"entry {version}, or the one before it, was changed")
            if body is not None and body_digest(salt, body) != digest:
                return Flaw(name, version, f"the body of entry {version}, or its salt, was changed")
            before = hash
        return None

    def lease_holder(self, resources: Sequence[str]) -> tuple[str, int, str] | None:
        # Leases are written at once: what is gathered need not be written first, once for every start.
        return holder_of(self._sql, resources)

    def used(self, budget: str, window: int) -> tuple[int, int]:
        return self._sums.used(budget, window)

    def counted(self, counter: str, subject: str, window: int) -> int:
        return self._sums.counted(counter, subject, window)

    def lowered(self, automation: str) -> bool:
        return bool(self._sums.remembered(AUTOMATION + automation, LOWERED))

    def neared(self, budget: str) -> tuple[int, int]:
        name = BUDGET + budget
        return self._sums.remembered(name, WINDOW), self._sums.remembered(name, LIMIT)

    def failures(self, automation: str, last: int) -> tuple[list[int], int]:
        name = AUTOMATION + automation
        runs, fresh = self._sums.remembered(name, RUNS), self._sums.remembered(name, FRESH)
        sql = "SELECT window FROM rate WHERE what='run' AND name=? AND subject=? AND amount>? ORDER BY 1 DESC"
        rows = self.db.execute(sql, (name, FAILURE, max(runs - last, fresh))).fetchall()
        return [int(no) for (no,) in rows], min(runs - fresh, last)

    def keep_event(self, occurrence: Occurrence, state: str) -> int | None:
        cursor = self._sql(
            "INSERT INTO event (source, id, type, subject, time, data, received_at, state)"
            " VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (source, id) DO NOTHING",
            (
                occurrence.source,
                occurrence.id,
                occurrence.type,
                occurrence.subject,
                occurrence.time_us,
                self._scrub(occurrence.data),
                self.at_us,
                state,
            ),
        )
        return int(cursor.lastrowid or 0) if cursor.rowcount == 1 else None

    def set_event_state(self, seq: int, state: str) -> None:
        self._sql("UPDATE event SET state=? WHERE seq=?", (state, seq))

    def begin_run(self, run_id: str, body: Mapping[str, Any]) -> tuple[int, str]:
        state = "ready"
        if body["key"] is not None:
            sql = "SELECT 1 FROM run WHERE automation=? AND key=? AND state<>'ended' LIMIT 1"
            if self._sql(sql, (body["automation"], body["key"])).fetchone():
                state = "behind"
        no = self._next_run
        self._next_run += 1
        self._heads.put(no, (0, GENESIS, run_id))
        self.append(no, 0, [Draft("began", {**body, "state": state})])
        return no, state

    def next_with_key(self, automation: str, key: str) -> int | None:
        sql = "SELECT no FROM run WHERE automation=? AND key=? AND state='ready' ORDER BY no LIMIT 1"
        row = self._sql(sql, (automation, key)).fetchone()
        return int(row[0]) if row else None

    def waiting_for(self, occurrence: Occurrence) -> list[tuple[int, str]]:
        shapes = self._sql(
            "SELECT DISTINCT fields FROM wait WHERE type=? AND kind='event'", (occurrence.type,)
        )
        found: list[tuple[int, str]] = []
        data: Any = None
        for (fields,) in shapes.fetchall():
            data = canonical.decode(occurrence.data) if data is None else data
            names = fields.split(",") if fields else []
            if not isinstance(data, dict) or any(name not in data for name in names):
                continue
            match = match_of({name: data[name] for name in names})
            sql = "SELECT run, path FROM wait WHERE type=? AND fields=? AND match=? AND kind='event'"
            found.extend(self._sql(sql, (occurrence.type, fields, match)).fetchall())
        return found

    def kept_match(self, run: int, type: str, matching: Mapping[str, Any], after: int) -> EventRow | None:
        woke = self.db.execute(_ENTRY + " WHERE e.stream=? AND e.type='woke'", (run,)).fetchall()
        bodies = [self._entry(row).body or {} for row in woke]
        used = {body["event"]["seq"] for body in bodies if "event" in body}
        wanted = match_of(matching)
        # Data is kept in one byte form, so an event that matches holds each pair as these very bytes:
        # SQLite passes over the others without their being decoded here, in the writer.
        pairs = [canonical.encode({name: value})[1:-1] for name, value in matching.items()]
        holds = " AND instr(data, ?) > 0" * len(pairs)
        sql = f"{_EVENT} WHERE type=? AND seq>?{holds} ORDER BY seq"
        for row in self._sql(sql, (type, after, *pairs)):
            found = event_row(row)
            data = canonical.decode(found.occurrence.data)
            if found.seq in used or not isinstance(data, dict) or any(name not in data for name in matching):
                continue
            if match_of({name: data[name] for name in matching}) == wanted:
                return found
        return None

    def answer(
        self,
        run: int,
        path: str,
        what: str,
        body: Mapping[str, Any],
        person: str,
        *,
        taken: bool = False,
    ) -> bool:
        stored = self._scrub(canonical.encode(dict(body)))
        cursor = self._sql(
            "INSERT INTO answer (run, path, what, body, person, at, taken) VALUES (?,?,?,?,?,?,?)"
            " ON CONFLICT DO NOTHING",
            (run, path, what, stored, person, self.at_us, int(taken)),
        )
        return cursor.rowcount == 1

    def take_answer(self, no: int) -> None:
        self._sql("UPDATE answer SET taken=1 WHERE no=?", (no,))

    def approve(self, run: int, path: str, binding: str, person: str) -> bool:
        cursor = self._sql(
            "INSERT INTO approval (run, path, binding, person, at) VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING",
            (run, path, binding, person, self.at_us),
        )
        return cursor.rowcount == 1

    def void_approvals(self) -> None:
        self._sql("UPDATE approval SET used=1 WHERE used=0", ())

    def use_approvals(self, numbers: Sequence[int]) -> None:
        for no in numbers:
            self._sql("UPDATE approval SET used=1 WHERE no=?", (no,))

    def wish(self, run: int) -> str:
        row = self._sql("SELECT wish FROM wish WHERE run=?", (run,)).fetchone()
        return str(row[0]) if row else ""

    def set_wish(self, run: int, wish: str) -> None:
        if wish:
            sql = "INSERT INTO wish VALUES (?,?,?) ON CONFLICT (run) DO UPDATE SET wish=excluded.wish"
            self._sql(sql, (run, wish, self.at_us))
        else:
            self._sql("DELETE FROM wish WHERE run=?", (run,))

    def setting(self, name: str) -> str | None:
        row = self._sql("SELECT value FROM setting WHERE name=?", (name,)).fetchone()
        return str(row[0]) if row else None

    def set_setting(self, name: str, value: str | None) -> None:
        if value is None:
            self._sql("DELETE FROM setting WHERE name=?", (name,))
        else:
            sql = "INSERT INTO setting VALUES (?,?) ON CONFLICT (name) DO UPDATE SET value=excluded.value"
            self._sql(sql, (name, self._scrub(value.encode()).decode()))

    def settings(self, prefix: str) -> dict[str, str]:
        rows = self._sql(
            "SELECT name, value FROM setting WHERE name>=? AND name<?", (prefix, prefix + "\U0010ffff")
        )
        return dict(rows.fetchall())

    def kept(self, run: int) -> dict[str, Any]:
        return kept_of(self.db, run, self.stream_name(run))

    def erase(self, run: int, versions: Sequence[int]) -> int:
        self._refuse_shared_event(run)
        erased = 0
        for version in versions:
            row = self.db.execute(
                "SELECT b.seq, b.body FROM entry e JOIN body b ON b.seq=e.seq"
                " WHERE e.stream=? AND e.version=?",
                (run, version),
            ).fetchone()
            if row is None:
                continue
            self._erase_blobs(bytes(row[1]), row[0])
            self._sql("DELETE FROM body WHERE seq=?", (row[0],))
            erased += 1
        self.db.execute(
            "UPDATE event SET data=NULL, subject='' WHERE seq=(SELECT event FROM run WHERE no=?)", (run,)
        )
        blank(self._sql, run)
        # Taken in as well: without their bodies, two open answers could be one and the same.
        self._sql("UPDATE answer SET body=CAST('{}' AS BLOB), taken=1 WHERE run=?", (run,))
        self.erased = True
        return erased

    def _refuse_shared_event(self, run: int) -> None:
        row = self.db.execute(
            "SELECT other.id FROM run this JOIN run other ON other.event=this.event"
            " WHERE this.no=? AND other.no<>this.no AND other.state<>'ended' LIMIT 1",
            (run,),
        ).fetchone()
        if row is not None:
            raise StoreError(f"run {row[0]} answers the same event and has not ended; erase when it has")

    def _erase_blobs(self, stored: bytes, seq: int) -> None:
        if b'"$blob"' not in stored:
            return
        for value in canonical.decode(stored).values():
            if isinstance(value, dict) and value.keys() == {"$blob"}:
                other = self.db.execute(
                    "SELECT 1 FROM body WHERE seq<>? AND instr(body, CAST(? AS BLOB)) LIMIT 1",
                    (seq, value["$blob"]),
                ).fetchone()
                if other is None:
                    self._sql("DELETE FROM blob WHERE digest=?", (value["$blob"],))

    def _head(self, stream: int) -> tuple[int, bytes, str]:
        row = self.db.execute(
            "SELECT version, hash FROM entry WHERE stream=? ORDER BY version DESC LIMIT 1", (stream,)
        ).fetchone()
        if stream == SYSTEM:
            return (row[0], bytes(row[1]), SYSTEM_NAME) if row else (0, GENESIS, SYSTEM_NAME)
        if row is None:
            raise StoreError(f"there is no stream {stream}")
        return (row[0], bytes(row[1]), self.stream_name(stream))

    def _max(self, table: str, column: str) -> int:
        return int(self.db.execute(f"SELECT COALESCE(max({column}), 0) FROM {table}").fetchone()[0])

    def _resync(self) -> None:
        """After a rollback: take the counters from the file again."""
        self._next_seq = self._max("entry", "seq") + 1
        # What was prepared for a run that was rolled back must not be taken for the next one's.
        self._next_run = max(self._next_run, self._max("run", "no") + 1)

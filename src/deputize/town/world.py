"""The town's state in one SQLite file, and the one way in which a service changes it."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deputize.town.wire import Money, Problem, Wire, iso

FOUND_MAX = 200
PREVIEW = "preview-"
"""How the id of a record begins that does not exist, and would if it were done in earnest."""


@dataclass(frozen=True)
class Ask:
    """One request for an effect; `late_seq` is set when it lands after its connection was cut."""

    service: str
    operation: str
    key: str | None
    request_hash: str
    late_seq: int | None = None


@dataclass(frozen=True)
class Effect:
    """What an effect made: the `record` to answer with, and what the book notes of it.

    `new` says that the record was not there before: its `id` came with it.
    """

    record: Wire
    resource: str
    amount: Money | None = None
    reference: str | None = None
    new: bool = False


@dataclass(frozen=True)
class Answer:
    """What a service answered to a request for an effect; `replayed` when the key was known already."""

    status: int
    body: bytes
    replayed: bool = False


class _Foreseen(Exception):
    """Ends the transaction of a preview, so that nothing of it stays."""


class World:
    """All that the town knows, in one file and on one connection.

    The file is in WAL mode with synchronous=NORMAL: a commit survives the death of the process, which is
    what the town promises, though perhaps not the loss of power. `key_ttl_s` is how long a key's first
    outcome is remembered; `clock` gives seconds since 1970, and `pass_time` puts the town ahead of it.
    """

    def __init__(self, file: Path, clock: Callable[[], float], key_ttl_s: float = 86_400) -> None:
        self._clock = clock
        self._key_ttl_s = key_ttl_s
        self.db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.executescript((Path(__file__).parent / "schema.sql").read_text("utf-8"))
        self._ahead_s = float(self.meta("ahead_s") or 0)

    def close(self) -> None:
        """Close the file; everything committed is in it."""
        self.db.close()

    def now_s(self) -> float:
        """The town's time, in seconds since 1970."""
        return self._clock() + self._ahead_s

    def now(self) -> str:
        """The town's time, ISO 8601 UTC."""
        return iso(self.now_s())

    def pass_time(self, seconds: float) -> None:
        """Put the town's clock `seconds` further ahead, for good."""
        self._ahead_s += seconds
        self.set_meta("ahead_s", repr(self._ahead_s))

    def meta(self, name: str) -> str | None:
        """A setting kept in the file, or None."""
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row["value"])

    def set_meta(self, name: str, value: str) -> None:
        """Keep a setting in the file."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def find(self, table: str, by: Mapping[str, str | None], newest_first: bool = False) -> list[sqlite3.Row]:
        """Up to 200 records of `table` that fit all the columns given; `Problem` (400) when none is given."""
        given = {column: value for column, value in by.items() if value is not None}
        if not given:
            raise Problem(400, "no-filter", f"give at least one of these: {', '.join(by)}")
        where = " AND ".join(f"{column} = ?" for column in given)
        way = "DESC" if newest_first else "ASC"
        query = f"SELECT * FROM {table} WHERE {where} ORDER BY rowid {way} LIMIT {FOUND_MAX}"
        return self.db.execute(query, tuple(given.values())).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements within, or none of them. Nothing in it may await: the connection is shared."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def perform(self, ask: Ask, act: Callable[[], Effect]) -> Answer:
        """Carry out `act` once for its key; effect, remembered outcome and book are one transaction.

        `act` raises `Problem`, before it has changed anything, to decline; that too is remembered.
        Without a key, or with a forgotten one, `act` is carried out again. Raises `Problem` (422) when
        the key was used for another request.
        """
        with self.transaction():
            if ask.late_seq is not None:
                self.db.execute("DELETE FROM late WHERE seq = ?", (ask.late_seq,))
            known = self._remembered(ask)
            if known is None:
                known = self._act(ask, act)
                self._remember(ask, known)
        return known

    def preview(self, act: Callable[[], Effect]) -> Answer:
        """What would come of `act` now: the same record or the same `Problem`, and no effect at all.

        It is done and taken back. A record that would be new has an id that says it is none.
        """
        try:
            with self.transaction():
                effect = act()
                raise _Foreseen
        except Problem as problem:
            return Answer(problem.status, problem.body())
        except _Foreseen:
            record = effect.record.model_dump()
            record |= {"id": f"{PREVIEW}{record['id']}"} if effect.new else {}
            return Answer(200, json.dumps(record).encode())

    def _act(self, ask: Ask, act: Callable[[], Effect]) -> Answer:
        try:
            effect = act()
        except Problem as problem:
            return Answer(problem.status, problem.body())
        self.db.execute(
            "INSERT INTO book (at, service, operation, key, reference, resource, amount_minor, currency,"
            " request_hash) VALUES (?,?,?,?,?,?,?,?,?)",
            (
                self.now(),
                ask.service,
                ask.operation,
                ask.key,
                effect.reference,
                effect.resource,
                effect.amount and effect.amount.minor,
                effect.amount and effect.amount.currency,
                ask.request_hash,
            ),
        )
        return Answer(200, effect.record.model_dump_json().encode())

    def _remembered(self, ask: Ask) -> Answer | None:
        if ask.key is None:
            return None
        where = (ask.service, ask.key)
        row = self.db.execute("SELECT * FROM idempotency WHERE service = ? AND key = ?", where).fetchone()
        if row is None:
            return None
        if row["at_s"] + self._key_ttl_s <= self.now_s():
            self.db.execute("DELETE FROM idempotency WHERE service = ? AND key = ?", where)
            return None
        if row["request_hash"] != ask.request_hash:
            raise Problem(422, "key-reused", "this Idempotency-Key was used for a different request")
        return Answer(row["status"], row["body"], replayed=True)

    def _remember(self, ask: Ask, answer: Answer) -> None:
        if ask.key is not None:
            self.db.execute(
                "INSERT INTO idempotency VALUES (?,?,?,?,?,?)",
                (ask.service, ask.key, ask.request_hash, answer.status, answer.body, self.now_s()),
            )

"""`verify` sees any change that was not made through the store."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from deputize import canonical
from deputize.ledger import INLINE_BYTES_MAX, SYSTEM, Draft
from deputize.store.erasure import erase_run
from deputize.store.protocol import Tx
from deputize.store.sqlite import checks
from deputize.store.sqlite.store import SqliteStore
from deputize.testing import entries
from deputize.testing.entries import SteppedClock

ERASED_RUN, WHOLE_RUN = 2, 1

COLUMNS = [
    *[("entry", column) for column in ("seq", "stream", "version", "type", "at", "digest", "hash")],
    *[("body", column) for column in ("seq", "salt", "body")],
    *[("blob", column) for column in ("digest", "bytes")],
    *[("event", column) for column in ("seq", "source", "id", "type", "subject", "time", "data")],
]


@dataclass(frozen=True)
class Sample:
    """A ledger with every kind of row, and a copy of it to harm."""

    path: Path
    ledger_id: str
    harmed: Path

    def flaws(self, *harm: Callable[[sqlite3.Connection], Any]) -> list[str]:
        """What `verify` says of a fresh copy after it was harmed behind the store's back."""
        shutil.copyfile(self.path, self.harmed)
        with closing(sqlite3.connect(self.harmed, isolation_level=None)) as db:
            db.execute("DROP TRIGGER entry_unchanged")
            db.execute("DROP TRIGGER entry_kept")
            db.execute("DROP INDEX entry_place")
            for step in harm:
                step(db)
        return [flaw.what for flaw in checks.verify(self.harmed, self.ledger_id)]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    place = tmp_path_factory.mktemp("sample")
    ledger_id = asyncio.run(_write_sample(place / "ledger.db"))
    return Sample(place / "ledger.db", ledger_id, place / "harmed.db")


async def _write_sample(path: Path) -> str:
    store = SqliteStore(path, SteppedClock())

    def run(tx: Tx, name: str) -> None:
        no, _ = entries.begin(tx, name)
        large = tx.place(canonical.encode({"text": name * INLINE_BYTES_MAX}))
        receipt = Draft("receipt", {"path": "1", "result": large} | entries.released(leased=True))
        tx.append(
            no, 1, [entries.intent("1", leases=["charge:1"]), receipt, entries.read("2"), entries.ended()]
        )

    for name in "abc":
        await store.write(lambda tx, name=name: run(tx, name))
    await store.write(lambda tx: tx.append(SYSTEM, 0, [Draft("opened", {"by": "maya"})]))
    await store.write(lambda tx: erase_run(tx, ERASED_RUN, 1))
    store.close()
    return store.ledger_id


def test_a_whole_ledger_has_no_flaw(sample: Sample) -> None:
    assert sample.flaws() == []


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(COLUMNS), data=st.data())
def test_any_flipped_bit_is_found(sample: Sample, place: tuple[str, str], data: st.DataObject) -> None:
    _flip_and_look(sample, place, data)


@pytest.mark.full
@settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(COLUMNS), data=st.data())
def test_any_of_very_many_flipped_bits_is_found(
    sample: Sample, place: tuple[str, str], data: st.DataObject
) -> None:
    _flip_and_look(sample, place, data)


def _flip_and_look(sample: Sample, place: tuple[str, str], data: st.DataObject) -> None:
    table, column = place

    def flip(db: sqlite3.Connection) -> None:
        # An event's erased data is gone: there is no byte left to change.
        where = "WHERE data IS NOT NULL" if table == "event" else ""
        key = "digest" if table == "blob" else "seq"
        rows = db.execute(f"SELECT {key}, CAST({column} AS BLOB), {column} FROM {table} {where}").fetchall()
        row, stored, value = data.draw(st.sampled_from(rows))
        if isinstance(value, int):
            changed: Any = value ^ (1 << data.draw(st.integers(0, 40)))
            cast = "?"
        else:
            at = data.draw(st.integers(0, len(stored) - 1))
            flipped = bytes([stored[at] ^ (1 << data.draw(st.integers(0, 7)))])
            changed = stored[:at] + flipped + stored[at + 1 :]
            cast = "CAST(? AS TEXT)" if isinstance(value, str) else "?"
        try:
            db.execute(f"UPDATE {table} SET {column}={cast} WHERE {key}=?", (changed, row))
        except sqlite3.IntegrityError:
            assume(False)

    assert sample.flaws(flip)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_removed_entry_is_found(sample: Sample, version: int) -> None:
    sql = "DELETE FROM entry WHERE stream=? AND version=?"
    assert sample.flaws(lambda db: db.execute(sql, (WHOLE_RUN, version)))


@pytest.mark.parametrize("pair", [(1, 2), (2, 4), (4, 5)])
def test_entries_that_changed_places_are_found(sample: Sample, pair: tuple[int, int]) -> None:
    def swap(db: sqlite3.Connection) -> None:
        sql = "UPDATE entry SET version=? WHERE stream=? AND version=?"
        for to, at in ((-1, pair[0]), (pair[0], pair[1]), (pair[1], -1)):
            db.execute(sql, (to, WHOLE_RUN, at))

    assert sample.flaws(swap)


def test_an_entry_moved_to_another_run_is_found(sample: Sample) -> None:
    def move(db: sqlite3.Connection) -> None:
        db.execute("UPDATE entry SET stream=3, version=6 WHERE stream=1 AND version=5")

    assert sample.flaws(move)


def test_a_body_put_back_with_another_salt_is_found(sample: Sample) -> None:
    def put_back(db: sqlite3.Connection) -> None:
        (seq,) = db.execute("SELECT seq FROM entry WHERE stream=? AND version=2", (ERASED_RUN,)).fetchone()
        db.execute("INSERT INTO body VALUES (?,?,?)", (seq, b"s" * 16, b"{}"))

    assert sample.flaws(put_back) == ["the body or its salt was changed"]


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        ("DELETE FROM body WHERE seq=2", "the body is gone without a record of its erasure"),
        ("DELETE FROM blob", "a part of the body that is stored by digest is gone"),
        (
            "UPDATE event SET data=NULL WHERE seq=1",
            "its event's data is gone without a record of its erasure",
        ),
        ("DELETE FROM event WHERE seq=1", "the event that began it is gone"),
        ("UPDATE run SET event=3 WHERE no=1", "the run's event is not the one that it began with"),
        ("UPDATE entry SET digest=5 WHERE seq=2", "the entry was changed into something of another type"),
        ("UPDATE body SET salt='text' WHERE seq=2", "the body or its salt was changed"),
    ],
)
def test_what_is_gone_without_a_record_is_told(sample: Sample, harm: str, what: str) -> None:
    assert what in sample.flaws(lambda db: db.execute(harm))


def test_a_body_erased_behind_a_forged_record_is_found(sample: Sample) -> None:
    def forge(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM body WHERE seq=2")
        record = {"run_no": WHOLE_RUN, "run": "run-a", "versions": [2], "seqs": [2], "kept": {}}
        sql = "UPDATE body SET body=? WHERE seq=(SELECT seq FROM entry WHERE type='erased')"
        db.execute(sql, (canonical.encode(record),))

    assert "the body or its salt was changed" in sample.flaws(forge)


async def test_the_store_itself_refuses_to_change_an_entry(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger.db", SteppedClock())
    try:
        await store.write(lambda tx: entries.begin(tx, "a"))
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
            for sql in ("UPDATE entry SET at=0", "DELETE FROM entry"):
                with pytest.raises(sqlite3.IntegrityError, match="entries"):
                    db.execute(sql)
                db.rollback()
    finally:
        store.close()


async def test_bodies_alike_have_salts_and_digests_of_their_own(tmp_path: Path) -> None:
    """What was erased cannot be guessed by trying bodies against its digest, or against another's."""
    store = SqliteStore(tmp_path / "ledger.db", SteppedClock())
    try:
        for version in range(20):
            await store.write(lambda tx, at=version: tx.append(SYSTEM, at, [Draft("opened", {"by": "maya"})]))
    finally:
        store.close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        rows = db.execute("SELECT e.digest, b.salt, b.body FROM entry e JOIN body b USING (seq)").fetchall()
    assert [len({row[column] for row in rows}) for column in range(3)] == [20, 20, 1]
    assert {len(salt) for _, salt, _ in rows} == {16}

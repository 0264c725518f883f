"""Looking for a kept event decodes none of those that do not match, and finds exactly what is equal."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deputize import canonical
from deputize.store.protocol import Tx
from deputize.store.sqlite.store import SqliteStore
from deputize.testing import entries
from deputize.testing.entries import SteppedClock

KIND = "mail.came"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "ledger.db", SteppedClock())) as found:
        yield found


async def _keep(store: SqliteStore, *all_data: Any) -> list[int | None]:
    def keep(tx: Tx) -> list[int | None]:
        return [
            tx.keep_event(entries.occurrence(f"m{n}", data, type=KIND), "unanswered")
            for n, data in enumerate(all_data)
        ]

    return await store.write(keep)


async def _match(store: SqliteStore, no: int, matching: dict[str, Any]) -> int | None:
    found = await store.write(lambda tx: tx.kept_match(no, KIND, matching, 0))
    return found.seq if found is not None else None


@pytest.mark.parametrize(
    ("wanted", "near"),
    [
        ("7", ["77", 7, ["7"], {"order": "7"}, "", None]),
        (7, [77, 70, 7.0, "7", -7]),
        (1, [True, 1.5, 10]),
        (None, ["null", False]),
        ({"b": 1, "a": 2}, [{"a": 2}, {"a": 2, "b": 1, "c": 0}]),
        ('quo"ted, "order":"7"', ["quo"]),
        ("größe\n\u2028", ["grosse"]),
    ],
)
async def test_a_match_is_equal_in_every_field_and_of_the_same_kind(
    store: SqliteStore, wanted: Any, near: list[Any]
) -> None:
    no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
    nested = {"inner": {"order": wanted}, "order": "other", "text": f'"order":{wanted}'}
    seqs = await _keep(
        store, nested, {"orders": wanted}, *({"order": value} for value in near), {"order": wanted, "z": 1}
    )
    assert await _match(store, no, {"order": wanted}) == seqs[-1]
    assert await _match(store, no, {"order": wanted, "z": 1}) == seqs[-1]
    assert await _match(store, no, {"order": wanted, "z": 2}) is None
    assert await _match(store, no, {}) == seqs[0]


async def test_events_that_do_not_match_are_not_decoded_in_the_writer(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
    seqs = await _keep(store, *({"order": str(n)} for n in range(2_000)))
    decode, decoded = canonical.decode, [0]

    def counting(data: bytes | str) -> Any:
        decoded[0] += 1
        return decode(data)

    monkeypatch.setattr(canonical, "decode", counting)
    assert await _match(store, no, {"order": "1999"}) == seqs[-1]
    assert await _match(store, no, {"order": "none"}) is None
    assert decoded[0] < 10


async def test_looking_for_a_kept_event_reads_only_those_of_its_type_since_the_run_began(
    store: SqliteStore,
) -> None:
    no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
    await _keep(store, {"order": "7"})
    asked: list[str] = []

    def match(tx: Tx) -> None:
        store._file.db.set_trace_callback(asked.append)
        tx.kept_match(no, KIND, {"order": "7"}, 0)
        store._file.db.set_trace_callback(None)

    await store.write(match)
    [query] = [sql for sql in asked if " FROM event " in sql]
    with closing(sqlite3.connect(store.path)) as db:
        plan = [row[-1] for row in db.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert plan == ["SEARCH event USING INDEX event_type (type=? AND seq>?)"]

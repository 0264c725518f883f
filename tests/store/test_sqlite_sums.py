"""Sums that are gathered and written together say at every moment what writing each at once would say."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.clock import SystemClock
from deputize.errors import StoreLost
from deputize.ledger import Draft
from deputize.store.protocol import Tx
from deputize.store.sqlite.schema import projection_tables
from deputize.store.sqlite.store import SqliteStore
from deputize.store.sqlite.sums import SUM_MAX, GatheredSums
from deputize.testing import entries

HOLD = ("refunds a day", 0, 500)
HELD: dict[str, Any] = {"holds": [HOLD], "counted": [("refunds", "c1", 0, 1)]}

places = st.sampled_from(["a", "b"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("use"), places, st.integers(-3, 3), st.integers(-3, 3)),
        st.tuples(st.just("count"), places, st.integers(-3, 3)),
        st.tuples(st.just("tally"), places, st.integers(-1, 1)),
        *(
            st.tuples(st.just(step))
            for step in ("read", "write", "savepoint", "roll back", "release", "commit")
        ),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_gathered_sums_are_those_of_a_plain_reckoning(taken: list[tuple[Any, ...]]) -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    for statement in projection_tables("main"):
        db.execute(statement)
    sums, model, before, mark = GatheredSums(db), Counter[Any](), Counter[Any](), (0, 0)
    inside = False
    db.execute("BEGIN")

    def agree() -> None:
        for place in ("a", "b"):
            assert sums.used(place, 1) == (model["held", place], model["spent", place])
            assert sums.counted("f", place, 1) == model["fact", place]

    for step, *given_ in taken:
        if step == "use":
            place, held, spent = given_
            sums.use(place, 1, held, spent)
            model["held", place] += held
            model["spent", place] += spent
        elif step == "count":
            sums.count("f", given_[0], 1, given_[1])
            model["fact", given_[0]] += given_[1]
        elif step == "tally":
            sums.tally(given_[0], given_[1])
            model["tally", given_[0]] += given_[1]
        elif step == "read":
            agree()
        elif step == "write":
            sums.write()
        elif step == "savepoint" and not inside:
            db.execute("SAVEPOINT work")
            before, mark, inside = model.copy(), sums.mark(), True
        elif step == "release" and inside:
            db.execute("RELEASE work")
            inside = False
        elif step == "roll back" and inside:
            db.execute("ROLLBACK TO work")
            db.execute("RELEASE work")
            sums.roll_back(mark)
            model, inside = before.copy(), False
        elif step == "commit" and not inside:
            sums.write()
            db.execute("COMMIT")
            sums.forget()
            db.execute("BEGIN")
    sums.write()
    agree()
    stored: Counter[Any] = Counter()
    for budget, _, held, spent in db.execute("SELECT * FROM budget_use"):
        stored["held", budget], stored["spent", budget] = held, spent
    for _, subject, _, value in db.execute("SELECT * FROM fact"):
        stored["fact", subject] = value
    for state, n in db.execute("SELECT * FROM tally"):
        stored["tally", state] = n
    assert stored == model


def begun(name: str) -> Callable[[Tx], int]:
    def work(tx: Tx) -> int:
        no, _ = entries.begin(tx, name)
        tx.append(no, 1, [entries.intent("1", **HELD)])
        return no

    return work


def with_store(path: Path, work: Callable[[SqliteStore], Any]) -> None:
    async def main() -> None:
        store = SqliteStore(path, SystemClock())
        try:
            await work(store)
            assert store.rebuild(replace=False) == []
        finally:
            store.close()

    asyncio.run(main())


def test_a_work_that_fails_takes_its_sums_back_and_no_others(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        def failing(tx: Tx) -> None:
            begun("b")(tx)
            assert tx.used(HOLD[0], 0) == (1_000, 0)
            tx.budgets()
            raise ValueError("no")

        shared = [store.write(begun("a")), store.write(failing), store.write(begun("c"))]
        results = await asyncio.gather(*shared, return_exceptions=True)
        assert isinstance(results[1], ValueError)
        assert store.commits <= 2
        assert await store.write(lambda tx: tx.used(HOLD[0], 0)) == (1_000, 0)
        assert store.read(lambda view: view.budgets()) == [(HOLD[0], 0, 1_000, 0)]

    with_store(tmp_path / "ledger.db", work)


def test_a_sum_beyond_64_bits_fails_its_own_work_alone(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        def huge(tx: Tx) -> None:
            no, _ = entries.begin(tx, "huge")
            tx.append(no, 1, [entries.intent("1", holds=[(HOLD[0], 0, SUM_MAX)])])

        shared = [store.write(begun("a")), store.write(huge), store.write(begun("c"))]
        results = await asyncio.gather(*shared, return_exceptions=True)
        assert isinstance(results[1], OverflowError) and isinstance(results[2], int)
        assert await store.write(lambda tx: tx.used(HOLD[0], 0)) == (1_000, 0)

    with_store(tmp_path / "ledger.db", work)


def test_what_another_connection_wrote_is_seen_in_the_next_commit(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        no = await store.write(begun("a"))
        assert await store.write(lambda tx: tx.used(HOLD[0], 0)) == (500, 0)
        other = sqlite3.connect(store.path, isolation_level=None)
        other.execute("UPDATE sums SET amount=7 WHERE what='use'")
        assert await store.write(lambda tx: tx.used(HOLD[0], 0)) == (7, 0)
        store.rebuild(replace=True)
        assert await store.write(lambda tx: tx.used(HOLD[0], 0)) == (500, 0)
        other.close()
        released = Draft("receipt", {"path": "1"} | entries.released(**HELD))
        await store.write(lambda tx: tx.append(no, 2, [released]))

    with_store(tmp_path / "ledger.db", work)


def test_an_owner_of_a_higher_epoch_is_seen_before_anything_is_written(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        lost: list[StoreLost] = []
        store._on_lost = lost.append
        await store.write(begun("a"))
        other = sqlite3.connect(store.path, isolation_level=None)
        other.execute("UPDATE setting SET value=value+1 WHERE name='epoch'")
        other.close()
        with pytest.raises(StoreLost, match="taken this ledger over"):
            await store.write(begun("b"))
        assert lost

    with_store(tmp_path / "ledger.db", work)

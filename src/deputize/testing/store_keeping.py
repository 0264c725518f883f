"""Every store: large and erased bodies, people's and timers' own rows, copies."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deputize import canonical
from deputize.errors import StoreError
from deputize.ledger import INLINE_BYTES_MAX, Draft
from deputize.store.erasure import erase_run
from deputize.store.protocol import Hold, Store, Tx
from deputize.testing import entries
from deputize.testing.entries import SteppedClock
from deputize.testing.store_case import StoreCase, body_of, sound
from deputize.testing.store_child import resolve

HOLD: Hold = ("refunds a day", 0, 500)


class Keeping(StoreCase):
    """What is kept, what is erased, and what a copy holds."""

    async def test_a_large_body_is_stored_once_and_comes_back_whole(
        self, store: Store, tmp_path: Path
    ) -> None:
        large = {"text": "x" * (INLINE_BYTES_MAX + 1)}
        await write_result(store, "a", large)
        await write_result(store, "b", large)
        for run in ("run-a", "run-b"):
            assert result(store, run) == large
        assert self.blobs(tmp_path) == 1
        assert sound(store)

    async def test_what_is_to_be_kept_apart_is_stored_once_though_it_is_small(
        self, store: Store, tmp_path: Path
    ) -> None:
        small = ["a", {"b": "c"}]

        def work(tx: Tx) -> None:
            for id in "ab":
                no, _ = entries.begin(tx, id)
                placed = tx.place(canonical.encode(small), apart=True)
                tx.append(no, 1, [entries.read("1", result=placed)])

        await store.write(work)
        assert result(store, "run-a") == result(store, "run-b") == small
        assert self.blobs(tmp_path) == 1
        assert sound(store)

    async def test_a_value_that_looks_like_a_reference_is_a_value(self, store: Store) -> None:
        large = {"secret": "x" * (INLINE_BYTES_MAX + 1)}
        await write_result(store, "a", large)
        forged = {"$blob": canonical.digest(canonical.encode(large))}
        await write_result(store, "b", forged)
        assert result(store, "run-b") == forged

    async def test_an_erased_run_leaves_its_chain_and_its_books(self, store: Store) -> None:
        held = {"holds": [HOLD], "counted": [("refunds", "today", 0, 1)]}
        begun = [await store.write(partial(entries.begin, id=n, key="order:7")) for n in "ab"]
        (no, _), (behind, _) = begun
        drafts = [
            entries.intent("1", **held),  # type: ignore[arg-type]
            entries.doubt("1"),
            entries.card("1", "Ask Ann Smith"),
            Draft("receipt", {"path": "1"} | entries.released(was="doubtful", **held)),  # type: ignore[arg-type]
            entries.intent("2", **held),  # type: ignore[arg-type]
            Draft("declined", {"path": "2"} | entries.released(**held)),  # type: ignore[arg-type]
            entries.ended(key="order:7", reason="Ann Smith was refunded"),
        ]
        with pytest.raises(StoreError, match="ended"):
            await store.write(lambda tx: erase_run(tx, no, 0))
        await store.write(lambda tx: tx.append(no, 1, drafts))
        await store.write(lambda tx: tx.append(behind, 1, [entries.waiting("1", due=9)]))
        assert await store.write(lambda tx: erase_run(tx, no, 0)) == 1
        assert await store.write(lambda tx: erase_run(tx, no, 1)) == 1, (
            "a second time there is nothing to erase"
        )
        assert all(entry.body is None for entry in store.read(lambda view: view.entries(no)))
        assert store.read(lambda view: view.budgets()) == [("refunds a day", 0, 0, 500)]
        assert store.read(lambda view: view.run_no(behind).state) == "waiting"  # type: ignore[union-attr]
        assert sound(store)
        again = await store.write(lambda tx: tx.keep_event(entries.occurrence("a"), "answered"))
        assert again is None, "an erased event is still known"

    async def test_an_erasure_frees_a_large_body_that_nobody_else_has(
        self, store: Store, tmp_path: Path
    ) -> None:
        shared, alone = {"text": "s" * INLINE_BYTES_MAX}, {"text": "a" * INLINE_BYTES_MAX}
        a = await write_result(store, "a", shared, ends=True)
        await write_result(store, "b", shared)
        c = await write_result(store, "c", alone, ends=True)
        await store.write(lambda tx: erase_run(tx, a, 0))
        assert result(store, "run-b") == shared
        assert self.blobs(tmp_path) == 2
        await store.write(lambda tx: erase_run(tx, c, 1))
        assert self.blobs(tmp_path) == 1
        assert sound(store)

    async def test_an_event_is_not_erased_while_another_run_needs_it(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        body = store.read(lambda view: body_of(view.entries(no)[0]))
        other, _ = await store.write(lambda tx: tx.begin_run("run-second", body))
        await store.write(lambda tx: tx.append(no, 1, [entries.ended()]))
        with pytest.raises(StoreError, match="run-second"):
            await store.write(lambda tx: erase_run(tx, no, 0))
        await store.write(lambda tx: tx.append(other, 1, [entries.ended()]))
        await store.write(lambda tx: erase_run(tx, no, 0))
        assert sound(store)

    async def test_settings_are_set_listed_and_removed(self, store: Store) -> None:
        for n in range(3):
            await store.write(partial(_set, name=f"poll:{n}", value=str(n)))
        await store.write(lambda tx: tx.set_setting("poll:1", "new"))
        await store.write(lambda tx: tx.set_setting("poll:2", None))
        assert await store.write(lambda tx: tx.settings("poll:")) == {"poll:0": "0", "poll:1": "new"}
        assert await store.write(lambda tx: tx.setting("poll:1")) == "new"
        assert await store.write(lambda tx: tx.setting("poll:2")) is None

    async def test_a_wish_is_the_last_one_made(self, store: Store) -> None:
        assert await store.write(lambda tx: tx.wish(1)) == ""
        await store.write(lambda tx: tx.set_wish(1, "pause"))
        await store.write(lambda tx: tx.set_wish(1, "cancel"))
        assert await store.write(lambda tx: tx.wish(1)) == "cancel"
        await store.write(lambda tx: tx.set_wish(1, ""))
        assert await store.write(lambda tx: tx.wish(1)) == ""

    async def test_the_same_answer_counts_once_until_it_is_taken_in(self, store: Store) -> None:
        def answer(tx: Tx) -> bool:
            return tx.answer(1, "2", "happened", {"refund": "re_1"}, "maya")

        assert await store.write(answer) is True
        assert await store.write(answer) is False
        (row,) = store.read(lambda view: view.answers(9))
        assert (row.path, row.what, row.body, row.person) == ("2", "happened", {"refund": "re_1"}, "maya")
        await store.write(lambda tx: tx.take_answer(row.no))
        assert store.read(lambda view: view.answers(9)) == []
        assert await store.write(answer) is True

    async def test_a_backup_while_writing_is_consistent(self, store: Store, tmp_path: Path) -> None:
        stop = asyncio.Event()

        async def write_on() -> int:
            done = 0
            while not stop.is_set() and done < 20_000:
                await asyncio.gather(*(store.write(partial(_run, n=n)) for n in range(done, done + 20)))
                done += 20
            return done

        writing = asyncio.create_task(write_on())
        await store.write(lambda tx: None)
        copies = tmp_path / "copies"
        for n in range(3):
            await asyncio.to_thread(store.backup, self.copy_at(copies / str(n)))
            assert await asyncio.to_thread(sound, store), (
                "checks see one moment, whatever is written meanwhile"
            )
        stop.set()
        assert await writing > 0
        for n in range(3):
            copy = resolve(self.factory)(copies / str(n), SteppedClock())
            try:
                assert sound(copy)
                assert copy.epoch > store.epoch
            finally:
                copy.close()

    def copy_at(self, place: Path) -> Path:
        """Where a backup must be put so that the factory opens it at `place`."""
        return place / "ledger.db"


async def write_result(store: Store, name: str, value: Any, *, ends: bool = False) -> int:
    """A run whose first read had this result. Returns its number."""

    def work(tx: Tx) -> int:
        no, _ = entries.begin(tx, name)
        version = tx.append(no, 1, [entries.read("1", result=tx.place(canonical.encode(value)))])
        if ends:
            tx.append(no, version, [entries.ended()])
        return no

    return await store.write(work)


def result(store: Store, run_id: str) -> Any:
    """What `write_result` wrote, as it is read."""
    run = store.read(lambda view: view.run(run_id))
    assert run is not None
    return body_of(store.read(lambda view: view.entries(run.no))[1])["result"]


def _run(tx: Tx, n: int) -> None:
    no, _ = entries.begin(tx, str(n))
    hold = ("day", 0, 1)
    tx.append(no, 1, [entries.intent("1", leases=[str(n)], holds=[hold])])
    if n % 2:
        tx.append(
            no,
            2,
            [Draft("receipt", {"path": "1"} | entries.released(leased=True, holds=[hold])), entries.ended()],
        )


def _set(tx: Tx, name: str, value: str) -> None:
    tx.set_setting(name, value)

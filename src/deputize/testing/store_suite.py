"""What every store must do: one suite, held against each of them.

    class TestSqlite(StoreSuite):
        factory = "my_project.stores:open_sqlite"
        blobs = staticmethod(count_blobs)

The factory takes a place (a directory of the test's own) and a clock, and opens the store there;
`blobs` takes the place and counts what is stored there by digest.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deputize import canonical
from deputize.clock import Clock, SystemClock
from deputize.errors import Conflict, StoreError
from deputize.ledger import INLINE_BYTES_MAX, SYSTEM, Draft, Entry
from deputize.store.erasure import erase_run
from deputize.store.protocol import Hold, Store, Tx
from deputize.testing import entries
from deputize.testing.entries import SteppedClock
from deputize.testing.store_child import resolve

KILL_AFTER_RUNS = (1, 40, 200)
"""How many acknowledged runs each killed process is let live for."""

Open = Callable[..., Store]
HOLD: Hold = ("refunds a day", 0, 500)


class StoreSuite:
    """Subclass it as `Test…`, with `factory` naming the function that opens the store."""

    factory = ""
    blobs: Callable[[Path], int]

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[Open]:
        """Opens the test's store, any number of times; what is still open is closed at the end."""
        opened: list[Store] = []

        def open(clock: Clock | None = None) -> Store:
            opened.append(resolve(self.factory)(tmp_path, clock or SystemClock()))
            return opened[-1]

        yield open
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, open_store: Open) -> Store:
        """A new store, on a clock that stands still."""
        return open_store(SteppedClock())

    # -- appending -------------------------------------------------------------------------------

    async def test_entries_come_back_in_the_order_of_their_versions(self, store: Store) -> None:
        no, state = await store.write(lambda tx: entries.begin(tx, "a"))
        assert state == "ready"
        drafts = [entries.read("1", result={"n": 1}), entries.read("2", result=[1, "zwei", None])]
        assert await store.write(lambda tx: tx.append(no, 1, drafts)) == 3
        found = store.read(lambda view: view.entries(no))
        assert [(entry.version, entry.type) for entry in found] == [(1, "began"), (2, "read"), (3, "read")]
        assert _body(found[2])["result"] == [1, "zwei", None]
        assert [entry.version for entry in store.read(lambda view: view.entries(no, after=2))] == [3]
        assert sound(store)

    async def test_a_wrong_expected_version_is_a_conflict_that_writes_nothing(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        for expected in (0, 2):
            with pytest.raises(Conflict):
                await store.write(partial(_append, no, expected))
        assert len(store.read(lambda view: view.entries(no))) == 1
        assert await store.write(lambda tx: tx.append(no, 1, [entries.read("1")])) == 2

    async def test_a_stream_that_no_run_began_is_refused(self, store: Store) -> None:
        with pytest.raises(StoreError):
            await store.write(lambda tx: tx.append(77, 0, [entries.read("1")]))

    async def test_the_system_stream_needs_no_run(self, store: Store) -> None:
        assert await store.write(lambda tx: tx.append(SYSTEM, 0, [Draft("opened", {"by": "maya"})])) == 1
        assert [entry.type for entry in store.read(lambda view: view.entries(SYSTEM))] == ["opened"]

    @pytest.mark.parametrize("how", ["domain", "integrity", "type", "conflict"])
    async def test_a_bad_work_leaves_no_trace_and_harms_no_other_in_its_commit(
        self, store: Store, how: str
    ) -> None:
        def good(tx: Tx, name: str) -> int:
            no, _ = entries.begin(tx, name)
            return tx.append(no, 1, [entries.intent("1", leases=[f"charge:{name}"], holds=[HOLD])])

        def bad(tx: Tx) -> None:
            good(tx, "bad")
            tx.set_setting("trace", "left")
            _fail(tx, how)

        first, failed, second = await asyncio.gather(
            store.write(lambda tx: good(tx, "first")),
            store.write(bad),
            store.write(lambda tx: good(tx, "second")),
            return_exceptions=True,
        )
        assert (first, second) == (2, 2)
        assert isinstance(failed, {"domain": ValueError, "type": TypeError}.get(how, StoreError))
        assert [run.id for run in store.read(lambda view: view.runs())] == ["run-first", "run-second"]
        assert store.read(lambda view: view.leases()) == [
            ("charge:first", "run-first", "1"),
            ("charge:second", "run-second", "1"),
        ]
        assert store.read(lambda view: view.budgets()) == [("refunds a day", 0, 1000, 0)]
        assert store.read(lambda view: view.counts())["entries"] == 4
        assert await store.write(lambda tx: tx.setting("trace")) is None
        # The same streams go on: what the store remembers of them is what was written.
        assert await store.write(lambda tx: tx.append(1, 2, [entries.read("2")])) == 3
        assert sound(store)

    async def test_a_stream_written_earlier_in_a_commit_survives_a_later_failure_on_it(
        self, store: Store
    ) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))

        def bad(tx: Tx) -> None:
            tx.append(no, 2, [entries.read("2")])
            raise ValueError("refused")

        results = await asyncio.gather(
            store.write(lambda tx: tx.append(no, 1, [entries.read("1")])),
            store.write(bad),
            store.write(lambda tx: tx.append(no, 2, [entries.read("3")])),
            return_exceptions=True,
        )
        assert [results[0], results[2]] == [2, 3]
        assert [action.path for action in store.read(lambda view: view.actions(no))] == ["1", "3"]
        assert sound(store)

    async def test_works_run_in_the_order_in_which_they_were_given(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        seen: list[int] = []

        def step(tx: Tx, n: int) -> int:
            seen.append(n)
            return tx.append(no, n, [entries.read(str(n))])

        given = [store.write(partial(step, n=n)) for n in range(1, 400)]
        assert await asyncio.gather(*given) == list(range(2, 401))
        assert seen == list(range(1, 400))

    async def test_ledger_time_never_runs_back(self, open_store: Open) -> None:
        clock = SteppedClock(5_000)
        store = open_store(clock)
        await store.write(lambda tx: entries.begin(tx, "a"))
        clock.at_us = 9_000
        await store.write(lambda tx: tx.keep_event(entries.occurrence("later"), "unanswered"))
        clock.at_us = 1_000
        await store.write(lambda tx: entries.begin(tx, "b"))
        store.close()
        again = open_store(clock)
        await again.write(lambda tx: entries.begin(tx, "c"))
        times = [entry.at_us for _, entry in again.read(lambda view: view.entries_after(0, 10))]
        assert times == [5_000, 9_000, 9_000]

    async def test_what_was_acknowledged_is_there_after_a_kill(
        self, open_store: Open, tmp_path: Path
    ) -> None:
        self.kill_and_look(open_store, tmp_path, enumerate(KILL_AFTER_RUNS))

    @pytest.mark.full
    async def test_what_was_acknowledged_is_there_after_any_of_many_kills(
        self, open_store: Open, tmp_path: Path
    ) -> None:
        self.kill_and_look(open_store, tmp_path, ((seed, 1 + seed * 7) for seed in range(100, 150)))

    def kill_and_look(self, open_store: Open, place: Path, lives: Iterator[tuple[int, int]]) -> None:
        """Kill a writing process once for each seed, and find all that it was told was durable."""
        for seed, runs in lives:
            told = _told_until_killed(self.factory, place, seed, runs)
            store = open_store()
            missing = [run for run in told if not _has(store, run)]
            assert not missing, f"seed {seed}, killed after {runs}: {missing}"
            assert sound(store), f"seed {seed}, killed after {runs}"
            store.close()

    # -- events, waits, keys ---------------------------------------------------------------------

    async def test_an_event_is_kept_once_for_ever(self, open_store: Open) -> None:
        store = open_store()
        first = await store.write(lambda tx: tx.keep_event(entries.occurrence("e1"), "unanswered"))
        changed = entries.occurrence("e1", {"order": "another"})
        assert await store.write(lambda tx: tx.keep_event(changed, "answered")) is None
        store.close()
        again = open_store()
        assert await again.write(lambda tx: tx.keep_event(changed, "answered")) is None
        assert isinstance(first, int)
        kept = again.read(lambda view: view.event(first))
        assert kept is not None
        assert kept.occurrence.data == b'{"order":"e1"}'
        assert [
            event.seq for event in again.read(lambda v: v.events(after=0, limit=9, state="unanswered"))
        ] == [first]
        await again.write(lambda tx: tx.set_event_state(first, "answered"))
        assert again.read(lambda v: v.events(after=0, limit=9, state="unanswered")) == []

    async def test_a_wait_is_found_by_the_event_that_matches_it(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        other, _ = await store.write(lambda tx: entries.begin(tx, "b"))
        await store.write(
            lambda tx: tx.append(
                no, 1, [entries.waiting("1", type="mail.came", matching={"order": "7"}, due=90)]
            )
        )
        await store.write(lambda tx: tx.append(other, 1, [entries.waiting("1", type="mail.came")]))

        def found(data: dict[str, Any], type: str = "mail.came") -> Any:
            return store.write(lambda tx: sorted(tx.waiting_for(entries.occurrence("x", data, type=type))))

        assert await found({"order": "7", "more": 1}) == [(no, "1"), (other, "1")]
        assert await found({"order": 7}) == [(other, "1")]
        assert await found({}) == [(other, "1")]
        assert await found({"order": "7"}, type="mail.went") == []
        assert store.read(lambda view: view.next_due()) == 90
        assert [wait.run for wait in store.read(lambda view: view.due_waits(90, 9))] == [no]
        assert store.read(lambda view: view.due_waits(89, 9)) == []
        await store.write(lambda tx: tx.append(no, 2, [entries.woke("1")]))
        assert await found({"order": "7"}) == [(other, "1")]
        assert store.read(lambda view: [view.run_no(n).state for n in (no, other)]) == ["ready", "waiting"]  # type: ignore[union-attr]
        assert sound(store)

    async def test_a_kept_event_is_matched_once_by_one_run(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))

        def keep(tx: Tx) -> list[int | None]:
            return [
                tx.keep_event(entries.occurrence(f"m{n}", {"order": order}, type="mail.came"), "unanswered")
                for n, order in enumerate(["8", "7", "7"])
            ]

        seqs = await store.write(keep)

        def match(tx: Tx) -> int | None:
            found = tx.kept_match(no, "mail.came", {"order": "7"}, 0)
            return found.seq if found else None

        assert await store.write(match) == seqs[1]
        await store.write(lambda tx: tx.append(no, 1, [entries.waiting("1", type="mail.came")]))
        await store.write(lambda tx: tx.append(no, 2, [entries.woke("1", event_seq=seqs[1])]))
        assert await store.write(match) == seqs[2]
        assert await store.write(lambda tx: tx.kept_match(no, "mail.came", {"order": "9"}, 0)) is None

    async def test_runs_with_one_key_go_one_behind_the_other(self, store: Store) -> None:
        begun = [await store.write(partial(entries.begin, id=n, key="order:7")) for n in "abc"]
        assert [state for _, state in begun] == ["ready", "behind", "behind"]
        _, state = await store.write(lambda tx: entries.begin(tx, "d", key="order:7", automation="returns"))
        assert state == "ready"

        def states() -> list[str]:
            return [run.state for run in store.read(lambda view: view.runs(automation="triage"))]

        await store.write(lambda tx: tx.append(begun[0][0], 1, [entries.ended(key="order:7")]))
        assert states() == ["ended", "ready", "behind"]
        await store.write(lambda tx: tx.append(begun[1][0], 1, [entries.ended(key="order:7")]))
        assert states() == ["ended", "ended", "ready"]
        assert sound(store)

    # -- what the fold keeps ---------------------------------------------------------------------

    async def test_a_resource_is_leased_once(self, store: Store) -> None:
        a, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        b, _ = await store.write(lambda tx: entries.begin(tx, "b"))
        both = entries.intent("1", leases=["charge:1", "charge:2"])
        await store.write(lambda tx: tx.append(a, 1, [both]))
        assert await store.write(lambda tx: tx.lease_holder(["charge:0", "charge:2"])) == ("charge:2", a, "1")
        with pytest.raises(StoreError):
            await store.write(
                lambda tx: tx.append(b, 1, [entries.intent("1", leases=["charge:9", "charge:2"])])
            )
        assert await store.write(lambda tx: tx.lease_holder(["charge:9"])) is None
        receipt = Draft("receipt", {"path": "1"} | entries.released(leased=True))
        await store.write(lambda tx: tx.append(a, 2, [receipt]))
        assert store.read(lambda view: view.leases()) == []
        await store.write(lambda tx: tx.append(b, 1, [both]))
        assert sound(store)

    @pytest.mark.parametrize(
        ("type", "spent", "fact"),
        [
            ("receipt", 500, 1),
            ("drift", 500, 1),
            ("abandoned", 500, 1),
            ("declined", 0, 0),
            ("refused", 0, 0),
        ],
    )
    async def test_holds_and_facts_end_as_the_action_does(
        self, store: Store, type: Any, spent: int, fact: int
    ) -> None:
        held = {"holds": [HOLD], "counted": [("refunds", "customer:1", 0, 1)]}
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        await store.write(lambda tx: tx.append(no, 1, [entries.intent("1", leases=["charge:1"], **held)]))  # type: ignore[arg-type]
        assert await store.write(lambda tx: tx.used("refunds a day", 0)) == (500, 0)
        assert await store.write(lambda tx: tx.counted("refunds", "customer:1", 0)) == 1
        await store.write(lambda tx: tx.append(no, 2, [entries.doubt("1"), entries.card("1")]))
        assert await store.write(lambda tx: tx.used("refunds a day", 0)) == (500, 0)
        assert store.read(lambda view: view.leases()) == [("charge:1", "run-a", "1")]
        assert store.read(lambda view: view.run("run-a").state) == "doubtful"  # type: ignore[union-attr]
        assert [card.path for card in store.read(lambda view: view.cards())] == ["1"]
        body = entries.released(leased=True, was="doubtful", **held) | {"path": "1", "reason": "drifted"}  # type: ignore[arg-type]
        await store.write(lambda tx: tx.append(no, 4, [Draft(type, body)]))
        assert await store.write(lambda tx: tx.used("refunds a day", 0)) == (0, spent)
        assert await store.write(lambda tx: tx.counted("refunds", "customer:1", 0)) == fact
        assert store.read(lambda view: view.leases()) == []
        open_cards = [card.kind for card in store.read(lambda view: view.cards())]
        assert open_cards == (["drift"] if type == "drift" else [])
        assert sound(store)

    async def test_a_run_with_two_doubts_is_doubtful_until_the_last_is_settled(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        drafts = [entries.intent("1.0"), entries.intent("1.1"), entries.doubt("1.0"), entries.doubt("1.1")]
        await store.write(lambda tx: tx.append(no, 1, drafts))
        await store.write(lambda tx: tx.append(no, 5, [entries.attempt("1.0", 2, "doubtful")]))
        assert store.read(lambda view: view.run("run-a").state) == "doubtful"  # type: ignore[union-attr]
        receipt = Draft("receipt", {"path": "1.1"} | entries.released(was="doubtful"))
        await store.write(lambda tx: tx.append(no, 6, [receipt]))
        assert store.read(lambda view: view.run("run-a").state) == "ready"  # type: ignore[union-attr]
        assert sound(store)

    async def test_cards_close_with_their_run(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        await store.write(lambda tx: tx.append(no, 1, [entries.card("1"), entries.card("2")]))
        assert len(store.read(lambda view: view.cards())) == 2
        await store.write(lambda tx: tx.append(no, 3, [entries.ended()]))
        assert store.read(lambda view: view.cards()) == []
        assert len(store.read(lambda view: view.cards(state="closed"))) == 2
        assert sound(store)

    # -- bodies that are large, or erased --------------------------------------------------------

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
        body = store.read(lambda view: _body(view.entries(no)[0]))
        other, _ = await store.write(lambda tx: tx.begin_run("run-second", body))
        await store.write(lambda tx: tx.append(no, 1, [entries.ended()]))
        with pytest.raises(StoreError, match="run-second"):
            await store.write(lambda tx: erase_run(tx, no, 0))
        await store.write(lambda tx: tx.append(other, 1, [entries.ended()]))
        await store.write(lambda tx: erase_run(tx, no, 0))
        assert sound(store)

    # -- settings, wishes, answers ---------------------------------------------------------------

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

    # -- many readers ----------------------------------------------------------------------------

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


# -- what tests say often ---------------------------------------------------------------------------


def sound(store: Store) -> bool:
    """The chain is whole and the projections are what the entries say; fails with what is wrong."""
    assert list(store.verify()) == []
    assert store.rebuild(replace=False) == []
    return True


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
    return _body(store.read(lambda view: view.entries(run.no))[1])["result"]


def _body(entry: Entry) -> dict[str, Any]:
    assert entry.body is not None
    return dict(entry.body)


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


def _append(no: int, expected: int, tx: Tx) -> int:
    return tx.append(no, expected, [entries.read("1")])


def _set(tx: Tx, name: str, value: str) -> None:
    tx.set_setting(name, value)


def _has(store: Store, run_id: str) -> bool:
    return store.read(lambda view: view.run(run_id)) is not None


def _fail(tx: Tx, how: str) -> None:
    if how == "integrity":
        entries.begin(tx, "bad")
        tx.begin_run(
            "run-bad", {"automation": "a", "agent": "a", "event": {"seq": 1}, "key": None, "priority": 0}
        )
    elif how == "type":
        tx.append(SYSTEM, 0, [Draft("opened", {"what": object()})])
    elif how == "conflict":
        tx.append(SYSTEM, 7, [Draft("opened", {})])
    else:
        raise ValueError("the rules say no")


def _told_until_killed(factory: str, place: Path, seed: int, runs: int) -> list[str]:
    """Start a process that writes, kill it after so many acknowledgements; returns all it was told."""
    command = [sys.executable, "-m", "deputize.testing.store_child", factory, str(place), str(seed)]
    told: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            while len(told) < runs and (line := child.stdout.readline()):
                told.append(line.strip())
        finally:
            child.kill()
        # What it had told by then was durable too; a line that the kill cut is not a whole line.
        told += [line.strip() for line in child.stdout if line.endswith("\n")]
    return told

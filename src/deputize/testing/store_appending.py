"""Every store: appending, group commits, durability."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from deputize.errors import Conflict, StoreError
from deputize.ledger import SYSTEM, Draft
from deputize.store.protocol import Hold, Store, Tx
from deputize.testing import entries
from deputize.testing.entries import SteppedClock
from deputize.testing.store_case import Open, StoreCase, body_of, sound

KILL_AFTER_RUNS = (1, 40, 200)
"""How many acknowledged runs each killed process is let live for."""

HOLD: Hold = ("refunds a day", 0, 500)


class Appending(StoreCase):
    """Entries, their order, the works of one commit, and what is there after a kill."""

    async def test_entries_come_back_in_the_order_of_their_versions(self, store: Store) -> None:
        no, state = await store.write(lambda tx: entries.begin(tx, "a"))
        assert state == "ready"
        drafts = [entries.read("1", result={"n": 1}), entries.read("2", result=[1, "zwei", None])]
        assert await store.write(lambda tx: tx.append(no, 1, drafts)) == 3
        found = store.read(lambda view: view.entries(no))
        assert [(entry.version, entry.type) for entry in found] == [(1, "began"), (2, "read"), (3, "read")]
        assert body_of(found[2])["result"] == [1, "zwei", None]
        assert [entry.version for entry in store.read(lambda view: view.entries(no, after=2))] == [3]
        assert sound(store)

    async def test_entries_and_actions_of_a_run_come_in_pages(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        other, _ = await store.write(lambda tx: entries.begin(tx, "b"))
        # By time, and those of one moment by path; and no other run's among them.
        paths = [str(n) for n in range(10)]
        await store.write(lambda tx: tx.append(no, 1, [entries.read(path) for path in reversed(paths)]))
        await store.write(lambda tx: tx.append(other, 1, [entries.read("5"), entries.read("55")]))
        await store.write(lambda tx: tx.append(no, 11, [entries.read("91")]))

        def versions(after: int, limit: int | None) -> list[int]:
            return [e.version for e in store.read(lambda view: view.entries(no, after, limit))]

        def actions(after: str, limit: int | None) -> list[str]:
            return [a.path for a in store.read(lambda view: view.actions(no, after, limit))]

        assert versions(0, 5) == [1, 2, 3, 4, 5] and versions(5, 5) == [6, 7, 8, 9, 10]
        assert versions(10, 5) == [11, 12] and versions(12, 5) == []
        assert versions(0, None) == [*range(1, 13)] and versions(3, 0) == []
        assert actions("", 4) == paths[:4] and actions("3", 4) == paths[4:8]
        assert actions("7", 4) == ["8", "9", "91"] and actions("91", 4) == []
        assert actions("", None) == [*paths, "91"] and actions("55", 4) == []

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

    async def test_lazy_works_keep_their_place_among_the_others(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        given = [store.write(partial(_append, no, n), lazy=n % 3 != 0) for n in range(1, 100)]
        assert await asyncio.gather(*given) == list(range(2, 101))

    async def test_a_lazy_work_that_nothing_follows_is_written_all_the_same(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"), lazy=True)
        assert await store.write(partial(_append, no, 1), lazy=True) == 2

    async def test_a_lazy_work_is_written_before_the_store_is_closed(self, open_store: Open) -> None:
        store = open_store()
        given = store.write(lambda tx: entries.begin(tx, "a"), lazy=True)
        store.close()
        assert await given == (1, "ready")
        assert _has(open_store(), "run-a")

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
        last = again.read(lambda view: (view.last_seq(), view.entries_after(view.last_seq(), 10)))
        assert last == (3, []) and again.waiting == 0

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


def _append(no: int, expected: int, tx: Tx) -> int:
    return tx.append(no, expected, [entries.read(str(expected))])


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

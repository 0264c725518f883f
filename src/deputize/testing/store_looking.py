"""Every store: looking through what was recorded, backwards."""

from __future__ import annotations

from functools import partial

from deputize.ledger import SYSTEM, Draft
from deputize.sought import Sought
from deputize.store.protocol import Store, Tx, View
from deputize.testing import entries
from deputize.testing.entries import SteppedClock
from deputize.testing.store_case import Open, StoreCase

ALL = 2**62


class Looking(StoreCase):
    """What is found, and between which entries."""

    async def test_entries_are_found_newest_first_by_what_they_say(self, open_store: Open) -> None:
        store = open_store(SteppedClock())
        await _two_runs(store)
        found = store.read(lambda view: view.sought(Sought(), ALL, 0, 99))
        seqs = [one.entry.seq for one in found]
        assert seqs == sorted(seqs, reverse=True) and len(seqs) == 6
        assert seq_of(store, Sought(run=1)) == [4, 3, 1]
        assert seq_of(store, Sought(run=SYSTEM)) == [6]
        assert seq_of(store, Sought(text='ÖZIL, "the 10" 100%_')) == [4]
        assert seq_of(store, Sought(text="özil")) == [4] and seq_of(store, Sought(text="ozil")) == []
        assert seq_of(store, Sought(text="result")) == [], "names in an entry are no text of it"
        assert seq_of(store, Sought(person="maya")) == [6] and seq_of(store, Sought(person="may")) == []
        assert seq_of(store, Sought(operation="shop.get_order", run=1)) == [4, 3]
        assert seq_of(store, Sought(operation="shop")) == [5, 4, 3]
        assert seq_of(store, Sought(operation="sho")) == []
        assert seq_of(store, Sought(automation="nobody")) == []
        found = store.read(lambda view: view.sought(Sought(run=1), ALL, 0, 1))
        assert [(one.run, one.operation) for one in found] == [("run-a", "shop.get_order")]

    async def test_an_action_is_found_by_what_it_acts_on_to_its_end(self, store: Store) -> None:
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))

        def work(tx: Tx) -> None:
            version = tx.append(no, 1, [entries.intent("1", leases=["charge:7%"])])
            tx.append(no, version, [entries.doubt("1"), entries.intent("2", leases=["charge:77"])])

        await store.write(work)
        assert seq_of(store, Sought(resource="charge:7%")) == [3, 2]
        assert seq_of(store, Sought(resource="charge:7")) == []

    async def test_only_what_is_between_two_entries_is_looked_through(self, open_store: Open) -> None:
        store = open_store(SteppedClock())
        await _two_runs(store)
        found = store.read(lambda view: view.sought(Sought(), 5, 3, 99))
        assert [one.entry.seq for one in found] == [4, 3]

        def stretch(run: int | None, below: int, many: int) -> int:
            return store.read(lambda view: view.stretch(run, below, many))

        assert (stretch(None, 7, 2), stretch(None, 3, 99)) == (5, 0)
        assert (stretch(1, 99, 2), stretch(1, 4, 1), stretch(1, 4, 9)) == (3, 3, 0)

    async def test_the_entries_of_one_type_are_found_in_a_stream(self, open_store: Open) -> None:
        store = open_store(SteppedClock())
        await _two_runs(store)
        found = store.read(lambda view: (view.entries_of(1, "read"), view.entries_of(2, "halted")))
        assert [[entry.seq for entry in one] for one in found] == [[3, 4], []]

    async def test_moments_are_found_by_halving(self, open_store: Open) -> None:
        clock = SteppedClock()
        store = open_store(clock)
        no, _ = await store.write(lambda tx: entries.begin(tx, "a"))
        for version in range(1, 8):
            clock.at_us += 1_000
            await store.write(partial(_read, no, version))
        times = [entry.at_us for entry in store.read(lambda view: view.entries(no))]
        for at, expected in ((times[0] - 1, 0), (times[0], 1), (times[4], 5), (times[4] + 1, 5), (ALL, 8)):
            assert store.read(partial(_at, at)) == expected
            assert store.read(partial(_version_at, no, at + 1)) == expected

    async def test_runs_are_found_by_how_they_ended(self, store: Store) -> None:
        for name, kind, label in (
            ("a", "done", ""),
            ("b", "failed", ""),
            ("c", "failed", "x"),
            ("d", "", ""),
        ):
            no, _ = await store.write(partial(entries.begin, id=name))
            if kind:
                end = entries.ended()
                end = Draft("ended", {**end.body, "kind": kind, "label": label})
                await store.write(partial(_end, no, end))

        def look(outcome: str, automation: str, below: int, down_to: int, limit: int) -> list[int]:
            found = store.read(lambda v: v.runs_sought(outcome, automation, below, down_to, limit))
            return [run.no for run in found]

        assert look("", "", 9, 0, 9) == [4, 3, 2, 1]
        assert look("failed", "", 9, 0, 9) == [3, 2] and look("failed", "", 3, 0, 9) == [2]
        assert look("fail", "", 9, 0, 9) == [] and look("failed", "", 9, 0, 1) == [3]
        assert look("done", "nobody", 9, 0, 9) == []


def _read(no: int, version: int, tx: Tx) -> int:
    return tx.append(no, version, [entries.read(str(version))])


def _at(at_us: int, view: View) -> int:
    return view.seq_at(at_us)


def _version_at(no: int, at_us: int, view: View) -> int:
    return view.version_at(no, at_us)


def _end(no: int, end: Draft, tx: Tx) -> int:
    return tx.append(no, 1, [end])


async def _two_runs(store: Store) -> None:
    a, _ = await store.write(lambda tx: entries.begin(tx, "a"))
    b, _ = await store.write(lambda tx: entries.begin(tx, "b"))
    await store.write(lambda tx: tx.append(a, 1, [entries.read("1", result={"x": 1})]))
    said = {"to": 'Mesut Özil, "the 10" 100%_'}
    await store.write(lambda tx: tx.append(a, 2, [entries.read("2", result=said)]))
    await store.write(lambda tx: tx.append(b, 1, [entries.read("1")]))
    halted = {"scope": "all", "reason": "", "person": "maya"}
    await store.write(lambda tx: tx.append(SYSTEM, 0, [Draft("halted", halted)]))


def seq_of(store: Store, sought: Sought) -> list[int]:
    """What is found: the numbers of its entries."""
    return [one.entry.seq for one in store.read(lambda view: view.sought(sought, ALL, 0, 99))]

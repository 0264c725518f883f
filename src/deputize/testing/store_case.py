"""What the parts of the store's suite share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize import canonical
from deputize.clock import Clock, SystemClock
from deputize.ledger import Entry
from deputize.store.protocol import Store, Tx
from deputize.testing import entries
from deputize.testing.entries import SteppedClock
from deputize.testing.store_child import resolve

Open = Callable[..., Store]


class StoreCase:
    """Opens the stores of a test. `factory` names the function that opens one; see `StoreSuite`."""

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


def body_of(entry: Entry) -> dict[str, Any]:
    """The body of an entry that was not erased."""
    assert entry.body is not None
    return dict(entry.body)

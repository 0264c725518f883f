"""Nothing of an erased text is left in the file, its log or its free pages."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deputize import canonical
from deputize.ledger import INLINE_BYTES_MAX, Draft
from deputize.store.erasure import erase_run
from deputize.store.protocol import Tx
from deputize.store.sqlite.store import SqliteStore
from deputize.testing import entries
from deputize.testing.entries import SteppedClock
from deputize.testing.store_suite import sound

NAME = "Ann Smith of Kew Gardens"


def _write_run(tx: Tx, name: str, text: str) -> int:
    """A run that holds a text in every place where a run can hold one."""
    no, _ = entries.begin(tx, name, key=f"customer:{text}", data={"customer": text})
    large = tx.place(canonical.encode({"text": text * (INLINE_BYTES_MAX // 20)}))
    drafts = [
        entries.intent("1", request=text, leases=[f"customer:{text}"]),
        entries.doubt("1"),
        entries.card("1", f"Was {text} refunded?", evidence=text),
        Draft("receipt", {"path": "1", "result": large} | entries.released(leased=True, was="doubtful")),
        entries.read("2", result={"name": text}),
        entries.waiting("3", type="mail.came", matching={"from": text}),
        entries.woke("3"),
        entries.ended(key=f"customer:{text}", reason=f"{text} was refunded"),
    ]
    tx.append(no, 1, drafts)
    for n in range(2):
        tx.answer(no, "1", "happened", {"told": text, "n": n}, "maya")
    return no


def _found(place: Path, text: str) -> list[str]:
    return [path.name for path in sorted(place.iterdir()) if text.encode() in path.read_bytes()]


@pytest.mark.parametrize("reading", [False, True])
async def test_no_byte_of_an_erased_text_is_left(tmp_path: Path, reading: bool) -> None:
    store = SqliteStore(tmp_path / "ledger.db", SteppedClock())
    other = "Bob Jones of Kew Green"
    for n in range(30):
        await store.write(lambda tx, n=n: _write_run(tx, f"before-{n}", other))
    no = await store.write(lambda tx: _write_run(tx, "a", NAME))
    for n in range(30):
        await store.write(lambda tx, n=n: _write_run(tx, f"after-{n}", other))
    await store.write(lambda tx: tx.set_event_state(31, "waiting"))
    assert _found(tmp_path, NAME)
    if reading:
        # A reader in the middle keeps the log as it is; the next commit after it empties it.
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM entry").fetchone()
            await store.write(lambda tx: erase_run(tx, no, 0))
            assert _found(tmp_path, NAME)
        await store.write(lambda tx: None)
    else:
        await store.write(lambda tx: erase_run(tx, no, 0))
    # The future is done with the commit; the log is emptied right behind it, before the next one.
    await store.write(lambda tx: None)
    assert _found(tmp_path, NAME) == []
    assert _found(tmp_path, other)
    assert sound(store)
    event = store.read(lambda view: view.event(31))
    assert event is not None
    assert (event.occurrence.id, event.occurrence.data, event.occurrence.subject) == ("a", b"null", "")
    store.close()
    assert _found(tmp_path, NAME) == []
    again = SqliteStore(tmp_path / "ledger.db", SteppedClock())
    assert sound(again)
    again.close()

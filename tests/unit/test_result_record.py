"""A run's record holds what its code awaited, and nothing of what was done about the run afterwards."""

from __future__ import annotations

from typing import Any

from deputize.kernel.result import read_record
from deputize.ledger import Entry, EntryType


def entry(version: int, type: EntryType, body: dict[str, Any]) -> Entry:
    return Entry(version, 1, version, type, version, body)


def test_what_undoes_an_ended_run_is_not_in_its_record() -> None:
    intent = {"op": "desk.make", "digest": "d", "args": {}}
    record = read_record(
        [
            entry(1, "intent", {"path": "1", **intent}),
            entry(2, "receipt", {"path": "1", "result": 7}),
            entry(3, "ended", {"kind": "done"}),
            entry(4, "unwinding", {"path": "undo/", "steps": [], "left": []}),
            entry(5, "intent", {"path": "undo/1", **intent}),
            entry(6, "receipt", {"path": "undo/1", "result": 8}),
            entry(7, "unwound", {"path": "undo/", "left": []}),
        ],
        {},
    )
    assert list(record) == ["1"]
    assert record["1"].result is not None and record["1"].result.stored == b"7"

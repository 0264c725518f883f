"""What is asked often, and at each start, reads no table from end to end that only grows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from deputize.store.sqlite import schema
from deputize.store.sqlite.view import SqliteView

SMALL = (
    "run_unfinished",
    "action_unsettled",
    "inbox_open",
    "event_unanswered",
    "SEARCH sums USING PRIMARY KEY (what=?)",
)
"""Indexes of the unfinished alone, and the tallies, a row a state."""


@pytest.mark.parametrize(
    "ask",
    [
        lambda view: view.counts(),
        lambda view: view.actions_in(["open"], (0, ""), 500),
        lambda view: view.actions_in(["open", "doubtful"], (0, ""), 500),
        lambda view: view.runs(states=["ready", "stuck"], after=7, limit=500),
        lambda view: view.runs(states=["waiting"], before=7, limit=500),
    ],
    ids=["counts", "open", "unsettled", "ready", "waiting"],
)
def test_it_reads_no_more_for_what_is_finished(ask: Callable[[SqliteView], object]) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.migrate(db)
        asked: list[str] = []
        db.set_trace_callback(asked.append)
        ask(SqliteView(db))
        db.set_trace_callback(None)
        assert asked
        steps = [step for sql in asked for (*_, step) in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
    reads_much = [
        step
        for step in steps
        if ("SCAN" in step or "rowid>" in step or "(run,path)>" in step)
        and not any(name in step for name in SMALL)
    ]
    assert reads_much == []

"""What a ledger and a town have to say, read without changing either, as plain data to judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deputize.ledger import SYSTEM, Entry
from deputize.store.protocol import ActionRow, AnswerRow, CardRow, RunRow
from deputize.store.sqlite import checks
from deputize.store.sqlite.file import connect
from deputize.store.sqlite.rebuilding import rebuild
from deputize.store.sqlite.view import SqliteView

PAGE = 1_000
PAGES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """A person's approval as it stands in the ledger, used up or not."""

    no: int
    run: int
    path: str
    binding: str
    person: str
    at: int
    used: bool


@dataclass(frozen=True)
class LedgerEvidence:
    """A ledger, read on the file while nobody writes.

    `entries` are by run number, `facts` by (counter, subject, window), `budgets` are (held, spent) by
    (budget, window), `leases` (run number, path) by resource. `events` holds the data of kept events
    by seq, `known` their (source, id). `answers` and `approvals` are those of people, taken in (used up) or
    not; `system` is the stream that is no run's.
    """

    ledger_id: str
    runs: tuple[RunRow, ...]
    entries: Mapping[int, tuple[Entry, ...]]
    actions: tuple[ActionRow, ...]
    leases: Mapping[str, tuple[int, str]]
    budgets: Mapping[tuple[str, int], tuple[int, int]]
    facts: Mapping[tuple[str, str, int], int]
    events: Mapping[int, Any]
    known: frozenset[tuple[str, str]]
    cards: tuple[CardRow, ...]
    answers: tuple[AnswerRow, ...]
    approvals: tuple[ApprovalRow, ...]
    system: tuple[Entry, ...]
    flaws: tuple[str, ...]
    differences: tuple[str, ...]


@dataclass(frozen=True)
class TownEvidence:
    """A town's book of effects and its access log, from a point on."""

    book: tuple[Mapping[str, Any], ...] = ()
    access: tuple[Mapping[str, Any], ...] = ()


def read_ledger(path: Path) -> LedgerEvidence:
    """Everything in a ledger's file. Raises `StoreError` for what is no ledger."""
    with closing(connect(path, write=False)) as db:
        db.execute("BEGIN")
        view = SqliteView(db)
        runs = _all_runs(view)
        ledger_id = str(db.execute("SELECT value FROM setting WHERE name='ledger_id'").fetchone()[0])
        kept = _all_events(view)
        answers = db.execute("SELECT no, run, path, what, person, at FROM answer ORDER BY no").fetchall()
        return LedgerEvidence(
            ledger_id=ledger_id,
            runs=tuple(runs),
            entries={run.no: tuple(view.entries(run.no)) for run in runs},
            actions=tuple(action for run in runs for action in view.actions(run.no)),
            leases={r: (run, path) for r, run, path in db.execute("SELECT resource, run, path FROM lease")},
            budgets={(name, window): (held, spent) for name, window, held, spent in view.budgets()},
            facts={
                (counter, subject, window): value
                for counter, subject, window, value in db.execute(
                    "SELECT counter, subject, window, value FROM fact"
                )
            },
            events={event.seq: event.occurrence for event in kept},
            known=frozenset((event.occurrence.source, event.occurrence.id) for event in kept),
            cards=tuple(view.cards(limit=PAGE)),
            answers=tuple(
                AnswerRow(no, run, path, what, {}, who, at) for no, run, path, what, who, at in answers
            ),
            approvals=tuple(
                ApprovalRow(no, run, path, binding, person, at, bool(used))
                for no, run, path, binding, person, at, used in db.execute(
                    "SELECT no, run, path, binding, person, at, used FROM approval ORDER BY no"
                )
            ),
            system=tuple(view.entries(SYSTEM)),
            flaws=tuple(f"{f.stream}@{f.version}: {f.what}" for f in checks.verify(path, ledger_id)),
            differences=tuple(rebuild(path, replace=False)),
        )


def read_town(town: Any, *, book_after: int = 0, access_after: int = 0) -> TownEvidence:
    """What a `deputize.town.Town` has noted after these places."""
    return TownEvidence(tuple(town.book(book_after)), tuple(town.access_log(access_after)))


def keys_of(evidence: Sequence[Mapping[str, Any]]) -> list[str]:
    """The idempotency keys of rows of a book or an access log, in order."""
    return [str(row["key"]) for row in evidence if row["key"] is not None]


def _all_runs(view: SqliteView) -> list[RunRow]:
    runs: list[RunRow] = []
    for _ in range(PAGES_MAX):
        page = view.runs(after=runs[-1].no if runs else 0, limit=PAGE)
        runs.extend(page)
        if len(page) < PAGE:
            break
    return runs


def _all_events(view: SqliteView) -> list[Any]:
    events: list[Any] = []
    for _ in range(PAGES_MAX):
        page = view.events(after=events[-1].seq if events else 0, limit=PAGE)
        events.extend(page)
        if len(page) < PAGE:
            break
    return events

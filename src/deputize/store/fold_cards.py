"""The part of the fold that opens and closes cards in the inbox. See `deputize.store.fold`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deputize import canonical
from deputize.ledger import SYSTEM
from deputize.store.rates import Rates, Sums

Sql = Callable[[str, tuple[Any, ...]], Any]
Body = Mapping[str, Any]


def open_card(
    sql: Sql,
    rates: Rates,
    seq: int,
    run: int,
    run_id: str,
    path: str,
    kind: str,
    title: str,
    body: Body,
    at: int,
) -> None:
    """Something waits for a person from now on."""
    _put(sql, seq, run, run_id, path, kind, title, body, at)
    # A card of no run is about the automation that its path names.
    rates.see("card", path if run == SYSTEM else automation_of(sql, run), kind, at)


def neared(sql: Sql, sums: Sums, seq: int, stream: int, name: str, at: int, body: Body) -> None:
    """A budget is nearly used up. No automation has added that to the inbox, and news of an earlier window is
    old."""
    sums.rates.see("neared", body["budget"], body["window"], body["limit"], seq)
    close_cards(sql, stream, body["path"])
    _put(sql, seq, stream, name, body["path"], body["kind"], body["title"], body, at)


def proposed(sql: Sql, sums: Sums, seq: int, stream: int, name: str, at: int, body: Body) -> None:
    """Somebody asks for another number in a rule. No automation has added that to the inbox."""
    _put(sql, seq, stream, name, body["path"], body["kind"], body["title"], body, at)


def close_cards(sql: Sql, run: int, path: str) -> None:
    """Nothing at this place waits for a person any more."""
    sql("UPDATE inbox SET state='closed' WHERE run=? AND path=? AND state='open'", (run, path))


def automation_of(sql: Sql, run: int) -> str:
    """Whose run it is."""
    row = sql("SELECT automation FROM run WHERE no=?", (run,)).fetchone()
    return str(row[0]) if row else ""


def _put(
    sql: Sql, seq: int, run: int, run_id: str, path: str, kind: str, title: str, body: Body, at: int
) -> None:
    card = f"{run_id}/{path}" if path else run_id
    sql(
        "INSERT INTO inbox VALUES (?,?,?,?,?,?,?,?,'open')",
        (seq, card, kind, run, path, title, canonical.encode(dict(body)).decode(), at),
    )

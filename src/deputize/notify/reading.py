"""What there is to tell, read from a ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from deputize.approval import hand_on_of
from deputize.card import told_card
from deputize.notify.deciding import Card, asked_of
from deputize.notify.message import Item
from deputize.person import Directory
from deputize.store.protocol import CardRow, View
from deputize.store.telling import read_handed, read_waiting

PAGE = 200


@dataclass(frozen=True)
class Reach:
    """Who there is, and who of them can be told."""

    directory: Directory
    reached: Collection[str]


def new_cards(view: View, after: int, reach: Reach) -> list[Card]:
    """The open cards after a seq, at most a page of them."""
    return [_card(view, row, reach) for row in view.cards(after=after, limit=PAGE)]


def still_open(view: View, seq: int, reach: Reach) -> Card | None:
    """A card as it is now; None where it is closed."""
    row = open_card(view, seq)
    return None if row is None else _card(view, row, reach)


def open_card(view: View, seq: int) -> CardRow | None:
    """The open card of this seq."""
    found = view.cards(after=seq - 1, limit=1)
    return found[0] if found and found[0].seq == seq else None


def open_seqs(view: View) -> set[int]:
    """The seqs of all open cards."""
    seqs: set[int] = set()
    while page := view.cards(after=max(seqs, default=0), limit=PAGE):
        seqs |= {row.seq for row in page}
    return seqs


def item_of(view: View, row: CardRow, link: str, schemas: Mapping[str, str]) -> Item:
    """A card in words."""
    told = told_card(read_waiting(view, row), schemas)
    return Item(told | {"id": row.id, "kind": row.kind, "title": row.title}, link)


def _card(view: View, row: CardRow, reach: Reach) -> Card:
    run = view.run_no(row.run)
    approvals = view.approvals(row.run, row.path) if row.kind == "approval" else ()
    asked = asked_of(
        row.kind,
        row.body,
        row.at,
        run.automation if run is not None else str(row.body.get("automation", "")),
        reach.directory,
        reach.reached,
        approvals,
        hand_on_of(read_handed(view, row)),
    )
    due = row.body.get("due") if row.kind in ("approval", "question") else None
    return Card(row.seq, row.id, row.at, due, asked)

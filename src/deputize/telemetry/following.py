"""Following a ledger: spans and lines of its entries, in the order of their commits.

What an entry says may need an earlier one of its run (what was asked for, when it began). Those are
remembered while there is room; else the run's stream is read anew, and says the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from deputize.ledger import SYSTEM, Entry
from deputize.lines import ABOUT_RUNS, OPENS, Line, closed_line, line_of, opened_line
from deputize.span import OUTCOMES, TELLS, Open, Place, Run, Span, Trace, begun, opened
from deputize.store.protocol import CardRow, View

K = TypeVar("K")
V = TypeVar("V")

BATCH_MAX = 500
"""Entries that are read at one time."""

BEHIND_MAX = 200_000
"""Who is more entries behind than this goes on from there: what lies before is passed over, and counted."""

KNOWN_MAX = 20_000
STREAM_MAX = 10_000
"""Entries of one run that are read anew, at most."""

Read = Sequence[tuple[str, Entry]]


class Known(Generic[K, V]):
    """What is remembered; beyond `KNOWN_MAX` the oldest is forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        return self._known.get(key)

    def put(self, key: K, value: V) -> None:
        self._known[key] = value
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def drop(self, key: K) -> None:
        self._known.pop(key, None)


class Cursor:
    """Where one follower is: `after` the entry that it told last; `passed` counts those that it told nothing
    of."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.passed = 0

    def read(self, view: View) -> Read:
        """The next entries."""
        last = view.last_seq()
        if last - self.after > BEHIND_MAX:
            self.passed += last - BEHIND_MAX - self.after
            self.after = last - BEHIND_MAX
        return view.entries_after(self.after, BATCH_MAX)


class Told:
    """The lines of entries, one after the other, and of cards as they come and go. `view` says which cards
    wait at first."""

    def __init__(self, view: View) -> None:
        self._runs: Known[int, Run] = Known()
        self._cards: dict[int, CardRow] = {}
        after = 0
        while (page := view.cards(after=after, limit=BATCH_MAX)) and len(self._cards) < KNOWN_MAX:
            self._cards |= {card.seq: replace(card, body={}, title="") for card in page}
            after = page[-1].seq

    def of(self, view: View, read: Read) -> list[Line]:
        """What these entries tell. Of what is erased nothing is told."""
        found: list[Line] = []
        for name, entry in read:
            if entry.body is None:
                continue
            card = view.card(entry.seq) if entry.type in OPENS else None
            if card is not None:
                self._cards[card.seq] = replace(card, body={}, title="")
                found.append(opened_line(card.seq, card.kind, card.run_id, card.path, card.at))
            line = line_of(name, entry, self._run(view, name, entry))
            if line is not None:
                found.append(line)
        return found + list(self._closed(view, {entry.stream for _, entry in read}))

    def _closed(self, view: View, touched: set[int]) -> Iterator[Line]:
        """What nobody waits for any more: a card is closed by an entry of its own stream."""
        for card in [one for one in self._cards.values() if one.run in touched]:
            now = view.card(card.seq)
            if now is None or now.state != "open":
                del self._cards[card.seq]
                yield closed_line(card.seq, card.kind, card.run_id, card.path)

    def _run(self, view: View, name: str, entry: Entry) -> Run | None:
        if entry.stream == SYSTEM or entry.type not in ABOUT_RUNS:
            return None
        return run_of(self._runs, view, name, entry)


class Spans:
    """The spans of entries, one after the other."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._runs: Known[int, Run] = Known()
        self._open: Known[Place, Open] = Known()
        self.untold = 0
        """Entries that say too little, as one of another version may."""

    def of(self, view: View, read: Read) -> list[Span]:
        """What these entries bring to an end. Of what is erased nothing is told."""
        found: list[Span] = []
        for name, entry in read:
            try:
                found += self._of(view, name, entry)
            except (KeyError, TypeError, ValueError):
                self.untold += 1
        return found

    def _of(self, view: View, name: str, entry: Entry) -> Iterator[Span]:
        if entry.stream == SYSTEM or entry.type not in TELLS or entry.body is None:
            return
        if entry.type == "began":
            run_of(self._runs, view, name, entry)
            return
        if entry.type == "ended":
            run = run_of(self._runs, view, name, entry)
            self._runs.drop(entry.stream)
            if run is not None:
                yield self._trace.of_run(run, entry)
            return
        place = (entry.stream, str(entry.body["path"]))
        if entry.type not in OUTCOMES:
            self._open.put(place, opened(self._known(view, entry, place), entry))
            return
        run = run_of(self._runs, view, name, entry)
        if run is not None:
            yield from self._trace.of_action(run, self._known(view, entry, place), entry)
        if entry.type != "drift":
            self._open.drop(place)

    def _known(self, view: View, entry: Entry, place: Place) -> Open:
        """What was known of an action before an entry."""
        known = self._open.get(place)
        if known is not None:
            return known
        if _is_first(entry):
            return Open()
        known = Open()
        for one in view.entries(entry.stream, limit=min(entry.version - 1, STREAM_MAX)):
            if one.type in TELLS and (one.body or {}).get("path") == place[1]:
                known = opened(known, one)
        return known


def run_of(runs: Known[int, Run], view: View, name: str, entry: Entry) -> Run | None:
    """The run of an entry; None where its beginning was erased."""
    known = runs.get(entry.stream)
    if known is None:
        first = [entry] if entry.type == "began" else view.entries(entry.stream, limit=1)
        known = begun(name, first[0]) if first else None
        if known is not None:
            runs.put(entry.stream, known)
    return known


def _is_first(entry: Entry) -> bool:
    """Whether nothing was told of an action before this."""
    body = entry.body or {}
    match entry.type:
        case "read" | "rehearsed":
            return True
        case "asked":
            return not body["again"]
        case "intent":
            return body["round"] == 1 and "asked" not in body
    return body.get("was") == "new"

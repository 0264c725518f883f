"""What must hold of a restored copy, whatever was killed: more checks, as in `invariants.py`.

Line 21 of the specification: it starts halted, in a new epoch, and what was unfinished when the copy was made
is looked up or answered by a person before anything new starts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from deputize.kernel.stops import ALL
from deputize.ledger import Entry
from deputize.testing.case import Case

_SETTLED = ("receipt", "drift", "declined", "refused", "abandoned")
NEVER = 2**62
PROVED = "which proves it was not done"
"""How the reason of an attempt ends that a look-up has led to."""

Place = tuple[int, str]
"""Run and path."""


@dataclass(frozen=True)
class Copy:
    """A time at which the ledger was restored.

    `until` is the place in the ledger where a person let it go on, `left` the writes that were unfinished,
    with their keys, `settled` where each of them had its outcome, and `provable` those of which a look-up can
    prove that they were not done.
    """

    entry: Entry
    until: int
    left: dict[Place, str]
    settled: dict[Place, int]
    provable: set[Place]


def nothing_starts_in_a_restored_copy_that_is_halted(case: Case) -> Iterator[str]:
    """Between a restore and a person's word nothing starts, and nothing is sent again."""
    for copy in copies(case):
        for run, entry in _entries(case):
            if entry.type in ("intent", "attempt") and copy.entry.seq < entry.seq < copy.until:
                path = (entry.body or {})["path"]
                yield f"{run}/{path}: {entry.type} in a restored copy that nobody has let go on"


def a_restored_copy_answers_its_doubts_first(case: Case) -> Iterator[str]:
    """It goes on when all that was unfinished has its outcome, or was proved by a look-up not to have been
    done: that alone is sent again, once it goes on."""
    for copy in copies(case):
        for place in copy.left.keys() - copy.provable:
            if copy.until < min(copy.settled.get(place, NEVER), NEVER):
                yield f"{place}: the copy went on while it was in doubt"
        for _, entry in _entries(case):
            place = (entry.stream, str((entry.body or {}).get("path", "")))
            if entry.seq <= copy.entry.seq or entry.type not in ("intent", "attempt"):
                continue
            if place in copy.left and not (place in copy.provable and _proved(entry, copy.until)):
                yield f"{place}: it was unfinished when the copy was made, and is sent again"
        again = Counter(
            copy.left[place]
            for _, entry in _entries(case)
            if (place := (entry.stream, str((entry.body or {}).get("path", "")))) in copy.provable
            and _proved(entry, copy.until)
        )
        keys = set(copy.left.values())
        for row in case.town.access if case.same_clock else ():
            at_us = datetime.fromisoformat(row["at"]).timestamp() * 1_000_000
            if row["method"] == "GET" or row["key"] not in keys or at_us <= copy.entry.at_us:
                continue
            again[row["key"]] -= 1
            if again[row["key"]] < 0:
                yield f"key {row['key']}: it was unfinished when the copy was made, and was asked for again"


def each_owner_has_an_epoch_of_its_own(case: Case) -> Iterator[str]:
    """Whoever takes the ledger, or restores a copy of it, does so in a higher epoch than any before."""
    last = 0
    for entry in case.ledger.system:
        if entry.type in ("opened", "restored"):
            epoch = (entry.body or {})["epoch"]
            if epoch <= last:
                yield f"{entry.type} in epoch {epoch}, after epoch {last}"
            last = epoch


RESTORED: tuple[Callable[[Case], Iterator[str]], ...] = (
    nothing_starts_in_a_restored_copy_that_is_halted,
    a_restored_copy_answers_its_doubts_first,
    each_owner_has_an_epoch_of_its_own,
)


def copies(case: Case) -> list[Copy]:
    """Every time that the ledger was restored, in order."""
    return [_copy(case, entry) for entry in case.ledger.system if entry.type == "restored"]


def _copy(case: Case, restored: Entry) -> Copy:
    until = next(
        (
            entry.seq
            for entry in case.ledger.system
            if entry.seq > restored.seq and entry.type == "resumed" and (entry.body or {})["scope"] == ALL
        ),
        NEVER,
    )
    left: dict[Place, str] = {}
    provable: set[Place] = set()
    settled: dict[Place, int] = {}
    for _, entry in _entries(case):
        body = entry.body or {}
        place = (entry.stream, str(body.get("path", "")))
        if entry.seq < restored.seq:
            if entry.type == "intent" and _writes(case, body["op"]):
                left[place] = body["key"]
                if _provable(case, body["op"]):
                    provable.add(place)
            elif entry.type in _SETTLED:
                left.pop(place, None)
        elif entry.type in _SETTLED and place in left:
            settled.setdefault(place, entry.seq)
    return Copy(restored, until, left, settled, provable)


def _proved(entry: Entry, until: int) -> bool:
    """Whether this sends again, once all goes on, what a look-up has proved not to have been done."""
    because = str((entry.body or {}).get("because", ""))
    return entry.type == "attempt" and entry.seq > until and because.endswith(PROVED)


def _provable(case: Case, operation: str) -> bool:
    contract = case.contracts.get(operation)
    return contract is not None and contract.lookup_conclusive


def _writes(case: Case, operation: str) -> bool:
    contract = case.contracts.get(operation)
    return contract is None or contract.effect == "write"


def _entries(case: Case) -> Iterator[tuple[str, Entry]]:
    """Every entry of every run, in order, with the run's id."""
    for run in case.ledger.runs:
        for entry in case.ledger.entries[run.no]:
            yield run.id, entry

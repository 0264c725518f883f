"""What a past run really did, from its entries: the world in which its event is rehearsed, and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deputize.event import Occurrence
from deputize.finding import Findings, finding_of_body, is_child
from deputize.foretold import Did, Outcome, Really
from deputize.kernel.intake import sender_of
from deputize.kernel.result import CHANGED, Known, Record, Result, read_record
from deputize.ledger import Entry
from deputize.operation import Operation
from deputize.store.protocol import RunRow, View
from deputize.taking import Taken, taken
from deputize.undo import UNDO

_OUTCOMES: Mapping[str, Outcome] = {
    "value": "done",
    "unmet": "done",
    "declined": "declined",
    "expired": "expired",
}


_ASK = "ask"


@dataclass
class Recalled:
    """One await of a past run. `seq` and `at_us` are those of the entry by which it was judged last; `takes`
    is what it took of budgets and facts and has not given back, `findings` what was found out about it."""

    did: Did
    known: Known
    seq: int
    at_us: int
    takes: dict[Taken, int]
    findings: Findings
    over: int
    """The seq of its latest entry: what is new in the code comes after that."""
    used: bool = False
    """A rehearsed await stands in its place."""

    @property
    def answered(self) -> bool:
        """Whether it had an answer of its service, or what it waited for came (or did not, in time)."""
        return self.did.outcome in ("done", "declined", "expired")


@dataclass
class Past:
    """A past event, its run and all that it did."""

    row: RunRow
    event: Occurrence
    sender: str
    params: Mapping[str, Any]
    first: int
    """The seq of the run's first entry."""
    awaits: dict[str, Recalled]
    end: str
    reached: int = 0
    """The latest entry in whose place the rehearsal has been."""
    _by_digest: dict[tuple[str, str], list[Recalled]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reached = self.first
        for path, one in self.awaits.items():
            if CHANGED not in path:
                alike = self._by_digest.setdefault((one.known.what, one.known.digest), [])
                alike.append(one)

    def find(self, path: str, what: str, digest: str) -> Recalled | None:
        """What was asked there with the same arguments, else the first elsewhere that is not used."""
        alike = self._by_digest.get((what, digest), ())
        here = self.awaits.get(path)
        if here is not None and not here.used and (here.known.what, here.known.digest) == (what, digest):
            found: Recalled | None = here
        else:
            found = next((one for one in alike if not one.used), None)
        return self._use(found)

    def changed(self, path: str) -> Recalled | None:
        """What stood in the place of an action whose arguments a person changed."""
        return self._use(self.awaits.get(path))

    def again(self, what: str, digest: str) -> Result | None:
        """The latest answer to a request that the rehearsal has used already, and makes once more."""
        alike = self._by_digest.get((what, digest), ())
        found = [one.known.result for one in alike if one.did.outcome == "done"]
        return found[-1] if found else None

    def _use(self, found: Recalled | None) -> Recalled | None:
        if found is not None:
            found.used = True
            self.reached = max(self.reached, found.over)
        return found

    def really(self) -> Really:
        """What the event really did, for comparison."""
        return Really(tuple(one.did for one in self.awaits.values()), self.end)


def recall(view: View, row: RunRow, operations: Mapping[str, Operation[..., Any]]) -> Past | None:
    """A past run from the ledger; None where it, or its event, was erased."""
    entries = view.entries(row.no)
    event = view.event(row.event)
    if event is None or not entries or any(entry.body is None for entry in entries):
        return None
    seqs = {e.body["event"]["seq"] for e in entries if e.type == "woke" and e.body and "event" in e.body}
    woke = {seq: found for seq in seqs if (found := view.event(seq)) is not None}
    if len(woke) < len(seqs):
        return None
    record = read_record(entries, {seq: found.occurrence.data for seq, found in woke.items()})
    first = entries[0].body or {}
    return Past(
        row,
        event.occurrence,
        sender_of(entries),
        dict(first.get("params", {})),
        entries[0].seq,
        _awaits(entries, record, operations),
        _end(entries),
    )


def _awaits(
    entries: Sequence[Entry], record: Record, operations: Mapping[str, Operation[..., Any]]
) -> dict[str, Recalled]:
    judged: dict[str, Entry] = {}
    last: dict[str, Entry] = {}
    asked: set[str] = set()
    takes: dict[str, dict[Taken, int]] = {}
    for entry in entries:
        body = entry.body or {}
        path = body.get("path")
        if path is None or path.startswith(UNDO) or is_child(path) or entry.type == "card":
            continue
        last[path] = entry
        if entry.type == "asked":
            asked.add(path)
        if entry.type in ("intent", "asked") or path not in judged:
            judged[path] = entry
        for what, amount in taken(entry.type, body):
            sums = takes.setdefault(path, {})
            sums[what] = sums.get(what, 0) + amount
    found = {}
    for path, known in record.items():
        if is_child(path):
            # What was found out about an await is none of the code's own.
            continue
        entry, end = judged[path], last[path]
        did = Did(
            path,
            known.what,
            known.digest,
            known.args,
            _writes(known.what, operations),
            _outcome(known, end),
            path in asked or known.what == _ASK,
            known.result.reason if known.result is not None else "",
        )
        found[path] = Recalled(
            did, known, entry.seq, entry.at_us, takes.get(path, {}), _findings(entry), end.seq
        )
    return found


def _findings(entry: Entry) -> Findings:
    found = [finding_of_body(one) for one in (entry.body or {}).get("findings", ())]
    return {one.inquiry: one for one in found}


def _writes(what: str, operations: Mapping[str, Operation[..., Any]]) -> bool:
    operation = operations.get(what)
    if operation is not None:
        return operation.contract.effect == "write"
    # An operation that is gone; waits have no dot in their names, but for the type of an event.
    return what.startswith("send ") or ("." in what and " " not in what)


def _outcome(known: Known, end: Entry) -> Outcome:
    body = end.body or {}
    if known.changed is not None:
        return "by people"
    if known.result is None:
        return "open"
    if known.result.kind in _OUTCOMES:
        return _OUTCOMES[known.result.kind]
    if body.get("by") and isinstance(body["by"], dict):
        return "by people"
    # What was sent, or read, and had no answer says so after it was let through.
    return "refused" if body.get("was") in ("new", "asking") and "ruleset" not in body else "failed"


def _end(entries: Sequence[Entry]) -> str:
    """How the run ended by itself; empty where it has not, or a person ended it."""
    ended = next((entry.body for entry in reversed(entries) if entry.type == "ended"), None)
    if ended is None or ended["kind"] == "cancelled":
        return ""
    return f"{ended['kind']}({ended['label']})" if ended["label"] else str(ended["kind"])

"""The life of every action, read from a run's entries: its rounds, sendings, doubts and outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deputize.ledger import Entry
from deputize.taking import COST
from deputize.testing.evidence import LedgerEvidence

DONE = frozenset({"receipt", "drift"})
NOT_DONE = frozenset({"declined", "refused"})
_OUTCOMES = DONE | NOT_DONE | {"abandoned"}


@dataclass(frozen=True)
class Sending:
    """One attempt as it was made durable. `after_doubt` is the `give_up_at` of the doubt it follows."""

    n: int
    at_us: int
    was: str
    after_doubt: int | None
    proved_absent: bool


@dataclass
class Round:
    """One round of an action: one key, and what became of it.

    `released` is whether a later round let go what this one held, `answered` how many of its entries
    came by a person's word, `cost_usd_micros` what its receipt says it cost, if its price depends on its use.
    """

    run: int
    run_id: str
    path: str
    operation: str
    key: str
    round: int
    args: Mapping[str, Any]
    leases: tuple[str, ...]
    holds: tuple[tuple[str, int, int], ...]
    counted: tuple[tuple[str, str, int, int], ...]
    under_way: tuple[tuple[str, str, int, int], ...]
    sends: list[Sending]
    outcomes: tuple[str, ...] = ()
    doubts: list[int] = field(default_factory=list)
    released: bool = False
    released_spent: bool = False
    answered: int = 0
    cost_usd_micros: int | None = None

    @property
    def place(self) -> str:
        """For people: the action and its operation."""
        return f"{self.run_id}/{self.path} ({self.operation}, round {self.round})"

    @property
    def unsettled(self) -> bool:
        """Open or doubtful."""
        return not self.outcomes and not self.released

    @property
    def spends(self) -> bool:
        """Whether what it held counts as used."""
        return self.released_spent or bool(self.outcomes and self.outcomes[0] not in NOT_DONE)

    def spent_of(self, held: int) -> int:
        """What is used of so much that it held."""
        if not self.spends:
            return 0
        return held if self.cost_usd_micros is None else min(held, self.cost_usd_micros)


def histories(ledger: LedgerEvidence) -> dict[tuple[int, str], list[Round]]:
    """Every action that had an intent, by run and path, with its rounds in order."""
    found: dict[tuple[int, str], list[Round]] = {}
    for run in ledger.runs:
        for entry in ledger.entries[run.no]:
            body = entry.body
            if body is not None and "path" in body:
                _take(found.setdefault((run.no, body["path"]), []), run.id, entry, body)
    return {place: rounds for place, rounds in found.items() if rounds}


def rounds_of(ledger: LedgerEvidence) -> list[Round]:
    """Every round of every action that had an intent."""
    return [one for rounds in histories(ledger).values() for one in rounds]


def _take(rounds: list[Round], run_id: str, entry: Entry, body: Mapping[str, Any]) -> None:
    if entry.type == "intent":
        rounds.append(_begun(rounds, run_id, entry, body))
    elif not rounds:
        return
    elif entry.type == "attempt":
        last = rounds[-1]
        doubt = last.doubts[-1] if last.doubts else None
        last.doubts.clear()
        proved = "proves" in body["because"]
        last.sends.append(Sending(body["n"], entry.at_us, body["was"], doubt, proved))
    elif entry.type == "doubt":
        rounds[-1].doubts.append(body["give_up_at"])
    elif entry.type in _OUTCOMES:
        rounds[-1].outcomes += (entry.type,)
        rounds[-1].answered += _by_person(body)
        rounds[-1].cost_usd_micros = body.get(COST)
        rounds[-1].released_spent |= bool(body.get("spend"))


def _begun(rounds: list[Round], run_id: str, entry: Entry, body: Mapping[str, Any]) -> Round:
    answered = 0
    if rounds:
        rounds[-1].released = True
        rounds[-1].released_spent = body["released"]["spend"]
        answered = int("asks for it again" in body["because"])
    return Round(
        entry.stream,
        run_id,
        body["path"],
        body["op"],
        body["key"],
        body["round"],
        body["args"] if isinstance(body["args"], dict) else {},
        tuple(body["leases"]),
        tuple((b, w, a) for b, w, a in body["holds"]),
        tuple((c, s, w, n) for c, s, w, n in body["counted"]),
        tuple((c, s, w, n) for c, s, w, n in body.get("under_way", ())),
        [Sending(1, entry.at_us, "new", None, False)],
        answered=answered,
    )


def _by_person(body: Mapping[str, Any]) -> int:
    by = body.get("by")
    return int(isinstance(by, dict) and "person" in by)

"""What became of the mails that a model read, and what it took. All pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAIL = "shop.mail.received"
THINK = ".think"
PASSED_ON = "passed-on"
RIGHT_SHARE_MIN = 0.9
"""Of the mails that a stand-in reads, but for one where there are few."""
LOCAL, STAND_IN = "local", "stand-in"
READERS = {LOCAL: "a small model on this machine", STAND_IN: "a stand-in for a model"}
"""Who may read them, for people."""


@dataclass
class Reading:
    """What the ledger says of it so far. `stopped` is how often each rule or verifier stopped a step."""

    thoughts: int = 0
    cost_usd_micros: int = 0
    stopped: Counter[str] = field(default_factory=Counter)

    def take(self, kind: str, body: Mapping[str, Any], operation: str) -> None:
        """Take in an entry of a mail's run; `operation` is that of its action, if it has one."""
        if kind in ("receipt", "refused", "declined") and operation.endswith(THINK):
            self.thoughts += 1
            self.cost_usd_micros += body.get("cost_usd_micros") or 0
        if kind == "refused" and body["was"] == "new" and body["rules"]:
            self.stopped[body["reason"].removeprefix("refused by ")] += 1
        if kind == "asked":
            against = [one for one in body.get("findings", ()) if one["says"] == "disagree"]
            self.stopped.update(f"{one['verifier']}: {one['reason']}" for one in against)


@dataclass(frozen=True)
class Mails:
    """How many ended as a good shop would have ended them, how many went to a person instead, and how many
    were answered otherwise; of `answered`, all that did not go to a person, what one cost."""

    total: int
    right: int
    passed_on: int
    otherwise: int
    answered: int
    thoughts: int
    cost_usd_micros: int
    stopped: Mapping[str, int]

    def says(self, reader: str) -> str:
        """For people."""
        each = self.cost_usd_micros / max(1, self.answered) / 1_000_000
        stopped = ", ".join(f"{count} by {name}" for name, count in sorted(self.stopped.items()))
        return (
            f"{self.total} mails, read by {READERS[reader]}: {self.right} ended as a good shop would have "
            f"ended them, {self.passed_on} went to a person instead, {self.otherwise} were answered "
            f"otherwise; {self.thoughts} thoughts, {each:.4f} USD for each that was answered; "
            f"steps that were stopped: {stopped or 'none'}"
        )


def mails_of(expected: Iterable[Mapping[str, Any]], outcomes: Mapping[str, str], reading: Reading) -> Mails:
    """The figures, from what the town expected and what came of it."""
    ended = [
        (row["outcome"], outcomes[row["event_id"]])
        for row in expected
        if row["type"] == MAIL and row["event_id"] in outcomes
    ]
    right = sum(wanted == came for wanted, came in ended)
    passed_on = sum(came == PASSED_ON != wanted for wanted, came in ended)
    return Mails(
        len(ended),
        right,
        passed_on,
        len(ended) - right - passed_on,
        sum(came != PASSED_ON for _, came in ended),
        reading.thoughts,
        reading.cost_usd_micros,
        dict(reading.stopped),
    )


def overpaid(book: Iterable[Mapping[str, Any]], expected: Iterable[Mapping[str, Any]]) -> list[str]:
    """The charges of which more was given back than was due."""
    due = {row["charge"]: row["refund_minor"] for row in expected}
    back: Counter[str] = Counter()
    for row in book:
        if row["operation"] == "refund":
            back[row["resource"]] += row["amount_minor"]
    return sorted(
        f"{charge}: {minor / 100:.2f} of {due.get(charge, 0) / 100:.2f} due"
        for charge, minor in back.items()
        if minor > due.get(charge, 0)
    )

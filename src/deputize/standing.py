"""What a run waits for, and who is in its way. Pure.

`kernel/standing.py` knows what is in memory, `store/standing.py` what is in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

from deputize.clock import iso, to_datetime

StandKind = Literal["resource", "turn", "pause", "circuit", "stop", "place"]
WaitKind = Literal[
    "key", "lease", "under_way", "line", "turn", "pause", "circuit", "stop", "place", "answer", "doubt",
    "approval", "question", "timer", "event", "unwind",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stand:
    """What a run in memory stands in line for: a `resource` (or what is under way), a `turn` (the scope whose
    lane is full), the end of a `pause` (a connector), of an open `circuit` (a connector, with why it is open,
    and when it may be tried), of a `stop` (its scope), or a `place` in memory."""

    kind: StandKind
    name: str
    why: str = ""
    until: int | None = None


@dataclass(frozen=True, slots=True)
class WaitsFor:
    """One thing that a run waits for. `what` names it; `by` is the action (`run/path`) or run that is in its
    way, and `operation` what that does, empty where none is; `why` says why a circuit is open; times are
    ledger time."""

    kind: WaitKind
    what: str
    by: str = ""
    operation: str = ""
    since: int | None = None
    until: int | None = None
    why: str = ""

    def sentence(self, when: Callable[[int], str]) -> str:
        """The end of a sentence that begins with "waits for"; `when` says a moment."""
        since = f" since {when(self.since)}" if self.since is not None else ""
        until = f" until {when(self.until)}" if self.until is not None else ""
        match self.kind:
            case "key":
                return f"run {self.by}, which came before it for {self.what}"
            case "lease":
                return f"{self.what}, which action {self.by} ({self.operation}) holds{since}"
            case "under_way":
                return f"the end of {self.operation} (action {self.by}), which is under way{since}"
            case "line":
                return f"{self.what}, for which others came first"
            case "turn":
                return f"its turn: as much is under way for {self.what} as may be"
            case "pause":
                return f"the end of a pause, after which {self.what} is tried again"
            case "circuit":
                again = f"at {when(self.until)}" if self.until is not None else "next"
                return f"{self.what}, which is down: {self.why}; it is tried again {again}"
            case "stop":
                return f"the end of a halt or a pause of {self.what}"
            case "place":
                return "a place in memory"
            case "answer":
                return f"the answer to {self.operation} (action {self.by}), sent{since}"
            case "doubt":
                return f"what became of {self.operation} (action {self.by}), of which nobody knows{since}"
            case "approval" | "question":
                return f"people's answer to the card {self.by}{until}"
            case "timer":
                return f"its time, {when(self.until)}" if self.until is not None else "its time"
            case "event":
                return f"an event{until}"
            case "unwind":
                return "the end of its undoing"

    def shown(self, when: Callable[[int], str]) -> dict[str, Any]:
        """As plain data, with the sentence as `said`."""
        return {
            "kind": self.kind,
            "what": self.what,
            "by": self.by,
            "operation": self.operation,
            "since": iso(self.since) if self.since is not None else None,
            "until": iso(self.until) if self.until is not None else None,
            "said": f"waits for {self.sentence(when)}",
        }


def moment(at_us: int, zone: ZoneInfo) -> str:
    """A moment (ledger time) in a zone."""
    return f"{to_datetime(at_us).astimezone(zone):%d %b %Y, %H:%M:%S}"


def line_of(counter: str, subject: str) -> str:
    """The line of those that wait until what is counted so is not under way any more."""
    return f"{counter}: {subject}" if subject else counter

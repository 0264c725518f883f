"""What a store's queries give: rows as plain data. Times are ledger time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deputize.event import Occurrence

Count = tuple[str, str, int, int]
"""A counted fact: counter, subject, start of its window (ledger time), weight."""

Hold = tuple[str, int, int]
"""A reservation: budget, start of its window (ledger time), amount."""

RunState = Literal["ready", "waiting", "behind", "doubtful", "stuck", "ended"]
EventState = Literal["answered", "waiting", "unanswered"]


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as the projections have it."""

    no: int
    id: str
    automation: str
    agent: str
    event: int
    key: str | None
    priority: int
    state: str
    label: str
    reason: str
    began_at: int
    ended_at: int | None
    version: int


@dataclass(frozen=True, slots=True)
class ActionRow:
    """An action as the projections have it. `intent` is the seq of its latest intent, 0 for none."""

    run: int
    run_id: str
    path: str
    operation: str
    state: str
    digest: str
    key: str
    round: int
    attempts: int
    first_sent: int
    give_up_at: int
    connector_version: str
    agent: str
    intent: int
    at: int
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class WaitRow:
    """What a waiting run waits for. `due` is ledger time, None for no end."""

    run: int
    path: str
    kind: str
    due: int | None


@dataclass(frozen=True, slots=True)
class EventRow:
    """A kept event. `state` is `answered`, `waiting` (some run waits for its kind) or `unanswered`."""

    seq: int
    occurrence: Occurrence
    received_at: int
    state: str


@dataclass(frozen=True, slots=True)
class CardRow:
    """Something that waits for a person."""

    seq: int
    id: str
    kind: str
    run: int
    run_id: str
    path: str
    title: str
    body: Mapping[str, Any]
    at: int
    state: str


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """A person's own record about a card, a run or an action; the owner takes it in."""

    no: int
    run: int
    path: str
    what: str
    body: Mapping[str, Any]
    person: str
    at: int

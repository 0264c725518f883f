"""A run in memory: its coroutine, its record, and what it waits for at this moment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from deputize.action import Action
from deputize.agent import PRIORITY
from deputize.automation import Automation, Outcome
from deputize.awaiting import Awaiting, Step
from deputize.event import Occurrence
from deputize.finding import CHILD
from deputize.kernel.lanes import Rank
from deputize.kernel.result import Record, Result
from deputize.origins import Origins

ACTIONS_MAX = 1_000
"""What one run may await, each part of a `together` counted; more goes on by `continue_with`."""


UNSETTLED = frozenset({"open", "doubtful", "drifted"})


@dataclass(slots=True)
class Leaf:
    """One thing that the run awaits now: its path, and whether a failure is raised or returned."""

    path: str
    awaiting: Awaiting[Any]
    raises: bool
    result: Result | None = None
    changers: tuple[str, ...] = ()
    """Who changed its arguments; its path is then that of the action in its place."""
    carried: bool = False
    """The gate has it in hand."""
    again: bool = False
    """Something has changed since the gate looked."""


@dataclass(slots=True)
class LiveRun:
    """One run in memory. `version` is changed by the writer alone, everything else by the loop or,
    while a step is under way, by the driver."""

    no: int
    id: str
    automation: Automation
    event: Occurrence
    event_seq: int
    params: dict[str, Any]
    key: str | None
    began_us: int
    version: int
    record: Record
    step: Step
    sender: str = ""
    """The person who sent its event, if one did: a requester of all that it asks for."""
    context: Context = field(default_factory=Context)
    coroutine: Coroutine[Any, Any, Any] | None = None
    turn: int = 0
    asked: int = 0
    """How much it has awaited so far, each part of a `together` counted."""
    recorded_to: int = 0
    """The last turn that the record had when this run was brought into memory."""
    widths: dict[int, int] = field(default_factory=dict)
    """How many awaits that record had at each turn."""
    leaves: list[Leaf] = field(default_factory=list)
    together: bool = False
    busy: int = 0
    """Actions of this run that the gate has in hand."""
    stepping: bool = False
    cancel: str = ""
    throwing: bool = False
    """Its cancellation is being written: nothing else steps it until that is known."""
    carded: bool = False
    waited: bool = False
    was_stuck: bool = False
    kept: asyncio.Future[Any] | None = None
    """The commit of its event, while that is on its way."""
    stands_in: bool = False
    """Not in memory: only to judge and to write by, as the ledger has it."""
    discarded: bool = False
    """Appends failed, or it was evicted: what is still under way for it is not delivered."""

    async def is_kept(self) -> bool:
        """A write waits for its own commit; a read has none, and waits for that of its run's event."""
        kept = self.kept
        if kept is None:
            return True
        await asyncio.wait([kept])
        return kept.exception() is None

    def is_over(self) -> bool:
        """Whether nothing new of it may start: it is being cancelled, or has left memory."""
        return bool(self.cancel) or self.discarded

    def pending(self, leaves: Iterable[Leaf]) -> set[str]:
        """The states of what is awaited, and of inquiries about that, as far as nothing has come of it."""
        awaited = tuple(leaf.path + CHILD for leaf in leaves)
        known = (one for path, one in self.record.items() if f"{path}{CHILD}".startswith(awaited))
        return {one.state for one in known if one.result is None}

    def in_doubt(self) -> bool:
        """Whether something of what it awaits is, or of an inquiry about that."""
        return not self.pending(self.leaves).isdisjoint(UNSETTLED)

    def origins_of(self, action: Action[Any]) -> Origins:
        """Where the arguments of an action may come from: what it says itself, else all that was read."""
        return action.origins if action.origins is not None else Origins.anywhere(self.step.read)

    @property
    def rank(self) -> Rank:
        """Where it stands in a line."""
        agent = self.automation.agent
        return Rank(PRIORITY[agent.service_level], agent.name, self.automation.name)


@dataclass(frozen=True, slots=True)
class Asks:
    """A step ended at an await: these parts of it are new, or people were asked for them, and must be
    carried out."""

    run: LiveRun
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True, slots=True)
class Ends:
    """A step ended the run. `causes` is the chain of an uncaught failure, outermost first; `state` the
    type and data of the event that it goes on with; the outcome's details are plain JSON."""

    run: LiveRun
    kind: str
    outcome: Outcome
    reason: str = ""
    causes: tuple[dict[str, str], ...] = ()
    state: tuple[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Sticks:
    """A step cannot go on: the code does not match the record, or it held its thread (`held` says where)."""

    run: LiveRun
    reason: str
    ours: str = ""
    theirs: str = ""
    held: str = ""


Stepped = Asks | Ends | Sticks

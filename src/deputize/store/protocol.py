"""What the kernel asks of a store; nothing above knows which one it is.

A *work* is a plain function of a `Tx`. Each runs in a savepoint of its own inside a commit that it
shares with others, and its future is done only when that commit is on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from deputize.approval import Approval
from deputize.event import Occurrence
from deputize.ledger import Draft, Entry, Flaw
from deputize.store.figures import Added as Added
from deputize.store.figures import Decided as Decided
from deputize.store.figures import Failures, Figures
from deputize.store.looking import Found as Found
from deputize.store.looking import Looking
from deputize.store.rows import ActionRow as ActionRow
from deputize.store.rows import AnswerRow as AnswerRow
from deputize.store.rows import CardRow as CardRow
from deputize.store.rows import Count as Count
from deputize.store.rows import EventRow as EventRow
from deputize.store.rows import Hold as Hold
from deputize.store.rows import RunRow as RunRow
from deputize.store.rows import WaitRow as WaitRow

T = TypeVar("T")


class View(Figures, Looking, Protocol):
    """Reading."""

    def entries(self, run: int, after: int = 0, limit: int | None = None) -> list[Entry]:
        """A stream's entries from version `after + 1` on, at most `limit`, with blobs put back."""
        ...

    def entries_after(
        self,
        seq: int,
        limit: int,
        *,
        run: int | None = None,
        types: Sequence[str] = (),
        until: int | None = None,
    ) -> list[tuple[str, Entry]]:
        """Entries of all streams, or of one, in the order of their commits, with their run's id; of these
        types where any is given, and of those up to a seq."""
        ...

    def last_seq(self) -> int:
        """The seq of the latest entry; they are numbered without gaps."""
        ...

    def entry(self, seq: int) -> Entry | None:
        """One entry."""
        ...

    def run(self, run_id: str) -> RunRow | None:
        """A run by its id, or by a prefix that only one run has."""
        ...

    def run_no(self, no: int) -> RunRow | None:
        """A run by its number."""
        ...

    def runs(
        self,
        *,
        states: Sequence[str] = (),
        automation: str = "",
        agent: str = "",
        since: int | None = None,
        before: int | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[RunRow]:
        """Runs; newest first with `before` (a number, exclusive), else oldest first after `after`. `since` is
        the ledger time from which on they began."""
        ...

    def actions(self, run: int, after: str = "", limit: int | None = None) -> list[ActionRow]:
        """A run's actions, oldest first and then by path, at most `limit` of those after the path of one.

        Empty where it has no action of that path.
        """
        ...

    def action(self, run: int, path: str) -> ActionRow | None:
        """One action."""
        ...

    def answered(self, operation: str, digest: str, agent: str, after_us: int, limit: int) -> list[ActionRow]:
        """Questions to a model (of operations called `NAME.think`) with arguments of this digest that were
        sent, and answered after a time: the latest first, at most `limit`. Those of one agent, or where it is
        empty of all."""
        ...

    def receipt_of(self, action: ActionRow) -> Entry | None:
        """The receipt by which an action was settled."""
        ...

    def version(self, run: int) -> int:
        """The version of a stream."""
        ...

    def actions_in(self, states: Sequence[str], after: tuple[int, str], limit: int) -> list[ActionRow]:
        """Actions of all runs in these states, in (run, path) order after a place."""
        ...

    def unsettled_of(self, run: int, limit: int) -> list[ActionRow]:
        """A run's actions that are open or in doubt, by path, so many at most."""
        ...

    def waits(self, run: int) -> list[WaitRow]:
        """What a run waits for."""
        ...

    def due_waits(self, at_us: int, limit: int) -> list[WaitRow]:
        """Waits whose time has come, earliest first."""
        ...

    def next_due(self) -> int | None:
        """When the next wait is due."""
        ...

    def event(self, seq: int) -> EventRow | None:
        """A kept event."""
        ...

    def events(self, *, after: int, limit: int, state: str = "", type: str = "") -> list[EventRow]:
        """Events in the order of their arrival."""
        ...

    def cards(
        self,
        *,
        after: int = 0,
        limit: int = 100,
        state: str = "open",
        kinds: Sequence[str] = (),
        automation: str = "",
    ) -> list[CardRow]:
        """The inbox, of these kinds where any is given; a card of no run is about the automation that its
        path names."""
        ...

    def open_cards(self) -> int:
        """How many cards wait for people."""
        ...

    def card(self, seq: int) -> CardRow | None:
        """A card by the entry that made it, open or not."""
        ...

    def card_of(self, run: int, path: str) -> CardRow | None:
        """The open card of a place."""
        ...

    def cards_beside(self, seq: int) -> tuple[int, int, int]:
        """The open cards before and after a place in the inbox (0 where there is none), and how many come
        before it."""
        ...

    def has_card(self, run: int, path: str) -> bool:
        """Whether a card for this place is open."""
        ...

    def answers(self, limit: int) -> list[AnswerRow]:
        """Answers that the owner has not taken in."""
        ...

    def approvals(self, run: int, path: str) -> list[Approval]:
        """The approvals of an action that are not used, in the order in which they were given."""
        ...

    def approved_runs(self) -> list[int]:
        """Runs with an action that people are asked for and with an approval of it that is not used."""
        ...

    def waiting_beside(self) -> list[RunRow]:
        """Waiting runs that await several things at once: some of it may not have begun yet."""
        ...

    def unwinding_runs(self) -> list[int]:
        """Runs that are being undone."""
        ...

    def counts(self) -> dict[str, int]:
        """Numbers for metrics: `runs.<state>`, `actions.<state>`, `events`, `entries`, `cards`."""
        ...

    def leases(self) -> list[tuple[str, str, str]]:
        """Every lease: resource, run id, path."""
        ...

    def lease_holder(self, resources: Sequence[str]) -> tuple[str, int, str] | None:
        """A lease that is in the way: resource, run, path."""
        ...

    def run_before(self, run: RunRow) -> RunRow | None:
        """The nearest unfinished run before one that has its key: the one that it is behind."""
        ...

    def to_cancel(self) -> list[int]:
        """Runs that wait or can go on, and that a person has asked to cancel."""
        ...

    def used(self, budget: str, window: int) -> tuple[int, int]:
        """A budget's held and spent in a window."""
        ...

    def counted(self, counter: str, subject: str, window: int) -> int:
        """A fact's value."""
        ...

    def last_at(self) -> int:
        """The ledger's own time: that of its latest entry or kept event, whichever is later."""
        ...


class Tx(View, Failures, Protocol):
    """Writing, inside a savepoint. `at_us` is the ledger time of all that it writes."""

    @property
    def at_us(self) -> int: ...

    def append(self, stream: int, expected: int, drafts: Sequence[Draft]) -> int:
        """Append and project. Returns the stream's new version. Raises `Conflict`."""
        ...

    def place(self, stored: bytes, *, apart: bool = False) -> Any:
        """Canonical JSON for a body: inline, or by digest where it is large, or to be kept `apart`."""
        ...

    def flaw(self, stream: int) -> Flaw | None:
        """The first thing that is wrong with one stream's chain; erased bodies are not looked for."""
        ...

    def keep_event(self, occurrence: Occurrence, state: str) -> int | None:
        """Keep an event for ever. Returns its seq, or None where (source, id) is known already."""
        ...

    def set_event_state(self, seq: int, state: str) -> None:
        """Say what became of an event."""
        ...

    def begin_run(self, run_id: str, body: Mapping[str, Any]) -> tuple[int, str]:
        """A new run's number and state (`ready`, or `behind` a run with its key), with its first entry."""
        ...

    def next_with_key(self, automation: str, key: str) -> int | None:
        """The run with this key that is ready now, its predecessor having ended."""
        ...

    def waiting_for(self, occurrence: Occurrence) -> list[tuple[int, str]]:
        """The waits (run, path) that an event matches."""
        ...

    def kept_match(self, run: int, type: str, matching: Mapping[str, Any], after: int) -> EventRow | None:
        """The first kept event of a type that matches, after a seq, that this run has not used."""
        ...

    def answer(
        self,
        run: int,
        path: str,
        what: str,
        body: Mapping[str, Any],
        person: str,
        *,
        taken: bool = False,
    ) -> bool:
        """Record a person's answer, `taken` in already or not; False where the same one waits already."""
        ...

    def take_answer(self, no: int) -> None:
        """The owner has taken an answer in."""
        ...

    def approve(self, run: int, path: str, binding: str, person: str) -> bool:
        """Record a person's approval; False where they have given the same one, and it is not used yet."""
        ...

    def void_approvals(self) -> None:
        """No approval that was given until now is good any more; people are asked anew."""
        ...

    def use_approvals(self, numbers: Sequence[int]) -> None:
        """Use approvals up."""
        ...

    def wish(self, run: int) -> str:
        """What a person wishes for a run: `cancel`, `pause` or nothing."""
        ...

    def set_wish(self, run: int, wish: str) -> None:
        """Record a wish; empty takes it back."""
        ...

    def setting(self, name: str) -> str | None:
        """A small durable value (poll cursors, schedules, halts)."""
        ...

    def set_setting(self, name: str, value: str | None) -> None:
        """Set it, or remove it with None."""
        ...

    def settings(self, prefix: str) -> dict[str, str]:
        """All values whose name starts with `prefix`."""
        ...

    def kept(self, run: int) -> dict[str, Any]:
        """What an ended run leaves in the books once it is erased: plain data for its `erased` entry."""
        ...

    def erase(self, run: int, versions: Sequence[int]) -> int:
        """Erase bodies and salts, and the data of the run's event. Returns how many bodies went.

        Raises `StoreError` while another run on the same event has not ended. Call `erase_run`,
        which records it too.
        """
        ...


class Store(Protocol):
    """A ledger that this process owns. `commits` and `works` count those of this process; `waiting` works are
    given and not yet on disk."""

    ledger_id: str
    epoch: int
    commits: int
    works: int

    @property
    def waiting(self) -> int: ...

    def write(
        self, work: Callable[[Tx], T], *, lazy: bool = False, early: Callable[[T], None] | None = None
    ) -> asyncio.Future[T]:
        """Run a work in the next group commit; the future is done when that is on disk.

        A `lazy` work is one that nobody waits for: it waits a few milliseconds for the next one that
        somebody does wait for, to share its commit.

        `early` may be told on the loop what the work returned before that is on disk, so that what
        follows from it can be prepared, and given in time to share its commit. Where the commit then
        fails, so does every later work that builds on it: a number of a run is not given twice.

        Works run in the order in which they were given. Raises through the future whatever the
        work raised (its savepoint was rolled back alone), `StoreFull` where nothing could be written.
        """
        ...

    def read(self, query: Callable[[View], T]) -> T:
        """Run a query on a snapshot, in the calling thread."""
        ...

    def verify(self, progress: Callable[[int], None] | None = None) -> Iterator[Flaw]:
        """Check every entry, unerased body, salt and blob."""
        ...

    def rebuild(self, *, replace: bool) -> list[str]:
        """Fold all entries anew; returns the differences from the projections in use."""
        ...

    def backup(self, target: Path) -> None:
        """A consistent copy, while running."""
        ...

    def close(self) -> None:
        """Finish what was given, and let go of the ledger."""
        ...

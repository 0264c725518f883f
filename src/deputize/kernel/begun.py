"""An intent as its sending and settling need it: made where it starts, or read from the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deputize import canonical
from deputize.standing import line_of
from deputize.store.protocol import ActionRow, Count, Hold


@dataclass(frozen=True, slots=True)
class Begun:
    """An intent that is (about to be) durable: what its sending and settling need.

    `unproved` says that an earlier send with this key may have been done: what a later answer says of
    itself then proves nothing about it, and anything but "done" is a doubt. `waits`
    is that of its action.
    """

    run_no: int
    run_id: str
    path: str
    args: bytes
    key: str
    round: int
    attempt: int
    first_sent: int
    give_up_at: int
    connector_version: str
    code: str
    leases: tuple[str, ...]
    holds: tuple[Hold, ...]
    counted: tuple[Count, ...]
    expects: Mapping[str, Any]
    under_way: tuple[Count, ...] = ()
    unproved: bool = False
    waits: bool = True
    barred: Mapping[str, str] = field(default_factory=dict)
    """Of what its action weighs, the operations that rules barred when it started, and why."""
    due_us: int | None = None
    """Ledger time after which it is not to start any more, if there is one."""

    @property
    def frees(self) -> tuple[str, ...]:
        """What others may wait for until it is settled: its leases, and its being under way."""
        return self.leases + tuple(line_of(counter, subject) for counter, subject, _, _ in self.under_way)

    @property
    def id(self) -> str:
        """The action's id."""
        return f"{self.run_id}/{self.path}"


def begun_of(row: ActionRow, intent: Mapping[str, Any]) -> Begun:
    """An action in the ledger as its intent had it, with its latest attempt."""
    return Begun(
        row.run,
        row.run_id,
        row.path,
        canonical.encode(intent["args"]),
        row.key,
        row.round,
        row.attempts,
        row.first_sent,
        row.give_up_at,
        row.connector_version,
        intent.get("code", ""),
        tuple(intent["leases"]),
        tuple((b, w, a) for b, w, a in intent["holds"]),
        tuple((c, s, w, n) for c, s, w, n in intent["counted"]),
        intent["expects"],
        tuple((c, s, w, n) for c, s, w, n in intent.get("under_way", ())),
        due_us=intent.get("due"),
    )

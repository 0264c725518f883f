"""Known bugs in restored copies and in undoing, to plant as those in `plants.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from deputize.kernel import doubts, kernel, people, unwinding
from deputize.kernel.repeating import may_repeat
from deputize.kernel.stops import Stops
from deputize.store.protocol import ActionRow, Tx
from deputize.testing.planting import Plant, set_in


def _halt_forgotten() -> None:
    opened = kernel.Kernel._opened

    def forgetful(wired: kernel.Kernel, tx: Tx) -> None:
        opened(wired, tx)
        for scope in list(wired.parts.stops.scopes):
            wired.parts.stops.lift(scope)

    set_in(kernel.Kernel, "_opened", forgetful)


def _resumed_in_doubt() -> None:
    set_in(people, "unsettled_from_before", lambda tx, operations, restored: [])


def _repeats_in_a_halt() -> None:
    turn_of = doubts.Doubts._turn

    def free(self: doubts.Doubts, begun: Any, operation: Any) -> Any:
        turn = turn_of(self, begun, operation)
        set_in(turn, "_stops", Stops())
        return turn

    def at_any_time(self: doubts.Doubts, operation: Any, begun: Any) -> bool:
        return may_repeat(operation, begun, self._parts.time)

    set_in(doubts.Doubts, "_turn", free)
    set_in(doubts.Doubts, "may_repeat", at_any_time)


class _AsIfSettled:
    """A ledger in which what is in doubt looks done."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def action(self, run: int, path: str) -> ActionRow | None:
        row = self._tx.action(run, path)
        return replace(row, state="settled") if row is not None and row.state == "doubtful" else row


def _undo_around_a_doubt() -> None:
    following = unwinding.Unwinding._next

    def around(self: unwinding.Unwinding, tx: Any, no: int) -> Any:
        return following(self, _AsIfSettled(tx), no)

    set_in(unwinding.Unwinding, "_next", around)
    set_in(unwinding, "_in_doubt", lambda view, no: "")


RESTORES: dict[str, Plant] = {
    "halt_forgotten": Plant("a restored copy starts new work before its doubts are known", _halt_forgotten),
    "resumed_in_doubt": Plant("a restored copy may go on while its writes are in doubt", _resumed_in_doubt),
    "repeats_in_a_halt": Plant("a doubt is repeated though all is halted", _repeats_in_a_halt),
    "undo_around_a_doubt": Plant("what was done before a doubt is undone", _undo_around_a_doubt),
}

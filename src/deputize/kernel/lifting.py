"""Lifting what was lowered: a person lets an automation act by itself again."""

from __future__ import annotations

from collections.abc import Callable

from deputize.health import AUTOMATION
from deputize.kernel.parts import Parts
from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM, SYSTEM_NAME, Draft
from deputize.person import KEEPER
from deputize.rule import CONFIRM
from deputize.sentence import listed
from deputize.store.protocol import Tx, View

PAGE = 500


class Lifting:
    """Lifts what was lowered. `retry` is told of each action that waited for its confirmation."""

    def __init__(self, parts: Parts, retry: Callable[[int, str], None]) -> None:
        self._parts = parts
        self._retry = retry

    async def lift(self, card: str, *, reason: str, person: str) -> str:
        """Let the writes of an automation start unconfirmed again. Returns a sentence.

        Raises `NotAnswerable` where `card` (`system/AUTOMATION`) is no such card, or is not theirs to lift.
        """
        name = card.removeprefix(f"{SYSTEM_NAME}/")

        def work(tx: Tx) -> list[tuple[int, str]]:
            if not tx.lowered(name):
                raise NotAnswerable(
                    f"there is nothing to lift at {card!r} (any more); `deputize inbox` lists what waits"
                )
            may = self._parts.force.directory.among((KEEPER,), name)
            if person not in may:
                raise NotAnswerable(f"{person} is not asked for this; it asks {listed(sorted(may))}")
            body = {"automation": name, "path": name, "by": {"person": person, "reason": reason}}
            tx.append(SYSTEM, tx.version(SYSTEM), [Draft("lifted", body)])
            return [(no, path) for no, path, automation in _confirming(tx) if automation == name]

        waiting = await self._parts.store.write(work)
        for no, path in waiting:
            # Judged anew: it starts, or goes on waiting for what the rules demand beside it.
            self._retry(no, path)
        return f"lifted; {name} acts by itself again, and its failures are counted anew"


def left_waiting(view: View) -> list[int]:
    """Runs that wait for a confirmation that nobody demands any more: what a crash kept from being told."""
    lowered = {name for name, had in view.remembered().items() if had.get("lowered")}
    return [no for no, _, automation in _confirming(view) if AUTOMATION + automation not in lowered]


def _confirming(view: View) -> list[tuple[int, str, str]]:
    """The actions that wait for a confirmation: run, path, automation."""
    found: list[tuple[int, str, str]] = []
    after = (0, "")
    while True:
        rows = view.actions_in(["asking"], after, PAGE)
        for row in rows:
            run, asked = view.run_no(row.run), view.entry(row.intent)
            shown = asked.body["rules"] if asked is not None and asked.body is not None else ()
            if run is not None and CONFIRM in shown:
                found.append((row.run, row.path, run.automation))
        if len(rows) < PAGE:
            return found
        after = (rows[-1].run, rows[-1].path)

"""Noting: a person has read a card that tells something and asks for nothing."""

from __future__ import annotations

from deputize.kernel.nearing import card_path, is_card_path, kept_by
from deputize.kernel.parts import Parts
from deputize.kernel.people import NotAnswerable
from deputize.kernel.recording import Recording
from deputize.ledger import SYSTEM, SYSTEM_NAME, Draft
from deputize.person import KEEPER
from deputize.sentence import listed
from deputize.store.protocol import Tx
from deputize.undo import UNDO


class Noting:
    """Takes such cards away."""

    def __init__(self, parts: Parts, recording: Recording) -> None:
        self._parts = parts
        self._recording = recording

    async def noted(self, card: str, *, person: str) -> str:
        """A person has read the card of an undo that could not undo everything, or that of a budget that is
        nearly used up. Raises `NotAnswerable` where there is no such card, or it is not theirs."""
        name, _, path = card.partition("/")

        def work(tx: Tx) -> None:
            if name == SYSTEM_NAME:
                no = SYSTEM
            else:
                run = tx.run(name)
                no = run.no if run is not None and path == UNDO else -1
            if not tx.has_card(no, path):
                raise NotAnswerable(
                    f"there is no such card {card!r} (any more); `deputize inbox` lists what waits"
                )
            if no == SYSTEM:
                self._check(path, person)
            self._recording.append(tx, no, [Draft("noted", {"path": path, "by": {"person": person}})])

        await self._parts.store.write(work)
        return "noted"

    def _check(self, path: str, person: str) -> None:
        force = self._parts.force
        # A budget that is in deputize.toml no more has the keeper of all.
        kept = [kept_by(one) for one in force.budgets if card_path(one) == path]
        if not is_card_path(path):
            raise NotAnswerable("this card is not for noting; `deputize inbox` says how it is answered")
        may = force.directory.among((KEEPER,), kept[0] if kept else "")
        if person not in may:
            raise NotAnswerable(f"{person} is not asked for this; it asks {listed(sorted(may))}")

"""A case: all that is known of one ledger and its world, for the checks of what must hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from deputize.kernel.judging import InForce
from deputize.operation import Contract
from deputize.person import Directory
from deputize.testing.evidence import LedgerEvidence, TownEvidence
from deputize.testing.histories import Round, Sending, rounds_of
from deputize.testing.judged import Judged, judged_anew


@dataclass(frozen=True)
class Case:
    """All that is known of one ledger and its world.

    `services` are the connectors whose effects are in the town's book. `accepted` are the (source,
    id) of events that intake said it had kept. `same_clock` is False where the process under test
    had a clock of its own; `quiet` where nothing may be under way any more but what waits for people.
    With what was in `force`, one after another, every start is judged anew. `lost` are ledgers of which this
    one is a restored copy: what they sent was lawful, and came to the same town.
    """

    ledger: LedgerEvidence
    town: TownEvidence
    contracts: Mapping[str, Contract]
    services: Collection[str] = ("shop", "payments", "mail")
    accepted: Collection[tuple[str, str]] = ()
    same_clock: bool = True
    quiet: bool = True
    force: Sequence[InForce] = ()
    lost: Sequence[LedgerEvidence] = ()

    @property
    def directory(self) -> Directory:
        """Those who may decide."""
        return self.force[-1].directory if self.force else Directory()

    @cached_property
    def rounds(self) -> list[Round]:
        """Every round of every action that had an intent."""
        return rounds_of(self.ledger)

    @cached_property
    def sent(self) -> Mapping[str, Sequence[Sending]]:
        """Every attempt that was made durable, here or in a ledger that was lost, by key and in order."""
        found: dict[str, dict[tuple[int, int], Sending]] = {}
        for ledger in (*self.lost, self.ledger):
            for one in rounds_of(ledger):
                found.setdefault(one.key, {}).update({(send.at_us, send.n): send for send in one.sends})
        return {key: [sends[at] for at in sorted(sends)] for key, sends in found.items()}

    def outside(self, one: Round) -> bool:
        """Whether its effects are in the town's book."""
        contract = self.contracts.get(one.operation)
        return contract is not None and contract.connector in self.services and contract.effect == "write"

    @cached_property
    def judged(self) -> list[Judged]:
        """Every start, and all that people were asked for, judged anew; nothing where no rules are given."""
        return judged_anew(self.ledger, self.force) if self.force else []

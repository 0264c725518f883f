"""A case: all that is known of one ledger and its world, for the checks of what must hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from deputize.kernel.judging import InForce
from deputize.operation import Contract
from deputize.testing.evidence import LedgerEvidence, TownEvidence
from deputize.testing.histories import Round, histories
from deputize.testing.judged import Judged, judged_anew


@dataclass(frozen=True)
class Case:
    """All that is known of one ledger and its world.

    `services` are the connectors whose effects are in the town's book. `accepted` are the (source,
    id) of events that intake said it had kept. `same_clock` is False where the process under test
    had a clock of its own; `quiet` where nothing may be under way any more but what waits for people.
    With what is in `force`, every start is judged anew.
    """

    ledger: LedgerEvidence
    town: TownEvidence
    contracts: Mapping[str, Contract]
    services: Collection[str] = ("shop", "payments", "mail")
    accepted: Collection[tuple[str, str]] = ()
    same_clock: bool = True
    quiet: bool = True
    force: InForce | None = None

    @property
    def rounds(self) -> list[Round]:
        """Every round of every action that had an intent."""
        return [one for rounds in histories(self.ledger).values() for one in rounds]

    def outside(self, one: Round) -> bool:
        """Whether its effects are in the town's book."""
        contract = self.contracts.get(one.operation)
        return contract is not None and contract.connector in self.services and contract.effect == "write"

    @cached_property
    def judged(self) -> list[Judged]:
        """Every start, and all that people were asked for, judged anew; nothing where no rules are given."""
        return judged_anew(self.ledger, self.force) if self.force is not None else []

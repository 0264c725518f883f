"""Approvals: what a rule demands, what people granted, and whether the one meets the other. Pure.

A grant binds what it was given for (`binding_of`): another argument, contract, agent or set of rules is
another question, and what was granted for the first says nothing of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deputize import canonical
from deputize.ledger import Entry
from deputize.person import Directory

Tier = Literal["approval", "rehearse", "verify"]
Otherwise = Literal["expire", "refuse"]

WITHIN_S = 3 * 86_400.0
"""How long an action waits for people, unless its rule says otherwise."""


@dataclass(frozen=True)
class Demand:
    """What a rule wants before an action may start; times in seconds since it was asked for.

    `whom` are people, roles, groups or `keeper` (nobody named: the keeper, else everybody), of whom so
    many different `people` must approve; from `then_after_s` on also those in `then`. At `within_s` the
    answer is no: the await raises `Expired`, or `Refused` where `otherwise` says so.
    """

    tier: Tier
    whom: tuple[str, ...] = ()
    people: int = 1
    within_s: float = WITHIN_S
    then: tuple[str, ...] = ()
    then_after_s: float = 0.0
    otherwise: Otherwise = "expire"
    verifier: str = ""
    """The operation that verifies, for the tier `verify`; `by` is the agent that uses it."""
    by: str = ""

    def asks(self, automation: str, directory: Directory, waited_us: int) -> frozenset[str]:
        """Who may approve once it has waited so long."""
        found = directory.among(self.whom, automation)
        if self.then and waited_us >= self.then_after_s * 1_000_000:
            found |= directory.among(self.then, automation)
        return found


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's grant: a record of their own, used once. `at_us` is ledger time."""

    no: int
    binding: str
    person: str
    at_us: int


@dataclass(frozen=True)
class Asking:
    """What is asked of people: who is behind it, since when, and which requesters may not grant it.

    `handed_at_us` is when one of those who are asked, `handed_by`, handed it on to the automation's keeper.
    """

    automation: str
    binding: str
    asked_at_us: int
    requesters: frozenset[str]
    handed_at_us: int | None = None
    handed_by: str = ""

    def asks(self, demand: Demand, directory: Directory, at_us: int) -> frozenset[str]:
        """Who may approve at this time: those whom a demand asks by then, and whoever it was handed on to."""
        found = demand.asks(self.automation, directory, at_us - self.asked_at_us)
        if self.handed_at_us is not None and at_us >= self.handed_at_us:
            # Nobody hands on what is not theirs to grant.
            could = demand.asks(self.automation, directory, self.handed_at_us - self.asked_at_us)
            if self.handed_by in could:
                found |= directory.people.keys() & {directory.keeper_of(self.automation)}
        return found

    def may_grant(self, demand: Demand, person: str, directory: Directory, at_us: int) -> bool:
        """Whether a person's approval at this time counts towards a demand."""
        return person not in self.requesters and person in self.asks(demand, directory, at_us)

    def granted(
        self, demand: Demand, approvals: Iterable[Approval], directory: Directory
    ) -> tuple[Approval, ...]:
        """The approvals that count towards a demand, one of each person."""
        found: dict[str, Approval] = {}
        for one in approvals:
            if one.binding == self.binding and self.may_grant(demand, one.person, directory, one.at_us):
                found.setdefault(one.person, one)
        return tuple(found.values())


def used_for(
    asking: Asking, demands: Sequence[Demand], approvals: Collection[Approval], directory: Directory
) -> tuple[Approval, ...] | None:
    """The approvals that together meet every demand, or None where one is not met.

    One person's approval counts towards each demand that they may grant. Demands of another tier than
    `approval` are nobody's to grant.
    """
    used: dict[int, Approval] = {}
    for demand in demands:
        if demand.tier != "approval":
            return None
        found = asking.granted(demand, approvals, directory)
        if len(found) < demand.people:
            return None
        used.update({one.no: one for one in found[: demand.people]})
    return tuple(used.values())


def binding_of(
    action_id: str, operation: str, contract: str, digest: str, agent: str, rules: Collection[str]
) -> str:
    """What an approval is bound to: `contract` and `digest` are those of the contract and the arguments."""
    bound = [action_id, operation, contract, digest, agent, sorted(rules)]
    return canonical.digest(canonical.encode(bound))[:24]


def handed_on(entries: Iterable[Entry], asked: Entry) -> Entry | None:
    """The entry that says who handed on what was asked, among those after its own; None where nobody has."""
    path = (asked.body or {}).get("path")
    found = (e for e in entries if e.type == "handed" and e.body is not None and e.body["path"] == path)
    return next(found, None)


def demand_of_body(body: Mapping[str, Any]) -> Demand:
    """A demand as an entry has it."""
    plain = {name: value for name, value in body.items() if name not in ("rule", "title")}
    return Demand(**plain | {"whom": tuple(body["whom"]), "then": tuple(body["then"])})


def hand_on_of(handed: Entry | None) -> tuple[int | None, str]:
    """When an action was handed on to the keeper, and by whom, from its entry."""
    if handed is None or handed.body is None:
        return None, ""
    return handed.at_us, str(handed.body["by"]["person"])

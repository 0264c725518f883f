"""A till for the machine of starts: its operations, ceilings and rules, and the same as plain Python."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deputize import (
    Call,
    Connector,
    Event,
    EventData,
    Intent,
    Money,
    Outcome,
    Verification,
    agent,
    agree,
    automation,
    budget,
    done,
)
from deputize.project import Project
from tests.support.living import project_of

till = Connector("till", version="1")


async def foretell(call: Call, charge: str, amount: Money) -> str:
    """What would come of it."""
    return charge


@till.operation(effect="read")
async def is_due(call: Call, intent: Intent) -> Verification:
    """A second look."""
    return agree()


@till.operation(effect="write", risk="money", resource="charge:{charge}", attempts_max=100, rehearse=foretell)
async def refund(call: Call, charge: str, amount: Money) -> str:
    """Money moves."""
    return charge


@till.operation(effect="write", resource=("charge:{a}", "charge:{b}"), attempts_max=100)
async def swap(call: Call, a: str, b: str) -> str:
    """Two resources at once."""
    return a


@till.operation(effect="read", price_usd_micros=1_000, attempts_max=100)
async def think(call: Call, about: str) -> str:
    """A priced read: lost answers count as spent."""
    return about


class Ask(EventData, type="till.ask"):
    """Begins a run."""


clerk = agent(
    "clerk",
    budgets=[
        budget("5 actions", per="hour"),
        budget("9 actions", per="day"),
        budget("9.00 EUR", per="day"),
        budget("0.004 USD cost", per="hour"),
    ],
)


@automation(on=Ask, agent=clerk)
async def serve(event: Event[Ask]) -> Outcome:
    """Never stepped: the machine does what a run would ask for."""
    return done()


RULES = """
[[rule]]
title = "At most 3 refunds of a charge in a day"
operation = "till.refund"
at_most = { times = 3, per = "day", by = "charge" }

[[rule]]
title = "At most 6 euros back in an hour"
operation = "till.refund"
at_most = { total = "6.00 EUR", of = "amount", per = "hour" }
"""


@functools.cache
def till_project() -> Project:
    """The project, loaded once; give it a folder of data of its own."""
    with tempfile.TemporaryDirectory() as room:
        rules = Path(room) / "rules"
        rules.mkdir()
        (rules / "more.toml").write_text(RULES)
        return project_of(Path(room), [serve], [till])


# -- the same, as plainly as can be -----------------------------------------------------------------

HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
Place = tuple[int, str]
"""A run's number and an action's path."""


@dataclass
class PlainRound:
    """One round of an action: what it may use, and whether that is held, spent or returned by now."""

    place: Place
    operation: str
    args: Mapping[str, Any]
    at_us: int
    state: str = "open"

    @property
    def held(self) -> bool:
        return self.state in ("open", "doubtful")

    @property
    def counts(self) -> bool:
        return self.held or self.state == "spent"

    @property
    def minor(self) -> int:
        return int(self.args["amount"].minor) if self.operation == "refund" else 0

    @property
    def resources(self) -> set[str]:
        named = (self.args.get(name) for name in ("charge", "a", "b"))
        return {f"charge:{value}" for value in named if value is not None}


@dataclass(frozen=True)
class Ceiling:
    """A budget: its limit, its window, and how much a round uses of it."""

    limit: int
    per_us: int
    count: int = 0
    money: int = 0
    cost: int = 0

    def uses(self, one: PlainRound) -> int:
        if one.operation == "think":
            return self.cost
        return self.count + self.money * one.minor

    def window(self, one: PlainRound) -> int:
        return one.at_us - one.at_us % self.per_us


CEILINGS = {
    "agent clerk · actions · hour · *": Ceiling(5, HOUR_US, count=1),
    "agent clerk · actions · day · *": Ceiling(9, DAY_US, count=1),
    "agent clerk · EUR money · day · *": Ceiling(900, DAY_US, money=1),
    "agent clerk · USD cost · hour · *": Ceiling(4_000, HOUR_US, cost=1_000),
}


def used(rounds: Iterable[PlainRound]) -> dict[tuple[str, int], tuple[int, int]]:
    """Held and spent of every ceiling by window, as far as anything is."""
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for one in rounds:
        for key, ceiling in CEILINGS.items():
            amount = ceiling.uses(one)
            if amount and one.counts:
                place = (key, ceiling.window(one))
                held, spent = found.get(place, (0, 0))
                found[place] = (held + amount, spent) if one.held else (held, spent + amount)
    return found


def may_start(rounds: list[PlainRound], new: PlainRound) -> str:
    """What must come of a start: `refused`, `busy` or `begun`."""
    if new.operation == "refund":
        refunds = [one for one in rounds if one.operation == "refund" and one.counts]
        same_day = [one for one in refunds if one.at_us // DAY_US == new.at_us // DAY_US]
        same_hour = [one for one in refunds if one.at_us // HOUR_US == new.at_us // HOUR_US]
        times = sum(one.args["charge"] == new.args["charge"] for one in same_day)
        if times + 1 > 3 or sum(one.minor for one in same_hour) + new.minor > 600:
            return "refused"
    if any(one.held and one.resources & new.resources for one in rounds):
        return "busy"
    return "refused" if any(_over(rounds, new)) else "begun"


def _over(rounds: list[PlainRound], new: PlainRound) -> Iterator[bool]:
    now = used(rounds)
    for key, ceiling in CEILINGS.items():
        held, spent = now.get((key, ceiling.window(new)), (0, 0))
        amount = ceiling.uses(new)
        yield bool(amount) and held + spent + amount > ceiling.limit

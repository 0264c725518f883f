"""What entries take of budgets and facts, and give back: what the fold adds up, one entry at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Taken = tuple[str, str, str, int]
"""What it is taken of: `use` or `fact`, the budget or the counter, a fact's subject, the window."""

TAKING = ("intent", "refused", "declined")
"""The types of entries that change the sum of held and spent, or a fact; settling moves one to the other."""

COST = "cost_usd_micros"
"""Only receipts that say what was spent of what was held change that sum, too."""


USED = "used"
"""What a receipt says was used of what has a price by its use: tokens in and out, and micro-dollars."""

LOST = "lost_usd_micros"
"""What counts as spent of a thought whose answer never came."""


def taken(type: str, body: Mapping[str, Any]) -> Iterator[tuple[Taken, int]]:
    """What an entry adds to each. Of what is only under way nothing is told: it is nobody's to keep."""
    if type == "intent":
        if body["round"] > 1:
            yield from _given_back(body["released"], body["released"]["spend"])
        yield from _of(body["holds"], body["counted"], 1)
    elif type == "receipt" and COST in body:
        for budget, window, amount in body["holds"]:
            yield ("use", budget, "", window), min(0, body[COST] - amount)
    elif type in TAKING and body["was"] not in ("new", "asking"):
        yield from _given_back(body, body.get("spend", False))


def _given_back(body: Mapping[str, Any], spend: bool) -> Iterator[tuple[Taken, int]]:
    if not spend:
        yield from _of(body["holds"], body["counted"], -1)


def _of(holds: Any, counted: Any, sign: int) -> Iterator[tuple[Taken, int]]:
    for budget, window, amount in holds:
        yield ("use", budget, "", window), sign * amount
    for counter, subject, window, weight in counted:
        yield ("fact", counter, subject, window), sign * weight

"""Nearing: people are told once, in each window, of a budget that is nearly used up.

What is spent and held of one together grows only where an action starts, so it is looked for there, and told
in that same transaction by an entry of its own. What is let go later takes nothing back, and what passes once
more in that window is not told again.
"""

from __future__ import annotations

from collections.abc import Iterable

from deputize import canonical
from deputize.budget import Budget
from deputize.clock import to_datetime
from deputize.kernel.reserving import Near
from deputize.kernel.time import Calendar
from deputize.ledger import SYSTEM, Draft
from deputize.store.protocol import Tx

_ROOM = "budget/"


def tell_of_near(tx: Tx, passed: str, near: Iterable[Near], calendar: Calendar) -> None:
    """Tell people of the budgets that an action (its id is `passed`) has brought near their limits, where
    they do not know yet. Whoever has set another limit since is told anew."""
    for one in near:
        if tx.neared(one.budget.key) != (one.window, one.budget.limit):
            body = _body(one, calendar) | {"passed": passed}
            tx.append(SYSTEM, tx.version(SYSTEM), [Draft("neared", body)])


def card_path(budget: Budget) -> str:
    """Where in the system's stream the card of a budget is."""
    return f"{_ROOM}{canonical.name(budget.key)[:8]}"


def is_card_path(path: str) -> bool:
    """Whether the card of a budget may be there."""
    return path.startswith(_ROOM)


def kept_by(budget: Budget) -> str:
    """The automation whose keeper is told of a budget; empty for all others' keeper."""
    return budget.of if budget.scope == "automation" else ""


def _body(near: Near, calendar: Calendar) -> dict[str, object]:
    budget, window = near.budget, near.window
    share = near.used * 100 // budget.limit
    began = to_datetime(window).astimezone(calendar.zone)
    since = "in all" if budget.per == "ever" else f"in the {budget.per} that began {began:%a %d %b %Y, %H:%M}"
    return {
        "path": card_path(budget),
        "kind": "budget",
        "title": f'{share}% of the budget "{budget.name}" is used: {budget.show(near.used)} of '
        f"{budget.show(budget.limit)} are spent or held {since}",
        "budget": budget.key,
        "window": window,
        "limit": budget.limit,
        "used": near.used,
        "scope": budget.scope,
        "of": budget.of,
        "automation": kept_by(budget),
        "ask": list(budget.ask),
    }

"""What needs a password that was just given, where a person speaks in a browser: money, and giving tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deputize.api.problem import Problem
from deputize.api.who import Speaker
from deputize.planned import PLAN
from deputize.session import FRESH_US
from deputize.store.protocol import View
from deputize.system import System

FRESH_TYPE = "deputize:fresh"
"""The `type` of the problem that a page answers by asking for the password (`POST /v1/session/fresh`)."""

MOVES = frozenset({"approve", "change", "happened", "do_again"})
"""The answers to a card by which something may be done, or counts as done."""


def need_fresh(system: System, speaker: Speaker, what: str) -> None:
    """Raises `Problem` 403 of this type for a session whose password was given too long ago. Programs, who
    speak by tokens, are not asked."""
    if not speaker.session or system.time.now_us() < speaker.fresh_until:
        return
    minutes = FRESH_US // 60_000_000
    detail = f"{what} needs your password once more: it was given more than {minutes} minutes ago"
    raise Problem(403, detail, type=FRESH_TYPE)


def need_fresh_for(system: System, speaker: Speaker, card: str, kind: str) -> None:
    """The same, for an answer of this kind to a card (by its id), where money hangs on it."""
    if speaker.session and kind in MOVES and system.store.read(lambda view: moves_money(system, view, card)):
        need_fresh(system, speaker, "what moves money")


def moves_money(system: System, view: View, card: str) -> bool:
    """Whether the action of a card, or a step of its plan, has the risk `money`."""
    run_id, _, path = card.partition("/")
    run = view.run(run_id)
    row = view.action(run.no, path) if run is not None and path else None
    if run is None or row is None:
        return False
    if row.operation != PLAN:
        return _is_money(system, row.operation)
    asked = [e.body for e in view.entries(run.no) if e.type == "asked" and e.body is not None]
    plans = [body.get("plan") for body in asked if body["path"] == path]
    return any(_is_money(system, operation) for plan in plans for operation in _operations(plan))


def _is_money(system: System, operation: str) -> bool:
    known = system.project.operations.get(operation)
    # Of what is not there any more nobody can tell.
    return known is None or known.contract.risk == "money"


def _operations(plan: Any) -> set[str]:
    """Every operation that is named anywhere in a plan."""
    if isinstance(plan, Mapping):
        own = {plan["operation"]} if isinstance(plan.get("operation"), str) else set()
        return own.union(*(_operations(value) for value in plan.values()))
    return set().union(*(_operations(value) for value in plan)) if isinstance(plan, list | tuple) else set()

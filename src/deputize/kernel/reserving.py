"""Reserving: what an action may take at worst is held of every budget above it before it starts.

Where one of them has not so much left the action is refused; or people are asked, where the budget says whom.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from deputize.approval import Demand
from deputize.budget import Budget
from deputize.kernel.judging import Books, InForce, Request
from deputize.rule import OVER, RuleLine, Verdict
from deputize.store.protocol import Hold


@dataclass(frozen=True, slots=True)
class Near:
    """A budget of which, with what an action takes, so much is spent or held in a window: nearly all."""

    budget: Budget
    window: int
    used: int


@dataclass(frozen=True, slots=True)
class Reserved:
    """What every budget above an action must hold at worst, and which of them are `near` their limits then.
    `over` says why one of them cannot, `asking` why people are asked before one of them may hold more than it
    has, and `ask` whom."""

    holds: tuple[Hold, ...] = ()
    near: tuple[Near, ...] = ()
    over: str = ""
    asking: str = ""
    ask: tuple[str, ...] = ()


def holds_of(tx: Books, request: Request, force: InForce, at_us: int) -> Reserved:
    """What the budgets say. What has no known price is not begun at all."""
    run, operation = request.run, request.action.operation
    contract, cost = operation.contract, request.worst_usd_micros
    if cost is None:
        return Reserved(over=f"nobody knows what {operation.name} costs: {operation.missing_price}")
    reserved = Reserved()
    for budget in force.budgets_for(contract, request.agent.name, run.automation.name):
        worst = budget.worst_case(request.amount, cost)
        if worst is None:
            said = f'the budget "{budget.name}" is in {budget.currency}, and this is {request.amount}'
            return Reserved(over=said)
        left, window = budget.limit, 0
        if budget.per != "call":
            window = run.no if budget.per == "run" else force.calendar.start(budget.per, at_us)
            held, spent = tx.used(budget.key, window)
            left -= held + spent
            reserved = replace(reserved, holds=(*reserved.holds, (budget.key, window, worst)))
            used = held + spent + worst
            if worst and budget.per != "run" and budget.is_near(used):
                # Nobody wants to be told of each run.
                reserved = replace(reserved, near=(*reserved.near, Near(budget, window, used)))
        if worst > left:
            said = _exceeded(budget, max(0, left), worst)
            if not budget.ask:
                return Reserved(over=said)
            reserved = replace(reserved, asking=said, ask=budget.ask)
    return reserved


def _exceeded(budget: Budget, left: int, worst: int) -> str:
    take = f"and this may take {budget.show(worst)}"
    if budget.per == "call":
        return f'the budget "{budget.name}" allows {budget.show(budget.limit)} per call, {take}'
    has = f"{budget.show(left)} left of {budget.show(budget.limit)} this {budget.per}"
    return f'the budget "{budget.name}" has {has}, {take}'


def beyond(verdict: Verdict, reserved: Reserved, *, inquiring: bool = False) -> Verdict:
    """What the rules say, and that people are asked, where a budget that asks is used up."""
    if not reserved.asking or verdict.decision == "refuse":
        return verdict
    if inquiring:
        # Nobody is asked for what is only to be found out.
        return replace(verdict, decision="refuse", rules=())
    others = verdict.rules if verdict.decision == "demand" else ()
    line = RuleLine(OVER, reserved.asking, "forbid", "approval", Demand("approval", reserved.ask))
    return replace(verdict, decision="demand", rules=(*others, line))

"""What works here and how well, and what it costs."""

from __future__ import annotations

from deputize.api.shapes.books import Budget
from deputize.api.shapes.people import PersonWithTokens
from deputize.api.shapes.shape import Answer, Object, Shape, Time, Told


class AutomationAtWork(Shape):
    """An automation with its parameters and figures."""

    name: str
    answers: str
    """The type of event."""
    agent: str
    keeper: str | None
    version: str
    where: str
    params: list[Object]
    figures: Object
    success_rate: float | None
    cost_usd_micros: int
    cost_per_done_usd_micros: int | None


class AgentAtWork(Shape):
    """An agent: what it may, its budgets and what it spent."""

    name: str
    goal: str
    may: list[str] | None
    """Null: all that rules permit."""
    service_level: str
    model: str | None
    budgets: list[Budget]
    cost_usd_micros: int
    thoughts: int


class OperationSaid(Shape):
    """An operation's contract in words."""

    name: str
    digest: str
    said: list[str]


class Connection(Shape):
    """A connection: where it is, its contracts in words, its health."""

    name: str
    version: str
    model: str | None
    base: str | None
    waiting: int
    circuit: Object
    figures: Object
    thoughts: Object
    operations: list[OperationSaid]


class Workshop(Shape):
    """All of it, with figures of so many days."""

    days: int
    automations: list[AutomationAtWork]
    agents: list[AgentAtWork]
    connections: list[Connection]
    people: list[PersonWithTokens]


class Spent(Shape):
    """What somebody's thoughts cost, in micro-dollars; `lost` were never answered."""

    name: str
    thoughts: int
    cost_usd_micros: int
    cost_by_day: list[int]
    lost: int
    lost_usd_micros: int


class SpentByModel(Spent):
    """The same of a model, with its tokens."""

    input_tokens: int
    output_tokens: int


class SpentByAutomation(Spent):
    """The same of an automation, with what came of its runs."""

    done: int
    gave_up: int
    failed: int
    cancelled: int
    cost_per_done_usd_micros: int | None


class Costs(Shape):
    """What models cost, by day and in all."""

    days: list[Time]
    cost_by_day: list[int]
    cost_usd_micros: int
    thoughts: int
    lost: int
    lost_usd_micros: int
    done: int
    cost_per_done_usd_micros: int | None
    models: list[SpentByModel]
    agents: list[Spent]
    automations: list[SpentByAutomation]


ROUTES = {
    "get_workshop": Told(
        {
            200: Answer(
                "The workshop.",
                Workshop,
                {"days": 7, "automations": [], "agents": [], "connections": [], "people": []},
            )
        }
    ),
    "get_costs": Told(
        {
            200: Answer(
                "The costs.",
                Costs,
                {
                    "days": ["2026-11-02T00:00:00.000000Z"],
                    "cost_by_day": [3_120_000],
                    "cost_usd_micros": 3_120_000,
                    "thoughts": 41,
                    "lost": 0,
                    "lost_usd_micros": 0,
                    "done": 40,
                    "cost_per_done_usd_micros": 78_000,
                    "models": [],
                    "agents": [],
                    "automations": [],
                },
            )
        }
    ),
}

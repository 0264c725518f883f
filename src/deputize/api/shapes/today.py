"""Today."""

from __future__ import annotations

from typing import Literal

from deputize.api.shapes.shape import Answer, Object, Shape, Time, Told


class TodayFigures(Shape):
    """Since yesterday, 00:00 UTC."""

    done: int
    failed: int
    need_you: int
    not_sure: int
    cost_usd_micros: int


class DailyOutcome(Shape):
    """How an automation went, in all of these days and day by day."""

    automation: str
    runs: int
    done: int
    gave_up: int
    failed: int
    cancelled: int
    asked: int
    open_cards: int
    cost_usd_micros: int
    cost_per_done_usd_micros: int | None
    done_by_day: list[int]
    runs_by_day: list[int]


class OutOfOrder(Shape):
    """What is not as it should be."""

    kind: Literal["stop", "circuit", "source", "slowed", "stuck"]
    name: str
    said: str


class ComesNext(Shape):
    """When a poll or a schedule is next."""

    name: str
    kind: Literal["poll", "schedule"]
    at: Time


class Today(Shape):
    """The first page."""

    figures: TodayFigures
    sentence: str
    days: list[Time]
    outcomes: list[DailyOutcome]
    exceptions: list[OutOfOrder]
    next: list[ComesNext]


_EXAMPLE: Object = {
    "figures": {"done": 41, "failed": 0, "need_you": 2, "not_sure": 1, "cost_usd_micros": 3_120_000},
    "sentence": "Since yesterday: 41 done, 2 need you, 1 not sure, 3.12 USD spent.",
    "days": ["2026-11-01T00:00:00.000000Z", "2026-11-02T00:00:00.000000Z"],
    "outcomes": [
        {
            "automation": "handle_return",
            "runs": 43,
            "done": 41,
            "gave_up": 1,
            "failed": 0,
            "cancelled": 1,
            "asked": 5,
            "open_cards": 2,
            "cost_usd_micros": 3_120_000,
            "cost_per_done_usd_micros": 76_097,
            "done_by_day": [20, 21],
            "runs_by_day": [21, 22],
        }
    ],
    "exceptions": [{"kind": "stop", "name": "agent:returns-desk", "said": "stock-taking"}],
    "next": [{"name": "new_returns", "kind": "poll", "at": "2026-11-02T08:16:00.000000Z"}],
}

ROUTES = {"get_today": Told({200: Answer("The first page.", Today, _EXAMPLE)})}

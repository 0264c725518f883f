"""How work goes, in figures."""

from __future__ import annotations

from typing import Literal

from deputize.api.shapes.books import Circuit
from deputize.api.shapes.shape import Answer, Object, Shape, Time, Told


class AutomationFigures(Shape):
    """How an automation's runs go."""

    name: str
    runs: int
    done: int
    gave_up: int
    failed: int
    cancelled: int
    stuck: int
    failure_rate: float | None
    cards: dict[str, int]
    escalation_rate: float | None
    refusals: int
    refusal_rate: float | None
    mended: int
    mttr_s: float | None
    p50_s: float | None
    p95_s: float | None
    down_since: Time | None
    confirming: bool
    open_cards: int


class ConnectorFigures(Shape):
    """How a connector's calls go."""

    name: str
    actions: int
    settled: int
    declined: int
    refused: int
    drifted: int
    abandoned: int
    calls_failed: int
    failure_rate: float | None
    mended: int
    mttr_s: float | None
    p50_s: float | None
    p95_s: float | None
    down_since: Time | None


class ThoughtFigures(Shape):
    """What thoughts took and cost."""

    by: Literal["model", "agent", "automation"]
    name: str
    thoughts: int
    p50_s: float | None
    p95_s: float | None
    input_tokens: int
    output_tokens: int
    cost_usd_micros: int
    lost: int
    lost_usd_micros: int


class Slowed(Shape):
    """An automation that begins its runs one by one, and how many wait."""

    automation: str
    held: int


class Figures(Shape):
    """How work goes."""

    since: Time | None
    automations: list[AutomationFigures]
    connectors: list[ConnectorFigures]
    thoughts: list[ThoughtFigures]
    cards: int
    circuits: dict[str, Circuit]
    inbox_full_at: int
    slowed: list[Slowed]


_CIRCUIT: Object = {"state": "closed", "calls": 12, "failures": 0, "waiting": 0, "tried_in_s": None}

ROUTES = {
    "get_figures": Told(
        {
            200: Answer(
                "The figures.",
                Figures,
                {
                    "since": "2026-10-27T00:00:00.000000Z",
                    "automations": [],
                    "connectors": [],
                    "thoughts": [],
                    "cards": 2,
                    "circuits": {"payments": _CIRCUIT},
                    "inbox_full_at": 200,
                    "slowed": [],
                },
            )
        }
    ),
}

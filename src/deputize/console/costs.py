"""Costs: what thinking cost, in charts with a table behind each."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from deputize.api.costs import costs_of
from deputize.api.problem import Problem
from deputize.console.page import Page, get

RANGES = (7, 30, 90)
DAYS = 30


async def costs(page: Page) -> Response:
    """By day, model, agent, automation and outcome, of one of the `RANGES`."""
    days = page.number("days", DAYS)
    if days not in RANGES:
        raise Problem(422, f"days is one of {', '.join(map(str, RANGES))}", field="days")
    told = await asyncio.to_thread(costs_of, page.system, days)
    return page.shown("costs.html", told=told, days=days, ranges=RANGES)


ROUTES = [get("/costs", costs)]

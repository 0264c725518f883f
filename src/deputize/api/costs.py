"""Costs: what thinking cost, by day and by whom."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from deputize.api.here import Here
from deputize.api.problem import answer
from deputize.api.who import READS
from deputize.clock import iso
from deputize.costs import BY, told_costs
from deputize.health import since_of
from deputize.system import System

DAYS = 30
DAYS_MAX = 366

Days = Annotated[int, Query(ge=1, le=DAYS_MAX, description="Of UTC, today included.")]

router = APIRouter(prefix="/v1", dependencies=[READS])


@router.get("/costs")
async def get_costs(system: Here, days: Days = DAYS) -> Response:
    """What models cost in the last `days`, in micro-dollars.

    By day, model, agent and automation, and for each run that came to a good end. `lost` are thoughts that
    were never answered, which count with the most that they can have cost."""
    return answer(system, await asyncio.to_thread(costs_of, system, days))


def costs_of(system: System, days: int) -> dict[str, Any]:
    """All of it as plain data."""
    now = system.time.now_us()
    since = since_of(days, now)
    daily = system.store.read(lambda view: {prefix: view.daily(since, prefix) for prefix in BY.values()})
    told = told_costs(daily, days, now)
    return told | {"days": [iso(at) for at in told["days"]]}

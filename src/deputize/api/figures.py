"""How work goes: rates, times and what is down, by automation and connector."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from deputize.api.here import Here
from deputize.api.problem import answer
from deputize.api.show import show_circuit
from deputize.api.who import READS
from deputize.health import since_of
from deputize.store.telling import read_health

DAYS_MAX = 3_660

Days = Annotated[int, Query(ge=0, le=DAYS_MAX, description="Of UTC, today included; 0 for all there were.")]

router = APIRouter(prefix="/v1", dependencies=[READS])


@router.get("/health")
async def get_figures(system: Here, days: Days = 7) -> Response:
    """How work went in the last days.

    Failures, escalations, refusals, how long it took to work again after a failure, what runs and actions
    take, and of thoughts (by model, agent and automation) how long they took, their tokens and their cost.

    `circuits` says which connectors nothing is sent to, `slowed` which automations begin their runs one by
    one because the inbox is full, and how many wait.
    """
    kernel, since = system.kernel, since_of(days, system.time.now_us())
    told = await asyncio.to_thread(system.store.read, lambda view: read_health(view, since))
    now_s, slowing = system.time.monotonic(), kernel.scheduler.slowing
    circuits = {
        name: show_circuit(kernel.parts.circuits.of(name), now_s) for name in system.project.connectors
    }
    slowed = [{"automation": name, "held": held} for name, held in slowing.held().items()]
    return answer(system, told | {"circuits": circuits, "inbox_full_at": slowing.full_at, "slowed": slowed})

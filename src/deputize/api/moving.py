"""Leaving for another place: this process halts, waits for what is under way, and ends."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from deputize.api.body import text_of
from deputize.api.here import Here, State
from deputize.api.problem import Problem, answer
from deputize.api.who import Mover, read_decision
from deputize.errors import StoreError
from deputize.kernel.stops import ALL
from deputize.system import System

LOOK_EVERY_S = 0.05
WITHIN_S_MAX = 600.0
OPEN_MAX = 1_000

router = APIRouter(prefix="/v1")


@router.post("/leaving")
async def leave(request: Request, system: Here, readiness: State, person: Mover) -> Response:
    """Halt everything, and end this process once nothing is being sent.

    It takes nothing in any more, and waits `within_s` at most. Answers with the actions that were `open`
    still: the copy has them as doubts.
    """
    body = await read_decision(request)
    within_s = body.get("within_s", 60.0)
    if not isinstance(within_s, int | float) or not 0 <= within_s <= WITHIN_S_MAX:
        raise Problem(422, f"within_s must be 0 to {WITHIN_S_MAX:g} seconds", field="within_s")
    reason = text_of(body, "reason", default="") or "moving"
    readiness.state = "moving"
    try:
        await system.kernel.people.stop(ALL, reason, person)
    except StoreError:
        readiness.state = "ready"
        raise
    open = _open(system)
    for _ in range(int(within_s / LOOK_EVERY_S)):
        if not open:
            break
        await asyncio.sleep(LOOK_EVERY_S)
        open = _open(system)
    # The answer is on its way before the server closes: that waits for requests that are under way.
    readiness.stopping.set()
    return answer(system, {"open": open})


def _open(system: System) -> list[str]:
    rows = system.store.read(lambda view: view.actions_in(["open"], (0, ""), OPEN_MAX))
    return [f"{row.run_id}/{row.path}" for row in rows]

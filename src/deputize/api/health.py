"""Whether the process lives, and whether it takes events."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from deputize.api.here import Here, State
from deputize.api.problem import RETRY_SOON_S, Problem, answer
from deputize.api.who import OPEN, READS

router = APIRouter()


@router.get("/healthz", dependencies=[OPEN])
async def get_health(system: Here) -> Response:
    """The process lives; nothing more."""
    return answer(system, {"alive": True})


@router.get("/readyz", dependencies=[READS])
async def get_ready(system: Here, readiness: State) -> Response:
    """Whether events and decisions are taken.

    200 once recovery is over and while the ledger can be written; 503 with the reason otherwise.
    `unfinished` is how many writes from before a restore are to be looked up or answered before it goes on.
    """
    if readiness.state != "ready":
        raise Problem(
            503, f"this process is {readiness.state}; ask again in a moment", retry_after_s=RETRY_SOON_S
        )
    # A work that writes nothing still needs a ledger that can be written.
    await system.store.write(lambda tx: None)
    return answer(system, {"ready": True, "unfinished": len(system.kernel.unfinished())})

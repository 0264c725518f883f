"""Why: an action or a run in sentences, with the facts behind them."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from deputize.api.here import Here, find_run, result_schemas
from deputize.api.problem import Problem, answer
from deputize.api.who import READS
from deputize.store.telling import read_telling
from deputize.system import System
from deputize.why import Telling, why_action, why_run

router = APIRouter(prefix="/v1/why", dependencies=[READS])


@router.get("/{run_id}")
async def tell_run(system: Here, run_id: str) -> Response:
    """A run's story: `{"sentences": […], "facts": {…}}`."""
    return answer(system, why_run(_telling(system, run_id)))


@router.get("/{run_id}/{path:path}")
async def tell_action(system: Here, run_id: str, path: str) -> Response:
    """What was asked, which rules decided on which facts, what happened, what it cost."""
    telling = _telling(system, run_id)
    told = why_action(telling, path)
    if not told["sentences"]:
        raise Problem(
            404, f"run {telling.run} has no action {path!r}; GET /v1/runs/{telling.run}/actions has them"
        )
    return answer(system, told)


def _telling(system: System, run_id: str) -> Telling:
    run = find_run(system, run_id)
    budgets = {budget.key: budget for budget in system.kernel.parts.force.budgets}
    zone = system.project.settings.zone
    schemas, stands = result_schemas(system), system.kernel.standing.of(run)
    return system.store.read(lambda view: read_telling(view, run, zone, budgets, schemas, stands))

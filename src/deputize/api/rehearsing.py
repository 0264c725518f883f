"""A run rehearsed once more: its event, under the code and the rules on disk, in the world as it was."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from deputize.api.here import Here, find_run
from deputize.api.problem import Problem, answer
from deputize.api.who import READS, Decider, read_decision
from deputize.aside import EndedWithoutReport, run_aside
from deputize.foretold import KINDS
from deputize.store.protocol import RunRow
from deputize.system import System

CHILD = "deputize.cli.rehearse_child"
WITHIN_S = 60.0
RETRY_AFTER_S = 10

router = APIRouter(prefix="/v1", dependencies=[READS])


@dataclass
class Rehearsals:
    """Whether one is under way in this process: they take a processor, so there is one at a time."""

    busy: bool = False


@router.post("/runs/{run_id}/rehearse")
async def rehearse_run(request: Request, system: Here, person: Decider, run_id: str) -> Response:
    """Rehearse the event of a run once more; nothing is done.

    In a process of its own, for a minute at most. The answer says whether it would come to just what it did
    (`same`), and if not, how it differs.
    """
    await read_decision(request)
    return answer(system, await rehearsed(request, system, find_run(system, run_id)))


async def rehearsed(request: Request, system: System, run: RunRow) -> dict[str, Any]:
    """What would come of a run's event now, and how that differs from what did. Raises `Problem`."""
    rehearsals: Rehearsals = request.app.state.rehearsals
    stopping = request.app.state.readiness.stopping
    if rehearsals.busy:
        said = "another run is being rehearsed; send it again in a moment"
        raise Problem(409, said, retry_after_s=RETRY_AFTER_S)
    words = [f"--run={run.id}", "--", run.automation]
    root = system.project.settings.root
    rehearsals.busy = True
    try:
        child = await asyncio.to_thread(
            run_aside, CHILD, words, root, WITHIN_S, "the rehearsal", stopping.is_set
        )
    except EndedWithoutReport as error:
        raise Problem(409, str(error)) from None
    finally:
        rehearsals.busy = False
    if child.report is None:
        said = f"{child.where}still {child.doing} after {WITHIN_S:g} s, so it was ended"
        raise Problem(409, f"{said}; `deputize rehearse --run {run.id} --within-s …` takes its time")
    if child.report["problems"]:
        raise Problem(409, "; ".join(child.report["problems"]))
    return _told(run, child.report)


def _told(run: RunRow, report: dict[str, Any]) -> dict[str, Any]:
    """The report of one event."""
    told = next(iter(report["told"]), None)
    if told is None:
        raise Problem(409, f"run {run.id} cannot be rehearsed: it was erased")
    differences = [one | {"said": KINDS[one["kind"]]} for one in told["differences"]]
    return {
        "run": run.id,
        "automation": run.automation,
        "same": bool(told["really"]) and not differences,
        "came": told["came"],
        "end": told["end"],
        "reason": told["reason"],
        "really": told["really"],
        "differences": differences,
        "actions": told["actions"],
    }

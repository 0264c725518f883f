"""Halts and pauses: nothing new starts in a stopped scope, and nothing is lost."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from deputize.api.body import text_of
from deputize.api.here import Here, find_run
from deputize.api.problem import Problem, answer
from deputize.api.who import READS, Operator, read_decision
from deputize.suggest import did_you_mean
from deputize.system import System

router = APIRouter(prefix="/v1/stops", dependencies=[READS])


@router.get("")
async def list_stops(system: Here) -> Response:
    """What is stopped, and why."""
    stops = system.kernel.parts.stops.scopes
    return answer(system, {"stops": [{"scope": s, "reason": r} for s, r in sorted(stops.items())]})


@router.post("")
async def add_stop(request: Request, system: Here, person: Operator) -> Response:
    """Stop everything, or an agent, a connector, an automation, a run.

    `scope` is `all`, `agent:NAME`, `connector:NAME`, `automation:NAME` or `run:ID`.
    """
    body = await read_decision(request)
    scope = _scope(system, text_of(body, "scope", chars_max=200))
    reason = text_of(body, "reason", default="")
    await system.kernel.people.stop(scope, reason, person)
    return answer(system, {"scope": scope, "reason": reason})


@router.delete("/{scope}")
async def lift_stop(request: Request, system: Here, person: Operator, scope: str) -> Response:
    """Let a scope go on."""
    await read_decision(request)
    known = system.kernel.parts.stops.scopes
    if scope not in known:
        scope = _scope(system, scope)
    if scope not in known:
        raise Problem(404, f"{scope} is not stopped; GET /v1/stops lists what is")
    await system.kernel.people.lift(scope, person)
    return answer(system, {"scope": scope})


def _scope(system: System, scope: str) -> str:
    """A scope that there is, in full. Raises `Problem` 422."""
    if scope == "all":
        return scope
    kind, colon, name = scope.partition(":")
    if kind == "run" and colon:
        return f"run:{find_run(system, name).id}"
    project = system.project
    names = {
        "agent": project.agents,
        "connector": project.connectors,
        "automation": project.automations,
    }.get(kind)
    if names is None or not colon:
        said = "scope must be all, agent:NAME, connector:NAME, automation:NAME or run:ID"
        raise Problem(422, said, field="scope")
    if name not in names:
        raise Problem(422, f"there is no {kind} {name!r}{did_you_mean(name, names)}", field="scope")
    return scope

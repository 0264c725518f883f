"""Today: one sentence, what is out of the ordinary, what comes next, and how each automation goes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from deputize.api.here import Here
from deputize.api.problem import answer
from deputize.api.show import show_channel, show_source
from deputize.api.who import READS
from deputize.clock import iso
from deputize.store.protocol import RunRow
from deputize.store.telling import read_today
from deputize.system import System

STUCK_SHOWN = 10
NEXT_SHOWN = 8

router = APIRouter(prefix="/v1", dependencies=[READS])


@router.get("/today")
async def get_today(system: Here) -> Response:
    """What happened since yesterday (00:00 UTC), what needs people, exceptions, and what comes next."""
    return answer(system, today_of(system))


def today_of(system: System) -> dict[str, Any]:
    """The first page as plain data."""
    now = system.time.now_us()
    told, stuck = system.store.read(
        lambda view: (read_today(view, now), view.runs(states=["stuck"], limit=STUCK_SHOWN))
    )
    told["days"] = [iso(at) for at in told["days"]]
    return told | {"exceptions": _exceptions(system, stuck), "next": _next(system)}


def _exceptions(system: System, stuck: list[RunRow]) -> list[dict[str, Any]]:
    """What is not as it should be: `{"kind", "name", "said"}` each."""
    kernel = system.kernel
    found = [
        {"kind": "stop", "name": scope, "said": reason}
        for scope, reason in sorted(kernel.parts.stops.scopes.items())
    ]
    for name in system.project.connectors:
        breaker = kernel.parts.circuits.of(name)
        if breaker.circuit.is_open:
            found.append({"kind": "circuit", "name": name, "said": breaker.failed})
    sources = [show_source(one) for one in system.sources.standing() if one.trouble]
    sources += [show_channel(one) for one in system.notifier.standing() if one.trouble]
    found += [{"kind": "source", "name": one["name"], "said": one["trouble"]} for one in sources]
    for name, held in kernel.scheduler.slowing.held().items():
        found.append({"kind": "slowed", "name": name, "said": f"{held:,} wait while the inbox is full"})
    return found + [{"kind": "stuck", "name": run.id, "said": run.reason} for run in stuck]


def _next(system: System) -> list[dict[str, Any]]:
    """What polls and schedules do next, soonest first."""
    sources = [one for one in system.sources.standing() if one.next_at is not None]
    soonest = sorted(sources, key=lambda one: one.next_at or 0)[:NEXT_SHOWN]
    return [{"name": one.name, "kind": one.kind, "at": iso(one.next_at or 0)} for one in soonest]

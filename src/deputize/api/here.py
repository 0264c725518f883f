"""What every route is given: the system that it speaks for, and whether that is ready."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Query, Request

from deputize.api.problem import Problem
from deputize.store.protocol import RunRow
from deputize.system import System

LIMIT_MAX = 1_000


@dataclass
class Readiness:
    """Whether events and decisions are taken. `state` is `starting`, `ready`, `moving` or `stopping`; the
    process ends once `stopping` is set."""

    state: str = "starting"
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


async def _system(request: Request) -> System:
    system: System = request.app.state.system
    return system


async def _readiness(request: Request) -> Readiness:
    readiness: Readiness = request.app.state.readiness
    return readiness


Here = Annotated[System, Depends(_system)]
State = Annotated[Readiness, Depends(_readiness)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many, at most.")]
After = Annotated[int, Query(ge=0, le=2**63 - 1, description="The `next` of the page before.")]
Before = Annotated[int | None, Query(ge=0, le=2**63 - 1, description="The same where the newest come first.")]
Name = Annotated[str, Query(max_length=200, description="Only those of this name.")]
RunName = Annotated[str, Query(max_length=200, description="A run's id, or the first digits of one.")]


def result_schemas(system: System) -> dict[str, str]:
    """What each operation returns, as a JSON schema, by its name."""
    return {name: operation.contract.output_schema for name, operation in system.project.operations.items()}


def find_run(system: System, run_id: str) -> RunRow:
    """A run by its id or a prefix of at least four digits that only one has. Raises `Problem` 404."""
    run = system.store.read(lambda view: view.run(run_id))
    if run is None:
        raise Problem(404, f"there is no run {run_id!r}, or more than one begins so; GET /v1/runs lists them")
    return run

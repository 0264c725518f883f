"""The workshop: what works here, how well, and what each part may do."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from deputize.agent import Agent
from deputize.api.books import budgets_of, connector_of
from deputize.api.here import Here
from deputize.api.params import params_of
from deputize.api.problem import answer
from deputize.api.show import show_person
from deputize.api.who import READS
from deputize.automation import Automation
from deputize.duration import duration_text
from deputize.health import since_of
from deputize.operation import Contract
from deputize.store.telling import read_health
from deputize.system import System

DAYS = 7
DAYS_MAX = 366

RISKS = {
    "personal": "touches what is personal",
    "message": "writes to people",
    "money": "moves money",
    "irreversible": "cannot be taken back",
}
"""What a contract's risk is in words."""

Days = Annotated[int, Query(ge=1, le=DAYS_MAX, description="Of UTC, today included.")]

router = APIRouter(prefix="/v1", dependencies=[READS])


@router.get("/workshop")
async def get_workshop(system: Here, days: Days = DAYS) -> Response:
    """Automations with their parameters, agents, connections and people.

    With figures of the last `days`.
    """
    return answer(system, await asyncio.to_thread(workshop_of, system, days))


def workshop_of(system: System, days: int) -> dict[str, Any]:
    """All of it as plain data."""
    since = since_of(days, system.time.now_us())
    told = system.store.read(lambda view: read_health(view, since))
    had = {kind: {one["name"]: one for one in told[kind]} for kind in ("automations", "connectors")}
    thoughts = {(one["by"], one["name"]): one for one in told["thoughts"]}
    project, directory, tokens = system.project, system.kernel.parts.force.directory, system.kernel.tokens
    budgets = budgets_of(system)
    return {
        "days": days,
        "automations": [
            _automation(system, one, had["automations"].get(name, {}), thoughts.get(("automation", name), {}))
            for name, one in sorted(project.automations.items())
        ],
        "agents": [
            _agent(one, budgets, thoughts.get(("agent", name), {}))
            for name, one in sorted(project.agents.items())
        ],
        "connections": [
            _connection(system, name, had["connectors"].get(name, {}), thoughts.get(("model", name), {}))
            for name in sorted(project.connectors)
        ],
        "people": [
            show_person(one, directory, tokens.of(one.name)) for _, one in sorted(directory.people.items())
        ],
    }


def _automation(
    system: System, one: Automation, had: dict[str, Any], thoughts: dict[str, Any]
) -> dict[str, Any]:
    done, runs = had.get("done", 0), had.get("runs", 0)
    cost = thoughts.get("cost_usd_micros", 0)
    return {
        "name": one.name,
        "answers": one.on.event_type,
        "agent": one.agent.name,
        "keeper": system.kernel.parts.force.directory.keeper_of(one.name) or None,
        "version": one.code,
        "where": one.where.removeprefix(f"{system.project.settings.root}/"),
        "params": [asdict(param) | {"changed": param.changed} for param in params_of(system, one)],
        "figures": had,
        "success_rate": round(done / runs, 6) if runs else None,
        "cost_usd_micros": cost,
        "cost_per_done_usd_micros": cost // done if done and cost else None,
    }


def _agent(one: Agent, budgets: list[dict[str, Any]], thoughts: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": one.name,
        "goal": one.goal,
        "may": sorted(one.may) if one.may is not None else None,
        "service_level": one.service_level,
        "model": one.model or None,
        "budgets": [budget for budget in budgets if budget["scope"] == f"agent:{one.name}"],
        "cost_usd_micros": thoughts.get("cost_usd_micros", 0),
        "thoughts": thoughts.get("thoughts", 0),
    }


def _connection(system: System, name: str, had: dict[str, Any], thoughts: dict[str, Any]) -> dict[str, Any]:
    told = connector_of(system, name)
    contracts = [operation.contract for operation in system.project.connectors[name].operations.values()]
    line = system.project.models.get(name)
    return {
        "name": name,
        "version": told["version"],
        "model": line.settings.model if line is not None else None,
        "base": told["base"],
        "waiting": told["waiting"],
        "circuit": told["circuit"],
        "figures": had,
        "thoughts": thoughts,
        "operations": [{"name": one.name, "digest": one.digest[:12], "said": said(one)} for one in contracts],
    }


def said(contract: Contract) -> list[str]:
    """A contract in words."""
    writes = contract.effect == "write"
    told = ["changes something" if writes else "only reads"]
    if contract.risk != "low":
        told.append(RISKS[contract.risk])
    if contract.resources:
        told.append(f"one at a time for each {', '.join(contract.resources)}")
    if contract.key_valid_s:
        told.append(f"the same request counts once for {duration_text(contract.key_valid_s)}")
    if contract.repeatable:
        told.append("done twice is done once")
    if contract.lookup:
        told.append("it can be asked whether it happened")
    elif writes and not contract.repeatable and not contract.key_valid_s:
        told.append("nobody can tell afterwards whether it happened")
    if contract.undo:
        told.append(f"can be undone, by {contract.undo}")
    elif writes:
        told.append("cannot be undone")
    if contract.rehearse:
        told.append("can say beforehand what would come of it")
    if contract.price_usd_micros:
        told.append(f"costs {contract.price_usd_micros / 1_000_000:.4f} USD")
    elif contract.priced_by:
        told.append("costs by use")
    told.append(
        f"answers within {duration_text(contract.timeout_s)}, tried {contract.attempts_max} times at most"
    )
    return told

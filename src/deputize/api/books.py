"""What is in force and in use: budgets, rules, connectors, sources."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from deputize import canonical
from deputize.api.here import Here
from deputize.api.problem import answer
from deputize.api.show import show_circuit, show_source
from deputize.api.who import READS
from deputize.clock import iso
from deputize.operation import Contract
from deputize.store.telling import read_neared
from deputize.system import System
from deputize.window import window_end

router = APIRouter(prefix="/v1", dependencies=[READS])


@router.get("/budgets")
async def list_budgets(system: Here) -> Response:
    """Every budget, with what is held, spent and left in its window now.

    In words and in its unit; and since when it is nearly used up.
    """
    return answer(system, {"budgets": budgets_of(system)})


def budgets_of(system: System) -> list[dict[str, Any]]:
    """Every budget as plain data; one for each call or run has no window."""
    force, now = system.kernel.parts.force, system.time.now_us()
    pers = {one.key: one.per for one in force.budgets}
    starts = {
        key: force.calendar.start(per, now) for key, per in pers.items() if per != "call" and per != "run"
    }
    neared, used = system.store.read(
        lambda view: (read_neared(view), {key: view.used(key, since) for key, since in starts.items()})
    )
    shown = []
    for budget in force.budgets:
        per = budget.per
        since = starts.get(budget.key)
        anew = (
            window_end(per, since, force.calendar.zone) if since and per != "call" and per != "run" else None
        )
        held, spent = used.get(budget.key, (0, 0))
        left = max(0, budget.limit - held - spent)
        of = "for each" if since is None else f"of {budget.show(budget.limit)} this"
        shown.append(
            {
                "name": budget.name,
                "measure": budget.measure,
                "currency": budget.currency,
                "per": budget.per,
                "since": iso(since) if since is not None else None,
                "anew_at": iso(anew) if anew is not None else None,
                "near": budget.is_near(held + spent),
                "shown": {
                    "limit": budget.show(budget.limit),
                    "held": budget.show(held),
                    "spent": budget.show(spent),
                    "left": budget.show(left),
                },
                "scope": f"{budget.scope}:{budget.of}" if budget.of else budget.scope,
                "operations": budget.operations,
                "limit": budget.limit,
                "held": held,
                "spent": spent,
                "left": left,
                "neared_at": iso(near[1]) if (near := neared.get(budget.key)) and near[0] == since else None,
                "said": f"{budget.show(left)} {'' if since is None else 'left '}{of} {per}",
            }
        )
    return shown


@router.get("/rules")
async def list_rules(system: Here) -> Response:
    """Every rule in force, with its title and a sentence that says it.

    And where it is written, and its numbers that people may change.
    """
    return answer(system, rules_of(system))


def rules_of(system: System) -> dict[str, Any]:
    """The rules in force as plain data."""
    rules = system.project.rules
    shown = [
        {
            "id": one.rule.id,
            "title": one.rule.title,
            "effect": one.rule.effect,
            "tier": one.rule.tier,
            "sentence": one.sentence,
            "operations": sorted(one.operations),
            "file": one.file,
            "line": one.line,
            "numbers": [asdict(number) for number in one.numbers],
        }
        for one in rules.explain()
    ]
    return {"digest": rules.digest, "changed": system.rules_since(), "rules": shown}


@router.get("/connectors")
async def list_connectors(system: Here) -> Response:
    """Every connector: where it is (never how to log in), and its operations' contracts."""
    return answer(system, {"connectors": [connector_of(system, name) for name in system.project.connectors]})


@router.get("/sources")
async def list_sources(system: Here) -> Response:
    """Polls and schedules with their next time and what went wrong last; webhooks with their path."""
    sources = [show_source(one) for one in system.sources.standing()]
    webhooks = [{"name": name, "path": f"/v1/webhooks/{name}"} for name in system.project.webhooks]
    return answer(system, {"sources": sources, "webhooks": webhooks})


def connector_of(system: System, name: str) -> dict[str, Any]:
    """A connector: where it is, what waits, its circuit and its operations' contracts."""
    connector = system.project.connectors[name]
    settings = system.project.settings.connectors.get(name)
    lane = system.kernel.lanes.get(f"connector:{name}")
    return {
        "name": name,
        "version": connector.version,
        "base": settings.address(system.project.settings.environ) if settings is not None else None,
        "concurrent_max": settings.concurrent_max if settings is not None else None,
        "per_second_max": settings.per_second_max if settings is not None else None,
        "waiting": lane.waiting if lane is not None else 0,
        "circuit": show_circuit(system.kernel.parts.circuits.of(name), system.time.monotonic()),
        "operations": [_contract(operation.contract) for operation in connector.operations.values()],
    }


def _contract(contract: Contract) -> dict[str, Any]:
    return {
        "name": contract.name,
        "effect": contract.effect,
        "risk": contract.risk,
        "resources": contract.resources,
        "amount": contract.amount,
        "timeout_s": contract.timeout_s,
        "settle_s": contract.settle_s,
        "key_valid_s": contract.key_valid_s,
        "key_margin_s": contract.key_margin_s,
        "attempts_max": contract.attempts_max,
        "lookup": contract.lookup,
        "lookup_conclusive": contract.lookup_conclusive,
        "repeatable": contract.repeatable,
        "price_usd_micros": contract.price_usd_micros,
        "priced_by": contract.priced_by,
        "declined": contract.declined,
        "not_done": contract.not_done,
        "input": canonical.decode(contract.input_schema),
        "output": canonical.decode(contract.output_schema),
        "digest": contract.digest,
    }

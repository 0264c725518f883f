"""Lowering: an automation that fails too often proposes, and a person confirms each of its writes.

It is lowered in the transaction in which one run too many fails, with a card that says why, until a person
lifts that; then its failures are counted anew. A confirmation is an approval like any other: this only adds
a demand to what the rules say.
"""

from __future__ import annotations

import math
from dataclasses import replace

from deputize.approval import Demand
from deputize.automation import Automation
from deputize.kernel.judging import Request
from deputize.ledger import SYSTEM, Draft
from deputize.rule import CONFIRM, RuleLine, Verdict
from deputize.store.protocol import Tx

LAST_RUNS = 100
LATEST_SHOWN = 5


def lower_if_failing(tx: Tx, automation: Automation) -> None:
    """Lower an automation of which a run has just failed or is stuck, if that is one too many."""
    if automation.failures_max >= 1 or tx.lowered(automation.name):
        return
    failed, runs = tx.failures(automation.name, LAST_RUNS)
    if len(failed) <= math.floor(round(automation.failures_max * LAST_RUNS, 6)):
        return
    runs = max(runs, len(failed))
    latest = [row.id for no in failed[:LATEST_SHOWN] if (row := tx.run_no(no)) is not None]
    body = {
        "automation": automation.name,
        "path": automation.name,
        "kind": "lowered",
        "title": f"{len(failed)} of the last {runs} runs of {automation.name} failed, and its bound is "
        f"{automation.failures_max:.1%} of {LAST_RUNS}: a person confirms each of its writes",
        "failed": len(failed),
        "runs": runs,
        "failures_max": automation.failures_max,
        "latest": latest,
    }
    tx.append(SYSTEM, tx.version(SYSTEM), [Draft("lowered", body)])


def confirmed(tx: Tx, request: Request, verdict: Verdict) -> Verdict:
    """What the rules say, and that a person confirms it, where that is so."""
    automation, contract = request.run.automation.name, request.action.operation.contract
    if verdict.decision == "refuse" or contract.effect != "write" or request.inquiring:
        return verdict
    if not tx.lowered(automation):
        return verdict
    others = verdict.rules if verdict.decision == "demand" else ()
    title = f"{automation} failed too often: each of its writes is confirmed"
    line = RuleLine(CONFIRM, title, "forbid", "approval", Demand("approval", ("keeper",)))
    return replace(verdict, decision="demand", rules=(*others, line))

"""Throwing a cancellation: written where the run waits, and only as long as it still does."""

from __future__ import annotations

from deputize.action import Action
from deputize.kernel.live import Leaf, LiveRun
from deputize.kernel.stepping import digest_of, name_of
from deputize.ledger import Draft
from deputize.planned import PlanAsk
from deputize.store.protocol import Tx

REASON = "cancelled by a person"


def write_cancelling(tx: Tx, run: LiveRun, leaf: Leaf) -> int | None:
    """Record that a run is cancelled where it awaits this. Returns when; None where what it awaits there has
    come meanwhile: the run goes on with that, and is cancelled at its next await."""
    if _has_come(tx, run, leaf):
        return None
    asked = {"path": leaf.path, "op": name_of(leaf.awaiting), "digest": digest_of(leaf.awaiting)}
    run.version = tx.append(run.no, run.version, [Draft("cancelling", asked | {"reason": REASON})])
    tx.set_wish(run.no, "")
    return tx.at_us


def _has_come(tx: Tx, run: LiveRun, leaf: Leaf) -> bool:
    if isinstance(leaf.awaiting, Action | PlanAsk):
        row = tx.action(run.no, leaf.path)
        return row is not None and row.state != "asking"
    known = run.record.get(leaf.path)
    waits = any(wait.path == leaf.path for wait in tx.waits(run.no))
    return known is not None and known.state == "waiting" and not waits

"""Works that end a run or stop it for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deputize import canonical
from deputize.automation import Automation
from deputize.event import RUN_SOURCE, Occurrence
from deputize.kernel.intake import Arrival, Intake, sender_of
from deputize.kernel.live import Ends, LiveRun
from deputize.kernel.lowering import lower_if_failing
from deputize.ledger import Draft
from deputize.store.protocol import RunRow, Tx
from deputize.waits import RunEnded

Append = Callable[[Tx, int, list[Draft]], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """What the end of a run has set going: events that arrived by it, and the run that was behind it."""

    arrivals: tuple[Arrival, ...]
    next_ready: int | None


def end_run(tx: Tx, run: LiveRun, step: Ends, intake: Intake, plan: dict[str, Any] | None = None) -> Ended:
    """End a run, tell the run that sent its event, and go on where it said `continue_with`; with a `plan`
    (see `kernel/unwinding.py`), what it did is undone from then on."""
    body: dict[str, Any] = {
        "kind": step.kind,
        "label": step.outcome.label,
        "details": dict(step.outcome.details),
        "reason": step.reason,
        "causes": list(step.causes),
        "automation": run.automation.name,
        "key": run.key,
        "waited": run.waited,
        "carded": run.carded,
    }
    drafts = [Draft("ended", body)]
    if plan is not None and plan["steps"]:
        drafts.append(Draft("unwinding", plan | {"by": {"person": "", "reason": "it failed"}}))
    run.version = tx.append(run.no, run.version, drafts)
    if step.kind == "failed":
        lower_if_failing(tx, run.automation)
    if run.cancel:
        tx.set_wish(run.no, "")
    arrivals = _tell_sender(tx, intake, run.event, run.id, body, run.sender)
    if step.state is not None:
        arrivals.append(intake.arrive(tx, continued(run, step.state, tx.at_us)))
    return Ended(tuple(arrivals), _next(tx, body))


def continued(run: LiveRun, state: tuple[str, bytes], at_us: int) -> Occurrence:
    """The event that a run goes on with: its state's type and data."""
    type, data = state
    return Occurrence(f"{RUN_SOURCE}{run.id}", "continued", type, run.event.subject, at_us, data, run.sender)


def end_by_hand(tx: Tx, run: RunRow, reason: str, intake: Intake, append: Append) -> Ended:
    """End a run, in memory or not, on a person's word. `append` is that of `recording.py`."""
    body: dict[str, Any] = {
        "kind": "cancelled",
        "label": "",
        "details": {},
        "reason": reason,
        "causes": [],
        "automation": run.automation,
        "key": run.key,
        "waited": True,
        "carded": True,
    }
    append(tx, run.no, [Draft("ended", body)])
    tx.set_wish(run.no, "")
    kept = tx.event(run.event)
    sender = sender_of(tx.entries(run.no, limit=1))
    arrivals = _tell_sender(tx, intake, kept.occurrence, run.id, body, sender) if kept is not None else []
    return Ended(tuple(arrivals), _next(tx, body))


def _tell_sender(
    tx: Tx, intake: Intake, event: Occurrence, run_id: str, body: Mapping[str, Any], sender: str
) -> list[Arrival]:
    if not event.source.startswith(RUN_SOURCE):
        return []
    told = RunEnded(
        run_id=run_id,
        event_id=event.id,
        automation=body["automation"],
        outcome=body["kind"],
        label=body["label"],
    )
    data = canonical.encode(told.model_dump(mode="json"))
    occurrence = Occurrence(f"{RUN_SOURCE}{run_id}", "ended", RunEnded.event_type, "", tx.at_us, data, sender)
    return [intake.arrive(tx, occurrence)]


def _next(tx: Tx, body: Mapping[str, Any]) -> int | None:
    return tx.next_with_key(body["automation"], body["key"]) if body["key"] is not None else None


def stick_run(
    tx: Tx,
    no: int,
    version: int,
    reason: str,
    row: RunRow | None = None,
    automation: Automation | None = None,
    *,
    ours: str = "",
    theirs: str = "",
) -> None:
    """Stop a run for a person, with both sides shown. A run that is stuck already stays as it is.

    `automation` is that of the run, where it is in the project: it may have failed once too often by this."""
    if row is not None and row.state == "stuck":
        return
    tx.append(no, version, [Draft("stuck", {"reason": reason, "ours": ours, "theirs": theirs})])
    if automation is not None:
        lower_if_failing(tx, automation)

"""Works that end a run or stop it for a person."""

from __future__ import annotations

from typing import Any

from deputize import canonical
from deputize.event import Occurrence
from deputize.kernel.intake import Arrival, Intake
from deputize.kernel.live import Ends, LiveRun
from deputize.ledger import Draft
from deputize.store.protocol import RunRow, Tx
from deputize.waits import RunEnded

RUN_SOURCE = "/runs/"


def end_run(tx: Tx, run: LiveRun, step: Ends, intake: Intake) -> tuple[list[Arrival], int | None]:
    """End a run, tell the run that sent its event, and go on where it said `continue_with`.

    Returns the events that arrived by it, and the run that was behind it, if any.
    """
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
    run.version = tx.append(run.no, run.version, [Draft("ended", body)])
    arrivals = []
    if run.event.source.startswith(RUN_SOURCE):
        told = RunEnded(
            run_id=run.id,
            event_id=run.event.id,
            automation=run.automation.name,
            outcome=step.kind,
            label=step.outcome.label,
        )
        data = canonical.encode(told.model_dump(mode="json"))
        occurrence = Occurrence(f"{RUN_SOURCE}{run.id}", "ended", RunEnded.event_type, "", tx.at_us, data)
        arrivals.append(intake.arrive(tx, occurrence))
    if step.state is not None:
        type, data = step.state
        occurrence = Occurrence(f"{RUN_SOURCE}{run.id}", "continued", type, run.event.subject, tx.at_us, data)
        arrivals.append(intake.arrive(tx, occurrence))
    return arrivals, tx.next_with_key(run.automation.name, run.key) if run.key is not None else None


def stick_run(
    tx: Tx, no: int, version: int, reason: str, row: RunRow | None = None, *, ours: str = "", theirs: str = ""
) -> None:
    """Stop a run for a person, with both sides shown. A run that is stuck already stays as it is."""
    if row is not None and row.state == "stuck":
        return
    tx.append(no, version, [Draft("stuck", {"reason": reason, "ours": ours, "theirs": theirs})])

"""What a run has read, from the ledger: so that what one run passes on to another is not forgotten there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deputize.event import RUN_SOURCE, SCHEDULES
from deputize.store.protocol import View

READS = frozenset({"settled", "drifted", "declined", "refused"})
"""The states of actions of which something was told: also why they were not done, in the service's words."""


def read_by_sender(view: View, source: str) -> list[str]:
    """What the run that sent an event had read, sorted; of an event that no run sent, nothing."""
    if not source.startswith(RUN_SOURCE):
        return []
    run = view.run(source.removeprefix(RUN_SOURCE))
    return sorted(read_by(view, run.no)) if run is not None else []


def read_by(view: View, run: int) -> set[str]:
    """The types of events and the names of operations that a run has read so far, and what those brought
    along."""
    found = {one.operation for one in view.actions(run) if one.state in READS}
    for entry in view.entries(run):
        event = (entry.body or {}).get("event")
        if entry.type in ("began", "woke") and event is not None:
            found |= brought(event)
    return found


def brought(event: Mapping[str, Any]) -> set[str]:
    """What a run has read by an event alone, as an entry has it."""
    own = set() if event["source"].startswith(SCHEDULES) else {event["type"]}
    return own | set(event.get("origins", ()))

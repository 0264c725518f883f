"""What runs stand in line for that is in memory alone: resources, turns, pauses, stops, a place."""

from __future__ import annotations

from deputize.kernel.parts import Parts
from deputize.kernel.scheduler import Scheduler
from deputize.standing import Stand
from deputize.store.protocol import RunRow


class Standing:
    """A look at what is in memory, for people; it changes nothing."""

    def __init__(self, parts: Parts, scheduler: Scheduler) -> None:
        self._parts = parts
        self._scheduler = scheduler

    def of(self, run: RunRow) -> list[Stand]:
        """What a run stands in line for now; nothing where it waits for what is in the ledger."""
        if run.state in ("ended", "behind"):
            return []
        stops, name = self._parts.stops, f"run:{run.id}"
        if run.no in self._parts.live:
            return stops.standing(name)
        if run.state != "ready":
            return []
        scope = stops.parked.get(run.no)
        scope = scope or stops.in_way(f"agent:{run.agent}", f"automation:{run.automation}", name)
        if scope is not None:
            return [Stand("stop", scope)]
        return [Stand("place", "")] if self._scheduler.is_in_line(run.no) else []

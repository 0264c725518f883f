"""What runs stand in line for that is in memory alone: resources, turns, pauses, circuits, stops, a place."""

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
            return [*stops.standing(name), *self._circuits(run)]
        if run.state != "ready":
            # What is in doubt may be sent again, and waits for that though its run is not in memory.
            return self._circuits(run)
        scope = stops.parked.get(run.no)
        scope = scope or stops.in_way(f"agent:{run.agent}", f"automation:{run.automation}", name)
        if scope is not None:
            return [Stand("stop", scope)]
        if found := self._circuits(run):
            return found
        return [Stand("place", "")] if self._scheduler.is_in_line(run.no) else []

    def _circuits(self, run: RunRow) -> list[Stand]:
        now_s = self._parts.time.monotonic()
        return [
            Stand("circuit", one.connector, one.failed, self._at(one.circuit.try_at_s - now_s))
            for one in self._parts.circuits.waited_for(run.no, f"run:{run.id}")
        ]

    def _at(self, in_s: float) -> int | None:
        """A moment from now, to the second; None where it is over, and whoever is first tries."""
        return round(self._parts.time.now_us() / 1e6 + in_s) * 1_000_000 if in_s > 0 else None

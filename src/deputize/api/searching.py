"""Looking through what was recorded, backwards and within a bound of work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deputize.api.here import find_run
from deputize.api.lines import Teller
from deputize.api.moments import bound_of
from deputize.api.problem import Problem
from deputize.clock import iso
from deputize.ledger import SYSTEM, SYSTEM_NAME
from deputize.sought import Sought
from deputize.store.protocol import View
from deputize.suggest import did_you_mean
from deputize.system import System

TEXT_CHARS_MAX = 200
STRETCH = 500
"""So many entries are looked through between two looks at the time."""

STRETCHES_MAX = 200
WITHIN_S = 0.05
NEWEST = 2**63 - 1


@dataclass(frozen=True)
class Wanted:
    """What somebody looks for, as they wrote it."""

    run: str = ""
    automation: str = ""
    agent: str = ""
    operation: str = ""
    resource: str = ""
    person: str = ""
    text: str = ""
    since: str = ""
    until: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The parts of an address that say it."""
        named = {"from": self.since, "to": self.until}
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {name: value for name, value in (plain | named).items() if value}


_PLAIN = ("run", "automation", "agent", "operation", "resource", "person", "text")


@dataclass(frozen=True)
class Bounds:
    """What is looked for, between which seqs: under `below`, and at least `down_to`."""

    sought: Sought
    below: int
    down_to: int


def wanted_of(query: Mapping[str, str]) -> Wanted:
    """What a query wants. Raises `Problem` 422, naming what is too long."""
    found = {name: query.get(name, "").strip() for name in (*_PLAIN, "from", "to")}
    for name, value in found.items():
        if len(value) > TEXT_CHARS_MAX:
            raise Problem(422, f"{name} may have {TEXT_CHARS_MAX} characters: shorten it", field=name)
    since, until = found.pop("from"), found.pop("to")
    return Wanted(**found, since=since, until=until)


async def found_of(system: System, wanted: Wanted, before: int | None, limit: int) -> dict[str, Any]:
    """A page of what was recorded as plain data: `entries`, and how far back it was looked through."""
    bounds = bounds_of(system, wanted, before)
    # In a thread of its own: it reads a lot, and the loop has other things to do meanwhile.
    return await asyncio.to_thread(_look, system, bounds, wanted, limit)


def bounds_of(system: System, wanted: Wanted, before: int | None = None) -> Bounds:
    """What a wish comes to on this ledger. Raises `Problem` 404 for a run, 422 for a time."""
    zone = system.project.settings.zone
    run = None
    if wanted.run:
        run = SYSTEM if wanted.run == SYSTEM_NAME else find_run(system, wanted.run).no
    since = bound_of("from", wanted.since, zone) if wanted.since else None
    until = bound_of("to", wanted.until, zone, until=True) if wanted.until else None

    def read(view: View) -> tuple[int, int]:
        last = view.seq_at(until) if until is not None else view.seq_at(NEWEST - 1)
        return last + 1, view.seq_at(since - 1) + 1 if since is not None else 1

    below, down_to = system.store.read(read)
    named = {name: getattr(wanted, name) for name in _PLAIN if name != "run"}
    return Bounds(Sought(run, **named), min(below, NEWEST if before is None else before), down_to)


def _look(system: System, bounds: Bounds, wanted: Wanted, limit: int) -> dict[str, Any]:
    """Stretch by stretch, until there is enough, nothing is left, or the time is over."""
    sought, below, zone = bounds.sought, bounds.below, system.project.settings.zone
    ends_at = system.time.monotonic() + WITHIN_S

    def read(view: View) -> dict[str, Any]:
        nonlocal below
        lines: list[dict[str, Any]] = []
        teller = Teller(view, zone)
        for _ in range(STRETCHES_MAX):
            if below <= bounds.down_to:
                break
            begins = max(bounds.down_to, view.stretch(sought.run, below, STRETCH))
            found = view.sought(sought, below, begins, limit - len(lines))
            lines += [teller.line(one) for one in found]
            full = len(lines) == limit
            below = found[-1].entry.seq if full else begins
            if full or system.time.monotonic() >= ends_at:
                break
        left = below > bounds.down_to
        oldest = view.entry(below) if left else None
        return {
            "entries": lines,
            "searched_to": iso(oldest.at_us) if oldest is not None else None,
            "next": below if left else None,
            "hints": _hints(system, wanted) if not lines and not left else [],
        }

    return system.store.read(read)


def _hints(system: System, wanted: Wanted) -> list[str]:
    """Where nothing is found: names that the project has not, with the nearest that it has."""
    project = system.project
    known = {
        "automation": list(project.automations),
        "agent": list(project.agents),
        "operation": [*project.operations, *project.connectors],
        "person": list(project.settings.directory.people),
    }
    hints = []
    for name, names in known.items():
        value = getattr(wanted, name)
        if value and value not in names:
            hints.append(f"the project has no {name} {value!r}{did_you_mean(value, names)}")
    return hints

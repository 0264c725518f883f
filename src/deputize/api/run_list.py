"""The runs that somebody looks for, newest first, looked through within a bound of work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from deputize.api.moments import bound_of
from deputize.api.problem import Problem
from deputize.api.show import show_run, show_waits_for
from deputize.clock import iso
from deputize.store.protocol import RunRow, View
from deputize.store.standing import Standings
from deputize.suggest import did_you_mean
from deputize.system import System

NEWEST = 2**63 - 1
STRETCH = 2_000
"""So many runs are looked through between two looks at the time."""

STRETCHES_MAX = 500
WITHIN_S = 0.05
OPEN = ("behind", "ready", "waiting", "doubtful", "stuck")
OUTCOMES = ("done", "gave_up", "failed", "cancelled")


@dataclass(frozen=True)
class RunsWanted:
    """Which runs: `show` is `open`, a state, or how they ended; those that began `since` a time."""

    show: str = ""
    automation: str = ""
    since: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The parts of an address that say it."""
        return {"show": self.show, "automation": self.automation, "since": self.since}


async def runs_of(
    system: System, wanted: RunsWanted, *, before: int | None = None, limit: int = 50
) -> dict[str, Any]:
    """`runs` as plain data, and where to go on. Raises `Problem` 422 for what cannot be looked for."""
    known = ("", "open", *OPEN, *OUTCOMES)
    if wanted.show not in known:
        hint = did_you_mean(wanted.show, known[1:])
        raise Problem(422, f"show cannot be {wanted.show[:40]!r}{hint}", field="show")
    if len(wanted.automation) > 200:
        raise Problem(422, "automation may have 200 characters: shorten it", field="automation")
    zone = system.project.settings.zone
    since = bound_of("since", wanted.since, zone) if wanted.since else 0
    below = NEWEST if before is None else before
    rows, following, back_to = await asyncio.to_thread(_look, system, wanted, since, below, limit)
    standing = system.kernel.standing

    def told(view: View) -> list[dict[str, Any]]:
        standings = Standings(view)
        return [show_run(row) | show_waits_for(standings.of(row, standing.of(row)), zone) for row in rows]

    runs = system.store.read(told)
    return {"runs": runs, "next": following, "searched_to": iso(back_to) if back_to else None}


Looked = tuple[list[RunRow], int | None, int]
"""The runs, the number to go on before (None at the end), and back to when was looked (0: to the end)."""


def _look(system: System, wanted: RunsWanted, since: int, below: int, limit: int) -> Looked:
    """In a thread, on one snapshot."""
    states = OPEN if wanted.show == "open" else (wanted.show,) if wanted.show in OPEN else ()
    ends_at = system.time.monotonic() + WITHIN_S

    def read(view: View) -> Looked:
        if states:
            return _open(view, states, wanted.automation, since, below, limit)
        return _back(view, wanted, since, below, limit, lambda: system.time.monotonic() >= ends_at)

    return system.store.read(read)


def _open(view: View, states: Sequence[str], automation: str, since: int, below: int, limit: int) -> Looked:
    """Those that have not ended. Each state by itself, for the index has them in order only so."""
    found: list[RunRow] = []
    for state in states:
        found += view.runs(states=(state,), automation=automation, before=below, limit=limit + 1)
    rows = sorted((row for row in found if row.began_at >= since), key=lambda row: -row.no)
    return rows[:limit], rows[limit - 1].no if len(rows) > limit else None, 0


def _back(
    view: View, wanted: RunsWanted, since: int, below: int, limit: int, is_over: Callable[[], bool]
) -> Looked:
    """Those of a kind, stretch by stretch, until there is enough, nothing is left, or the time is over."""
    newest = view.runs(before=below, limit=1)
    below = newest[0].no + 1 if newest else 0
    rows: list[RunRow] = []
    for _ in range(STRETCHES_MAX):
        oldest = view.runs(before=below, limit=1)
        if not oldest or oldest[0].began_at < since:
            return rows, None, 0
        begins = max(0, below - STRETCH)
        found = view.runs_sought(wanted.show, wanted.automation, below, begins, limit - len(rows))
        rows += [row for row in found if row.began_at >= since]
        if len(rows) == limit:
            return rows, rows[-1].no, 0
        below = begins
        if is_over():
            break
    left = view.runs(before=below, limit=1)
    return rows, below if left else None, left[0].began_at if left else 0

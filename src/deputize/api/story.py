"""A run's story, a page at a time, with what leads to it and what came of it; and what would undo it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from deputize.api.here import After, Here, find_run
from deputize.api.problem import answer
from deputize.api.show import show_event, show_run, show_waits_for
from deputize.api.who import READS
from deputize.event import RUN_SOURCE
from deputize.kernel.undoing import plan
from deputize.sentence import listed, pairs
from deputize.store.protocol import EventRow, RunRow, View
from deputize.store.telling import read_telling
from deputize.story import story
from deputize.system import System

ENTRIES_A_PAGE = 100
ENTRIES_BEHIND = 100
"""So many entries behind a page are read for how its actions went on."""

RUNS_SHOWN = 20

_ENDS = ("ended", "continued")
"""The ids of the events by which a run tells of its end, and goes on as another."""

Action = Annotated[str, Query(max_length=200, description="The path of one of its actions.")]

router = APIRouter(prefix="/v1", dependencies=[READS])


@router.get("/runs/{run_id}/story")
async def tell_story(system: Here, run_id: str, after: After = 0, action: Action = "") -> Response:
    """A run's story in the order of time.

    Each action with its rules, its source, its cost and what was expected of it. It goes on after the
    version `next`; with an `action` it begins where that does, and has what a model was shown and said
    there."""
    return answer(system, story_of(system, find_run(system, run_id), after, action))


@router.get("/runs/{run_id}/undo")
async def plan_undo(system: Here, run_id: str, path: Action = "") -> Response:
    """What would undo an ended run, latest first.

    And what cannot be undone, and why. Nothing is done.
    """
    return answer(system, await undo_of(system, find_run(system, run_id), path))


def story_of(system: System, run: RunRow, after: int = 0, action: str = "") -> dict[str, Any]:
    """A page of a run's story as plain data. With an action the page is the one where that begins."""
    parts, zone = system.kernel.parts, system.project.settings.zone
    budgets = {budget.key: budget for budget in parts.force.budgets}
    stands = system.kernel.standing.of(run)

    def read(view: View) -> dict[str, Any]:
        begins = _page_of(view, run, action) if action else after
        many = ENTRIES_A_PAGE + ENTRIES_BEHIND
        telling = read_telling(view, run, zone, budgets, stands=stands, after=begins, limit=many)
        until = min(begins + ENTRIES_A_PAGE, run.version)
        things = story(telling, until, action)
        for one in things:
            _add_what_is_so_now(system, view, run, one)
        event = view.event(run.event)
        return {
            "run": show_run(run) | show_waits_for(telling.waits_for, zone),
            "event": show_event(event) if event is not None else None,
            "led_here": _run_behind(view, event),
            "beside": _runs_of(system, view, event, run) if event is not None else [],
            "led_to": _led_to(system, view, run),
            "story": things,
            "after": begins,
            "before": max(0, begins - ENTRIES_A_PAGE) if begins else None,
            "next": until if until < run.version else None,
        }

    return system.store.read(read)


def _page_of(view: View, run: RunRow, path: str) -> int:
    """Behind which version the page begins that has the beginning of an action."""
    row = view.action(run.no, path)
    began = view.version_at(run.no, row.at) if row is not None else 0
    # Entries of one commit have one time: it is one of those that follow.
    near = view.entries(run.no, began, 2 * ENTRIES_A_PAGE) if row is not None else []
    own = next((entry for entry in near if entry.body and entry.body.get("path") == path), None)
    began = own.version - 1 if own is not None else began
    return began - began % ENTRIES_A_PAGE


def _add_what_is_so_now(system: System, view: View, run: RunRow, one: dict[str, Any]) -> None:
    """How an action stands now, where it waits for people, and the runs that an event it sent began."""
    if one["kind"] == "action":
        row = view.action(run.no, one["path"])
        one["state"] = row.state if row is not None else ""
        one["operation"] = one["operation"] or (row.operation if row is not None else "")
        waits = row is not None and row.state in ("asking", "doubtful", "drifted")
        card = view.card_of(run.no, one["path"]) if waits else None
        one["waits_at"] = card.seq if card is not None else None
    if one["kind"] == "sent":
        event = view.event_of(f"{RUN_SOURCE}{run.id}", one["path"])
        one["type"] = event.occurrence.type if event is not None else ""
        one["runs"] = _runs_of(system, view, event, run) if event is not None else []


def _run_behind(view: View, event: EventRow | None) -> dict[str, Any] | None:
    """The run that sent the event which this one answers, and at which of its steps."""
    if event is None or not event.occurrence.source.startswith(RUN_SOURCE):
        return None
    row = view.run(event.occurrence.source.removeprefix(RUN_SOURCE))
    if row is None:
        return None
    path = event.occurrence.id if event.occurrence.id not in _ENDS else ""
    return {"run": row.id, "automation": row.automation, "path": path}


def _runs_of(system: System, view: View, event: EventRow, but: RunRow) -> list[dict[str, Any]]:
    """The runs that answer an event, but one. An automation that the project has no more is not known."""
    about = event.occurrence
    ids = system.kernel.intake.run_ids(about.type, about.source, about.id)[:RUNS_SHOWN]
    rows = [view.run(id) for id in ids if id != but.id]
    return [
        {"run": row.id, "automation": row.automation, "state": row.state, "label": row.label}
        for row in rows
        if row is not None
    ]


def _led_to(system: System, view: View, run: RunRow) -> list[dict[str, Any]]:
    """The runs that answer its end, or that it goes on as. What its own events began is told where it sent
    those."""
    ends = (view.event_of(f"{RUN_SOURCE}{run.id}", id) for id in _ENDS)
    return [one for event in ends if event is not None for one in _runs_of(system, view, event, run)]


async def undo_of(system: System, run: RunRow, path: str = "") -> dict[str, Any]:
    """What would undo a run: its steps in words, and what is left. In a thread: a run may be long."""
    operations = system.project.operations
    planned = await asyncio.to_thread(
        lambda: system.store.read(lambda view: plan(view, run, operations, path))
    )
    steps = [{**step, "said": _said(step)} for step in planned["steps"]]
    left = [{**one, "said": f"{one['op']} ({one['path']}): {one['why']}"} for one in planned["left"]]
    ended = run.state == "ended"
    said = "" if ended else f"run {run.id} is {run.state}; cancel it first, then undo what it did"
    if ended and not steps:
        left_said = listed([one["said"] for one in left]) if left else ""
        said = f"nothing of it can be undone{': ' + left_said if left else ''}"
        said = said if left else "it has done nothing that is not undone already"
    return {"run": run.id, "path": path, "steps": steps, "left": left, "said": said}


def _said(step: dict[str, Any]) -> str:
    return f"{step['op']} with {pairs(step['args'])}, which undoes {step['of']} ({step['undoes']})"

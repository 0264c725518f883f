"""Runs and what they did, from the projections and the ledger."""

from __future__ import annotations

from typing import Annotated, get_args

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from deputize.api.body import text_of
from deputize.api.here import After, Before, Here, Limit, Name, RunName, find_run
from deputize.api.moments import bound_of
from deputize.api.problem import Problem, answer
from deputize.api.run_list import RunsWanted, runs_of
from deputize.api.show import show_action, show_entry, show_event, show_run, show_wait, show_waits_for
from deputize.api.who import READS, Operator, read_decision
from deputize.ledger import SYSTEM, SYSTEM_NAME, EntryType
from deputize.standing import WaitsFor
from deputize.store.protocol import RunRow, View
from deputize.store.rows import RunState
from deputize.store.standing import Standings
from deputize.suggest import did_you_mean
from deputize.system import System

NEWEST = 2**63 - 1
LOOKED_AT_MAX = 20_000
"""Entries that one page looks at where only some types are asked for: there may be millions between two."""

States = Annotated[tuple[RunState, ...], Query(max_length=20, description="Only runs in one of these.")]
Types = Annotated[tuple[str, ...], Query(max_length=50, description="Only entries of these types.")]
Since = Annotated[
    str,
    Query(
        max_length=40,
        description="Only runs that began then or later: ISO 8601, in the project's zone or another.",
    ),
]

Path = Annotated[str, Query(max_length=200, description="The `next` of the page before.")]

router = APIRouter(prefix="/v1", dependencies=[READS])


@router.get("/runs")
async def list_runs(
    system: Here,
    state: States = (),
    automation: Name = "",
    agent: Name = "",
    since: Since = "",
    show: Annotated[str, Query(max_length=20, description="`open`, a state, or how they ended.")] = "",
    after: After = 0,
    before: Before = None,
    limit: Limit = 100,
) -> Response:
    """Runs, each with what it waits for, and who is in its way.

    Newest first, going on with `before`; oldest first with `after` (both are run numbers). With `show`
    (`open`, a state, or how they ended: `done`, `gave_up`, `failed`, `cancelled`) they are newest first, and
    looked through for a moment only, as far as `searched_to`.
    """
    if show:
        wanted = RunsWanted(show, automation, since)
        return answer(system, await runs_of(system, wanted, before=before, limit=limit))
    if after == 0 and before is None:
        before = NEWEST
    standing, zone, since_us = (
        system.kernel.standing,
        system.project.settings.zone,
        bound_of("since", since, system.project.settings.zone) if since else None,
    )

    def read(view: View) -> list[tuple[RunRow, list[WaitsFor]]]:
        rows = view.runs(
            states=state,
            automation=automation,
            agent=agent,
            since=since_us,
            before=before,
            after=after,
            limit=limit,
        )
        standings = Standings(view)
        return [(row, standings.of(row, standing.of(row))) for row in rows]

    found = system.store.read(read)
    following = found[-1][0].no if len(found) == limit else None
    shown = [show_run(row) | show_waits_for(waits_for, zone) for row, waits_for in found]
    return answer(system, {"runs": shown, "next": following})


@router.get("/runs/{run_id}")
async def get_run(system: Here, run_id: str) -> Response:
    """One run with its actions, what it waits for, and its event."""
    run = find_run(system, run_id)
    stands, zone = system.kernel.standing.of(run), system.project.settings.zone
    actions, waits, event, waits_for = system.store.read(
        lambda view: (
            view.actions(run.no),
            view.waits(run.no),
            view.event(run.event),
            Standings(view).of(run, stands),
        )
    )
    return answer(
        system,
        {
            "run": show_run(run) | show_waits_for(waits_for, zone),
            "actions": [show_action(action) for action in actions],
            "waits": [show_wait(wait) for wait in waits],
            "event": show_event(event) if event is not None else None,
        },
    )


@router.get("/runs/{run_id}/entries")
async def get_run_entries(system: Here, run_id: str, after: After = 0, limit: Limit = 100) -> Response:
    """A run's stream, from version `after + 1` on."""
    run = find_run(system, run_id)
    entries = system.store.read(lambda view: view.entries(run.no, after, limit))
    following = entries[-1].version if len(entries) == limit else None
    return answer(system, {"entries": [show_entry(run.id, entry) for entry in entries], "next": following})


@router.get("/runs/{run_id}/actions")
async def get_run_actions(system: Here, run_id: str, after: Path = "", limit: Limit = 100) -> Response:
    """A run's actions, oldest first, going on after the path of one."""
    run = find_run(system, run_id)
    known, page = system.store.read(
        lambda view: (not after or view.action(run.no, after), view.actions(run.no, after, limit))
    )
    if not known:
        raise Problem(422, f"run {run.id} has no action {after!r} to go on after", field="after")
    following = page[-1].path if len(page) == limit else None
    return answer(system, {"actions": [show_action(action) for action in page], "next": following})


@router.post("/runs/{run_id}/cancel")
async def cancel_run(request: Request, system: Here, person: Operator, run_id: str) -> Response:
    """Cancel a run.

    The answer's sentence says whether at once or after what is open.
    """
    await read_decision(request)
    run = find_run(system, run_id)
    said = await system.kernel.people.cancel(run.id, person)
    return answer(system, {"run": run.id, "said": said}, 202)


@router.post("/runs/{run_id}/undo")
async def undo_run(request: Request, system: Here, person: Operator, run_id: str) -> Response:
    """Undo what an ended run did, the latest first.

    Of one action alone where `path` names it.
    """
    body = await read_decision(request)
    run = find_run(system, run_id)
    path = text_of(body, "path", chars_max=200, default="")
    target = f"{run.id}/{path}" if path else run.id
    reason = text_of(body, "reason", default="")
    said = await system.kernel.unwinding.undo(target, reason=reason, person=person)
    return answer(system, {"run": run.id, "path": path, "said": said}, 202)


@router.get("/actions/{run_id}/{path:path}")
async def get_action(system: Here, run_id: str, path: str) -> Response:
    """One action and every entry about it."""
    run = find_run(system, run_id)
    action, entries = system.store.read(lambda view: (view.action(run.no, path), view.entries(run.no)))
    if action is None:
        raise Problem(404, f"run {run.id} has no action {path!r}; GET /v1/runs/{run.id}/actions lists them")
    own = [e for e in entries if e.body is not None and e.body.get("path") == path]
    return answer(system, {"action": show_action(action), "entries": [show_entry(run.id, e) for e in own]})


@router.get("/entries")
async def list_entries(
    system: Here, run: RunName = "", type: Types = (), after: After = 0, limit: Limit = 100
) -> Response:
    """Entries of all streams, or of one, in the order of their commits, after a seq.

    A page of chosen types may hold few of them, or none, and still say where to go on.
    """
    stream, types = stream_of(system, run), known_types(type)
    until = min(after + LOOKED_AT_MAX, NEWEST) if types and stream is None else None
    rows, last = system.store.read(
        lambda view: (
            view.entries_after(after, limit, run=stream, types=types, until=until),
            view.last_seq(),
        )
    )
    following = rows[-1][1].seq if len(rows) == limit else None
    if following is None and until is not None and until < last:
        following = until
    return answer(system, {"entries": [show_entry(name, entry) for name, entry in rows], "next": following})


def stream_of(system: System, run: str) -> int | None:
    """The stream of a run, or of the `system`; None where none is named. Raises `Problem` 404."""
    if not run:
        return None
    return SYSTEM if run == SYSTEM_NAME else find_run(system, run).no


def known_types(types: tuple[str, ...]) -> tuple[str, ...]:
    """Types that entries have. Raises `Problem` 422 for another, with the nearest."""
    known = get_args(EntryType)
    for one in types:
        if one not in known:
            raise Problem(422, f"no entry has the type {one!r}{did_you_mean(one, known)}", field="type")
    return types

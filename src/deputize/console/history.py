"""The history: all that was recorded, and the runs there were."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from deputize.api.problem import Problem, of_error
from deputize.api.run_list import OUTCOMES, RunsWanted, runs_of
from deputize.api.searching import found_of, wanted_of
from deputize.console.page import Page, get
from deputize.console.runs import how
from deputize.errors import DeputizeError

ENTRIES_A_PAGE = 50
RUNS_A_PAGE = 50

FIELDS = (
    ("text", "Text", ""),
    ("run", "Run", "its id, or how it begins"),
    ("automation", "Automation", ""),
    ("agent", "Agent", ""),
    ("operation", "What was done", "payments.refund, or payments for all of it"),
    ("resource", "Acting on", "charge:ch-1"),
    ("person", "Person", ""),
)
"""The fields of the search: name, label, and what is written into it, where that is not plain."""

SHOWS = {
    "": "All",
    "open": "Open: under way, or waiting",
    "waiting": "Waiting",
    "doubtful": "Not sure what happened",
    "stuck": "Stuck",
    "done": "Done",
    "gave_up": "Gave up",
    "failed": "Failed",
    "cancelled": "Cancelled",
}


async def history(page: Page) -> Response:
    """What was recorded, newest first, as far as it could be looked through in a moment."""
    query = page.request.query_params
    wanted, told, problem = None, None, None
    try:
        wanted = wanted_of(query)
        before = page.number("before") if page.query("before") else None
        told = await found_of(page.system, wanted, before, ENTRIES_A_PAGE)
    except (Problem, DeputizeError) as error:
        problem = error if isinstance(error, Problem) else of_error(error)
    said = urlencode(wanted.query) if wanted is not None else ""
    return page.shown(
        "history.html",
        problem.status if problem is not None and problem.status != 404 else 200,
        fields=FIELDS,
        names=_names(page),
        query={name: query.get(name, "") for name in (*(field[0] for field in FIELDS), "from", "to")},
        is_search=bool(said),
        said=said,
        here=f"/history?{said}" if said else "/history",
        found=told,
        further=page.query("before"),
        problem=problem,
    )


async def runs(page: Page) -> Response:
    """The runs there were, newest first."""
    query = page.request.query_params
    told, problem, wanted = None, None, RunsWanted()
    try:
        show = query.get("show", "")
        wanted = RunsWanted(show, query.get("automation", "").strip(), query.get("since", "").strip())
        before = page.number("before") if page.query("before") else None
        told = await runs_of(page.system, wanted, before=before, limit=RUNS_A_PAGE)
    except Problem as error:
        problem = error
    said = urlencode({name: value for name, value in wanted.query.items() if value})
    return page.shown(
        "runs.html",
        problem.status if problem is not None else 200,
        found=told,
        shows=SHOWS,
        outcomes=OUTCOMES,
        wanted=wanted,
        names=_names(page),
        here=f"/runs?{said}" if said else "/runs",
        further=page.query("before"),
        how_of=how,
        problem=problem,
    )


def _names(page: Page) -> dict[str, list[str]]:
    """What may be chosen from, where the project has names for it."""
    project: Any = page.system.project
    return {
        "automation": sorted(project.automations),
        "agent": sorted(project.agents),
        "operation": sorted({*project.operations, *project.connectors}),
        "person": sorted(project.settings.directory.people),
    }


ROUTES = [get("/history", history), get("/runs", runs)]

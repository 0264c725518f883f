"""A run: its story, its entries, and what a person may do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from deputize.api.here import find_run
from deputize.api.problem import Problem, of_error
from deputize.api.rehearsing import rehearsed
from deputize.api.show import show_entry, show_run
from deputize.api.story import story_of, undo_of
from deputize.console.page import Page, get, post
from deputize.console.rendering import outcome
from deputize.errors import DeputizeError
from deputize.store.protocol import RunRow

ENTRIES_A_PAGE = 25
BODY_CHARS_SHOWN = 6_000
EVENT_CHARS_SHOWN = 4_000
REASON_CHARS_MAX = 500

STATES = {
    "behind": "Waits behind an earlier one",
    "ready": "Under way",
    "waiting": "Waits",
    "doubtful": "Not sure what happened",
    "stuck": "Stuck",
}
"""What each state of a run that has not ended is called to people; an ended one says how it did."""

ACTION_STATES = {
    "asking": "Waits for approval",
    "open": "Under way",
    "settled": "Done",
    "declined": "The service said no",
    "refused": "Refused",
    "doubtful": "Not sure it happened",
    "drifted": "Answered, but not as agreed",
    "abandoned": "Given up",
    "granted": "Approved whole",
    "rehearsed": "Rehearsed",
}

TONES = {
    "asking": "good",
    "declined": "warn",
    "refused": "warn",
    "doubtful": "warn",
    "drifted": "warn",
    "abandoned": "bad",
}

PARTS = {
    "rules": "Rules",
    "caused": "Source",
    "found": "Found out before",
    "taken": "Set aside",
    "compared": "Expected and got",
    "cost": "Cost",
}
"""The parts of an action, in the order in which they are shown."""

DID = {
    "cancel": "Its cancelling was asked for",
    "undo": "Its undoing has begun; each step is judged as it starts",
}


def how(run: RunRow | Mapping[str, Any]) -> tuple[str, str]:
    """How a run stands or ended, for people, and the tone of that."""
    row = run if isinstance(run, Mapping) else show_run(run)
    state, label = str(row["state"]), str(row["label"])
    if state != "ended":
        return STATES.get(state, state), {"stuck": "bad", "doubtful": "warn"}.get(state, "")
    return outcome(label), {"done": "good", "failed": "bad"}.get(label.partition("(")[0], "warn")


async def show(page: Page) -> Response:
    """The story, or with `tab=entries` the entries."""
    run = _run(page)
    if page.request.path_params["id"] != run.id:
        query = f"?{page.request.url.query}" if page.request.url.query else ""
        return page.go(f"/runs/{run.id}{query}")
    if page.query("tab") == "entries":
        return _entries(page, run)
    return _story(page, run)


async def cancel(page: Page) -> Response:
    """Cancel it."""
    run = _run(page)
    try:
        await page.system.kernel.people.cancel(run.id, page.speaker.name)
    except (Problem, DeputizeError) as error:
        return _story(page, run, _problem(error))
    return page.go(f"/runs/{run.id}?did=cancel")


async def show_undo(page: Page) -> Response:
    """What would be undone, in words, before it is."""
    return await _undo(page, _run(page))


async def undo(page: Page) -> Response:
    """Undo what it did."""
    run = _run(page)
    try:
        reason = page.form.get("reason", "").strip()
        if len(reason) > REASON_CHARS_MAX:
            raise Problem(422, f"a reason may have {REASON_CHARS_MAX} characters", field="reason")
        person = page.speaker.name
        await page.system.kernel.unwinding.undo(run.id, reason=reason, person=person)
    except (Problem, DeputizeError) as error:
        return await _undo(page, run, _problem(error))
    return page.go(f"/runs/{run.id}?did=undo")


async def rehearse(page: Page) -> Response:
    """Rehearse it once more, and say what would come of it."""
    run = _run(page)
    try:
        told = await rehearsed(page.request, page.system, run)
    except (Problem, DeputizeError) as error:
        return _story(page, run, _problem(error))
    return page.shown("rehearsal.html", run=show_run(run), told=told, would=WOULD)


WOULD = {
    "read": "is read",
    "done": "would be done",
    "declined": "the service would say no",
    "refused": "would be refused",
    "sent": "would be sent",
    "passed": "its time would pass",
    "answered": "would be answered",
    "waits": "would wait",
    "untold": "cannot be told",
}


def _run(page: Page) -> RunRow:
    try:
        return find_run(page.system, page.request.path_params["id"])
    except Problem:
        wanted = page.request.path_params["id"][:40]
        said = f"there is no run {wanted!r}, or more than one begins so; the history lists the runs there are"
        raise Problem(404, said) from None


def _problem(error: Problem | DeputizeError) -> Problem:
    return error if isinstance(error, Problem) else of_error(error)


def _story(page: Page, run: RunRow, problem: Problem | None = None) -> Response:
    action = page.query("action")[:200]
    told = story_of(page.system, run, page.number("after"), action)
    data = told["event"]["data"] if told["event"] else None
    event = _indented(data)
    return page.shown(
        "run.html",
        problem.status if problem is not None else 200,
        tab="story",
        told=told,
        run=told["run"],
        how=how(told["run"]),
        event=event[:EVENT_CHARS_SHOWN],
        event_cut=len(event) > EVENT_CHARS_SHOWN,
        action=action,
        states=ACTION_STATES,
        tones=TONES,
        parts_of=PARTS,
        how_of=how,
        problem=problem,
        did=DID.get(page.query("did"), ""),
    )


def _entries(page: Page, run: RunRow) -> Response:
    after = page.number("after")
    found = page.system.store.read(lambda view: view.entries(run.no, after, ENTRIES_A_PAGE + 1))
    more, found = len(found) > ENTRIES_A_PAGE, found[:ENTRIES_A_PAGE]
    shown = []
    for entry in found:
        body = _indented(dict(entry.body)) if entry.body is not None else ""
        cut = len(body) > BODY_CHARS_SHOWN
        shown.append(show_entry(run.id, entry) | {"text": body[:BODY_CHARS_SHOWN], "cut": cut})
    return page.shown(
        "run_entries.html",
        tab="entries",
        run=show_run(run),
        how=how(run),
        entries=shown,
        before=max(0, after - ENTRIES_A_PAGE) if after else None,
        following=found[-1].version if more else None,
        problem=None,
        did="",
    )


async def _undo(page: Page, run: RunRow, problem: Problem | None = None) -> Response:
    told = await undo_of(page.system, run)
    status = problem.status if problem is not None else 200
    return page.shown("undo.html", status, run=show_run(run), told=told, problem=problem, form=page.form)


def _indented(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


ROUTES = [
    get("/runs/{id}", show),
    post("/runs/{id}/cancel", cancel, "operate"),
    get("/runs/{id}/undo", show_undo),
    post("/runs/{id}/undo", undo, "operate"),
    post("/runs/{id}/rehearse", rehearse, "decide"),
]

"""What there is to read about a project: from its running process, else from the ledger's file.

Both give the same plain data, that of the HTTP API.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from deputize.api.show import (
    show_action,
    show_card,
    show_entry,
    show_event,
    show_person,
    show_run,
    show_wait,
    show_waits_for,
)
from deputize.cli.here import Here, Said
from deputize.cli.process import Problem, Process, find_process
from deputize.health import since_of
from deputize.kernel.moved import MOVED, told_moved
from deputize.kernel.restored import restored_of, unfinished
from deputize.kernel.tokens import TOKEN_SETTING, tokens_of_settings
from deputize.moving.gone import gone
from deputize.standing import WaitsFor
from deputize.store.protocol import RunRow, View
from deputize.store.sqlite.offline import OfflineLedger
from deputize.store.standing import Standings
from deputize.store.telling import read_health, read_telling, read_waiting
from deputize.why import why_action, why_run

NEWEST = 2**63 - 1
PREFIX_CHARS_MIN = 4


class Books(Protocol):
    """Reading, wherever it comes from. Raises `Said` for what is not there."""

    def runs(self, states: Sequence[str], automation: str, limit: int) -> dict[str, Any]: ...
    def run(self, run: str) -> dict[str, Any]: ...
    def action(self, run: str, path: str) -> dict[str, Any]: ...
    def why(self, run: str, path: str) -> dict[str, Any]: ...
    def events(self, state: str, after: int, limit: int) -> dict[str, Any]: ...
    def inbox(self, limit: int) -> dict[str, Any]: ...
    def stops(self) -> dict[str, str]: ...
    def people(self) -> dict[str, Any]: ...
    def health(self, days: int) -> dict[str, Any]: ...


def open_books(here: Here) -> Books:
    """The running process's books, or the ledger's own where none runs. Raises `StoreError` without."""
    process = find_process(here)
    return LiveBooks(process, here) if process is not None else FileBooks(here)


class LiveBooks:
    """Read through the running process."""

    def __init__(self, process: Process, here: Here) -> None:
        self._process = process
        self._here = here

    def runs(self, states: Sequence[str], automation: str, limit: int) -> dict[str, Any]:
        return self._get("runs", state=tuple(states), automation=automation, limit=limit)

    def run(self, run: str) -> dict[str, Any]:
        return self._of_run(run, "runs", run)

    def action(self, run: str, path: str) -> dict[str, Any]:
        return self._of_run(run, "actions", run, path)

    def why(self, run: str, path: str) -> dict[str, Any]:
        return self._of_run(run, "why", run, *([path] if path else []))

    def events(self, state: str, after: int, limit: int) -> dict[str, Any]:
        return self._get("events", state=state, after=after, limit=limit)

    def inbox(self, limit: int) -> dict[str, Any]:
        return self._get("inbox", limit=limit)

    def stops(self) -> dict[str, str]:
        return {stop["scope"]: stop["reason"] for stop in self._get("stops")["stops"]}

    def people(self) -> dict[str, Any]:
        return self._get("people")

    def health(self, days: int) -> dict[str, Any]:
        return self._get("health", days=days)

    def _get(self, *path: str, **query: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._process.get("v1", *path, **query)
        return found

    def _of_run(self, run: str, *path: str) -> dict[str, Any]:
        try:
            return self._get(*path)
        except Problem as problem:
            if problem.status == 404 and "there is no run" in str(problem):
                raise no_run(self._here, run) from None
            raise


class FileBooks:
    """Read from the ledger's file, when nothing runs. Secrets were taken out before it was written."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._ledger = OfflineLedger(here.settings.ledger)

    def runs(self, states: Sequence[str], automation: str, limit: int) -> dict[str, Any]:
        def read(view: View) -> list[tuple[RunRow, list[WaitsFor]]]:
            rows = view.runs(states=states, automation=automation, before=NEWEST, limit=limit)
            standings = Standings(view)
            return [(row, standings.of(row)) for row in rows]

        found, zone = self._ledger.read(read), self._here.settings.zone
        shown = [show_run(row) | show_waits_for(waits_for, zone) for row, waits_for in found]
        return {"runs": shown, "next": found[-1][0].no if len(found) == limit else None}

    def run(self, run: str) -> dict[str, Any]:
        row = self._find(run)
        actions, waits, event, waits_for = self._ledger.read(
            lambda view: (
                view.actions(row.no),
                view.waits(row.no),
                view.event(row.event),
                Standings(view).of(row),
            )
        )
        return {
            "run": show_run(row) | show_waits_for(waits_for, self._here.settings.zone),
            "actions": [show_action(action) for action in actions],
            "waits": [show_wait(wait) for wait in waits],
            "event": show_event(event) if event is not None else None,
        }

    def action(self, run: str, path: str) -> dict[str, Any]:
        row = self._find(run)
        action, entries = self._ledger.read(lambda v: (v.action(row.no, path), v.entries(row.no)))
        if action is None:
            raise Said(f"run {row.id} has no action {path!r}; `deputize show {row.id}` lists them")
        own = [e for e in entries if e.body is not None and e.body.get("path") == path]
        return {"action": show_action(action), "entries": [show_entry(row.id, e) for e in own]}

    def why(self, run: str, path: str) -> dict[str, Any]:
        row = self._find(run)
        settings = self._here.settings
        budgets = {budget.key: budget for budget in settings.budgets}
        telling = self._ledger.read(lambda view: read_telling(view, row, settings.zone, budgets))
        told = why_action(telling, path) if path else why_run(telling)
        if not told["sentences"]:
            raise Said(f"run {row.id} has no action {path!r}; `deputize show {row.id}` lists them")
        return told

    def events(self, state: str, after: int, limit: int) -> dict[str, Any]:
        rows = self._ledger.read(lambda view: view.events(after=after, limit=limit, state=state))
        following = rows[-1].seq if len(rows) == limit else None
        return {"events": [show_event(row) for row in rows], "next": following}

    def inbox(self, limit: int) -> dict[str, Any]:
        rows = self._ledger.read(
            lambda view: [(row, read_waiting(view, row)) for row in view.cards(limit=limit)]
        )
        return {
            "cards": [show_card(row, waiting, {}) for row, waiting in rows],
            "next": rows[-1][0].seq if len(rows) == limit else None,
            "sources": [],
            "unfinished": [
                one.shown() for one in self._ledger.read(lambda v: unfinished(v, None, restored_of(v)))
            ],
        }

    def stops(self) -> dict[str, str]:
        moved = gone(self._ledger)
        # Of a copy that was moved nothing is resumed: it starts elsewhere.
        return {MOVED: told_moved(moved)} if moved is not None else self._ledger.settings("stop:")

    def people(self) -> dict[str, Any]:
        directory = self._here.settings.directory
        tokens = list(tokens_of_settings(self._ledger.settings(TOKEN_SETTING)).values())
        found = sorted(directory.people.values(), key=lambda person: person.name)
        return {
            "people": [
                show_person(one, directory, [token for token in tokens if token.person == one.name])
                for one in found
            ]
        }

    def health(self, days: int) -> dict[str, Any]:
        since = since_of(days, self._ledger.read(lambda view: view.last_at()))
        return self._ledger.read(lambda view: read_health(view, since))

    def _find(self, run: str) -> RunRow:
        row = self._ledger.read(lambda view: view.run(run))
        if row is None:
            raise no_run(self._here, run)
        return row


def no_run(here: Here, run: str) -> Said:
    """Why there is no run of this name: none begins so, or more than one."""
    ledger = OfflineLedger(here.settings.ledger)
    try:
        like = ledger.runs_like(run) if run else []
    finally:
        ledger.close()
    if not like:
        return Said(f"there is no run {run!r}; `deputize runs` lists them")
    if len(run) < PREFIX_CHARS_MIN and len(like) == 1:
        return Said(f"{run!r} is too short for a run: give {PREFIX_CHARS_MIN} digits or more, like {like[0]}")
    return Said(f"more than one run begins with {run!r}: {', '.join(like)}; give more of its digits")

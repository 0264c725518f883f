"""The child of `deputize rehearse`: imports a project as it is on disk, and rehearses one automation of it.

It writes one JSON line for each event that it is about to rehearse, and its report as the last one.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from deputize import longlived
from deputize.cli.event_file import read_events
from deputize.cli.foretelling import report_of
from deputize.clock import SystemClock
from deputize.connectors.connections import Connections
from deputize.connectors.foreseeing import Foreseeing
from deputize.connectors.secret import Secrets
from deputize.errors import ProjectError, StoreError
from deputize.foretold import Foretold
from deputize.kernel.alone import Alone
from deputize.kernel.judging import InForce
from deputize.kernel.live import LiveRun, Stepped
from deputize.kernel.ports import Foreseer, Then
from deputize.kernel.recalling import recall
from deputize.kernel.rehearsing import Given, Rehearsal
from deputize.kernel.time import Calendar
from deputize.project import Project, load_project
from deputize.store.protocol import RunRow
from deputize.store.sqlite.offline import OfflineLedger
from deputize.suggest import did_you_mean

NEWEST = 2**63 - 1


@dataclass(frozen=True)
class Wishes:
    """What is to be rehearsed: the events of a file, the `last` so many of the ledger, or that of one run."""

    automation: str
    file: Path | None = None
    last: int = 0
    as_refused: bool = False
    run: str = ""


def main(argv: list[str]) -> int:
    """Rehearse, in the project in the folder that is named."""
    told = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    # The parent asks with this signal where we stand, before it ends us.
    faulthandler.register(signal.SIGUSR1, all_threads=False)
    given = _arguments().parse_args(argv)
    wishes = Wishes(given.automation, given.event, given.last, given.as_refused, given.run)
    _tell(told, {"stage": "importing the project"})
    try:
        project = load_project(given.root)
        longlived.settle()
        report = examine(project, wishes, lambda stage: _tell(told, {"stage": stage}))
    except (ProjectError, StoreError) as error:
        report = {"problems": str(error).splitlines()}
    _tell(told, {"report": report})
    told.close()
    return 0


def examine(project: Project, wishes: Wishes, at: Callable[[str], None]) -> dict[str, Any]:
    """The report: each event with what would come of it, and all of them together. Raises `ProjectError` for
    what is not there, `StoreError` for a ledger that cannot be read."""
    if wishes.automation not in project.automations:
        hint = did_you_mean(wishes.automation, project.automations)
        raise ProjectError(f"there is no automation {wishes.automation!r}{hint}")
    settings = project.settings
    secrets = Secrets(settings.root, settings.environ)
    connections = Connections(settings.connectors, secrets, settings.environ)
    with ExitStack() as stack:
        foreseer = stack.enter_context(closing(Foreseeing(connections, secrets)))
        ledger = None
        if wishes.file is None or settings.ledger.is_file():
            ledger = stack.enter_context(closing(OfflineLedger(settings.ledger)))
        known = erased = 0
        if wishes.file is not None or ledger is None:
            told = _of_file(project, wishes, ledger, foreseer, secrets, at)
            if ledger is not None:
                known = sum(_is_known(ledger, one) for one in told)
        else:
            told, erased = _of_past(project, wishes, ledger, foreseer, at)
    return report_of(wishes.automation, told, known, erased)


def _is_known(ledger: OfflineLedger, told: Foretold) -> bool:
    """Whether an event was accepted before."""
    return ledger.read(lambda view: view.run(told.run)) is not None


def _of_file(
    project: Project,
    wishes: Wishes,
    ledger: OfflineLedger | None,
    foreseer: Foreseer,
    secrets: Secrets,
    at: Callable[[str], None],
) -> list[Foretold]:
    """The events of a file, in the world as it is now."""
    automation, now_us = project.automations[wishes.automation], SystemClock().now_us()
    assert wishes.file is not None
    events = read_events(wishes.file, automation, project.automations, secrets.scrub, now_us)
    then: Then = ledger.then(None) if ledger is not None else _NoBooks()
    ledger_id = ledger.ledger_id if ledger is not None else ""
    rehearsal = _rehearsal(project, wishes, ledger_id, then, foreseer, at)
    return [rehearsal.of_event(event) for event in events]


def _of_past(
    project: Project,
    wishes: Wishes,
    ledger: OfflineLedger,
    foreseer: Foreseer,
    at: Callable[[str], None],
) -> tuple[list[Foretold], int]:
    """The last events of the ledger, in the world as it was; and how many cannot be, for they were erased."""
    name, last = wishes.automation, wishes.last
    if wishes.run:
        rows = [_run_of(ledger, wishes)]
    else:
        rows = ledger.read(lambda view: view.runs(automation=name, before=NEWEST, limit=last))[::-1]
    if not rows:
        raise ProjectError(f"{name} has answered no event yet; rehearse one by --event FILE")
    first = ledger.read(lambda view: view.entries(rows[0].no, limit=1))
    then = ledger.then(first[0].seq if first else None)
    rehearsal = _rehearsal(project, wishes, ledger.ledger_id, then, foreseer, at)
    pasts = ledger.read(lambda view: [recall(view, row, project.operations) for row in rows])
    told = rehearsal.of_past([past for past in pasts if past is not None])
    return told, len(rows) - len(told)


def _run_of(ledger: OfflineLedger, wishes: Wishes) -> RunRow:
    row = ledger.read(lambda view: view.run(wishes.run))
    if row is None:
        raise ProjectError(f"there is no run {wishes.run!r}, or more than one begins so")
    if row.automation != wishes.automation:
        raise ProjectError(f"run {row.id} is one of {row.automation}, and not of {wishes.automation}")
    return row


def _rehearsal(
    project: Project,
    wishes: Wishes,
    ledger_id: str,
    then: Then,
    foreseer: Foreseer,
    at: Callable[[str], None],
) -> Rehearsal:
    settings, clock = project.settings, SystemClock()
    alone = Alone(clock)

    def step(run: LiveRun) -> Stepped:
        at(f"rehearsing event {run.event.id} from {run.event.source} (run {run.id})")
        return alone.step(run)

    budgets = settings.budgets + tuple(b for a in project.agents.values() for b in a.budgets)
    return Rehearsal(
        Given(
            force=InForce(project.rules, budgets, Calendar(settings.zone), settings.directory),
            automation=project.automations[wishes.automation],
            automations=project.automations,
            operations=project.operations,
            agents=project.agents,
            params=settings.params.get(wishes.automation, {}),
            ledger_id=ledger_id,
            then=then,
            foreseer=foreseer,
            now_us=clock.now_us,
            step=step,
            as_refused=wishes.as_refused,
        )
    )


class _NoBooks:
    """Of a project that has not done anything yet."""

    def used(self, budget: str, window: int, before: int | None) -> int:
        return 0

    def counted(self, counter: str, subject: str, window: int, before: int | None) -> int:
        return 0


def _arguments() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("automation")
    parser.add_argument("--event", type=Path)
    parser.add_argument("--last", type=int, default=0)
    parser.add_argument("--run", default="")
    parser.add_argument("--as-refused", action="store_true")
    return parser


def _tell(stream: BinaryIO, line: Mapping[str, Any]) -> None:
    left = memoryview(orjson.dumps(line) + b"\n")
    while left:
        left = left[stream.write(left) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

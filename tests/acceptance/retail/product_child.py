"""The product in a process of its own, to be killed at any moment.

    python -m tests.acceptance.retail.product_child PROJECT EVENTS

opens the project, gives it all events of EVENTS (CloudEvents, one a line) and ends when each run has, or
when standard input is closed. It prints JSON lines, each with a "signal": `opened` (before recovery, with the
writes that a former owner left open), `started`, `accepted`, `settled` (with the runs whose replay differs).
"""

import asyncio
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from deputize.clock import SystemClock
from deputize.event import Occurrence, parse_cloudevent
from deputize.kernel.live import Ends
from deputize.kernel.result import read_record
from deputize.kernel.stepping import advance
from deputize.ledger import Entry
from deputize.store.protocol import RunRow, View
from deputize.system import System

PAGE = 500
ACCEPT_TOGETHER = 50
GOING_ON = ("ready", "doubtful", "waiting", "behind")


def say(signal: str, **more: Any) -> None:
    """One line for the parent."""
    os.write(1, json.dumps({"signal": signal, **more}).encode() + b"\n")


async def live(root: Path, events: list[Occurrence]) -> None:
    """One life of the product: from opening its ledger to the end of every run."""
    committed, loop = asyncio.Event(), asyncio.get_running_loop()

    def boundary(name: str) -> None:
        if name == "group.after_commit":
            loop.call_soon_threadsafe(committed.set)

    system = System.open(root, boundary=boundary)
    left_open = system.store.read(lambda view: view.actions_in(["open"], (0, ""), PAGE))
    say(
        "opened", epoch=system.store.epoch, open=[{"operation": a.operation, "key": a.key} for a in left_open]
    )
    await system.start()
    say("started")
    new = 0
    for at in range(0, len(events), ACCEPT_TOGETHER):
        arrivals = await system.kernel.intake.accept(events[at : at + ACCEPT_TOGETHER])
        new += sum(not arrival.duplicate for arrival in arrivals)
    say("accepted", new=new)
    while system.store.read(lambda view: view.runs(states=GOING_ON, limit=1)):
        committed.clear()
        if system.store.read(lambda view: view.runs(states=GOING_ON, limit=1)):
            await committed.wait()
    say("settled", replayed_otherwise=await asyncio.to_thread(replayed_otherwise, system))
    await system.stop()


def replayed_otherwise(system: System) -> list[str]:
    """The runs whose code, given their record, does not come to the end that they had."""
    differing, after = [], 0
    while rows := system.store.read(lambda view, at=after: view.runs(after=at, limit=PAGE)):  # type: ignore[misc]
        for row in rows:
            entries = system.store.read(lambda view, no=row.no: view.entries(no))  # type: ignore[misc]
            if entries[-1].type != "ended" or _replayed(system, row, entries) != _ended(entries[-1]):
                differing.append(row.id)
        after = rows[-1].no
    return differing


def _replayed(system: System, row: RunRow, entries: list[Entry]) -> dict[str, Any]:
    def kept(view: View) -> Occurrence:
        event = view.event(row.event)
        assert event is not None, f"run {row.id} answers an event that is not there"
        return event.occurrence

    run = system.kernel.intake.live_run(
        row.no,
        row.id,
        system.project.automations[row.automation],
        system.store.read(kept),
        row.event,
        {},
        row.key,
        row.began_at,
    )
    run.record = read_record(entries, {})
    step = advance(run)
    if not isinstance(step, Ends):
        return {"kind": type(step).__name__}
    return {"kind": step.kind, "label": step.outcome.label, "details": dict(step.outcome.details)}


def _ended(entry: Entry) -> dict[str, Any]:
    body = entry.body or {}
    return {name: body.get(name) for name in ("kind", "label", "details")}


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is written to it: to be readable is to be closed
    os._exit(0)


def main() -> None:
    """The command line."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    root, events = Path(sys.argv[1]), Path(sys.argv[2])
    received_us = SystemClock().now_us()
    with events.open(encoding="utf-8") as lines:
        parsed = [
            parse_cloudevent(json.loads(line), received_us=received_us, parse_time=int) for line in lines
        ]
    asyncio.run(live(root, parsed))


if __name__ == "__main__":
    main()

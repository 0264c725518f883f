"""Loading: runs into memory from their records, each verified before anything of it is stepped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deputize.automation import Automation
from deputize.kernel.ending import stick_run
from deputize.kernel.holding import is_held
from deputize.kernel.intake import Intake, sender_of
from deputize.kernel.live import LiveRun
from deputize.kernel.origins import brought
from deputize.kernel.result import read_record
from deputize.note import notes_of_body
from deputize.store.protocol import EventRow, RunRow, Tx

LOADABLE = ("ready", "stuck", "waiting")
"""A waiting run comes into memory to be cancelled, and where people have approved or changed an action."""


def load_runs(
    tx: Tx,
    numbers: Sequence[int],
    live: dict[int, LiveRun],
    automations: Mapping[str, Automation],
    intake: Intake,
) -> list[LiveRun]:
    """Bring runs into `live`; those that cannot run now are left where they are, or frozen with a card.

    In the writer, and into `live` there, so that no append can fall between reading and holding.
    """
    loaded = []
    for no in numbers:
        row = tx.run_no(no)
        if row is None or row.state not in LOADABLE or no in live:
            continue
        if row.state == "stuck" and is_held(tx, row.id):
            continue
        automation = automations.get(row.automation)
        kept = tx.event(row.event)
        if automation is None or kept is None:
            reason = f"there is no automation {row.automation!r} in this project"
            stick_run(tx, no, row.version, reason, row)
            continue
        flaw = tx.flaw(no)
        if flaw is not None:
            stick_run(
                tx, no, row.version, f"its record was changed from outside: {flaw.what}", row, automation
            )
            continue
        run = live[no] = _from_record(tx, row, automation, kept, intake)
        loaded.append(run)
    return loaded


def _from_record(tx: Tx, row: RunRow, automation: Automation, kept: EventRow, intake: Intake) -> LiveRun:
    entries = tx.entries(row.no)
    seqs = {e.body["event"]["seq"] for e in entries if e.type == "woke" and e.body and "event" in e.body}
    data = {seq: found.occurrence.data for seq in seqs if (found := tx.event(seq)) is not None}
    first = entries[0].body or {}
    run = intake.live_run(
        row.no,
        row.id,
        automation,
        kept.occurrence,
        row.event,
        first.get("params", {}),
        row.key,
        row.began_at,
    )
    run.sender, run.step.notes = sender_of(entries), notes_of_body(first.get("notes", ()))
    if "event" in first:
        run.step.read |= brought(first["event"])
    run.version = row.version
    run.record = read_record(entries, data)
    run.cancel = tx.wish(row.no)
    run.waited = run.carded = True
    run.was_stuck = row.state == "stuck"
    return run

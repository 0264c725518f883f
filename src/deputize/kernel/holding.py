"""Runs that held the interpreter, or their thread at two starts: they are not stepped again before their
code is changed, or they would hold it again at every start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deputize import canonical
from deputize.automation import Automation
from deputize.kernel.ending import stick_run
from deputize.kernel.watchdog import Left
from deputize.store.protocol import Tx

HELD = "held:"
"""Settings by run id: the code that held, where, and when."""

_ONCE = "held_once"
"""The run that was under way when the interpreter was held last, where that may not have been by it."""

_UNKEPT = "held_unkept:"
"""Settings by the digest of automations' code: the interpreter was held in the step of a run whose event
was not on disk yet."""


def keep_held(tx: Tx, run_id: str, code: str, where: str, at_us: int) -> None:
    """Remember that this code of a run held at a place."""
    kept = canonical.encode({"code": code, "where": where, "at": at_us})
    tx.set_setting(HELD + run_id, kept.decode())


def is_held(tx: Tx, run_id: str) -> bool:
    """Whether a run must not be stepped."""
    return tx.setting(HELD + run_id) is not None


def keeps_first(tx: Tx, automations: Mapping[str, Automation]) -> frozenset[str]:
    """The code of automations that are stepped only when their event is on disk, because a step of theirs
    has held the interpreter before that: or the same event, sent again, would never be kept."""
    codes = {automation.code for automation in automations.values()}
    noted = {name.removeprefix(_UNKEPT) for name in tx.settings(_UNKEPT)}
    for code in noted - codes:
        tx.set_setting(_UNKEPT + code, None)
    return frozenset(noted & codes)


def take_in_left(tx: Tx, left: Left | None, automations: Mapping[str, Automation]) -> str:
    """At a start: what the watchdog of the process before has left, and who may be stepped again now.

    A run whose step held the interpreter, surely or for the second time in a row, is stuck. Returns what
    to tell people; empty where there is nothing.
    """
    told = _take_in(tx, left) if left is not None else ""
    if left is None:
        tx.set_setting(_ONCE, None)
    for name, kept in tx.settings(HELD).items():
        row = tx.run(name.removeprefix(HELD))
        automation = automations.get(row.automation) if row is not None else None
        if row is None or row.state == "ended" or (automation and _is_changed(automation, kept)):
            tx.set_setting(name, None)
    return told


def _take_in(tx: Tx, left: Left) -> str:
    row = tx.run(left.run_id)
    if row is None:
        tx.set_setting(_UNKEPT + left.code, str(left.at_us))
        return (
            f"the interpreter was held at {left.where}, so the process was ended; the event that led there "
            "was not accepted yet, and when it is sent again it is kept before it is looked at"
        )
    of = f"run {row.id} of {row.automation}"
    if not (left.sure or tx.setting(_ONCE) == row.id):
        tx.set_setting(_ONCE, row.id)
        return (
            f"the interpreter was held while a step of {of} was under way at {left.where}, so the process "
            "was ended; that run is tried again, and stuck if this comes again"
        )
    tx.set_setting(_ONCE, None)
    reason = (
        f"{left.where}: the automation kept the interpreter to itself without an end, so the process was "
        "ended; this run is not stepped again until that code is changed"
    )
    if row.state != "ended":
        stick_run(tx, row.no, tx.version(row.no), reason, row)
        keep_held(tx, row.id, left.code, left.where, left.at_us)
    return f"{of} is stuck: {reason}"


def _is_changed(automation: Automation, kept: str) -> bool:
    """Whether its source, or the file that it stood in, is another since."""
    held = canonical.decode(kept)
    if automation.code != held["code"]:
        return True
    file, _, _ = held["where"].rpartition(":")
    try:
        return bool(file) and Path(file).stat().st_mtime_ns // 1000 > int(held["at"])
    except FileNotFoundError:
        return True

"""A step that cannot go on stops its run for a person, unless a person wants it ended already."""

from __future__ import annotations

from deputize.kernel.ending import Append, Ended, end_by_hand, stick_run
from deputize.kernel.holding import keep_held
from deputize.kernel.intake import Intake
from deputize.kernel.live import LiveRun, Sticks
from deputize.store.protocol import Tx


def stick_step(tx: Tx, run: LiveRun, step: Sticks, intake: Intake, append: Append) -> Ended | None:
    """Stop a run whose step cannot go on; or end it, where a person wishes so and nothing is under way."""
    row = tx.run_no(run.no)
    unsettled = any(action.state in ("open", "doubtful") for action in tx.actions(run.no))
    if row is not None and tx.wish(run.no) and not unsettled:
        # Nothing can be thrown into it any more.
        return end_by_hand(tx, row, "cancelled by a person", intake, append)
    version, automation = tx.version(run.no), run.automation
    stick_run(tx, run.no, version, step.reason, row, automation, ours=step.ours, theirs=step.theirs)
    if step.held and run.was_stuck:
        # It held before, and was tried once more.
        keep_held(tx, run.id, run.automation.code, step.held, tx.at_us)
    return None

"""Known bugs in what people are asked for, to plant as those in `plants.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from deputize.action import Action
from deputize.approval import Approval, Asking, Demand, used_for
from deputize.kernel import start
from deputize.kernel.asking import Open
from deputize.kernel.judging import Request, verdict_of
from deputize.kernel.result import Changed
from deputize.kernel.runner import Runner
from deputize.person import Directory
from deputize.store import fold
from deputize.store.sqlite.tx import SqliteTx
from deputize.testing.planting import Plant, set_in

NEVER_US = 2**62


def _grants_stay() -> None:
    set_in(SqliteTx, "use_approvals", lambda tx, numbers: None)


def _used_again() -> None:
    """A grant for the arguments before a change is used for those after it, too."""
    approvals = SqliteTx.approvals

    def of_all(tx: SqliteTx, run: int, path: str) -> list[Approval]:
        sql = "SELECT no, binding, person, at FROM approval WHERE run=? ORDER BY no"
        rows = tx.db.execute(sql, (run,)).fetchall()
        return [Approval(*row) for row in rows] if "~" in path else approvals(tx, run, path)

    def granted(
        asking: Asking, demand: Demand, given: Iterable[Approval], directory: Directory
    ) -> tuple[Approval, ...]:
        found = {
            one.person: one
            for one in given
            if asking.may_grant(demand, one.person, directory, max(one.at_us, asking.asked_at_us))
        }
        return tuple(found.values())

    set_in(SqliteTx, "approvals", of_all)
    set_in(Asking, "granted", granted)


def _nobody_requests() -> None:
    set_in(Request, "requesters", property(lambda request: frozenset()))


def _keeper_always() -> None:
    """Whoever keeps an automation may grant, though nobody has asked them."""
    asks = Asking.asks

    def all_along(asking: Asking, demand: Demand, directory: Directory, at_us: int) -> frozenset[str]:
        return asks(asking, demand, directory, at_us) | {directory.keeper_of(asking.automation)}

    set_in(Asking, "asks", all_along)


def _judged_once() -> None:
    def verdict(tx: Any, request: Request, force: Any, at_us: int) -> Any:
        return verdict_of(None if request.asking else tx, request, force, at_us)

    set_in(start, "verdict_of", verdict)


def _unasked() -> None:
    def verdict(tx: Any, request: Request, force: Any, at_us: int) -> Any:
        said, *more = verdict_of(tx, request, force, at_us)
        return (replace(said, decision="allow") if said.decision == "demand" else said, *more)

    set_in(start, "verdict_of", verdict)


def _approved_is_enough() -> None:
    """What was approved starts, whatever the rules say of it by then."""

    def verdict(tx: Any, request: Request, force: Any, at_us: int) -> Any:
        said, *more = verdict_of(tx, request, force, at_us)
        forbidden = request.asking and said.decision == "refuse"
        return (replace(said, decision="allow") if forbidden else said, *more)

    set_in(start, "verdict_of", verdict)


def _rules_of_then() -> None:
    """What was granted is measured by what the rules demanded when it was asked."""

    def granted(tx: Any, request: Request, verdict: Any, force: Any, asked: Open | None) -> Any:
        if asked is None:
            return None
        given = tx.approvals(request.run.no, request.path)
        used = used_for(asked.asking, asked.demands, given, force.directory)
        return None if used is None else list(used)

    set_in(start, "granted", granted)


def _changes_unjudged() -> None:
    def verdict(tx: Any, request: Request, force: Any, at_us: int) -> Any:
        said, *more = verdict_of(tx, request, force, at_us)
        return (replace(said, decision="allow") if "~" in request.path else said, *more)

    set_in(start, "verdict_of", verdict)


def _no_deadline() -> None:
    due_waits = SqliteTx.due_waits

    def due(tx: SqliteTx, at_us: int, limit: int) -> Any:
        return [wait for wait in due_waits(tx, at_us, limit) if wait.kind != "approval"]

    set_in(SqliteTx, "due_waits", due)
    set_in(Open, "due", property(lambda asked: NEVER_US))


def _asking_takes(statement: str, *values: Any) -> None:
    """Asking takes something in advance, as a start does."""
    step = fold._STEPS["asked"]

    def taking(sql: Any, sums: Any, seq: int, run: int, run_id: str, at: int, body: Any) -> None:
        step(sql, sums, seq, run, run_id, at, body)
        if statement:
            sql(statement, (f"in advance:{run_id}/{body['path']}", run, body["path"]))
        else:
            sums.use(*values)

    fold._STEPS["asked"] = taking


def _all_used() -> None:
    """A start uses up what was granted for any action of its run."""

    def used(tx: SqliteTx, numbers: Sequence[int]) -> None:
        sql = "UPDATE approval SET used=1 WHERE run IN (SELECT run FROM approval WHERE no=?)"
        for no in numbers:
            tx.db.execute(sql, (no,))

    set_in(SqliteTx, "use_approvals", used)


def _change_forgotten() -> None:
    """What a person changed goes on in its new place with the arguments that it had."""
    retry = Runner.retry

    def forgetful(runner: Runner, run_no: int, path: str, changed: Changed | None = None) -> None:
        leaves = runner.parts.live[run_no].leaves if run_no in runner.parts.live else []
        for leaf in leaves:
            if changed is not None and leaf.path == path and isinstance(leaf.awaiting, Action):
                changed = replace(changed, args=leaf.awaiting.args)
        retry(runner, run_no, path, changed)

    set_in(Runner, "retry", forgetful)
    set_in(Runner, "leave", lambda runner, run: None)


def _due_at_once() -> None:
    """A deadline in milliseconds, where microseconds are read."""
    step = fold._STEPS["asked"]

    def early(sql: Any, sums: Any, seq: int, run: int, run_id: str, at: int, body: Any) -> None:
        step(sql, sums, seq, run, run_id, at, {**body, "due": body["due"] // 1_000})

    fold._STEPS["asked"] = early


PEOPLES: dict[str, Plant] = {
    "grants_stay": Plant("an approval that was used stays to be used again", _grants_stay),
    "grant_used_for_other_arguments": Plant(
        "what was granted for one digest counts for another", _used_again
    ),
    "grant_by_requester": Plant("nobody is kept from approving their own request", _nobody_requests),
    "unasked": Plant("what rules ask people for starts without them", _unasked),
    "approved_is_enough": Plant(
        "what was approved starts though it is forbidden by then", _approved_is_enough
    ),
    "rules_of_then": Plant("an approval counts by the rules of when it was asked for", _rules_of_then),
    "keeper_always": Plant("the keeper may grant what nobody has handed on", _keeper_always),
    "judged_once": Plant("what was approved starts on the facts of when it was asked", _judged_once),
    "changes_unjudged": Plant("arguments that a person gave are not judged", _changes_unjudged),
    "no_deadline": Plant("an approval counts after its time", _no_deadline),
    "asking_leases": Plant(
        "what waits for people holds its resource",
        lambda: _asking_takes("INSERT INTO lease VALUES (?,?,?)"),
    ),
    "asking_holds": Plant(
        "what waits for people holds its budget", lambda: _asking_takes("", "in advance", 0, 100, 0)
    ),
    "all_grants_used": Plant("a start uses up what was granted for another action", _all_used),
    "change_forgotten": Plant("a change goes on with the arguments from before it", _change_forgotten),
    "due_at_once": Plant("time is over before it is", _due_at_once),
}

"""The fold: what each entry does to the projections, and the only thing that writes them.

It runs in the transaction of the entry, and over all entries again in a rebuild, so it may read
nothing but the entry and the projections. `sql` is any DB-API `execute` that takes `?`; what is only
added up goes to `sums`.
"""

from __future__ import annotations

from collections.abc import Callable

from deputize.store.fold_cards import Body, Sql, automation_of, close_cards, neared, open_card, proposed
from deputize.store.fold_rates import began_of, intended_of, lost, never_started, was_sent
from deputize.store.matching import fields_of, match_of
from deputize.store.rates import Sums
from deputize.taking import COST

RUNS_ENDED = "runs.ended"
"""Ended runs are tallied beside the states of finished actions."""


def fold(sql: Sql, sums: Sums, seq: int, stream: int, run_id: str, type: str, at: int, body: Body) -> None:
    """Apply one entry. `run_id` is the stream's name."""
    step = _STEPS.get(type)
    if step is not None:
        sums.rates.at(seq)
        step(sql, sums, seq, stream, run_id, at, body)


def _began(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql(
        "INSERT INTO run (no, id, automation, agent, event, key, priority, state, began_at)"
        " VALUES (?,?,?,?,?,?,?,?,?)",
        (
            run,
            run_id,
            body["automation"],
            body["agent"],
            body["event"]["seq"],
            body["key"],
            body["priority"],
            body["state"],
            at,
        ),
    )
    sums.rates.begin(run, at)


def _ended(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    label = f"{body['kind']}({body['label']})" if body["label"] else body["kind"]
    sql(
        "UPDATE run SET state='ended', label=?, reason=?, ended_at=? WHERE no=?",
        (label, body["reason"], at, run),
    )
    sums.tally(RUNS_ENDED, 1)
    began = sums.rates.began(run) or began_of(sql, run)
    sums.rates.see("ended", body["automation"], body["kind"], run, began, at, body["carded"])
    if body["waited"]:
        sql("DELETE FROM wait WHERE run=?", (run,))
        _call_off(sql, sums, run, at)
    if body["carded"]:
        # What is in doubt stays before people: its holds and leases stay too.
        sql(
            "UPDATE inbox SET state='closed' WHERE run=? AND state='open' AND NOT EXISTS"
            " (SELECT 1 FROM action WHERE action.run=inbox.run AND action.path=inbox.path"
            " AND action.state='doubtful')",
            (run,),
        )
    if body["key"] is not None:
        sql(
            "UPDATE run SET state='ready' WHERE no=("
            "SELECT no FROM run WHERE automation=? AND key=? AND state<>'ended' ORDER BY no LIMIT 1)"
            " AND state='behind'",
            (body["automation"], body["key"]),
        )


def _stuck(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql("UPDATE run SET state='stuck', reason=? WHERE no=?", (body["reason"], run))
    sums.rates.see("stuck", automation_of(sql, run), run, at)
    sql("UPDATE inbox SET state='closed' WHERE run=? AND kind='stuck' AND state='open'", (run,))
    open_card(sql, sums.rates, seq, run, run_id, "", "stuck", body["reason"], body, at)


def _unstuck(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql("UPDATE run SET state=?, reason='' WHERE no=?", (body["state"], run))
    _wait_on(sql, run)
    sums.rates.see("unstuck", automation_of(sql, run), run)
    sql("UPDATE inbox SET state='closed' WHERE run=? AND kind='stuck' AND state='open'", (run,))


def _cancelling(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql("DELETE FROM wait WHERE run=?", (run,))
    _call_off(sql, sums, run, at)
    sql("UPDATE run SET state='ready' WHERE no=?", (run,))


def _card(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    open_card(sql, sums.rates, seq, run, run_id, body["path"], body["kind"], body["title"], body, at)


def _read(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql(
        "INSERT INTO action VALUES (?,?,?,'settled',?,'',0,1,?,?,?,?,0,?,?)",
        (run, body["path"], body["op"], body["digest"], at, at, body["version"], body["agent"], at, at),
    )
    sums.tally("settled", 1)
    sums.rates.see("settled", body["op"], "settled", -1, at, True)


def _rehearsed(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql(
        "INSERT INTO action VALUES (?,?,?,'rehearsed',?,'',0,1,0,0,?,?,?,?,?)",
        (run, body["path"], body["op"], body["digest"], body["version"], body["agent"], seq, at, at),
    )
    sums.tally("rehearsed", 1)


def _asked(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    if body["again"]:
        _stop_asking(sql, run, body["path"])
    sql(
        "INSERT INTO action VALUES (?,?,?,'asking',?,'',0,0,0,0,?,?,?,?,NULL)",
        (run, body["path"], body["op"], body["digest"], body["version"], body["agent"], seq, at),
    )
    sql("INSERT INTO wait VALUES (?,?,'approval',?,'','','')", (run, body["path"], body["due"]))
    sql("UPDATE run SET state='waiting' WHERE no=? AND state='ready'", (run,))
    open_card(sql, sums.rates, seq, run, run_id, body["path"], "approval", body["title"], body, at)


def _stop_asking(sql: Sql, run: int, path: str) -> None:
    sql("DELETE FROM action WHERE run=? AND path=?", (run, path))
    _answered(sql, run, path)


def _answered(sql: Sql, run: int, path: str) -> None:
    """Nobody is asked for an action any more."""
    sql("DELETE FROM wait WHERE run=? AND path=?", (run, path))
    _woken(sql, run)
    close_cards(sql, run, path)


def _call_off(sql: Sql, sums: Sums, run: int, at: int) -> None:
    """A run that ends or is cancelled asks for nothing any more."""
    set_refused = "UPDATE action SET state='refused', ended_at=? WHERE run=? AND state='asking'"
    called_off = sql(set_refused, (at, run)).rowcount
    if called_off:
        sums.tally("refused", called_off)
    close = (
        "UPDATE inbox SET state='closed' WHERE run=? AND kind IN ('approval', 'question') AND state='open'"
    )
    sql(close, (run,))


def _intent(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    if body["round"] > 1:
        # Done again on a person's word: what the earlier round held is let go first.
        _let_go(sql, sums, run, body["path"], body["released"], spend=body["released"]["spend"])
        lost(sql, sums.rates, run, body["op"], body["agent"], body["released"], at)
        close_cards(sql, run, body["path"])
        sql("DELETE FROM action WHERE run=? AND path=?", (run, body["path"]))
        _ready_again(sql, run, stuck=False)
    if "asked" in body:
        _stop_asking(sql, run, body["path"])
    sql(
        "INSERT INTO action VALUES (?,?,?,'open',?,?,?,1,?,?,?,?,?,?,NULL)",
        (
            run,
            body["path"],
            body["op"],
            body["digest"],
            body["key"],
            body["round"],
            body["first_sent"],
            body["give_up_at"],
            body["version"],
            body["agent"],
            seq,
            at,
        ),
    )
    sums.rates.intend(run, body["path"], body["op"], at)
    for resource in body["leases"]:
        sql("INSERT INTO lease VALUES (?,?,?)", (resource, run, body["path"]))
    for budget, window, amount in body["holds"]:
        sums.use(budget, window, amount, 0)
    for counter, subject, window, weight in (*body["counted"], *body.get("under_way", ())):
        sums.count(counter, subject, window, weight)


def _granted(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql("UPDATE action SET state='granted', ended_at=? WHERE run=? AND path=?", (at, run, body["path"]))
    sums.tally("granted", 1)
    _answered(sql, run, body["path"])


def _attempt(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    again = (
        "UPDATE action SET state='open', attempts=?, give_up_at=? WHERE run=? AND path=? RETURNING operation"
    )
    row = sql(again, (body["n"], body["give_up_at"], run, body["path"])).fetchone()
    if body["was"] == "open" and row:
        # Proved not done; an attempt out of doubt was counted with that.
        sums.rates.see("failed", row[0], at)
    if body["was"] == "doubtful":
        close_cards(sql, run, body["path"])
        _ready_again(sql, run, stuck=False)


def _receipt(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    _settle(sql, sums, run, body, at, "settled", spend=True)


def _drift(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    _settle(sql, sums, run, body, at, "drifted", spend=True)
    stick = "UPDATE run SET state='stuck', reason=? WHERE no=? AND state<>'ended' RETURNING automation"
    row = sql(stick, (body["reason"], run)).fetchone()
    if row:
        sums.rates.see("stuck", row[0], run, at)
    open_card(sql, sums.rates, seq, run, run_id, body["path"], "drift", body["reason"], body, at)


def _declined(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    _settle(sql, sums, run, body, at, "declined", spend=False)


def _refused(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    # A priced read that is not asked anew counts as spent all the same.
    _settle(sql, sums, run, body, at, "refused", spend=body.get("spend", False))


def _doubt(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    doubt = "UPDATE action SET state='doubtful', give_up_at=? WHERE run=? AND path=? RETURNING operation"
    row = sql(doubt, (body["give_up_at"], run, body["path"])).fetchone()
    if row:
        sums.rates.see("failed", row[0], at)
    sql("UPDATE run SET state='doubtful' WHERE no=? AND state='ready'", (run,))


def _abandoned(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    _settle(sql, sums, run, body, at, "abandoned", spend=True)


def _waiting(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    matching = body.get("matching", {})
    sql(
        "INSERT INTO wait VALUES (?,?,?,?,?,?,?)",
        (
            run,
            body["path"],
            body["kind"],
            body["due"],
            body.get("type", ""),
            fields_of(matching),
            match_of(matching),
        ),
    )
    sql("UPDATE run SET state='waiting' WHERE no=? AND state='ready'", (run,))
    if body["kind"] == "question":
        open_card(sql, sums.rates, seq, run, run_id, body["path"], "question", body["title"], body, at)


def _woke(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql("DELETE FROM wait WHERE run=? AND path=?", (run, body["path"]))
    _woken(sql, run)
    if body.get("kind") == "question":
        close_cards(sql, run, body["path"])


def _unwinding(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql("INSERT INTO wait VALUES (?,?,'unwind',NULL,'','','')", (run, body["path"]))
    close_cards(sql, run, body["path"])


def _unwound(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql("DELETE FROM wait WHERE run=? AND path=?", (run, body["path"]))
    if body["left"]:
        open_card(sql, sums.rates, seq, run, run_id, body["path"], "unwind", body["title"], body, at)


def _noted(sql: Sql, sums: Sums, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    close_cards(sql, run, body["path"])


def _lowered(sql: Sql, sums: Sums, seq: int, stream: int, name: str, at: int, body: Body) -> None:
    sums.rates.see("lowered", body["automation"], seq)
    open_card(sql, sums.rates, seq, stream, name, body["path"], body["kind"], body["title"], body, at)


def _lifted(sql: Sql, sums: Sums, seq: int, stream: int, name: str, at: int, body: Body) -> None:
    sums.rates.see("lifted", body["automation"])
    close_cards(sql, stream, body["path"])


def _woken(sql: Sql, run: int) -> None:
    """A wait is over. Another may stand beside it, or an action that is in doubt."""
    sql(
        "UPDATE run SET state=CASE WHEN EXISTS (SELECT 1 FROM action WHERE run=? AND state='doubtful')"
        " THEN 'doubtful' ELSE 'ready' END"
        " WHERE no=? AND state='waiting' AND NOT EXISTS (SELECT 1 FROM wait WHERE run=?)",
        (run, run, run),
    )


def _settle(sql: Sql, sums: Sums, run: int, body: Body, at: int, state: str, *, spend: bool) -> None:
    path = body["path"]
    sums.tally(state, 1)
    if body["was"] == "new":
        # It never had an intent: a refusal before the start, or a read without a price.
        sql(
            "INSERT INTO action VALUES (?,?,?,?,?,'',0,0,0,0,?,?,0,?,?)",
            (run, path, body["op"], state, body["digest"], body["version"], body["agent"], at, at),
        )
        never_started(sql, sums.rates, run, body, at, state)
        return
    sql("UPDATE action SET state=?, ended_at=? WHERE run=? AND path=?", (state, at, run, path))
    if body["was"] == "asking":
        _answered(sql, run, path)
        never_started(sql, sums.rates, run, body, at, state)
        return
    row = sums.rates.intended(run, path) or intended_of(sql, run, path)
    if row:
        was_sent(sql, sums.rates, run, row, body, at, state)
    _let_go(sql, sums, run, path, body, spend=spend)
    if body["was"] == "drifted":
        sums.tally("drifted", -1)
    if body["was"] != "open":
        close_cards(sql, run, path)
        _ready_again(sql, run, stuck=True)


def _ready_again(sql: Sql, run: int, *, stuck: bool) -> None:
    """Once none of its actions is in doubt or has drifted. A sending again says nothing of a stuck run."""
    sql(
        "UPDATE run SET state='ready' WHERE no=? AND state IN ('doubtful', ?) AND NOT EXISTS"
        " (SELECT 1 FROM action WHERE run=? AND state IN ('doubtful', 'drifted'))",
        (run, "stuck" if stuck else "doubtful", run),
    )
    _wait_on(sql, run)


def _wait_on(sql: Sql, run: int) -> None:
    """What it waits for beside that, it waits for still."""
    sql(
        "UPDATE run SET state='waiting' WHERE no=? AND state='ready'"
        " AND EXISTS (SELECT 1 FROM wait WHERE run=?)",
        (run, run),
    )


def _let_go(sql: Sql, sums: Sums, run: int, path: str, body: Body, *, spend: bool) -> None:
    if body["leased"]:
        sql("DELETE FROM lease WHERE run=? AND path=?", (run, path))
    for budget, window, amount in body["holds"]:
        # Of what has a price by its use, holds are of its cost alone; never more is spent than was held.
        spent = min(amount, body.get(COST, amount))
        sums.use(budget, window, -amount, spent if spend else 0)
    if not spend:
        for counter, subject, window, weight in body["counted"]:
            sums.count(counter, subject, window, -weight)
    for counter, subject, window, weight in body.get("under_way", ()):
        sums.count(counter, subject, window, -weight)


_STEPS: dict[str, Callable[[Sql, Sums, int, int, str, int, Body], None]] = {
    "began": _began,
    "ended": _ended,
    "stuck": _stuck,
    "unstuck": _unstuck,
    "cancelling": _cancelling,
    "card": _card,
    "read": _read,
    "rehearsed": _rehearsed,
    "asked": _asked,
    "granted": _granted,
    "intent": _intent,
    "attempt": _attempt,
    "receipt": _receipt,
    "drift": _drift,
    "declined": _declined,
    "refused": _refused,
    "doubt": _doubt,
    "abandoned": _abandoned,
    "waiting": _waiting,
    "woke": _woke,
    "unwinding": _unwinding,
    "unwound": _unwound,
    "noted": _noted,
    "lowered": _lowered,
    "lifted": _lifted,
    "neared": neared,
    "proposed": proposed,
}

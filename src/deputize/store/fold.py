"""The fold: what each entry does to the projections, and the only thing that writes them.

It runs in the transaction of the entry, and over all entries again in a rebuild, so it may read
nothing but the entry and the projections. `sql` is any DB-API `execute` that takes `?`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deputize import canonical

Sql = Callable[[str, tuple[Any, ...]], Any]
Body = Mapping[str, Any]


def fold(sql: Sql, seq: int, stream: int, run_id: str, type: str, at: int, body: Body) -> None:
    """Apply one entry. `run_id` is the stream's name."""
    step = _STEPS.get(type)
    if step is not None:
        step(sql, seq, stream, run_id, at, body)


def _began(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
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


def _ended(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql(
        "UPDATE run SET state='ended', label=?, reason=?, ended_at=? WHERE no=?",
        (f"{body['kind']}({body['label']})" if body["label"] else body["kind"], body["reason"], at, run),
    )
    if body["waited"]:
        sql("DELETE FROM wait WHERE run=?", (run,))
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


def _stuck(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql("UPDATE run SET state='stuck', reason=? WHERE no=?", (body["reason"], run))
    sql("UPDATE inbox SET state='closed' WHERE run=? AND kind='stuck' AND state='open'", (run,))
    _open_card(sql, seq, run, run_id, "", "stuck", body["reason"], body, at)


def _unstuck(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql("UPDATE run SET state=?, reason='' WHERE no=?", (body["state"], run))
    sql("UPDATE inbox SET state='closed' WHERE run=? AND kind='stuck' AND state='open'", (run,))


def _cancelling(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql("DELETE FROM wait WHERE run=?", (run,))
    sql("UPDATE run SET state='ready' WHERE no=?", (run,))


def _card(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    _open_card(sql, seq, run, run_id, body["path"], body["kind"], body["title"], body, at)


def _read(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql(
        "INSERT INTO action VALUES (?,?,?,'settled',?,'',0,1,?,?,?,?,0,?,?)",
        (
            run,
            body["path"],
            body["op"],
            body["digest"],
            at,
            at,
            body["version"],
            body["agent"],
            at,
            at,
        ),
    )
    _tally(sql, "settled")


def _intent(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    if body["round"] > 1:
        # Done again on a person's word: what the earlier round held is let go first.
        _let_go(sql, run, body["path"], body["released"], spend=body["released"]["spend"])
        _close_cards(sql, run, body["path"])
        sql("DELETE FROM action WHERE run=? AND path=?", (run, body["path"]))
        _ready_again(sql, run, stuck=False)
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
    for resource in body["leases"]:
        sql("INSERT INTO lease VALUES (?,?,?)", (resource, run, body["path"]))
    for budget, window, amount in body["holds"]:
        sql(
            "INSERT INTO budget_use VALUES (?,?,?,0)"
            " ON CONFLICT (budget, window) DO UPDATE SET held = held + excluded.held",
            (budget, window, amount),
        )
    for counter, subject, window, weight in body["counted"]:
        sql(
            "INSERT INTO fact VALUES (?,?,?,?)"
            " ON CONFLICT (counter, subject, window) DO UPDATE SET value = value + excluded.value",
            (counter, subject, window, weight),
        )


def _attempt(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql(
        "UPDATE action SET state='open', attempts=?, give_up_at=? WHERE run=? AND path=?",
        (body["n"], body["give_up_at"], run, body["path"]),
    )
    if body["was"] == "doubtful":
        _close_cards(sql, run, body["path"])
        _ready_again(sql, run, stuck=False)


def _receipt(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    _settle(sql, run, body, at, "settled", spend=True)


def _drift(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    _settle(sql, run, body, at, "drifted", spend=True)
    sql("UPDATE run SET state='stuck', reason=? WHERE no=? AND state<>'ended'", (body["reason"], run))
    _open_card(sql, seq, run, run_id, body["path"], "drift", body["reason"], body, at)


def _declined(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    _settle(sql, run, body, at, "declined", spend=False)


def _refused(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    # A priced read that is not asked anew counts as spent all the same.
    _settle(sql, run, body, at, "refused", spend=body.get("spend", False))


def _doubt(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql(
        "UPDATE action SET state='doubtful', give_up_at=? WHERE run=? AND path=?",
        (body["give_up_at"], run, body["path"]),
    )
    sql("UPDATE run SET state='doubtful' WHERE no=? AND state='ready'", (run,))


def _abandoned(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    _settle(sql, run, body, at, "abandoned", spend=True)


def _waiting(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
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


def _woke(sql: Sql, seq: int, run: int, run_id: str, at: int, body: Body) -> None:
    sql("DELETE FROM wait WHERE run=? AND path=?", (run, body["path"]))
    sql("UPDATE run SET state='ready' WHERE no=? AND state='waiting'", (run,))


def fields_of(matching: Body) -> str:
    """The names of the fields that a wait matches on, in one form."""
    return ",".join(sorted(matching))


def match_of(matching: Body) -> str:
    """Their values, in one form."""
    return canonical.encode(dict(matching)).decode()


def _settle(sql: Sql, run: int, body: Body, at: int, state: str, *, spend: bool) -> None:
    path = body["path"]
    _tally(sql, state)
    if body["was"] == "new":
        # It never had an intent: a refusal before the start, or a read without a price.
        sql(
            "INSERT INTO action VALUES (?,?,?,?,?,'',0,0,0,0,?,?,0,?,?)",
            (run, path, body["op"], state, body["digest"], body["version"], body["agent"], at, at),
        )
        return
    sql("UPDATE action SET state=?, ended_at=? WHERE run=? AND path=?", (state, at, run, path))
    _let_go(sql, run, path, body, spend=spend)
    if body["was"] == "drifted":
        _tally(sql, "drifted", -1)
    if body["was"] != "open":
        _close_cards(sql, run, path)
        _ready_again(sql, run, stuck=True)


def _tally(sql: Sql, state: str, n: int = 1) -> None:
    """One more finished action is in this state."""
    sql("INSERT INTO tally VALUES (?,?) ON CONFLICT (state) DO UPDATE SET n = n + excluded.n", (state, n))


def _ready_again(sql: Sql, run: int, *, stuck: bool) -> None:
    """Once none of its actions is in doubt or has drifted. A sending again says nothing of a stuck run."""
    sql(
        "UPDATE run SET state='ready' WHERE no=? AND state IN ('doubtful', ?) AND NOT EXISTS"
        " (SELECT 1 FROM action WHERE run=? AND state IN ('doubtful', 'drifted'))",
        (run, "stuck" if stuck else "doubtful", run),
    )


def _let_go(sql: Sql, run: int, path: str, body: Body, *, spend: bool) -> None:
    if body["leased"]:
        sql("DELETE FROM lease WHERE run=? AND path=?", (run, path))
    for budget, window, amount in body["holds"]:
        sql(
            "UPDATE budget_use SET held = held - ?, spent = spent + ? WHERE budget=? AND window=?",
            (amount, amount if spend else 0, budget, window),
        )
    if not spend:
        for counter, subject, window, weight in body["counted"]:
            sql(
                "UPDATE fact SET value = value - ? WHERE counter=? AND subject=? AND window=?",
                (weight, counter, subject, window),
            )


def _open_card(
    sql: Sql, seq: int, run: int, run_id: str, path: str, kind: str, title: str, body: Body, at: int
) -> None:
    card = f"{run_id}/{path}" if path else run_id
    sql(
        "INSERT INTO inbox VALUES (?,?,?,?,?,?,?,?,'open')",
        (seq, card, kind, run, path, title, canonical.encode(dict(body)).decode(), at),
    )


def _close_cards(sql: Sql, run: int, path: str) -> None:
    sql("UPDATE inbox SET state='closed' WHERE run=? AND path=? AND state='open'", (run, path))


_STEPS: dict[str, Callable[[Sql, int, int, str, int, Body], None]] = {
    "began": _began,
    "ended": _ended,
    "stuck": _stuck,
    "unstuck": _unstuck,
    "cancelling": _cancelling,
    "card": _card,
    "read": _read,
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
}

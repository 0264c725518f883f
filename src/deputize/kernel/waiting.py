"""Waits: registering one, and what ends it. Registering and matching are one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deputize import canonical
from deputize.kernel.asking import open_of, unanswered
from deputize.kernel.live import LiveRun
from deputize.kernel.origins import read_by_sender
from deputize.kernel.result import Result, woke_result
from deputize.kernel.stepping import digest_of, name_of
from deputize.ledger import Draft
from deputize.question import Question
from deputize.store.protocol import EventRow, Tx, View, WaitRow
from deputize.waits import Sleep, WaitFor

WAKE_MAX = 500
"""Runs woken in one transaction, at most."""

Woken = tuple[int, str, Result]


def register_wait(
    tx: Tx, run: LiveRun, path: str, awaiting: Sleep | WaitFor[Any] | Question[Any]
) -> tuple[int | None, Result | None]:
    """Record a wait. Returns when it is due, and its result where it is over already."""
    body: dict[str, Any] = {"path": path, "op": name_of(awaiting), "digest": digest_of(awaiting)}
    if isinstance(awaiting, Sleep):
        due = awaiting.due_us if awaiting.due_us is not None else tx.at_us + (awaiting.for_us or 0)
        drafts = [Draft("waiting", body | {"kind": "timer", "due": due})]
        if due <= tx.at_us:
            drafts.append(Draft("woke", woke_body(path, "timer", None)))
        run.version = tx.append(run.no, run.version, drafts)
        over = due <= tx.at_us
        return due, woke_result(drafts[-1].body, tx.at_us, {}) if over else None
    due = tx.at_us + awaiting.within_us
    if isinstance(awaiting, Question):
        run.version = tx.append(run.no, run.version, [Draft("waiting", body | _question(awaiting, due))])
        return due, None
    wait = Draft(
        "waiting",
        body
        | {
            "kind": "event",
            "due": due,
            "type": awaiting.kind.event_type,
            "matching": dict(awaiting.matching),
        },
    )
    run.version = tx.append(run.no, run.version, [wait])
    kept = tx.kept_match(run.no, awaiting.kind.event_type, awaiting.matching, run.event_seq)
    if kept is None:
        return due, None
    woke = woke_body(path, "event", kept, read_by_sender(tx, kept.occurrence.source))
    run.version = tx.append(run.no, run.version, [Draft("woke", woke)])
    return due, woke_result(woke, tx.at_us, {kept.seq: kept.occurrence.data})


def _question(question: Question[Any], due: int) -> dict[str, Any]:
    silence = question.otherwise
    return {
        "kind": "question",
        "due": due,
        "title": question.question,
        "whom": question.whom,
        "show": dict(question.show),
        "choices": question.choices,
        "kind_of_answer": question.kind,
        **({"otherwise": canonical.decode(silence)} if silence is not None else {}),
    }


def wake_due(tx: Tx, append: Any) -> tuple[list[Woken], int | None]:
    """End the waits whose time has come. Returns them, and when the next is due."""
    woken = []
    for wait in tx.due_waits(tx.at_us, WAKE_MAX):
        woken.append(_OVER.get(wait.kind, wake)(tx, append, wait, None))
    return woken, tx.next_due()


def wake(tx: Tx, append: Any, wait: WaitRow, event: EventRow | None) -> Woken:
    """End one wait, by an event or by time; the first to come wins. `append` is that of `recording.py`."""
    origins = read_by_sender(tx, event.occurrence.source) if event is not None else []
    body = woke_body(wait.path, wait.kind, event, origins)
    append(tx, wait.run, [Draft("woke", body)])
    data = {event.seq: event.occurrence.data} if event is not None else {}
    return wait.run, wait.path, woke_result(body, tx.at_us, data)


def _unapproved(tx: Tx, append: Any, wait: WaitRow, _: None) -> Woken:
    """Nobody has approved an action in time: it is refused."""
    asked = open_of(tx, tx.action(wait.run, wait.path), "")
    reason = (
        unanswered(asked, tx.approvals(wait.run, wait.path))
        if asked is not None
        else "nobody approved it in time"
    )
    expires = asked is None or asked.expires
    body = {"path": wait.path, "was": "asking", "leased": False, "holds": [], "counted": []}
    more = {"reason": reason, "at": tx.at_us} | ({"expired": True} if expires else {})
    append(tx, wait.run, [Draft("refused", body | more)])
    return wait.run, wait.path, Result("expired" if expires else "refused", b"null", reason, tx.at_us)


def _unanswered(tx: Tx, append: Any, wait: WaitRow, _: None) -> Woken:
    """Nobody has answered a question in time: silence is the answer, or the time is over."""
    asked = question_at(tx, wait.run, wait.path)
    body: dict[str, Any] = {"path": wait.path, "kind": "question"}
    if asked is not None and "otherwise" in asked:
        body |= {"answer": asked["otherwise"], "by": ""}
    append(tx, wait.run, [Draft("woke", body)])
    return wait.run, wait.path, woke_result(body, tx.at_us, {})


def question_at(view: View, run: int, path: str) -> Mapping[str, Any] | None:
    """What was asked at a path, as its entry has it; None where nothing was, or it was erased."""
    asked = (
        entry.body
        for entry in reversed(view.entries(run))
        if entry.type == "waiting" and entry.body is not None and entry.body["path"] == path
    )
    return next(asked, None)


_OVER: dict[str, Callable[[Tx, Any, WaitRow, None], Woken]] = {
    "approval": _unapproved,
    "question": _unanswered,
}


def woke_body(path: str, kind: str, event: EventRow | None, origins: Sequence[str] = ()) -> dict[str, Any]:
    """What a wake entry says; `origins` are what the sender of its event had read."""
    body: dict[str, Any] = {"path": path, "kind": kind}
    if event is not None:
        occurrence = event.occurrence
        body["event"] = {
            "seq": event.seq,
            "source": occurrence.source,
            "id": occurrence.id,
            "type": occurrence.type,
            "subject": occurrence.subject,
            "time": occurrence.time_us,
            "digest": occurrence.digest,
            **({"origins": list(origins)} if origins else {}),
        }
    return body

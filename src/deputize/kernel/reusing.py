"""Reusing: a question that was answered before is answered from the ledger, and nothing is sent.

The starting transaction looks for such an answer, and whoever asks says whether it fits; then intent and
receipt are written together. What no answer of before fits is asked, and whoever asks the same meanwhile
stands in line, as for any resource.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from deputize import canonical
from deputize.caching import Before
from deputize.kernel.judging import Request
from deputize.kernel.result import Result, value
from deputize.ledger import Draft
from deputize.store.protocol import Count, Tx

BY_CACHE = "cache"
BEFORE_MAX = 20
"""Of the answers of before the latest so many are looked at."""


@dataclass(frozen=True, slots=True)
class Reused:
    """It is answered by what was answered before; that is written."""

    result: Result


def before_of(tx: Tx, request: Request, at_us: int) -> Before | None:
    """The latest answer to the same question that still serves, and is not known not to fit."""
    caching, action = request.caching, request.action
    if caching is None:
        return None
    agent = "" if caching.shared else request.agent.name
    since = at_us - caching.for_us
    for row in tx.answered(action.operation.name, action.digest, agent, since, BEFORE_MAX):
        intent, receipt = tx.entry(row.intent), tx.receipt_of(row)
        if intent is None or not intent.body or receipt is None or not receipt.body:
            continue
        # What a person has said in a model's place is theirs, for that one time.
        asked = intent.body.get("settings") == caching.settings and receipt.body.get("by") == "answer"
        seen = request.before is not None and request.before.seq == receipt.seq
        # Like a run that is loaded: of a stream that was tampered with nothing is believed.
        if asked and receipt.seq not in request.unfit and (seen or tx.flaw(row.run) is None):
            stored = canonical.encode(receipt.body["result"])
            return Before(receipt.seq, f"{row.run_id}/{row.path}", receipt.at_us, stored)
    return None


def looked_at(request: Request, before: Before) -> Request:
    """The request with this answer, where it is one to who asks; else with the word that it does not fit."""
    action = request.action
    try:
        fits = action.fits is not None and action.fits(action.operation.decode_result(before.stored))
    # What reads an answer is the project's code, and may raise anything.
    except Exception:  # noqa: BLE001
        fits = False
    if fits:
        return replace(request, before=before)
    return replace(request, unfit=request.unfit | {before.seq})


def answered_by(
    tx: Tx,
    path: str,
    counted: Sequence[Count],
    under_way: Sequence[Count],
    barred: Mapping[str, str],
    before: Before,
) -> tuple[Draft, Reused]:
    """The receipt of an action that is answered so, and what comes of it. It costs nothing."""
    body = {
        "path": path,
        "was": "open",
        "leased": False,
        "holds": [],
        "counted": counted,
        "result": tx.place(before.stored),
        "at": tx.at_us,
        "by": BY_CACHE,
        "from": {"action": before.action, "entry": before.seq, "at": before.at_us},
        "cost_usd_micros": 0,
        **({"under_way": under_way} if under_way else {}),
        **({"barred": barred} if barred else {}),
    }
    return Draft("receipt", body), Reused(replace(value(before.stored, tx.at_us), barred=barred))

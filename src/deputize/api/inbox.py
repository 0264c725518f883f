"""The inbox: what waits for a person, and their answers."""

from __future__ import annotations

from typing import Literal, cast, get_args

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from deputize.api.body import read_object, text_of
from deputize.api.here import After, Here, Limit, find_run, result_schemas
from deputize.api.problem import Problem, answer
from deputize.api.show import show_card, show_channel, show_source
from deputize.kernel.people import AnswerKind
from deputize.store.telling import read_waiting

router = APIRouter(prefix="/v1/inbox")


@router.get("")
async def list_cards(
    system: Here, after: After = 0, limit: Limit = 100, state: Literal["open", "closed"] = Query("open")
) -> Response:
    """Cards, oldest first; each says what it is about, and by which commands it is answered.

    `sources` are the polls, schedules and channels with trouble: they need a person as well, and no answer
    ends it.
    """
    schemas = result_schemas(system)
    rows = system.store.read(
        lambda view: [
            (row, read_waiting(view, row)) for row in view.cards(after=after, limit=limit, state=state)
        ]
    )
    following = rows[-1][0].seq if len(rows) == limit else None
    shown = [show_card(row, waiting, schemas) for row, waiting in rows]
    troubled = [show_source(source) for source in system.sources.standing() if source.trouble]
    troubled += [show_channel(channel) for channel in system.notifier.standing() if channel.trouble]
    return answer(system, {"cards": shown, "next": following, "sources": troubled})


@router.post("/{card:path}/answer")
async def answer_card(request: Request, system: Here, card: str) -> Response:
    """Answer a card: `{"kind", "result", "reason", "person"}`.

    `kind` is `happened` (with its result), `did_not`, `do_again` or `abandon`.
    """
    body = await read_object(request)
    kind = body.get("kind")
    if kind not in get_args(AnswerKind):
        raise Problem(422, f"kind must be one of {', '.join(get_args(AnswerKind))}", field="kind")
    if kind == "happened" and "result" not in body:
        raise Problem(422, "say what came of it: result", field="result")
    run_id, slash, path = card.partition("/")
    run = find_run(system, run_id)
    await system.kernel.people.answer(
        f"{run.id}{slash}{path}",
        cast("AnswerKind", kind),
        result=body.get("result"),
        reason=text_of(body, "reason", default=""),
        person=text_of(body, "person", chars_max=200, default="someone"),
    )
    return answer(system, {"card": f"{run.id}{slash}{path}", "kind": kind})

"""The inbox: what waits for a person, and their answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast, get_args

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from deputize.api.body import text_of
from deputize.api.fresh import need_fresh_for
from deputize.api.here import After, Here, Limit, Name, find_run, result_schemas
from deputize.api.problem import Problem, answer
from deputize.api.proposing import decided
from deputize.api.show import show_card, show_channel, show_source
from deputize.api.who import READS, Decider, Speaker, Speaking, allow, read_decision
from deputize.kernel.people import AnswerKind
from deputize.kernel.ruling import is_card_path
from deputize.ledger import SYSTEM_NAME
from deputize.store.telling import read_waiting
from deputize.suggest import did_you_mean
from deputize.system import System

Word = Literal["approve", "refuse", "change", "ask_keeper", "answer", "noted", "lift"]
"""What people say of an action that waits for them, to a question, of an undo that came to its end, of a
budget that is nearly used up, and of an automation that failed too often."""

Kind = Literal["approval", "question", "doubt", "drift", "stuck", "unwind", "lowered", "budget", "rule"]
CardState = Annotated[Literal["open", "closed"], Query(description="Those that wait, or those that do not.")]
Kinds = Annotated[tuple[Kind, ...], Query(max_length=20, description="Only cards of these kinds.")]

router = APIRouter(prefix="/v1/inbox", dependencies=[READS])


@router.get("")
async def list_cards(
    system: Here,
    after: After = 0,
    limit: Limit = 100,
    state: CardState = "open",
    kind: Kinds = (),
    automation: Name = "",
) -> Response:
    """Cards, oldest first, each with what it is about and how it is answered.

    `sources` are the polls, schedules and channels with trouble: they need a person as well, and no answer
    ends it. `unfinished` are the writes from before this ledger was restored of which nobody knows the
    outcome.
    """
    schemas = result_schemas(system)
    rows = system.store.read(
        lambda view: [
            (row, read_waiting(view, row))
            for row in view.cards(after=after, limit=limit, state=state, kinds=kind, automation=automation)
        ]
    )
    following = rows[-1][0].seq if len(rows) == limit else None
    shown = [show_card(row, waiting, schemas) for row, waiting in rows]
    troubled = [show_source(source) for source in system.sources.standing() if source.trouble]
    troubled += [show_channel(channel) for channel in system.notifier.standing() if channel.trouble]
    unfinished = [one.shown() for one in system.kernel.unfinished()]
    found = {"cards": shown, "next": following, "sources": troubled, "unfinished": unfinished}
    return answer(system, found)


@router.post("/{card:path}/answer")
async def answer_card(request: Request, system: Here, speaker: Speaking, _: Decider, card: str) -> Response:
    """Answer a card.

    The answer's sentence says what came of it.

    `kind` is `happened` (with its `result`), `did_not`, `do_again` or `abandon`; for an action that waits for
    people it is `approve`, `refuse`, `change` (with other `args`) or `ask_keeper` (with a `reason`), each
    with the card's `binding`; for a question it is `answer`, with the `answer`; for an undo that could not
    undo everything, and for a budget that is nearly used up, `noted`; for an automation whose writes are
    confirmed as it failed too often, `lift`.
    """
    return answer(system, await answered(system, card, await read_decision(request), speaker))


async def answered(system: System, card: str, body: dict[str, Any], speaker: Speaker) -> dict[str, Any]:
    """Take in a person's answer to a card: `{"card", "kind", "said"}`.

    Raises `Problem`, also for whoever may not decide, or has to give their password first (see
    `api/fresh.py`), and `NotAnswerable`.
    """
    allow(system, speaker, "decide")
    person = speaker.name
    kind, reason = body.get("kind"), text_of(body, "reason", default="")
    kinds = (*get_args(AnswerKind), *get_args(Word))
    if kind not in kinds:
        nearest = did_you_mean(kind, kinds) if isinstance(kind, str) else ""
        raise Problem(422, f"kind must be one of {', '.join(kinds)}{nearest}", field="kind")
    run_id, slash, path = card.partition("/")
    name = card if run_id == SYSTEM_NAME else f"{find_run(system, run_id).id}{slash}{path}"
    need_fresh_for(system, speaker, name, str(kind))
    said = "answered"
    if kind in get_args(Word):
        said = await _say(system, name, cast("Word", kind), body, reason, person)
    else:
        if kind == "happened" and "result" not in body:
            raise Problem(422, "say what came of it: result", field="result")
        await system.kernel.people.answer(
            name, cast("AnswerKind", kind), result=body.get("result"), reason=reason, person=person
        )
    return {"card": name, "kind": kind, "said": said}


async def _say(system: System, card: str, word: Word, body: dict[str, Any], reason: str, person: str) -> str:
    """What a person says of an action or a question; returns the sentence that answers it."""
    approving = system.kernel.approving
    if word == "noted":
        return await system.kernel.noting.noted(card, person=person)
    if word == "lift":
        return await system.kernel.lifting.lift(card, reason=reason, person=person)
    if word == "answer":
        if "answer" not in body:
            raise Problem(422, "say what the answer is: answer", field="answer")
        return await system.kernel.answering.answer(card, body["answer"], person=person)
    if is_card_path(card.partition("/")[2]) and card.startswith(f"{SYSTEM_NAME}/"):
        bound = text_of(body, "binding", chars_max=200)
        return await decided(system, card, word, binding=bound, reason=reason, person=person)
    # Of what was read, and no other: an answer to a card that has changed since is no answer.
    binding = text_of(body, "binding", chars_max=200)
    if word == "approve":
        return await approving.approve(card, binding=binding, person=person)
    if word == "refuse":
        return await approving.refuse(card, binding=binding, reason=reason, person=person)
    if word == "ask_keeper":
        words = text_of(body, "reason")
        return await approving.ask_keeper(card, binding=binding, reason=words, person=person)
    if "args" not in body:
        raise Problem(422, "say what it is to be instead: args", field="args")
    return await approving.change(card, binding=binding, args=body["args"], reason=reason, person=person)

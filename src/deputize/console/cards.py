"""One card: what waits for a person, whole, and every way to answer it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from deputize import canonical
from deputize.api.fresh import MOVES, moves_money
from deputize.api.here import find_run, result_schemas
from deputize.api.inbox import answered
from deputize.api.problem import Problem, of_error
from deputize.api.show import show_card
from deputize.api.who import Speaker
from deputize.card import Waiting, evidence_lines
from deputize.clock import iso
from deputize.console.fields import Field, fields_for, fields_of, read_fields, read_value
from deputize.console.page import Page, get, post
from deputize.console.rendering import words
from deputize.errors import DeputizeError
from deputize.ledger import SYSTEM
from deputize.money import money_of
from deputize.notify.links import BadLink
from deputize.store.protocol import CardRow, View
from deputize.store.telling import read_telling, read_waiting
from deputize.why import why_action

KINDS = {
    "approval": "Waits for approval",
    "question": "Question",
    "doubt": "Not sure it happened",
    "drift": "Answered, but not as agreed",
    "stuck": "Stuck",
    "unwind": "Undo came to its end",
    "lowered": "Failed too often",
    "budget": "Nearly used up",
    "rule": "A rule is to change",
}
"""What each kind of card is called to people."""

DID = {
    "approve": "Approved",
    "refuse": "Refused",
    "change": "Changed, and judged anew",
    "ask_keeper": "The keeper is asked, too",
    "answer": "Answered",
    "happened": "Settled: it happened",
    "did_not": "Settled: it did not happen",
    "do_again": "Done again",
    "abandon": "Given up",
    "noted": "Noted",
    "lift": "Its writes start again without being confirmed",
}
"""What is said once a card was answered so."""

REASON_CHARS_MAX = 2_000
BESIDE_SHOWN = 30
VALUE_CHARS_SHOWN = 600
SEQ_DIGITS_MAX = 18
ELLIPSIS = "…"
NAME_CHARS_MAX = 40
SUBJECTS_SHOWN = 3


def lines_of(cards: Sequence[CardRow]) -> list[dict[str, Any]]:
    """Cards as lines of a list."""
    return [
        {
            "seq": card.seq,
            "id": card.id,
            "kind": card.kind,
            "called": KINDS.get(card.kind, card.kind),
            "title": headline(card),
            "subject": subject(card),
            "at": iso(card.at),
            "due": iso(card.body["due"]) if card.body.get("due") else None,
        }
        for card in cards
    ]


def headline(card: CardRow) -> str:
    """What a card is about in a few words: of an approval the rule that asks, of a doubt what it is in doubt
    of. The rest of its title is said below it."""
    before, colon, after = card.title.partition(": ")
    if card.kind == "approval" and colon:
        return after
    if card.kind in ("doubt", "drift") and colon:
        return before
    return card.title


def subject(card: CardRow) -> str:
    """What is special about a card among others of its kind: the money in its arguments, then the names."""
    args = card.body.get("args")
    if not isinstance(args, Mapping):
        return ""
    money = [str(found) for value in args.values() if (found := money_of(value)) is not None]
    names = [value for value in args.values() if isinstance(value, str) and 0 < len(value) <= NAME_CHARS_MAX]
    return " · ".join([*money, *names][:SUBJECTS_SHOWN])


def said_of(page: Page) -> dict[str, str]:
    """What the person has just done, to which card, in the words of the page that comes after it."""
    of = page.query("of")
    return {"did": DID.get(page.query("did"), ""), "of": of if is_seq(of) else ""}


def is_seq(text: str) -> bool:
    """Whether it can be a place in the ledger."""
    return text.isascii() and text.isdecimal() and len(text) <= SEQ_DIGITS_MAX


def _seq(page: Page) -> int:
    text = page.request.path_params["seq"]
    if not is_seq(text):
        raise Problem(404, f"there is no card {text[:40]!r}; the inbox lists those that wait")
    return int(text)


def _everything(asked: Mapping[str, Any], waiting: Waiting) -> str:
    """What a card is about and what it rests on, as it was recorded, with nothing left out."""
    told = {"plan": asked.get("plan", {}).get("whole"), "rests_on": list(waiting.rests_on)}
    known = {name: value for name, value in told.items() if value}
    return json.dumps(known, indent=2, ensure_ascii=False, sort_keys=True) if known else ""


async def show(page: Page) -> Response:
    """A card by its place in the inbox."""
    return _shown(page, _seq(page))


async def find(page: Page) -> Response:
    """A card by its id (`run/path`): to its place, or to its run once it is answered. The link of a message
    is used up by it: that is for one person, once."""
    if page.query("k"):
        return page.go(f"/inbox/{await follow(page, page.query('k'))}")
    run_id, _, path = page.request.path_params["id"].partition("/")
    no = SYSTEM if run_id == "system" else find_run(page.system, run_id).no
    card = page.system.store.read(lambda view: view.card_of(no, path))
    if card is not None:
        return page.go(f"/inbox/{card.seq}")
    if no == SYSTEM:
        raise Problem(404, f"no card {run_id}/{path} waits for anybody; the inbox lists those that do")
    return page.go(f"/runs/{find_run(page.system, run_id).id}?action={quote(path)}#{path}")


async def follow(page: Page, token: str) -> int:
    """The place of the card that a link of a message leads to. Raises `Problem` for one that was not made
    here, or is somebody else's. One that was used before leads there as well: whoever is in may read it."""
    try:
        link = page.system.links.read(token, page.system.time.now_us())
    except BadLink as error:
        raise Problem(403 if error.forged else 410, str(error)) from None
    if page.speaker.person is not None and page.speaker.name != link.person:
        raise Problem(403, f"this link is {link.person}'s, and not {page.speaker.name}'s")
    with contextlib.suppress(BadLink):
        await page.system.store.write(lambda tx: page.system.links.use(tx, link, token))
    return link.seq


async def say(page: Page) -> Response:
    """A person's answer; then on to the next card."""
    seq, kind = _seq(page), page.request.path_params["kind"]
    card, waiting = page.system.store.read(lambda view: _read(view, seq))
    try:
        speaker = await _fresh(page)
        body = _body(page.system.project.operations, card, waiting, kind, page.form)
        await answered(page.system, card.id, body, speaker)
    except (Problem, DeputizeError) as error:
        problem = error if isinstance(error, Problem) else of_error(error)
        return _shown(page, seq, problem)
    _, after, _ = page.system.store.read(lambda view: view.cards_beside(seq))
    return page.go(f"{f'/inbox/{after}' if after else '/inbox'}?did={kind}&of={seq}")


async def _fresh(page: Page) -> Speaker:
    """Whoever speaks, with the password that stands in the form once more, where one does."""
    password, speaker = page.form.get("password", ""), page.speaker
    session = page.system.kernel.sessions.find(page.request.state.cookie) if speaker.session else None
    if not password or session is None:
        return speaker
    fresh = await page.system.entrance.freshen(session, page.request.state.cookie, password)
    return replace(speaker, fresh_until=fresh.fresh_until_us)


def _needs_password(page: Page, view: View, card: CardRow) -> bool:
    """Whether money hangs on the answer, and the password was given too long ago."""
    speaker = page.speaker
    stale = bool(speaker.session) and page.system.time.now_us() >= speaker.fresh_until
    return stale and moves_money(page.system, view, card.id)


def _read(view: View, seq: int) -> tuple[CardRow, Waiting]:
    card = view.card(seq)
    if card is None:
        raise Problem(404, f"there is no card {seq}; the inbox lists those that wait")
    return card, read_waiting(view, card)


def _shown(page: Page, seq: int, problem: Problem | None = None) -> Response:
    system = page.system

    def read(view: View) -> tuple[Any, ...]:
        card, waiting = _read(view, seq)
        before, after, place = view.cards_beside(seq)
        granted = [one.person for one in view.approvals(card.run, card.path)]
        beside = view.cards(after=max(0, seq - 1), limit=BESIDE_SHOWN)
        password = card.state == "open" and _needs_password(page, view, card)
        return card, waiting, (before, after, place), granted, beside, password

    card, waiting, (before, after, place), granted, beside, password = system.store.read(read)
    schemas = result_schemas(system)
    told = show_card(card, waiting, schemas)
    asked = waiting.asked or {}
    args = asked.get("args", {})
    args = args if isinstance(args, Mapping) else {}
    whole = page.query("whole") == "1"
    cut = [name for name, value in args.items() if len(words(value)) > VALUE_CHARS_SHOWN]
    plan = told.get("plan", [])
    # Of a plan its sentences are what is approved; where one of them is short for more, so is that.
    shortened = [line for line in plan if ELLIPSIS in line]
    return page.shown(
        "card.html",
        problem.status if problem is not None else 200,
        card=told,
        called=KINDS.get(card.kind, card.kind),
        headline=headline(card),
        operation=str(asked.get("op", "")),
        why=str(asked.get("why", "")),
        args=args,
        cut=[] if whole else cut,
        hidden=bool(cut or shortened) and not whole,
        everything=_everything(asked, waiting) if whole else "",
        evidence=evidence_lines(waiting),
        whole=whole,
        answers={one["kind"]: one["causes"] for one in told["answers"]},
        change=fields_of(args, "args"),
        result=_result_fields(schemas, asked),
        question=_answer_field(card),
        granted=granted,
        moves=MOVES if password else (),
        came=[] if card.state == "open" else _came(page, card),
        beside=lines_of(beside),
        before=before,
        after=after,
        place=place + 1,
        problem=problem,
        form=page.form,
        said=said_of(page),
    )


def _came(page: Page, card: CardRow) -> list[str]:
    """What came of an answered card, in sentences."""
    system, run = page.system, page.system.store.read(lambda view: view.run_no(card.run))
    if run is None or not card.path:
        return []
    budgets = {budget.key: budget for budget in system.kernel.parts.force.budgets}
    zone = system.project.settings.zone
    telling = system.store.read(lambda view: read_telling(view, run, zone, budgets))
    return [str(line) for line in why_action(telling, card.path)["sentences"]]


def _body(
    operations: Mapping[str, Any], card: CardRow, waiting: Waiting, kind: str, form: Mapping[str, str]
) -> dict[str, Any]:
    """A form as the API's answer. Raises `Problem` 422."""
    reason = form.get("reason", "").strip()
    if len(reason) > REASON_CHARS_MAX:
        long = f"a reason may have {REASON_CHARS_MAX:,} characters, and this has {len(reason):,}: shorten it"
        raise Problem(422, long, field="reason")
    body: dict[str, Any] = {"kind": kind, "reason": reason, "binding": form.get("binding", "")}
    asked = waiting.asked or {}
    if kind == "approve" and "seen" not in form:
        raise Problem(409, "not all of it was shown: show it whole, and approve it then")
    if kind == "change":
        body["args"] = read_fields(fields_of(asked.get("args", {}), "args"), form)
    if kind == "happened":
        operation = operations.get(str(asked.get("op", "")))
        schemas = {} if operation is None else {operation.contract.name: operation.contract.output_schema}
        fields = _result_fields(schemas, asked)
        read = read_fields(fields, form)
        body["result"] = read["result"] if [field.name for field in fields] == ["result"] else read
    field = _answer_field(card)
    if kind == "answer" and field is not None:
        body["answer"] = read_value(field, form.get("answer", ""))
    return body


def _result_fields(schemas: Mapping[str, str], asked: Mapping[str, Any]) -> list[Field]:
    """Fields for what an operation returns."""
    schema = schemas.get(str(asked.get("op", "")))
    return fields_for(canonical.decode(schema.encode()) if schema else {}, "result")


def _answer_field(card: CardRow) -> Field | None:
    """The field for the answer to a question; None for what is none."""
    if card.kind != "question":
        return None
    choices = tuple(card.body["choices"])
    kind = {"whole number": "number", "money": "money", "yes or no": "yes or no"}
    found = kind.get(str(card.body["kind_of_answer"]), "text")
    return Field("answer", "Answer", found, choices=choices)  # type: ignore[arg-type]


ROUTES = [
    get("/inbox/{seq}", show),
    post("/inbox/{seq}/{kind}", say, "decide"),
    get("/cards/{id:path}", find),
]

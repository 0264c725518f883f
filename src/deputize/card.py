"""Cards: what waits for a person, told so that it can be answered from what one reads. Pure.

`store/telling.py` gathers a `Waiting` from a ledger.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deputize import canonical
from deputize.clock import iso
from deputize.duration import duration_text
from deputize.finding import told
from deputize.planned import told_plan
from deputize.sentence import asked_for, because, for_event, in_words, pairs, quoted, reason_of, short

ABOUT_CHARS_MAX = 600
EVIDENCE_CHARS_MAX = 2_000
RAW_CHARS_MAX = 500
FORM_CHARS_MAX = 300
FORM_DEPTH_MAX = 4


@dataclass(frozen=True)
class Waiting:
    """A card with what is around it. `asked` is the entry that asked for its action, or None for a card
    about a whole run; `first_sent` is ledger time, 0 where nothing was sent with the idempotency `key`;
    `rests_on` are the entries of what its run had been answered until it asked; of an automation that failed
    too often, the latest runs that failed. `handed` is the entry of whoever handed it on to the keeper."""

    id: str
    kind: str
    body: Mapping[str, Any]
    automation: str
    event: Mapping[str, Any] | None
    run_ended: bool
    open: bool
    asked: Mapping[str, Any] | None = None
    first_sent: int = 0
    key: str = ""
    rests_on: Sequence[Mapping[str, Any]] = ()
    handed: Mapping[str, Any] | None = None


def told_card(waiting: Waiting, schemas: Mapping[str, str]) -> dict[str, Any]:
    """A card in people's words: what it is about, since when, the evidence, and every way to answer it.

    `schemas` are the output schemas of operations by name (those that are known), for the form of a
    result.
    """
    asked = waiting.asked or {}
    op = str(asked.get("op", ""))
    open = waiting.open
    return {
        "about": short(f"{asked_for(asked)}{because(asked)}", ABOUT_CHARS_MAX) if op else "",
        "of": _of(waiting),
        "key": waiting.key,
        "first_sent_at": iso(waiting.first_sent) if waiting.first_sent else None,
        "evidence": _EVIDENCE[waiting.kind](waiting)
        if waiting.kind in _EVIDENCE
        else evidence_of(waiting.body),
        **(_asks(waiting.body, waiting.handed) if waiting.kind == "approval" else {}),
        **_plan(asked.get("plan", {})),
        **(_question(waiting.body) if waiting.kind == "question" else {}),
        **(_rule(waiting.body) if waiting.kind == "rule" else {}),
        "answers": choices(
            waiting.id, waiting.kind, waiting.run_ended, schemas.get(op, ""), whole="plan" in asked
        )
        if open
        else [],
    }


def _of(waiting: Waiting) -> str:
    """What a card belongs to."""
    if waiting.kind == "rule":
        return f"the rule {quoted(waiting.body['change']['title'])}"
    if waiting.kind == "budget":
        scope = waiting.body["scope"]
        return "the whole project" if scope == "whole" else f"the {scope} {waiting.body['of']}"
    return f"the automation {waiting.automation}{for_event(waiting.event)}"


def _plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What the card of a plan says besides: its digest, and its sentences with what is foreseen of each; of
    an action nothing."""
    if "digest" not in plan:
        return {}
    return {"digest": plan["digest"], "plan": told_plan(plan), "cost": "", "undo": ""}


def _asks(body: Mapping[str, Any], handed: Mapping[str, Any] | None) -> dict[str, Any]:
    """What an approval's card says besides: which rules ask whom, who handed it on, cost, deadline, what
    silence does."""
    silence = "it is refused, and the automation goes on with that"
    if all(demand["otherwise"] == "expire" for demand in body["demands"]):
        silence = "it is not done, and the automation is told that nobody answered in time"
    cost = f"{body['price_usd_micros'] / 1_000_000:.4f} USD" if body["price_usd_micros"] else ""
    return {
        "binding": body["binding"],
        "asks": [f"{quoted(demand['title'])} asks {asked_whom(demand)}" for demand in body["demands"]],
        "findings": [line for one in body.get("findings", ()) for line in told(one)],
        "handed": handed_to(handed) if handed is not None else "",
        "cost": cost,
        "undo": "it can be undone" if body["undoable"] else "there is no undo for it",
        "due": iso(body["due"]),
        "silence": silence,
    }


def _question(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a question's card says besides: whom it asks, what answers it, and until when."""
    silence = "the automation is told that nobody answered in time"
    if "otherwise" in body:
        silence = f"the answer is {in_words(body['otherwise'])}"
    return {
        "asks": [f"it asks {' or '.join(body['whom'])}"],
        "answer": " or ".join(map(quoted, body["choices"])) or str(body["kind_of_answer"]),
        "due": iso(body["due"]),
        "silence": silence,
    }


def _rule(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the card of another number in a rule says besides: whom it asks, and what an answer binds to."""
    asks = f"it asks {' or '.join(body['whom'])}; {' and '.join(body['requesters'])} asked for it, and cannot"
    return {"binding": body["binding"], "asks": [f"{asks} approve it"]}


def handed_to(body: Mapping[str, Any]) -> str:
    """Who handed it on, to whom, and their words: `kim asks maya, who keeps it: "…"`."""
    return f"{body['by']['person']} asks {body['keeper']}, who keeps it: {quoted(body['by']['reason'])}"


def asked_whom(demand: Mapping[str, Any]) -> str:
    """Whom a demand asks: `2 of finance, after 2 hours also maya`."""
    many = f"{demand['people']} of " if demand["people"] > 1 else ""
    whom = " or ".join(demand["whom"]) or "the keeper"
    if not demand["then"]:
        return many + whom
    return (
        f"{many}{whom}, and after {duration_text(demand['then_after_s'])} also {' or '.join(demand['then'])}"
    )


def rests_on(waiting: Waiting) -> str:
    """What an approval rests on: the answers that its run had got, the latest first, and the counts."""
    return short("; ".join(_rests_on(waiting)), EVIDENCE_CHARS_MAX)


def _rests_on(waiting: Waiting) -> list[str]:
    answers = [f"{one['op']} answered {in_words(one['result'])}" for one in reversed(waiting.rests_on)]
    return [*answers, *(f"{name} stands at {value:,}" for name, value in waiting.body["facts"].items())]


def evidence_lines(waiting: Waiting) -> list[str]:
    """The evidence of a card, a line for each thing: what a service or a customer wrote makes no lines."""
    if waiting.kind == "approval":
        return _rests_on(waiting)
    told = _EVIDENCE[waiting.kind](waiting) if waiting.kind in _EVIDENCE else evidence_of(waiting.body)
    return [told] if told else []


def _shown(waiting: Waiting) -> str:
    """What a question shows beside itself."""
    return short(pairs(waiting.body["show"]), EVIDENCE_CHARS_MAX)


def _foreseen(waiting: Waiting) -> str:
    """What another number in a rule would have done."""
    change = waiting.body["change"]
    return f"{change['label']}: now {change['was']}, then {change['now']}; {waiting.body['said']}"


def _failed(waiting: Waiting) -> str:
    """The latest runs that failed, with why."""
    told = (f"run {one['run']}: {one['reason'] or 'its reason is erased'}" for one in waiting.rests_on)
    return short("; ".join(told), EVIDENCE_CHARS_MAX)


def _near(waiting: Waiting) -> str:
    """What brought a budget near its limit, and what comes beyond that."""
    ask = " or ".join(waiting.body["ask"])
    beyond = f"{ask} is asked, each time" if ask else "an action is refused"
    return f"action {waiting.body['passed']} brought it there; beyond the limit {beyond}"


_EVIDENCE: Mapping[str, Callable[[Waiting], str]] = {
    "approval": rests_on,
    "question": _shown,
    "lowered": _failed,
    "budget": _near,
    "rule": _foreseen,
}


def evidence_of(body: Mapping[str, Any]) -> str:
    """What is known of it: the evidence of a doubt, or the answer that does not fit; bounded."""
    if "raw" in body:
        return raw_answer(body)
    return short(reason_of(str(body.get("evidence") or body.get("reason", ""))), EVIDENCE_CHARS_MAX)


def raw_answer(body: Mapping[str, Any]) -> str:
    """The answer of a service as a drift's entry keeps it, in one line, bounded."""
    text = " ".join(str(body.get("raw", "")).split())
    status = f"{body['status']} " if body.get("status") else ""
    return f"the service's answer was {status}{short(text, RAW_CHARS_MAX) or 'without a body'}"


def choices(
    card: str, kind: str, run_ended: bool, schema: str = "", *, whole: bool = False
) -> list[dict[str, str]]:
    """Every way to answer a card, which may be that of a `whole` plan: `{"kind", "command", "causes"}`
    each, where the kind is what the API calls it (`undo` is an act on the run)."""
    happened = f"deputize resolve {card} happened --result {shlex.quote(result_form(schema))}"
    if kind in _ALWAYS:
        run = card.partition("/")[0]
        return [_choice(way, line.format(card=card, run=run), causes) for way, line, causes in _ALWAYS[kind]]
    if kind == "approval":
        return _of_approval(card, whole)
    if kind == "drift":
        return _of_drift(card, happened, run_ended)
    return _of_doubt(card, happened, run_ended)


_RESOLVE = "deputize resolve {card}"
_ALWAYS = {
    "stuck": [
        (
            "abandon",
            f"{_RESOLVE} abandon",
            "the run ends here; what it has done stays done (with code that matches it goes on by itself)",
        )
    ],
    "unwind": [
        ("noted", f"{_RESOLVE} noted", "you have read it; what is left stays as it is"),
        ("undo", "deputize undo {run}", "it is tried once more for what is left and can be undone"),
    ],
    "lowered": [
        (
            "lift",
            f"{_RESOLVE} lift",
            "its writes start without being confirmed again, and its failures are counted anew",
        )
    ],
    "rule": [
        ("approve", "deputize approve {card}", "the number is changed, and in force from then on"),
        ("refuse", 'deputize refuse {card} --reason "…"', "the rule stays as it is"),
    ],
    "budget": [
        (
            "noted",
            f"{_RESOLVE} noted",
            "you have read it; for more, set another limit in deputize.toml and start the process anew",
        )
    ],
    "question": [
        ("answer", "deputize answer {card} '…'", "the first answer counts, and the run goes on with it")
    ],
}
"""The ways to answer the kinds of cards whose ways are always the same."""


def _of_approval(card: str, whole: bool) -> list[dict[str, str]]:
    starts = "it is judged once more, and starts"
    if whole:
        starts = "it is carried out; each action is judged once more as it starts, and what was not foreseen "
        starts += "asks anew"
    change = _choice(
        "change",
        f"deputize change {card} --args '{{…}}'",
        "it is asked for with these arguments in its place, and judged anew; who changes them cannot approve "
        "them",
    )
    no = "it is not done, and the automation is told why"
    keeper = "the keeper of the automation is asked, too; it waits no longer for that"
    return [
        _choice("approve", f"deputize approve {card}", starts),
        _choice("refuse", f'deputize refuse {card} --reason "…"', no),
        *([] if whole else [change]),
        _choice("ask_keeper", f'deputize ask-keeper {card} --reason "…"', keeper),
    ]


def _of_drift(card: str, happened: str, run_ended: bool) -> list[dict[str, str]]:
    on, ends = _goes_on(run_ended)
    stays = f"it stays done, as the service says, and without a result{ends}"
    return [
        _choice("happened", happened, f"it is settled with this result{on}"),
        _choice("abandon", f"deputize resolve {card} abandon", stays),
    ]


def _of_doubt(card: str, happened: str, run_ended: bool) -> list[dict[str, str]]:
    resolve, (on, ends) = f"deputize resolve {card}", _goes_on(run_ended)
    given_back = "it is refused; what was set aside is given back"
    told = "" if run_ended else ", and the run is told"
    again = "it is sent once more, as a new request: should the first one have happened, it happens twice"
    unknown = f"nobody will know; what was set aside counts as spent{ends}"
    return [
        _choice("happened", happened, f"it is settled with this result; what was set aside is spent{on}"),
        _choice("did_not", f"{resolve} did-not", f"{given_back}{told}"),
        *([] if run_ended else [_choice("do_again", f"{resolve} did-not --again", again)]),
        _choice("abandon", f"{resolve} abandon", unknown),
    ]


def _goes_on(run_ended: bool) -> tuple[str, str]:
    """What follows for a run once its action is settled, and where it is given up."""
    return ("", "") if run_ended else (", and the run goes on with it", ", and the run ends")


def _choice(kind: str, command: str, causes: str) -> dict[str, str]:
    return {"kind": kind, "command": command, "causes": causes}


def result_form(schema: str) -> str:
    """What a result looks like, with `<…>` where a value is to be written: no JSON until it is filled in."""
    if not schema:
        return "<JSON>"
    whole, form = canonical.decode(schema), "<JSON>"
    # From the outside in, so that a type that holds itself many times over is never written out.
    for depth in range(1, FORM_DEPTH_MAX + 1):
        deeper = _form(whole, whole, depth)
        if len(deeper) > FORM_CHARS_MAX:
            break
        form = deeper
    return form


def _form(node: Any, whole: Mapping[str, Any], depth: int) -> str:
    if not isinstance(node, Mapping):
        return "<value>"
    reference = node.get("$ref")
    if isinstance(reference, str):
        node = whole.get("$defs", {}).get(reference.rpartition("/")[2], {})
    if node.get("title") == "Money":
        return '<"0.00 EUR">'
    if "enum" in node or "const" in node:
        values = node.get("enum", [node.get("const")])
        return f"<{' or '.join(canonical.encode(value).decode() for value in values)}>"
    for several in ("anyOf", "oneOf"):
        if several in node:
            return " or ".join(_form(one, whole, depth) for one in node[several])
    if node.get("type") == "object" and node.get("properties"):
        if depth == 0:
            return "<object>"
        # Properties come in the order of the alphabet, what is required in that of the type.
        fields = [(name, node["properties"].get(name)) for name in node.get("required", ())]
        parts = (f"{canonical.encode(name).decode()}: {_form(one, whole, depth - 1)}" for name, one in fields)
        return f"{{{', '.join(parts)}}}"
    if node.get("type") == "array":
        return f"[{_form(node.get('items'), whole, depth - 1)}, …]" if depth else "<list>"
    return {"string": '<"text">', "null": "null"}.get(node.get("type", ""), f"<{node.get('type', 'value')}>")

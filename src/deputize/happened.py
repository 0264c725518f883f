"""What happened to an action, as an entry tells it: in a sentence for the person who keeps the shop. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deputize.card import asked_whom, handed_to, raw_answer
from deputize.finding import told
from deputize.ledger import Entry
from deputize.planned import granted_by
from deputize.sentence import in_words, is_answer, listed, pairs, quoted, reason_of, thought
from deputize.telling import Telling

Body = Mapping[str, Any]


def happened(telling: Telling, entry: Entry, at: str) -> str:
    """One thing that happened to an action; empty for what is told elsewhere."""
    body = entry.body or {}
    match entry.type:
        case "asked":
            asks = listed([f"{quoted(d['title'])} asks {asked_whom(d)}" for d in body["demands"]])
            return f"{at} it waited for people: {asks}."
        case "rehearsed":
            return f"{at} it was rehearsed, without effect: {listed(told(body))}."
        case "handed":
            return f"{at} {handed_to(body)}."
        case "granted":
            return f"{at} {listed([one['person'] for one in body['approvals']])} approved the plan whole."
        case "intent" if body["round"] == 1:
            by = [one["person"] for one in body.get("approvals", ())]
            approved = f"approved by {listed(by)}, " if by else ""
            approved += f"approved with the whole plan by {granted_by(body)}, " if "whole" in body else ""
            sent = "then" if body.get("first_sent", True) else "not"
            return f"{at} it was {approved}recorded, and {sent} sent."
        case "intent":
            return f"{at} it was sent again as a new request, because {reason_of(body.get('because', ''))}."
        case "attempt":
            return f"{at} attempt {body['n']} was made, because {reason_of(body['because'])}."
        case "doubt":
            return f"{at} nobody knew whether it had happened: {reason_of(body['evidence'])}."
        case "card":
            return f"{at} it was put in the inbox for a person."
        case "receipt" if "from" in body:
            before = f"{body['from']['action']} was answered at {telling.when(body['from']['at'])}"
            return f"{at} it was answered from what {before}: {thought(body['result'])}. It cost nothing."
        case "receipt" if is_answer(body.get("result")):
            return f"{at} the model answered: {thought(body['result'])}."
        case "read" | "receipt":
            return f"{at} {_known_by(body.get('by', 'answer'))}: {in_words(body.get('result'))}."
        case "drift":
            # The reason begins with the operation and "was answered, but not as its contract says".
            reason = reason_of(body["reason"].partition("not as its contract says: ")[2] or body["reason"])
            answer = f"; {raw_answer(body)}" if "raw" in body else ""
            return f"{at} the service answered in a form that is not in its contract: {reason}{answer}."
        case "declined":
            return f"{at} the service said no: {reason_of(body['reason'])}. Nothing was done."
        case "refused" if "changed" in body:
            instead = f"with {pairs(body['changed_args'])} as {body['changed']['path']}"
            return f"{at} {person_of(body)} changed its arguments; it went on {instead}."
        case "refused":
            return f"{at} it was {refused(body)}. Nothing was done."
        case "abandoned":
            return f"{at} {person_of(body)} gave it up; what was set aside for it counts as spent."
    return ""


def refused(body: Body) -> str:
    """That it was refused, and by what."""
    reason = reason_of(body["reason"])
    return reason if reason.startswith("refused by ") else f"refused: {reason}"


def _known_by(by: Any) -> str:
    if by == "look-up":
        return "the service, when asked, said that it was done"
    if isinstance(by, Mapping):
        return f"{person_of({'by': by})} said that it had happened"
    return "the service answered"


def person_of(body: Body) -> str:
    """Who said something, and why."""
    by = body.get("by") or {}
    reason = f" ({by['reason']})" if by.get("reason") else ""
    return f"{by.get('person') or 'a person'}{reason}"

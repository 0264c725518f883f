"""Why: what an action or a run did, in sentences for the person who keeps the shop.

Pure: ledger entries in, sentences and the facts behind them out. `store/telling.py` gathers a `Telling`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from deputize.caching import is_question
from deputize.card import choices
from deputize.clock import iso
from deputize.conversation import conversation
from deputize.finding import told
from deputize.happened import Body, happened, person_of, refused
from deputize.ledger import Entry
from deputize.planned import PLAN, granted_by
from deputize.sentence import (
    asked_for,
    because,
    for_event,
    in_words,
    listed,
    pairs,
    quoted,
    reason_of,
)
from deputize.taking import COST
from deputize.telling import RuleText as RuleText
from deputize.telling import RuleTexts as RuleTexts
from deputize.telling import Telling as Telling


def why_action(telling: Telling, path: str) -> dict[str, Any]:
    """`{"sentences", "facts"}` for one action; no sentences where the run has none of this path."""
    own = [e for e in telling.entries if e.body is not None and e.body.get("path") == path]
    asked = asked_in(own)
    if asked is None:
        return {"sentences": [], "facts": {}}
    sentences = [line for part in parts_of(telling, own).values() for line in part]
    ways = _ways(telling, path, own)
    if ways:
        sentences.append("It waits for a person's answer:")
        sentences += [f"  {way['command']}\n    {way['causes']}." for way in ways]
    return {"sentences": sentences, "facts": _facts(telling, path, asked, own) | {"answers": ways}}


def asked_in(own: Sequence[Entry]) -> Entry | None:
    """Of the entries of one action that which asked for it; None where it is not among them."""
    return next((e for e in own if e.body and "op" in e.body and e.type != "card"), None)


def parts_of(telling: Telling, own: Sequence[Entry]) -> dict[str, list[str]]:
    """What is told of an action from all its entries, part by part, in this order; empty without the one
    that asked for it."""
    asked = asked_in(own)
    if asked is None or asked.body is None:
        return {}
    started = next((e for e in reversed(own) if e.type == "intent"), asked)
    body = started.body or {}
    return {
        "asked": _asked(telling, asked, asked.body),
        "caused": _caused(telling, body),
        "rules": _judged(telling, started, body, own),
        "found": _found(body),
        "taken": _taken(telling, body),
        "happened": [
            line for entry in own if (line := happened(telling, entry, f"{telling.when(entry.at_us)}:"))
        ],
        "compared": _compared(own),
        "cost": _cost(telling, own),
        "conversation": conversation(asked.body, own),
    }


def why_run(telling: Telling) -> dict[str, Any]:
    """`{"sentences", "facts"}` for a run: its story in the order of time."""
    sentences = [
        line for entry in telling.entries if (line := told_of(telling, entry, _place(telling, entry)))
    ]
    if any(entry.body is None for entry in telling.entries):
        sentences.append("Some of what happened has been erased.")
    sentences += [f"It waits for {wait.sentence(telling.when)}." for wait in telling.waits_for]
    sentences += _to_answer_in(telling)
    steps = [
        {"at": iso(e.at_us), "type": e.type, "path": (e.body or {}).get("path")} for e in telling.entries
    ]
    facts = {
        "run": telling.run,
        "automation": telling.automation,
        "agent": telling.agent,
        "event": telling.event,
        "steps": steps,
        "waits_for": [wait.shown(telling.when) for wait in telling.waits_for],
    }
    return {"sentences": sentences, "facts": facts}


# -- an action ------------------------------------------------------------------------------------------


def _asked(telling: Telling, entry: Entry, body: Body) -> list[str]:
    rehearsal = "a rehearsal of " if entry.type == "rehearsed" else ""
    who, what = body.get("agent", telling.agent), f"{rehearsal}{asked_for(body)}{because(body)}"
    return [
        f"On {telling.when(entry.at_us)} the agent {who} asked for {what}.",
        f"It did so in run {telling.run} of the automation {telling.automation}{for_event(telling.event)}.",
    ]


def _caused(telling: Telling, body: Body) -> list[str]:
    """The thought that called for an action, and where its arguments may come from."""
    said = [f"The model called for it in {telling.run}/{body['cause']}."] if body.get("cause") else []
    notes = [f"{name} ({digest[:12]})" for name, digest in body.get("notes", ())]
    said += [f"It was asked with what people have pinned for the agent: {listed(notes)}."] if notes else []
    known = body.get("origins_of", {})
    said += [f"Its {name} comes from {listed(list(one))}." for name, one in known.items() if one]
    if body.get("origins") and not known:
        said.append(f"What it asked for may come from {listed(list(body['origins']))}.")
    return said


def _wanted(title_of: Callable[[str], str], body: Body, own: Sequence[Entry]) -> list[str]:
    """Which rules wanted people's word for an action, and which only wanted more to be known."""
    asked = next((entry.body for entry in reversed(own) if entry.type == "asked" and entry.body), None) or {}
    gave = [one["person"] for one in body.get("approvals", ())]
    given = f", which {listed(gave)} gave" if gave else ""
    whole = body.get("whole", {})
    of_people = [title_of(id) for id in asked.get("rules", ()) if id not in whole.get("rules", ())]
    with_plan = [title_of(id) for id in whole.get("rules", ())]
    known = {*asked.get("rules", ()), *whole.get("rules", ())}
    others = [title_of(id) for id in body.get("rules", ()) if id not in known]
    sentences = [f"{listed(of_people)} wanted an approval{given}."] if of_people else []
    if with_plan:
        by = f"{granted_by(body)} gave with that of the whole plan (action {whole['plan']})"
        sentences.append(f"{listed(with_plan)} wanted an approval, which {by}.")
    if others and body.get("findings"):
        sentences.append(f"{listed(others)} wanted more to be found out first.")
    return sentences


def _judged(telling: Telling, entry: Entry, body: Body, own: Sequence[Entry]) -> list[str]:
    ruleset = body.get("ruleset", "")

    def title_of(id: str) -> str:
        return quoted(telling.rule(id, ruleset, entry.seq).title)

    titles = [title_of(id) for id in body.get("rules", ())]
    sentences = []
    # Reads were recorded without their rules once; a refusal by the rules names no set of them.
    if entry.type == "asked" or any(body.get(name) for name in ("approvals", "findings", "whole")):
        sentences += _wanted(title_of, body, own)
    elif entry.type in ("intent", "read") or ruleset:
        by = f" by {listed(titles)}" if titles else ""
        free = "" if entry.type == "intent" else "; it only reads and costs nothing, so nothing was reserved"
        sentences.append(f"The rules allowed it{by}{free}.")
    elif titles:
        sentences.append(f"Decided by {listed(titles)}.")
    counted = {counter: (subject, weight) for counter, subject, _, weight in body.get("counted", ())}
    for counter, before in body.get("facts", {}).items():
        rule = telling.rule(counter, ruleset, entry.seq)
        subject, weight = counted.get(counter, ("", 0))
        whose = f" for {subject}" if subject else ""
        adds = f", and this adds {rule.measured(weight, body)}" if weight else ""
        sentences.append(
            f"{quoted(rule.title)} had counted {rule.measured(before, body)}{whose} until then{adds}."
        )
    return sentences


def _found(body: Body) -> list[str]:
    """What was found out about it before it started or was asked of people."""
    lines = [line for one in body.get("findings", ()) for line in told(one)]
    return [f"Found out before: {line}." for line in lines]


def _taken(telling: Telling, body: Body) -> list[str]:
    sentences = []
    leases = [one for one in body.get("leases", ()) if not is_question(one)]
    if leases:
        sentences.append(f"Until it was settled, nothing else could act on {listed(leases)}.")
    if body.get("holds"):
        held = [telling.held(key, amount, "of the budget") for key, _, amount in body["holds"]]
        sentences.append(f"Set aside for it before it was sent: {listed(held)}.")
    return sentences


def _compared(own: Sequence[Entry]) -> list[str]:
    for entry in reversed(own):
        unmet = (entry.body or {}).get("unmet")
        if unmet:
            parts = [
                f"{n} to be {in_words(d['expected'])} and got {in_words(d['got'])}" for n, d in unmet.items()
            ]
            return [f"It expected {listed(parts)}."]
    expects = next((e.body.get("expects") for e in own if e.body and e.body.get("expects")), None)
    if expects and any(e.type in ("receipt", "read") for e in own):
        return [f"What it expected ({pairs(expects)}) is what it got."]
    return []


def _cost(telling: Telling, own: Sequence[Entry]) -> list[str]:
    last = next((e for e in reversed(own) if e.type in _SPENDS or e.type in _RETURNS), None)
    if last is None or last.body is None or not last.body.get("holds"):
        return []
    cost = last.body.get(COST)
    held = [
        telling.held(key, amount if cost is None else min(amount, cost))
        for key, _, amount in last.body["holds"]
    ]
    what = "It used" if last.type in _SPENDS else "It used nothing; given back was"
    return [f"{what} {listed(held)}."]


def _ways(telling: Telling, path: str, own: Sequence[Entry]) -> list[dict[str, str]]:
    """How a person answers for it, where it waits for one."""
    kind = _waits_as(own)
    ended = any(entry.type == "ended" for entry in telling.entries)
    if not kind or (kind == "drift" and ended):
        return []
    op = next((str(e.body["op"]) for e in own if e.body and "op" in e.body), "")
    card, schema = f"{telling.run}/{path}", telling.schemas.get(op, "")
    return choices(card, kind, ended, schema, whole=op == PLAN)


def _waits_as(own: Sequence[Entry]) -> str:
    """The kind of the card that waits for an action; empty where none does."""
    last = next((entry.type for entry in reversed(own) if entry.type not in ("doubt", "handed")), "")
    return {"card": "doubt", "drift": "drift", "asked": "approval"}.get(last, "")


def _to_answer_in(telling: Telling) -> list[str]:
    """The actions of a run that wait for a person, and the run itself where it is stuck."""
    by_path: dict[str, list[Entry]] = {}
    for entry in telling.entries:
        if entry.body is not None and entry.body.get("path"):
            by_path.setdefault(entry.body["path"], []).append(entry)
    ended = any(entry.type == "ended" for entry in telling.entries)
    waiting = {path: kind for path, own in by_path.items() if (kind := _waits_as(own))}
    lines = [
        f"Action {path} waits for a person's answer; `deputize why {telling.run}/{path}` says how to give it."
        for path, kind in waiting.items()
        if kind == "doubt" or not ended
    ]
    standing = [entry.type for entry in telling.entries if entry.type in ("stuck", "unstuck", "ended")]
    if standing and standing[-1] == "stuck":
        ways = choices(telling.run, "stuck", run_ended=False)
        lines += [f"To give it up: {way['command']}: {way['causes']}." for way in ways]
    return lines


def _facts(telling: Telling, path: str, asked: Entry, own: Sequence[Entry]) -> dict[str, Any]:
    body = asked.body or {}
    ruleset = body.get("ruleset", "")
    last = next((e.body for e in reversed(own) if e.type in ("receipt", "read")), None) or {}
    return {
        "action": f"{telling.run}/{path}",
        "run": telling.run,
        "automation": telling.automation,
        "agent": body.get("agent", telling.agent),
        "event": telling.event,
        "operation": body["op"],
        "args": body.get("args"),
        "why": body.get("why", ""),
        "rules": [
            {"id": i, "title": telling.rule(i, ruleset, asked.seq).title} for i in body.get("rules", ())
        ],
        "counts": dict(body.get("facts", {})),
        "leases": list(body.get("leases", ())),
        "holds": [list(hold) for hold in body.get("holds", ())],
        "expects": dict(body.get("expects", {})),
        "result": last.get("result"),
        "unmet": dict(last.get("unmet", {})),
        "from": last.get("from"),
        "steps": [{"at": iso(e.at_us), "type": e.type} for e in own],
    }


# -- a run ----------------------------------------------------------------------------------------------


def _place(telling: Telling, entry: Entry) -> str:
    """How a line of a run's story begins: when, and at which action."""
    path = (entry.body or {}).get("path", "")
    return f"{telling.when(entry.at_us)}{f', action {path}' if path else ''}:"


def told_of(telling: Telling, entry: Entry, at: str) -> str:
    """One line of a run's story, behind its beginning; empty for what is erased, or told elsewhere."""
    body = entry.body
    if body is None:
        return ""
    match entry.type:
        case "began":
            behind = ", behind an earlier run for the same thing" if body.get("state") == "behind" else ""
            return f"{at} the automation {telling.automation} began{for_event(telling.event)}{behind}."
        case "ended":
            label = f" ({body['label']})" if body["label"] else ""
            reason = f": {reason_of(body['reason'])}" if body["reason"] else ""
            return f"{at} it ended as {body['kind'].replace('_', ' ')}{label}{reason}."
        case "stuck":
            return f"{at} it got stuck: {reason_of(body['reason'])}."
        case "unstuck":
            return f"{at} it could go on."
        case "cancelling":
            return f"{at} it was cancelled: {reason_of(body.get('reason', ''))}."
        case "waiting" if body["kind"] == "question":
            return f"{at} it asked {' or '.join(body['whom'])}: {quoted(body['title'])}"
        case "woke" if "answer" in body:
            who = f"{body['by']} answered" if body["by"] else "nobody answered in time, which counts as"
            return f"{at} {who} {in_words(body['answer'])}."
        case "woke" if body["kind"] == "question":
            return f"{at} nobody answered in time."
        case "waiting":
            until = f" until {telling.when(body['due'])}" if body.get("due") else ""
            what = body.get("type") or "its time"
            return f"{at} it waited for {what}{until}."
        case "woke":
            event = body.get("event")
            came = f"the event {event['id']} from {event['source']} came" if event else "the time had come"
            return f"{at} {came}."
        case "sent":
            return f"{at} it sent the event {body.get('event', {}).get('id', '')}."
        case "unwinding":
            by, steps = body["by"], len(body["steps"])
            who, why = by["person"] or "Deputize", reason_of(by["reason"])
            return f"{at} {who} began to undo {steps} of its actions: {why}."
        case "unwound":
            left = f"; {body['title'].partition('; ')[2]}" if body["left"] else ""
            return f"{at} {len(body['undone'])} of its actions were undone{left}."
        case "noted":
            return f"{at} {person_of(body)} has read that."
        case "intent" if "asked" in body:
            return happened(telling, entry, at)
        case "asked" if not body["again"]:
            waits = happened(telling, entry, "").strip()
            return f"{at} it asked for {asked_for(body)}{because(body)}; {waits}"
        case "intent" | "read" if body.get("round", 1) == 1:
            got = f" and got {in_words(body['result'])}" if entry.type == "read" else ""
            return f"{at} it asked for {asked_for(body)}{because(body)}{got}."
        case "refused" if body.get("was") == "new":
            return f"{at} {asked_for(body)} was {refused(body)}."
    return happened(telling, entry, at)


# -- words ----------------------------------------------------------------------------------------------

_SPENDS = frozenset({"receipt", "drift", "abandoned"})
_RETURNS = frozenset({"declined", "refused"})

"""Events of actions that wait for people, and what people then say; the scenes in which they say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deputize.testing.crash import CrashHarness, event
from deputize.testing.life import HarnessError, Life
from deputize.town import Town

Events = list[dict[str, Any]]

LABELS = {
    "approve": "refunded",
    "both": "refunded",
    "refuse": "refused",
    "hand": "refunded",
    "change": "refunded",
    "change-asked": "refunded",
    "too-much": "refused",
    "wrong": "refunded",
    "once": "refunded",
    "once-more": "refused",  # or the other way round
    "beside": "refund refund message",
    "lapse": "expired",
    "wonder": "yes",
    "doubted": "refunded",
    "whole": "given back",
    "twice": "twice",
}
"""How the run of each event ends, by the end of the event's id, whatever was killed."""


def asked_for(town: Town, name: str, *endings: str) -> Events:
    """An event for every way that what people are asked for can go, or for these; `wants` says which."""
    made = []
    for ending in endings or LABELS:
        order = f"{name}-{ending}"
        charge = f"ch-{order}"
        if ending == "beside":
            town.plant(f"{order}-a", 5_000)
            town.plant(f"{order}-b", 5_000)
            made.append(event("crash.beside", order, charge=charge, to=f"{order}@beside.example"))
        elif ending == "wonder":
            made.append(event("crash.wonder", order, to=f"{order}@wonder.example"))
        elif ending == "doubted":
            town.plant(order, 9_000)
            made.append(event("crash.check", order, charge=charge, wants=ending, amount=7_000))
        elif ending == "whole":
            town.plant(order, 9_000)
            made.append(event("crash.whole", order, order_id=order, to=f"{order}@whole.example"))
        elif ending == "twice":
            town.plant(order, 9_000)
            made.append(event("crash.twice", order, charge=charge))
        elif ending == "lapse":
            made.append(event("crash.lapse", order, charge=charge))
        elif ending == "once-more":
            # Of the same charge: what a hard rule allows when people are asked, and not when it starts.
            made.append(_ask(order, f"ch-{name}-once", ending, 2_500))
        else:
            town.plant(order, 9_000)
            amount = 7_000 if ending in ("both", "change-asked") else 3_000
            made.append(_ask(order, charge, ending, amount))
    return made


def _ask(id: str, charge: str, wants: str, amount: int) -> dict[str, Any]:
    asked = event("crash.ask", id, charge=charge, wants=wants, amount=amount)
    return asked | ({"sender": "kim"} if wants == "wrong" else {})


def said(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What people say of a card, by what it wants; to a change that is asked for, two others say yes."""
    if card["kind"] == "question":
        return [{"do": "reply", "value": answer, "person": "lena"} for answer in ("perhaps", "yes", "no")]
    if "plan" in card["body"]:
        return [yes("maya"), yes("maya"), yes("kim")]
    wants, changed = card["body"]["why"], "~" in card["path"]
    if wants == "change-asked" and changed:
        return [yes("kim"), yes("lena"), yes("maya")]
    return {
        "approve": [yes("maya")],
        "both": [yes("maya"), yes("maya"), yes("kim")],
        "refuse": [{"what": "refuse", "person": "kim", "reason": "no"}, yes("maya")],
        "hand": [yes("iris"), hand("kim"), hand("lena"), yes("iris")],
        "change": [other(card, 1_500, "kim"), yes("maya")],
        "change-asked": [yes("maya"), other(card, 6_500, "kim")],
        "too-much": [other(card, 200_000, "lena")],
        "wrong": [yes("kim"), yes("otto"), yes("maya") | {"binding": "0" * 24}, yes("maya")],
        "once": [yes("maya")],
        "doubted": [yes("kim")],
        "once-more": [yes("maya")],
    }.get(wants, [])


def yes(person: str) -> dict[str, Any]:
    """A person approves."""
    return {"what": "approve", "person": person}


def hand(person: str) -> dict[str, Any]:
    """A person hands the card on to the keeper."""
    return {"what": "ask_keeper", "person": person, "reason": "I do not know this customer"}


def other(card: Mapping[str, Any], minor: int, person: str) -> dict[str, Any]:
    """A person changes the amount."""
    args = card["body"]["args"] | {"amount": {"minor": minor, "currency": "EUR"}}
    return {"what": "change", "person": person, "args": args, "reason": "better so"}


def among_people(harness: CrashHarness, crash: str, events: Events) -> Life:
    """People say what is wanted of them, and at some step of it the process dies."""
    life = harness.life(crash)
    life.send(events)
    try:
        life.wait("accepted")
        harness.settle(life)
    except HarnessError:
        life.ended()
    return life


def asked_before(harness: CrashHarness, crash: str, events: Events) -> Life:
    """One life asks, and ends in an orderly way; people say what they do to the next, and that dies."""
    first = harness.life()
    first.send(events)
    first.wait("accepted")
    first.tell("quiet")
    first.wait("quiet")
    first.stop()
    return among_people(harness, crash, events)


def approved_before(harness: CrashHarness, crash: str, events: Events) -> Life:
    """A life dies with approvals that are durable and not used; the next dies as it takes them up."""
    among_people(harness, "approve.after:1", events)
    return among_people(harness, crash, events)


Play = Callable[[CrashHarness, str, Events], Life]

SCENES: tuple[tuple[str, int, Play], ...] = (
    ("t1.in", 5, among_people),
    ("read.in", 2, among_people),
    ("rehearsed.in", 1, among_people),
    ("t1.after", 1, among_people),
    ("approve.before", 1, among_people),
    ("approve.in", 3, among_people),
    ("approve.after", 3, asked_before),
    ("refuse.before", 1, among_people),
    ("refuse.after", 1, asked_before),
    ("change.before", 1, among_people),
    ("change.after", 2, asked_before),
    ("hand.before", 1, among_people),
    ("hand.in", 1, among_people),
    ("hand.after", 1, asked_before),
    ("answer.in", 1, among_people),
    ("question.in", 1, among_people),
    ("question.after", 1, asked_before),
    ("woke.in", 1, among_people),
    ("woke.after", 1, among_people),
    ("whole.before", 1, among_people),
    ("whole.in", 1, among_people),
    ("whole.in", 4, among_people),
    ("whole.after", 2, among_people),
    ("whole.after", 1, asked_before),
    ("whole.in", 2, approved_before),
    ("t2.in", 1, approved_before),
    ("t2.after", 2, asked_before),
    ("recovery.begun", 1, approved_before),
)
"""Where a life dies among people, at which time of being there, and how it comes to that."""

MORE: tuple[tuple[str, int, Play], ...] = (
    ("t1.in", 1, among_people),
    ("t1.after", 11, among_people),
    ("approve.after", 1, among_people),
    ("change.after", 1, among_people),
    ("answer.in", 3, asked_before),
    ("t2.in", 2, among_people),
    ("t3.in", 2, among_people),
    ("send.answered", 1, approved_before),
    ("group.before_commit", 3, asked_before),
    ("group.after_commit", 3, asked_before),
    ("whole.before", 4, among_people),
    ("whole.after", 4, approved_before),
    ("t3.in", 5, approved_before),
    ("send.during", 3, approved_before),
    ("t2.after", 4, approved_before),
    ("rehearsed.in", 3, among_people),
)
"""The same, for a long run."""

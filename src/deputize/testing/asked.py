"""What must hold of actions that wait for people, whatever was killed: more checks, as in `invariants.py`.

Who was asked, by when, and whose word counts is worked out from rules, people and the order of entries;
the only word that is taken for people's is that of their own rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from deputize import canonical
from deputize.approval import Demand
from deputize.ledger import Entry
from deputize.person import KEEPER, Directory
from deputize.testing.case import Case
from deputize.testing.demanded import (
    CHANGED,
    asked_of,
    asking_rules,
    before_of,
    changes_of,
    demands_of,
    entries_of,
    meant,
    path_of,
    requesters_of,
)
from deputize.testing.evidence import ApprovalRow, LedgerEvidence
from deputize.testing.inquired import disagreed
from deputize.testing.judged import Judged
from deputize.testing.whole import covered, plan_rows

HANDED = "ask_keeper"


@dataclass(frozen=True)
class Word:
    """What one person said of an action, and when."""

    person: str
    at_us: int


def what_starts_is_allowed_by_the_rules(case: Case) -> Iterator[str]:
    """Judged anew on the facts of its moment, nothing that started is refused by permits or hard rules."""
    for one in case.judged:
        decision = one.verdict.decision
        if decision == "refuse":
            did = "it started" if one.entry.type == "intent" else "people were asked for it"
            yield f"{one.place}: {did}, and the rules say: {one.verdict.sentence()}"
        elif one.entry.type == "asked" and not asking_rules(one):
            yield f"{one.place}: people were asked for it, and no rule asks"
        elif one.entry.type == "intent" and any(rule.tier == "wait" for rule in one.verdict.rules):
            yield f"{one.place}: it started, and a rule has it wait: {one.verdict.sentence()}"


def what_rules_ask_for_is_granted(case: Case) -> Iterator[str]:
    """Nothing starts that rules ask people for, but on the word of so many of them as each rule wants: given
    for just this, in time, by those who are asked, and by nobody who requested it."""
    for one in case.judged:
        if one.entry.type != "intent" or not asking_rules(one):
            continue
        if one.body["round"] > 1:
            yield from _missing(case, one, _said_again(case.ledger, one), one.entry.at_us)
            continue
        besides = covered(case, one)
        if {rule.id for rule in asking_rules(one)} <= besides:
            continue
        asked = _asked_before(case, one)
        if asked is None:
            yield f"{one.place}: it started, rules ask for it, and nobody was asked"
            continue
        given = [row for row in _approvals(case.ledger, one) if row.used and row.at <= one.entry.at_us]
        voided = _voided(case.ledger)
        given = [row for row in given if row.no not in voided]
        if one.entry.at_us >= due_of(asked):
            yield f"{one.place}: it started when the time for it was over"
        words = _in_time(case, one, given, binding_of(case, one, asked))
        yield from _missing(case, one, words, asked.entry.at_us, besides)


def approvals_are_used_once(case: Case) -> Iterator[str]:
    """An approval is used up by one start alone: that of the action, in the words, for which it was given."""
    starts: dict[tuple[int, str], list[Judged]] = {}
    voided = _voided(case.ledger)
    for one in case.judged:
        if one.entry.type == "intent" and one.body["round"] == 1:
            starts.setdefault((one.run.no, one.path), []).append(one)
    plans = plan_rows(case.ledger)
    for row in case.ledger.approvals:
        if (row.run, row.path) in plans:
            continue
        found = starts.get((row.run, row.path), [])
        if row.used and case.force and len(found) != 1 and row.no not in voided:
            yield f"approval {row.no} of {row.run}/{row.path} is used up, and {len(found)} starts are there"
        for one in found if row.used and row.no not in voided else ():
            asked = _asked_before(case, one)
            if asked is None or row.binding != binding_of(case, one, asked):
                yield f"{one.place}: it used up approval {row.no}, which was given for something else"
    used = {row.no for row in case.ledger.approvals if row.used}
    claims = Counter(no for entry in entries_of(case.ledger, "intent", "granted") for no in _claimed(entry))
    for no, count in claims.items():
        if count > 1 or no not in used:
            yield f"approval {no}: {count} starts rest on it, and it is {'' if no in used else 'not '}used up"
        elif no in voided:
            yield f"approval {no}: a start rests on it, and it was given before the ledger was restored"


def what_waits_for_people_holds_nothing(case: Case) -> Iterator[str]:
    """An action that waits for people has a card and a deadline, and neither lease, hold nor count."""
    waiting = _waiting(case.ledger)
    for resource, place in case.ledger.leases.items():
        if place in waiting:
            yield f"{place}: it waits for people, and holds {resource}"
    states = {(action.run, action.path): action.state for action in case.ledger.actions}
    cards = {(card.run, card.path) for card in case.ledger.cards if card.kind == "approval"}
    for place in sorted(waiting | cards):
        if (place in waiting, place in cards, states.get(place) == "asking") != (True, True, True):
            said = f"its card is {'there' if place in cards else 'not there'}"
            waits = "waits for people" if place in waiting else "waits for nobody"
            yield f"{place}: it {waits}, {said}, and its state is {states.get(place)}"


def what_people_did_not_grant_is_never_sent(case: Case) -> Iterator[str]:
    """What was refused, changed, called off or left without an answer has no start, and no request."""
    sent = {str(row["key"]) for row in (*case.town.access, *case.town.book) if row["key"] is not None}
    names = {run.no: run.id for run in case.ledger.runs}
    started = {(entry.stream, path_of(entry)) for entry in entries_of(case.ledger, "intent")}
    refused = {
        (entry.stream, path_of(entry)) for entry in entries_of(case.ledger, "refused") if _asking(entry)
    }
    asked = {(entry.stream, path_of(entry)) for entry in entries_of(case.ledger, "asked")}
    for run, path in sorted(refused & started):
        yield f"{names[run]}/{path}: people did not grant it, and it started"
    for run, path in sorted(asked - started | refused):
        if canonical.name(case.ledger.ledger_id, names[run], path, 1) in sent:
            yield f"{names[run]}/{path}: people did not grant it, and it was sent"


def no_is_said_by_people_or_time(case: Case) -> Iterator[str]:
    """What ended while it waited for people was refused or changed by one of them, or by a rule, or its time
    was over."""
    said = Counter((a.run, a.path, a.person) for a in case.ledger.answers if a.what in ("refuse", "change"))
    asked = {(one.run.no, one.path): one for one in case.judged if one.entry.type == "asked"}
    for entry in entries_of(case.ledger, "refused"):
        body, place = entry.body or {}, (entry.stream, path_of(entry))
        if not _asking(entry):
            continue
        if "by" in body:
            if not said[*place, body["by"]["person"]]:
                yield f"{place}: {body['by']['person']} is said to have refused it, and has said nothing"
        elif body.get("expired") and place in asked and entry.at_us < due_of(asked[place]):
            yield f"{place}: its time was not over"


def what_is_handed_on_is_by_those_asked(case: Case) -> Iterator[str]:
    """Whoever hands a card on is asked for it, has said so in a record of their own, and does it once; the
    keeper of the automation is told of it, and nobody else."""
    said = Counter((a.run, a.path, a.person) for a in case.ledger.answers if a.what == HANDED)
    told = [(entry, entry.body or {}) for entry in entries_of(case.ledger, "handed")]
    written = Counter((entry.stream, body["path"], body["by"]["person"]) for entry, body in told)
    for place in sorted(said.keys() | written.keys()):
        if said[place] != written[place]:
            yield f"{place}: people handed it on {said[place]} times, and entries say {written[place]}"
    for entry, body in told:
        before = [j for j in case.judged if (j.run.no, j.path) == (entry.stream, body["path"])]
        asked = [j for j in before if j.entry.type == "asked" and j.entry.seq < entry.seq][-1:]
        if not asked:
            continue
        one, who, directory = asked[0], body["by"]["person"], case.directory
        waited_us = entry.at_us - one.entry.at_us
        whom = {
            w for d in demands_of(one) for w in asked_of(d, one.run.automation, directory, waited_us)
        } - requesters_of(case.ledger, one)
        if who not in whom or entry.at_us >= due_of(one):
            yield f"{one.place}: {who} handed it on, and was not asked"
        if body["keeper"] != directory.keepers.get(one.run.automation, directory.keepers.get("")):
            yield f"{one.place}: it was handed on to {body['keeper']}, who does not keep it"


def changes_follow_what_they_change(case: Case) -> Iterator[str]:
    """`3~1` stands where a person changed `3`, which is refused: with their arguments, and after it."""
    changes = {(e.stream, (e.body or {})["changed"]["path"]): e for e in changes_of(case.ledger)}
    seen: set[tuple[int, str]] = set()
    for entry in entries_of(case.ledger, "asked", "intent", "refused"):
        place = (entry.stream, path_of(entry))
        if CHANGED not in place[1] or place in seen:
            continue
        seen.add(place)
        change = changes.get(place)
        if change is None or change.seq > entry.seq or path_of(change) != before_of(place[1]):
            yield f"{place}: nobody has changed {before_of(place[1])} so"
        elif (entry.body or {})["digest"] != _digest((change.body or {})["changed_args"]):
            yield f"{place}: its arguments are not those that a person gave it"
    ended = {run.no for run in case.ledger.runs if run.state == "ended"}
    for place in sorted(changes.keys() - seen):
        if case.quiet and place[0] not in ended:
            yield f"{place}: a person's change was not taken up"


def what_is_granted_starts(case: Case) -> Iterator[str]:
    """When nothing moves any more, nothing that people have granted is left waiting."""
    waiting = _waiting(case.ledger)
    for one in {(j.run.no, j.path): j for j in case.judged if j.entry.type == "asked"}.values():
        if case.quiet and (one.run.no, one.path) in waiting:
            given = [row for row in _approvals(case.ledger, one) if not row.used]
            words = _in_time(case, one, given, binding_of(case, one, one))
            if not list(_missing(case, one, words, one.entry.at_us)):
                yield f"{one.place}: it was granted, and waits"


ASKED: tuple[Callable[[Case], Iterator[str]], ...] = (
    what_starts_is_allowed_by_the_rules,
    what_rules_ask_for_is_granted,
    approvals_are_used_once,
    what_waits_for_people_holds_nothing,
    what_people_did_not_grant_is_never_sent,
    no_is_said_by_people_or_time,
    what_is_handed_on_is_by_those_asked,
    changes_follow_what_they_change,
    what_is_granted_starts,
)


# -- whose word counts -------------------------------------------------------------------------------


def due_of(asked: Judged) -> int:
    """When the answer is no, in ledger time: no later than it was when just this was asked before."""
    asking = zip(asking_rules(asked), demands_of(asked), strict=True)
    # What the grant of a plan covers is not asked.
    within_s = min(
        (demand.within_s for rule, demand in asking if rule.id in asked.body["rules"]), default=0.0
    )
    due = asked.entry.at_us + int(within_s * 1_000_000)
    return min(due, int(asked.body["due"])) if asked.body["again"] else due


def binding_of(case: Case, one: Judged, asked: Judged) -> str:
    """What a grant is bound to: this action, its arguments and contract, the rules shown, and what was found
    against it."""
    contract = case.contracts[one.body["op"]]
    action_id, digest = f"{one.run.id}/{one.path}", _digest(one.body["args"])
    found = (disagreed(asked, rule) for rule in asked.verdict.rules)
    rules = sorted([*asked.body["rules"], *{one.mark for one in found if one is not None}])
    bound = [action_id, contract.name, contract.digest, digest, one.run.agent, rules]
    return canonical.digest(canonical.encode(bound))[:24]


def _missing(
    case: Case, one: Judged, words: Collection[Word], asked_us: int, besides: Collection[str] = ()
) -> Iterator[str]:
    """A line for each rule that no plan's grant covers and of which too few people have said yes."""
    requesters, automation = requesters_of(case.ledger, one), one.run.automation
    directory, (handed_us, by) = case.directory, _handed(case.ledger, one, asked_us)
    keeper = meant({KEEPER}, automation, directory) if directory.keeper_of(automation) else set()
    for rule, demand in zip(asking_rules(one), demands_of(one), strict=True):
        if rule.id in besides:
            continue
        granted = {
            word.person
            for word in words
            if word.person not in requesters
            and word.person
            in asked_of(demand, automation, directory, word.at_us - asked_us)
            | (
                keeper
                if _is_handed(demand, automation, directory, by, handed_us - asked_us)
                and word.at_us >= handed_us
                else set()
            )
        }
        if len(granted) < demand.people:
            who = ", ".join(sorted(granted)) or "nobody"
            yield f'{one.place}: "{rule.title}" wants {demand.people} to grant it, and {who} did'


def _is_handed(demand: Demand, automation: str, directory: Directory, by: str, waited_us: int) -> bool:
    """Whether who handed it on could have granted this themselves."""
    return by in asked_of(demand, automation, directory, waited_us)


def _handed(ledger: LedgerEvidence, one: Judged, asked_us: int) -> tuple[int, str]:
    """When a person handed on what was asked then, and who; nobody did where they have no name."""
    rows = (a for a in ledger.answers if (a.run, a.path, a.what) == (one.run.no, one.path, HANDED))
    return next(((row.at, row.person) for row in rows if row.at >= asked_us), (asked_us, ""))


def _in_time(case: Case, one: Judged, given: Collection[ApprovalRow], binding: str) -> list[Word]:
    """What was said of just this, while it was asked: of other people before, perhaps, by rules of then."""
    asked = [
        j for j in case.judged if j.entry.type == "asked" and (j.run.no, j.path) == (one.run.no, one.path)
    ]
    found = []
    for row in given:
        standing = [j for j in asked if j.entry.at_us <= row.at][-1:]
        if row.binding == binding and standing and row.at < due_of(standing[0]):
            found.append(Word(row.person, row.at))
    return found


def _said_again(ledger: LedgerEvidence, one: Judged) -> list[Word]:
    """The word of whoever asked for it to be done again: one person's, for one round."""
    said = [a for a in ledger.answers if (a.run, a.path, a.what) == (one.run.no, one.path, "do_again")]
    number = int(one.body["round"]) - 2
    return [Word(said[number].person, one.entry.at_us)] if number < len(said) else []


def _asked_before(case: Case, one: Judged) -> Judged | None:
    """What people were asked last before it started."""
    found = [
        j for j in case.judged if j.entry.type == "asked" and (j.run.no, j.path) == (one.run.no, one.path)
    ]
    return next((j for j in reversed(found) if j.entry.seq < one.entry.seq), None)


def _approvals(ledger: LedgerEvidence, one: Judged) -> list[ApprovalRow]:
    return [row for row in ledger.approvals if (row.run, row.path) == (one.run.no, one.path)]


def _waiting(ledger: LedgerEvidence) -> set[tuple[int, str]]:
    """The actions that wait for people, by the order of entries alone."""
    found: set[tuple[int, str]] = set()
    for run, entries in ledger.entries.items():
        for entry in entries:
            if entry.type == "asked":
                found.add((run, path_of(entry)))
            elif entry.type in ("intent", "granted", "refused"):
                found.discard((run, path_of(entry)))
            elif entry.type in ("cancelling", "ended"):
                found = {place for place in found if place[0] != run}
    return found


def _voided(ledger: LedgerEvidence) -> set[int]:
    """The approvals that nothing had used up when the ledger was restored: they may have been since."""
    claims = {no: entry.seq for entry in entries_of(ledger, "intent", "granted") for no in _claimed(entry)}
    found: set[int] = set()
    for entry in ledger.system:
        if entry.type == "restored":
            before = (row.no for row in ledger.approvals if row.at <= entry.at_us)
            found |= {no for no in before if claims.get(no, entry.seq) >= entry.seq}
    return found


def _claimed(entry: Entry) -> list[int]:
    return [one["no"] for one in (entry.body or {}).get("approvals", ())]


def _asking(entry: Entry) -> bool:
    return bool((entry.body or {})["was"] == "asking")


def _digest(args: Any) -> str:
    return canonical.digest(canonical.encode(args))

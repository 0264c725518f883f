"""What must hold at every moment, whatever was killed: checks of a ledger against itself and a town.

Each check is a pure function of evidence and is named for the promise it holds; `check` runs them
all. They work the books out anew from the intents, and do not trust the entries that settle them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deputize import canonical
from deputize.project import Project
from deputize.testing.asked import ASKED
from deputize.testing.case import Case
from deputize.testing.evidence import keys_of
from deputize.testing.histories import DONE, NOT_DONE, Round
from deputize.testing.inquired import what_rules_want_found_out_is_found_out
from deputize.testing.replaying import replay_differences
from deputize.testing.restored import RESTORED
from deputize.testing.undone import nothing_is_undone_around_a_doubt
from deputize.undo import UNDO


@dataclass(frozen=True)
class Broken:
    """A promise that does not hold: the check's name, and what was seen."""

    check: str
    what: str

    def __str__(self) -> str:
        return f"{self.check}: {self.what}"


def check(case: Case, project: Project | None = None) -> list[Broken]:
    """Every promise that does not hold. With the project, ended runs are replayed as well."""
    broken = [Broken(name, what) for name, holds in CHECKS.items() for what in holds(case)]
    if project is not None:
        different = replay_differences(case.ledger, project.automations)
        broken += [Broken("replay_equals_live", what) for what in different]
    return broken


def every_send_has_an_intent(case: Case) -> Iterator[str]:
    """No request that changes anything leaves without a durable intent of its key."""
    known = case.sent
    for row in case.town.access:
        if row["method"] != "GET" and row["key"] not in known:
            yield f"{row['service']}.{row['operation']} was asked with key {row['key']}, which no intent has"
    for key in keys_of(case.town.book):
        if key not in known:
            yield f"the book has an effect with key {key}, which no intent has"


def every_send_is_recorded_before_it(case: Case) -> Iterator[str]:
    """As many requests with one key as attempts made durable, each after its own."""
    requests, places = _requests(case), _places(case)
    for key, sends in case.sent.items():
        asked = requests.get(key, [])
        if len(asked) > len(sends):
            yield f"{places[key]}: {len(asked)} requests, and {len(sends)} attempts are recorded"
        elif case.same_clock:
            for n, (at_ms, send) in enumerate(zip(asked, sends, strict=False), 1):
                if at_ms < send.at_us // 1000:
                    yield f"{places[key]}: request {n} came before its attempt was durable"


def one_open_send_per_key(case: Case) -> Iterator[str]:
    """Between one attempt and the next at most one request, and its outcome or doubt before the next."""
    requests = _requests(case)
    for one in case.rounds:
        for send in one.sends[1:]:
            if send.was == "doubtful" and send.after_doubt is None:
                yield f"{one.place}: attempt {send.n} was made with no doubt before it"
        sends = case.sent[one.key]
        if not case.same_clock or len(sends) < 2:
            continue
        begins = [send.at_us // 1000 for send in sends]
        windows = Counter(sum(at >= begin for begin in begins) for at in requests.get(one.key, []))
        for window, count in windows.items():
            if count > 1:
                yield f"{one.place}: {count} requests belong to attempt {window}"


def keys_follow_from_their_place(case: Case) -> Iterator[str]:
    """A key is a function of ledger, run, path and round; no two rounds share one."""
    seen: Counter[str] = Counter()
    for one in case.rounds:
        seen[one.key] += 1
        expected = canonical.name(case.ledger.ledger_id, one.run_id, one.path, one.round)
        if one.key != expected:
            yield f"{one.place}: its key is {one.key}, and must be {expected}"
    yield from (f"key {key} belongs to {count} rounds" for key, count in seen.items() if count > 1)


def repeats_are_lawful(case: Case) -> Iterator[str]:
    """A doubt is repeated only after its settle time, on proof of absence or within its key's validity."""
    for one in case.rounds:
        contract = case.contracts.get(one.operation)
        if contract is None:
            continue
        unproved = False
        for send in one.sends[1:]:
            if send.was == "doubtful" and send.after_doubt is not None:
                settle_us = 0 if contract.repeatable else int(contract.settle_s * 1_000_000)
                if send.at_us < send.after_doubt + settle_us:
                    early_s = (send.after_doubt + settle_us - send.at_us) / 1e6
                    yield f"{one.place}: attempt {send.n} was made {early_s:.3f} s before the settle time"
                unproved = not (send.proved_absent and contract.lookup_conclusive)
            if contract.repeatable or not unproved:
                continue
            valid_us = int((contract.key_valid_s - contract.key_margin_s) * 1_000_000)
            if send.at_us >= one.sends[0].at_us + valid_us:
                yield f"{one.place}: attempt {send.n} was made when its key was no longer good"


def one_outcome_per_action(case: Case) -> Iterator[str]:
    """An action settles once (a person may answer a drift); a run that has ended is at most undone."""
    for one in case.rounds:
        outcomes = one.outcomes[1:] if one.outcomes[:1] == ("drift",) else one.outcomes
        if len(outcomes) > 1:
            yield f"{one.place}: it has the outcomes {', '.join(one.outcomes)}"
    for run in case.ledger.runs:
        entries = case.ledger.entries[run.no]
        ends = [entry.version for entry in entries if entry.type == "ended"]
        for entry in entries if ends else ():
            undoes = str((entry.body or {}).get("path", "")).startswith(UNDO)
            if entry.version > ends[0] and not undoes:
                yield f"run {run.id}: after its end there is {entry.type}"


def nothing_ends_with_an_open_action(case: Case) -> Iterator[str]:
    """A run that ended of itself has no action whose outcome is unknown."""
    ended = {run.no for run in case.ledger.runs if run.state == "ended" and run.label != "cancelled"}
    for one in case.rounds:
        if one.unsettled and one.run in ended and not one.path.startswith(UNDO):
            yield f"{one.place}: its run has ended, and its outcome is unknown"


def leases_are_those_of_unsettled_actions(case: Case) -> Iterator[str]:
    """A lease stands exactly while its action is open or doubtful."""
    due = {name: (one.run, one.path) for one in case.rounds if one.unsettled for name in one.leases}
    yield from _differences("lease", due, case.ledger.leases)


def holds_are_those_of_unsettled_actions(case: Case) -> Iterator[str]:
    """What budgets hold and have spent is what the intents reserved, by how each of them came out."""
    held: Counter[tuple[str, int]] = Counter()
    spent: Counter[tuple[str, int]] = Counter()
    for one in case.rounds:
        for budget, window, amount in one.holds:
            if one.unsettled:
                held[budget, window] += amount
            else:
                spent[budget, window] += one.spent_of(amount)
    places = {*held, *spent, *case.ledger.budgets}
    due = {place: (held[place], spent[place]) for place in places}
    yield from _differences(
        "budget", due, {place: case.ledger.budgets.get(place, (0, 0)) for place in places}
    )


def facts_count_what_happened(case: Case) -> Iterator[str]:
    """A fact counts what is open, in doubt or done, and not what is known not to have happened."""
    due: Counter[tuple[str, str, int]] = Counter()
    for one in case.rounds:
        if one.unsettled or one.spends:
            for counter, subject, window, weight in one.counted:
                due[counter, subject, window] += weight
        for counter, subject, window, weight in one.under_way if one.unsettled else ():
            due[counter, subject, window] += weight
    places = {*due, *case.ledger.facts}
    yield from _differences(
        "fact", {p: due[p] for p in places}, {p: case.ledger.facts.get(p, 0) for p in places}
    )


def no_effect_twice(case: Case) -> Iterator[str]:
    """The service did nothing twice under one key."""
    for key, count in Counter(keys_of(case.town.book)).items():
        if count > 1:
            yield f"the service did {count} things under key {key}"


def no_effect_lost_or_invented(case: Case) -> Iterator[str]:
    """Receipts and the service's own book are one to one, and agree to the cent."""
    if not case.quiet:
        return
    booked = {row["key"]: row for row in case.town.book}
    for one in case.rounds:
        row = booked.get(one.key)
        if not case.outside(one) or one.unsettled or "abandoned" in one.outcomes:
            continue
        if one.outcomes and one.outcomes[-1] in DONE and row is None:
            yield f"{one.place}: it is recorded as done, and the service's book has nothing of it"
        if (one.released or one.outcomes[-1] in NOT_DONE) and row is not None:
            yield f"{one.place}: it is recorded as not done, and the service's book has it"
        if row is not None and row["amount_minor"] is not None:
            amount = one.args.get("amount", {})
            if (amount.get("minor"), amount.get("currency")) != (row["amount_minor"], row["currency"]):
                yield f"{one.place}: the book says {row['amount_minor']} {row['currency']}, not {amount}"


def answers_are_used_once(case: Case) -> Iterator[str]:
    """What people said is in the ledger as often as they said it: no more, and no less."""
    said = Counter((a.run, a.path) for a in case.ledger.answers if a.path)
    rounds: dict[tuple[int, str], list[Round]] = {}
    for one in case.rounds:
        rounds.setdefault((one.run, one.path), []).append(one)
    for (run, path), found in rounds.items():
        used = sum(one.answered for one in found)
        if used > said[run, path]:
            yield f"{found[0].place}: a person answered {said[run, path]} times, and it was used {used} times"
    for answer in case.ledger.answers:
        last = rounds.get((answer.run, answer.path), [])[-1:]
        if case.quiet and last and last[0].unsettled and answer.at > last[0].sends[0].at_us:
            yield f"{last[0].place}: a person answered ({answer.what}), and it is still in doubt"


def accepted_events_are_kept(case: Case) -> Iterator[str]:
    """What intake accepted is there, and answered once by each automation."""
    for source, id in case.accepted:
        if (source, id) not in case.ledger.known:
            yield f"event {id} was accepted, and is not kept"
    answered = Counter((run.event, run.automation) for run in case.ledger.runs)
    for (event, automation), count in answered.items():
        if count > 1:
            yield f"{automation} answered event {event} {count} times"


def projections_equal_a_rebuild(case: Case) -> Iterator[str]:
    """Whatever is read from projections follows from the entries alone."""
    yield from case.ledger.differences


def the_chain_is_whole(case: Case) -> Iterator[str]:
    """No entry, body, salt or event was changed."""
    yield from case.ledger.flaws


CHECKS: dict[str, Callable[[Case], Iterator[str]]] = {
    promise.__name__: promise
    for promise in (
        every_send_has_an_intent,
        every_send_is_recorded_before_it,
        one_open_send_per_key,
        keys_follow_from_their_place,
        repeats_are_lawful,
        one_outcome_per_action,
        nothing_ends_with_an_open_action,
        leases_are_those_of_unsettled_actions,
        holds_are_those_of_unsettled_actions,
        facts_count_what_happened,
        no_effect_twice,
        no_effect_lost_or_invented,
        answers_are_used_once,
        accepted_events_are_kept,
        projections_equal_a_rebuild,
        the_chain_is_whole,
        *ASKED,
        what_rules_want_found_out_is_found_out,
        *RESTORED,
        nothing_is_undone_around_a_doubt,
    )
}


def _places(case: Case) -> dict[str, str]:
    """For people: what each key is of."""
    return {key: f"key {key}" for key in case.sent} | {one.key: one.place for one in case.rounds}


def _requests(case: Case) -> dict[str, list[int]]:
    """When requests that change something came to the town, in milliseconds, by key."""
    found: dict[str, list[int]] = {}
    for row in case.town.access:
        if row["method"] != "GET" and row["key"] is not None:
            at_ms = round(datetime.fromisoformat(row["at"]).timestamp() * 1000)
            found.setdefault(row["key"], []).append(at_ms)
    return found


def _differences(what: str, due: Mapping[Any, Any], found: Mapping[Any, Any]) -> Iterator[str]:
    for place in sorted({*due, *found}, key=str):
        if due.get(place) != found.get(place):
            yield f"{what} {place}: it must be {due.get(place)}, and is {found.get(place)}"

"""Whose word a start needs: by its rules, by the people of the project, and by the order of entries alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from deputize.approval import Demand
from deputize.ledger import Entry
from deputize.person import KEEPER, Directory
from deputize.rule import RuleLine
from deputize.testing.evidence import LedgerEvidence
from deputize.testing.inquired import disagreed
from deputize.testing.judged import Judged
from deputize.undo import UNDO

CHANGED = "~"


def requesters_of(ledger: LedgerEvidence, one: Judged) -> set[str]:
    """The agent, whoever sent the event, whoever changed the arguments, and whoever had it undone."""
    entries = ledger.entries[one.run.no]
    found = {one.run.agent, str((entries[0].body or {})["event"].get("sender", ""))}
    changes = {(e.body or {})["changed"]["path"]: e for e in changes_of(ledger) if e.stream == one.run.no}
    if one.path.startswith(UNDO):
        undone = [e.body or {} for e in entries if e.type == "unwinding" and e.seq < one.entry.seq]
        found |= {body["by"]["person"] for body in undone[-1:]}
    path = one.path
    while path in changes:
        found.add((changes[path].body or {})["changed"]["person"])
        path = path_of(changes[path])
    return found


def before_of(path: str) -> str:
    """The path of what `3~2` has replaced: `3~1`, and of that: `3`."""
    first, _, number = path.partition(CHANGED)
    return first if number in ("", "1") else f"{first}{CHANGED}{int(number) - 1}"


def demands_of(one: Judged) -> list[Demand]:
    """What each of these rules demands of people."""
    demands = (rule.demand or Demand("approval") for rule in asking_rules(one))
    return [replace(demand, tier="approval") for demand in demands]


def asking_rules(one: Judged) -> list[RuleLine]:
    """The rules that ask for people's word, also where what they want found out was found against it; not
    those that have it wait."""
    demanding = one.verdict.rules if one.verdict.decision == "demand" else ()
    return [rule for rule in demanding if rule.tier == "approval" or disagreed(one, rule) is not None]


def asked_of(demand: Demand, automation: str, directory: Directory, waited_us: int) -> set[str]:
    """Whom a demand asks once it has waited so long."""
    next_too = bool(demand.then) and waited_us >= demand.then_after_s * 1_000_000
    return meant(demand.whom, automation, directory) | (
        meant(demand.then, automation, directory) if next_too else set()
    )


def meant(whom: Collection[str], automation: str, directory: Directory) -> set[str]:
    """Those who are named; for the keeper, where there is none, everybody."""
    keeper, names = directory.keepers.get(automation, directory.keepers.get("", "")), set(whom) or {KEEPER}
    if names == {KEEPER} and not keeper:
        return set(directory.people)
    named = {keeper if name == KEEPER else name for name in names}
    return {p.name for p in directory.people.values() if named & {p.name, *p.roles, *p.groups}}


def entries_of(ledger: LedgerEvidence, *types: str) -> list[Entry]:
    """The entries of all runs that are of these types."""
    return [
        e for entries in ledger.entries.values() for e in entries if e.type in types and e.body is not None
    ]


def changes_of(ledger: LedgerEvidence) -> list[Entry]:
    """Those by which people changed arguments."""
    return [entry for entry in entries_of(ledger, "refused") if "changed" in (entry.body or {})]


def path_of(entry: Entry) -> str:
    """Where in its run; empty for what is about a whole run."""
    return str((entry.body or {}).get("path", ""))

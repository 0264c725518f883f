"""Demands in a rule's text: what an approval rule asks of people, as annotations of its policy.

They are part of the text so that the digest of a set, and the ledger's copy of it, hold them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import cast, get_args

from deputize.approval import Demand, Otherwise, Tier
from deputize.duration import duration_s, duration_text
from deputize.person import KEEPER, Directory
from deputize.suggest import did_you_mean

ANNOTATIONS = ("ask", "people", "within", "then", "after", "otherwise", "with", "by")
PEOPLE_MAX = 10
KEYS = ("within", "then_ask", "then_after", "otherwise")
"""What a form calls the parts of a demand that `made_demand` puts together."""

_IN_CEDAR = ("@within", "@then", "@after", "@otherwise")


def annotations_of(demand: Demand) -> list[tuple[str, str]]:
    """A demand as annotations; what is as usual is left out."""
    usual = Demand(demand.tier)
    found = []
    if demand.whom:
        found.append(("ask", ", ".join(demand.whom)))
    if demand.people != usual.people:
        found.append(("people", str(demand.people)))
    if demand.within_s != usual.within_s:
        found.append(("within", duration_text(demand.within_s)))
    if demand.then:
        found += [("then", ", ".join(demand.then)), ("after", duration_text(demand.then_after_s))]
    if demand.otherwise != usual.otherwise:
        found.append(("otherwise", demand.otherwise))
    if demand.verifier:
        found.append(("with", demand.verifier))
    if demand.by:
        found.append(("by", demand.by))
    return found


def demand_of(tier: str, annotations: Mapping[str, str | None]) -> Demand | None:
    """The demand of a tiered policy; None for a hard one. Raises `ValueError`, naming the annotation."""
    given = {name: annotations[name] or "" for name in ANNOTATIONS if name in annotations}
    for name in given:
        if name in ("with", "by") and tier != "verify":
            raise ValueError(f'@{name} goes with @tier("verify")')
        if tier == "hard":
            raise ValueError(f'@{name} goes with @tier("approval")')
    if tier == "hard":
        return None
    if tier == "verify" and not given.get("with"):
        raise ValueError('@tier("verify") needs the operation that verifies: @with("audit.is_due")')
    people = given.get("people", "1")
    if not re.fullmatch(r"[1-9][0-9]?", people) or int(people) > PEOPLE_MAX:
        raise ValueError(f'@people: write how many different people, from "1" to "{PEOPLE_MAX}"')
    asked = made_demand(
        _names("ask", given),
        int(people),
        _seconds("within", given),
        _names("then", given),
        _seconds("after", given),
        given.get("otherwise"),
        _IN_CEDAR,
    )
    return replace(asked, tier=cast("Tier", tier), verifier=given.get("with", ""), by=given.get("by", ""))


def made_demand(
    whom: tuple[str, ...],
    people: int,
    within_s: float | None,
    then: tuple[str, ...],
    after_s: float | None,
    otherwise: str | None,
    keys: tuple[str, str, str, str] = KEYS,
) -> Demand:
    """An approval's demand. Raises `ValueError` for parts that contradict each other, by their `keys`."""
    within_key, then_key, after_key, otherwise_key = keys
    usual = Demand("approval")
    within_s = usual.within_s if within_s is None else within_s
    if bool(then) != (after_s is not None):
        said = f"say both whom to ask next ({then_key}) and how long after ({after_key}), or neither"
        raise ValueError(said)
    if after_s is not None and after_s >= within_s:
        raise ValueError(f"{after_key} must be shorter than {within_key}, which is {duration_text(within_s)}")
    if otherwise is not None and otherwise not in get_args(Otherwise):
        raise ValueError(
            f"{otherwise_key}: {otherwise!r} is not what silence can mean"
            f"{did_you_mean(otherwise, get_args(Otherwise))}"
        )
    return Demand(
        "approval",
        whom,
        people,
        within_s,
        then,
        after_s or 0.0,
        cast("Otherwise", otherwise or usual.otherwise),
    )


def unmeetable(demand: Demand, directory: Directory, automations: Collection[str]) -> str:
    """Why people could never meet a demand in some automation; empty where they could."""
    for name in (*demand.whom, *demand.then):
        if name not in directory.names():
            there = did_you_mean(name, directory.names())
            return f"asks {name!r}, and deputize.toml has no person, role or group of this name{there}"
    if not directory.people and demand.tier != "approval" and not (demand.whom or demand.then):
        # Where it does not agree there is nobody to ask, and it is refused.
        return ""
    if not directory.people:
        return "asks a person, and deputize.toml names nobody: add [people.NAME]"
    for automation in automations or ("",):
        found = demand.asks(automation, directory, int(demand.within_s * 1_000_000))
        if len(found) < demand.people:
            whom = " or ".join(demand.whom or (KEEPER,))
            ones = ", ".join(sorted(found)) or "nobody"
            people = f"{demand.people} of {whom} in {automation or 'every automation'}"
            return f"needs {people}, and that is {ones}{_viewers(demand, directory)}"
    return ""


def _viewers(demand: Demand, directory: Directory) -> str:
    """Who is named and counts for nothing."""
    named = (*demand.whom, *demand.then)
    found = sorted(one.name for one in directory.people.values() if not one.decides and one.is_one_of(named))
    return f": nothing is asked of viewers, like {', '.join(found)}" if found else ""


def _names(name: str, given: Mapping[str, str]) -> tuple[str, ...]:
    found = tuple(part.strip() for part in given[name].split(",")) if name in given else ()
    if not all(found):
        raise ValueError(f'@{name}: write whom to ask, like @{name}("finance, maya")')
    return found


def _seconds(name: str, given: Mapping[str, str]) -> float | None:
    if name not in given:
        return None
    try:
        return duration_s(given[name])
    except ValueError as error:
        raise ValueError(f"@{name}: {error}") from None

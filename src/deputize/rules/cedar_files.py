"""Rules that engineers write: `.cedar` files, each policy with an id and a title.

The text is cut into policies first, so that everything that is wrong has the line of its policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import cedarpy

from deputize import canonical
from deputize.rule import RuleLine
from deputize.rules.compile import Known
from deputize.rules.demands import ANNOTATIONS, demand_of
from deputize.rules.forms import Problem
from deputize.rules.loaded import LoadedRule
from deputize.suggest import did_you_mean

TIERS = ("hard", "approval", "rehearse", "verify")
_KNOWN = ("id", "title", "tier", *ANNOTATIONS, "counts", "counter")
"""A misspelt annotation would ask others than it says."""


def read_cedar(file: str, text: str, known: Known) -> tuple[list[LoadedRule], list[Problem]]:
    """The policies of one `.cedar` file, and all that is wrong with it."""
    rules: list[LoadedRule] = []
    problems: list[Problem] = []
    for line, policy in _policies(text):
        try:
            rules.append(_read_policy(file, line, policy, known))
        except ValueError as error:
            problems.append(Problem(file, line, str(error)))
    return rules, problems


def parse_policy(cedar: str) -> dict[str, Any]:
    """One policy in Cedar's JSON form. Raises `ValueError` for anything but exactly one policy."""
    try:
        parsed = canonical.decode(cedarpy.policies_to_json_str(cedar))
    except ValueError as error:
        raise ValueError(f"not Cedar: {error}") from None
    policies = list(parsed.get("staticPolicies", {}).values())
    if parsed.get("templates"):
        raise ValueError("a rule names its principal itself; templates with ?slots are not used here")
    if len(policies) != 1:
        raise ValueError("not Cedar: a policy that ends with ';' was expected")
    policy: dict[str, Any] = policies[0]
    return policy


def policy_set(parsed: Mapping[str, Mapping[str, Any]]) -> cedarpy.PolicySet:
    """A handle on policies in Cedar's JSON form, by the ids that Cedar will report. Raises `ValueError`."""
    document = {"templates": {}, "staticPolicies": parsed, "templateLinks": []}
    try:
        return cedarpy.PolicySet.from_json_str(canonical.encode(document).decode())
    except TypeError:
        raise ValueError("recursion limit reached") from None


_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|;', re.DOTALL)
_SKIP = re.compile(r"(?:\s|//[^\n]*(?:\n|$))*")


def _policies(text: str) -> Iterator[tuple[int, str]]:
    """Each policy and its line. In Cedar ';' ends a policy and stands nowhere else but in strings."""
    start, line, counted = 0, 1, 0
    for end in [*(m.end() for m in _TOKEN.finditer(text) if m[0] == ";"), len(text)]:
        skip = _SKIP.match(text, start, end)
        first = skip.end() if skip else start
        line += text.count("\n", counted, first)
        counted = first
        if first < end:
            yield line, text[first:end]
        start = end


def _read_policy(file: str, line: int, text: str, known: Known) -> LoadedRule:
    policy = parse_policy(text)
    try:
        policy_set({"policy": policy})
    except ValueError as error:
        raise ValueError(f"nested too deeply; write several policies instead ({error})") from None
    annotations = policy.get("annotations", {})
    effect = policy["effect"]
    for name in ("id", "title"):
        if not annotations.get(name):
            raise ValueError(f'the {effect} needs @{name}("…")')
    for name in annotations:
        if name not in _KNOWN:
            raise ValueError(f"@{name} is no annotation of a rule{did_you_mean(name, _KNOWN)}")
    tier = annotations.get("tier") or ""
    if effect == "permit" and "tier" in annotations:
        raise ValueError("a permit has no @tier; tiers are for forbids")
    if effect == "forbid" and tier not in TIERS:
        wrong = f"{tier!r} is no tier{did_you_mean(tier, TIERS)}" if tier else "the forbid needs a tier"
        raise ValueError(f'{wrong}; write @tier("…") with one of {", ".join(TIERS)}')
    operations = frozenset(_operations(policy["action"], known))
    sentence = f"{effect}, written in Cedar" + (f", demands {tier}" if tier not in ("", "hard") else "")
    demand = demand_of(tier or "hard", annotations)
    rule = RuleLine(annotations["id"], annotations["title"], effect, tier, demand)
    agents = _agents(policy["principal"])
    always = rule.tier == "hard" and agents is not None and _is_bare(policy)
    return LoadedRule(rule, text, sentence, file, line, operations, agents=agents or (), always=always)


def _agents(scope: dict[str, Any]) -> tuple[str, ...] | None:
    """The agents that a policy is for, empty for all; None where that is said otherwise than by a name."""
    if scope["op"] == "==":
        return (str(scope["entity"]["id"]),)
    return () if scope in ({"op": "All"}, {"op": "is", "entity_type": "Agent"}) else None


def _is_bare(policy: dict[str, Any]) -> bool:
    """Whether nothing but its operations and agents limits what it is about."""
    return policy["resource"]["op"] == "All" and not policy["conditions"]


def _operations(scope: dict[str, Any], known: Known) -> list[str]:
    """The operations that a policy's action scope can match; all of them where it names none."""
    if scope["op"] == "All":
        return list(known.views)
    entities = scope["entities"] if "entities" in scope else [scope["entity"]]
    for entity in entities:
        name = entity.get("id")
        if entity.get("type") != "Action" or name not in known.views:
            raise ValueError(f"there is no operation {name!r}{did_you_mean(str(name), known.views)}")
    return [entity["id"] for entity in entities]

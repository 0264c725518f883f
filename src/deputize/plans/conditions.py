"""When a step of a plan is done: a Cedar expression, typed by what it may look at."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import cedarpy

from deputize import canonical
from deputize.rules.cedar_files import parse_policy
from deputize.rules.reading import path_of
from deputize.rules.schema import Shape, shape_of

DEPTH_MAX = 20

_NOBODY = cedarpy.Entities.from_json_str("[]")
_REQUEST = {
    "principal": {"type": "Agent", "id": "plan"},
    "action": {"type": "Action", "id": "step"},
    "resource": {"type": "Connection", "id": "plan"},
}


class BadCondition(ValueError):
    """It is no Cedar expression, or looks at what is not there."""


class Condition:
    """One `when`, over `context.event` and `context.step.ID`; the JSON Schemas say what they are.

    One of the steps that are `perhaps` left out is there only where `context.step has ID`. Raises
    `BadCondition`.
    """

    def __init__(
        self,
        text: str,
        event: Mapping[str, Any],
        steps: Mapping[str, Mapping[str, Any]],
        perhaps: Collection[str] = (),
    ) -> None:
        if _depth(text) > DEPTH_MAX:
            raise BadCondition(f"when: it is nested more than {DEPTH_MAX} deep; write it more plainly")
        policy = f"permit (principal, action, resource) when {{ {text} }};"
        try:
            conditions = parse_policy(policy).get("conditions", [])
        except ValueError as error:
            raise BadCondition(f"when: {error}") from None
        if len(conditions) != 1:
            raise BadCondition("when: write one Cedar expression, with no policy round it")
        body = conditions[0].get("body", {})
        self.asks_for = frozenset(_asked_for(body))
        """The steps that must be there for it to hold: `context.step has ID`, joined with the rest by
        `&&`."""
        self._event = shape_of(event)
        # Of what is no record, and of a list of answers, it can see nothing.
        self._steps = {n: shape_of(schema) for n, schema in steps.items() if "properties" in schema}
        strict = cedarpy.Schema.from_json_str(_schema(self._event, self._steps, perhaps))
        wrong = cedarpy.validate_policies(policy, strict).errors
        if wrong:
            raise BadCondition(f"when: {wrong[0].error}")
        self._policies = cedarpy.PolicySet.from_str(policy)
        # Where a plan is only foreseen, steps may be missing that it does not look at.
        self._schema = cedarpy.Schema.from_json_str(_schema(self._event, self._steps, self._steps))

    def holds(self, event: Any, steps: Mapping[str, Any]) -> bool:
        """Whether it holds for what is known. Raises `BadCondition` where that cannot be told."""
        seen = {name: shape.take(steps[name]) for name, shape in self._steps.items() if name in steps}
        context = canonical.encode({"event": self._event.take(event), "step": seen}).decode()
        result = cedarpy.is_authorized(_REQUEST | {"context": context}, self._policies, _NOBODY, self._schema)
        if result.diagnostics.errors:
            raise BadCondition(f"when: {result.diagnostics.errors[0]}")
        return bool(result.allowed)


def _depth(text: str) -> int:
    """How deep its brackets, and its signs before a value, are nested at most."""
    depth = deepest = signs = 0
    for character in text:
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        signs = signs + 1 if character in "!-" else 0 if not character.isspace() else signs
        deepest = max(deepest, depth, signs)
    return deepest


def _asked_for(body: Any) -> Iterator[str]:
    """Of the parts that must all hold, those that ask whether a step is there."""
    if not isinstance(body, Mapping) or len(body) != 1:
        return
    if "&&" in body:
        yield from _asked_for(body["&&"]["left"])
        yield from _asked_for(body["&&"]["right"])
    elif "has" in body and path_of(body["has"]["left"]) == ("step",):
        yield str(body["has"]["attr"])


def _schema(event: Shape, steps: Mapping[str, Shape], perhaps: Collection[str]) -> str:
    """Cedar's schema of the one question that is put."""
    known = {name: shape.cedar() | {"required": name not in perhaps} for name, shape in steps.items()}
    context = {"event": event.cedar(), "step": {"type": "Record", "attributes": known}}
    applies = {
        "principalTypes": ["Agent"],
        "resourceTypes": ["Connection"],
        "context": {"type": "Record", "attributes": context},
    }
    types: dict[str, Any] = {"Agent": {}, "Connection": {}}
    actions = {"step": {"appliesTo": applies}}
    return canonical.encode({"": {"entityTypes": types, "actions": actions}}).decode()

"""Whether a plan can be carried out: every step of it, before any is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from deputize import canonical
from deputize.operation import Operation, result_fields
from deputize.plans.conditions import BadCondition, Condition
from deputize.plans.plan import Plan, PlanStep
from deputize.plans.references import Typed, Unresolved, in_both, reference_of, references_in, resolved
from deputize.suggest import did_you_mean

PROBLEMS_MAX = 20


@dataclass(frozen=True)
class World:
    """What a plan is checked against: the JSON Schema of its event, what it may use, and what rules bar in
    principle (`bars` says why of an operation, and nothing where they do not)."""

    event: Mapping[str, Any]
    operations: Mapping[str, Operation[..., Any]]
    bars: Callable[[str], str] = lambda operation: ""


@dataclass
class Checked:
    """A plan's conditions, parsed; and all that is wrong with it, by step."""

    conditions: dict[str, Condition] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    perhaps: set[str] = field(default_factory=set)
    """The steps so far that may be left out."""


def check(plan: Plan, world: World) -> Checked:
    """Check a plan whole. Pure."""
    checked = Checked()
    before: dict[str, Mapping[str, Any]] = {}
    for step in plan.steps:
        other = step.other
        wrong = _wrong(step, world, before, checked)
        output = _output(step, world)
        if other is not None:
            wrong += [f"else: {one}" for one in _wrong(other, world, before, checked)]
            output = in_both(output, _output(other, world))
        checked.problems += [f"step {step.id}: {one}" for one in wrong]
        before[step.id] = {"type": "array", "items": output} if step.each else output
        if step.when and other is None:
            checked.perhaps.add(step.id)
    del checked.problems[PROBLEMS_MAX:]
    return checked


def _output(step: PlanStep, world: World) -> Mapping[str, Any]:
    operation = world.operations.get(step.operation)
    found: Mapping[str, Any] = {}
    if operation is not None:
        found = canonical.decode(operation.contract.output_schema.encode())
    return found


def _wrong(
    step: PlanStep, world: World, before: Mapping[str, Mapping[str, Any]], checked: Checked
) -> list[str]:
    operation = world.operations.get(step.operation)
    if operation is None:
        return [f"there is no operation {step.operation!r}{did_you_mean(step.operation, world.operations)}"]
    wrong = []
    if barred := world.bars(step.operation):
        wrong.append(barred)
    scope = _Scope(world.event, before, _each(step, world, before, wrong))
    wrong += _wrong_arguments(step, operation, scope)
    known = result_fields(operation.result_type)
    for name, value in step.expects.items():
        try:
            for one in references_in(value):
                scope.type_of(one.root, one.path)
        except Unresolved as error:
            wrong.append(f"expects.{name}: {error}")
    wrong += [
        f"expects: {step.operation} returns nothing called {name!r}{did_you_mean(name, known)}"
        for name in step.expects
        if name not in known
    ]
    if step.when:
        try:
            checked.conditions[step.id] = Condition(step.when, world.event, before, checked.perhaps)
        except BadCondition as error:
            wrong.append(str(error))
    return wrong + _perhaps_missing(step, checked)


def _perhaps_missing(step: PlanStep, checked: Checked) -> list[str]:
    """Answers that it needs and that may not be there, where its own `when` does not ask whether they are."""
    try:
        needed = {
            one.path[0]
            for value in (*step.arguments.values(), *step.expects.values(), step.each)
            for one in references_in(value)
            if one.root == "step"
        }
    except Unresolved:
        return []
    # What is done where a condition does not hold has nothing of what that asks for.
    condition = checked.conditions.get(step.id) if step.when else None
    there = condition.asks_for if condition is not None else frozenset()
    return [
        f"the step {name} may be left out: give this one when: context.step has {name}"
        for name in sorted((needed & checked.perhaps) - there)
    ]


def _each(
    step: PlanStep, world: World, before: Mapping[str, Mapping[str, Any]], wrong: list[str]
) -> Typed | None:
    """What an item of its list is; None where the step is done once."""
    if not step.each:
        return None
    try:
        reference = reference_of(step.each)
        if reference is None or reference.root == "each":
            wrong.append(f"each: {step.each!r} is no reference to a list of the event or of a step")
            return Typed({}, {})
        item = _Scope(world.event, before, None).type_of(reference.root, reference.path).item()
    except Unresolved as error:
        wrong.append(f"each: {step.each}: {error}")
        return Typed({}, {})
    if item is None:
        wrong.append(f"each: {step.each} is no list")
    return item or Typed({}, {})


@dataclass(frozen=True)
class _Scope:
    """The types of what a step may refer to."""

    event: Mapping[str, Any]
    before: Mapping[str, Mapping[str, Any]]
    each: Typed | None

    def type_of(self, root: str, path: tuple[str, ...]) -> Typed:
        """Raises `Unresolved`."""
        if root == "event":
            return Typed.of(self.event).at(path)
        if root == "each":
            if self.each is None:
                raise Unresolved("the step has no each")
            return self.each.at(path)
        if path[0] not in self.before:
            hint = did_you_mean(path[0], self.before)
            raise Unresolved(f"there is no earlier step {path[0]!r}{hint}")
        return Typed.of(self.before[path[0]]).at(path[1:])


def _wrong_arguments(step: PlanStep, operation: Operation[..., Any], scope: _Scope) -> list[str]:
    fields = operation.args_model.model_fields
    wanted = Typed.of(canonical.decode(operation.contract.input_schema.encode()))
    wrong = [
        f"{operation.name} has no argument {name!r}{did_you_mean(name, fields)}"
        for name in step.arguments
        if name not in fields
    ]
    wrong += [
        f"{operation.name} needs the argument {name!r}"
        for name, field in fields.items()
        if field.is_required() and name not in step.arguments
    ]
    for name, value in step.arguments.items():
        if name in fields:
            said = _wrong_value(name, value, fields[name].annotation, wanted.at((name,)), scope)
            wrong += [f"{name}: {said}"] if said else []
    return wrong


def _wrong_value(name: str, value: Any, annotation: Any, wanted: Typed, scope: _Scope) -> str:
    """What is wrong with an argument; empty where nothing is."""
    try:
        references = list(references_in(value))
        types = [(one, scope.type_of(one.root, one.path)) for one in references]
    except Unresolved as error:
        return f"{value if isinstance(value, str) else 'a part of it'}: {error}"
    if isinstance(value, str) and types:
        [(reference, typed)] = types
        if not typed.fits(wanted):
            return f"{reference} is {_listed(typed)}, and {_listed(wanted)} is wanted"
        return ""
    if types:
        return ""
    try:
        TypeAdapter(annotation).validate_json(canonical.encode(resolved(value, {})), strict=True)
    except (ValidationError, ValueError, TypeError) as error:
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"]))
            return f"{place}: {first['msg']}" if place else str(first["msg"])
        return str(error)
    return ""


def _listed(typed: Typed) -> str:
    return " or ".join(sorted(typed.words()))

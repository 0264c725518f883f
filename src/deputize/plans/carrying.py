"""Carrying a plan out: each step becomes an action of the run, and takes the way that every action takes.

Where an argument comes from is known exactly here: a literal from whoever wrote the plan, a field of the
event, or the answer to a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deputize import canonical
from deputize.action import Action
from deputize.awaiting import Steps
from deputize.errors import ActionError, CodeError, ContractError, GaveUp
from deputize.operation import Operation
from deputize.origins import Origins
from deputize.plans.conditions import BadCondition, Condition
from deputize.plans.plan import END, Plan, PlanStep
from deputize.plans.references import Reference, Unresolved, reference_of, references_in, resolved


@dataclass(frozen=True)
class PlanEnd:
    """How a plan ended: the word for what came of it, and what each step that was done was answered, as
    JSON."""

    label: str
    answers: Mapping[str, Any] = field(default_factory=dict)


class PlanStopped(GaveUp):
    """A plan could not be carried out to its end: a step was refused, or came to something else than
    expected.

    `step` is its id, `end` what was done before it, `error` what stopped it, if an action did.
    """

    def __init__(
        self, operation: str, action_id: str, reason: str, step: str, end: PlanEnd, error: ActionError | None
    ) -> None:
        super().__init__(operation, action_id, reason, error)
        self.step = step
        self.end = end


@dataclass(frozen=True)
class Carrying:
    """What it takes to carry out a plan that was checked."""

    plan: Plan
    conditions: Mapping[str, Condition]
    operations: Mapping[str, Operation[..., Any]]
    event_type: str
    event: Mapping[str, Any]
    run_id: str
    origins: Iterable[str]
    """Where its literals come from: what its writer had read."""
    cause: str = ""
    """The path of the thought that it is, if a model wrote it."""

    def steps(self) -> Steps[PlanEnd]:
        """The script. Raises `PlanStopped`."""
        event = self.event
        answers: dict[str, Any] = {}
        origins: dict[str, set[str]] = {}
        for planned in self.plan.steps:
            step, scope = planned, {"event": event, "step": answers}
            try:
                if step.when and not self.conditions[step.id].holds(event, answers):
                    if step.otherwise:
                        return PlanEnd(_word(step.otherwise) or self.plan.end, answers)
                    other = step.other
                    if other is None:
                        continue
                    step = other
                items = self._items(step, scope)
                comes = self._origins(step, origins)
                origins[step.id] = {step.operation, *comes.every}
                came = []
                for item in items:
                    came.append((yield from self._done(step, scope | {"each": item}, comes)))
            except (Unresolved, BadCondition, ContractError, CodeError) as error:
                raise self._stopped(step, str(error), answers) from None
            except ActionError as error:
                raise self._stopped(step, error.reason, answers, error) from error
            answers[step.id] = came if step.each else came[0]
            if step.end:
                return PlanEnd(step.end, answers)
        return PlanEnd(self.plan.end, answers)

    def _items(self, step: PlanStep, scope: Mapping[str, Any]) -> list[Any]:
        if not step.each:
            return [None]
        items = resolved(step.each, scope)
        if not isinstance(items, list):
            raise Unresolved(f"{step.each} is no list")
        if len(items) > step.most:
            raise Unresolved(f"{step.each} has {len(items)} items, and at most {step.most} were meant")
        return items

    def _done(self, step: PlanStep, scope: Mapping[str, Any], origins: Origins) -> Steps[Any]:
        operation = self.operations[step.operation]
        args = operation.canonical_json(resolved(step.arguments, scope))
        expects = operation.check_expected(resolved(step.expects, scope), f"step {step.id}")
        action = Action[Any](operation, args).because(step.why or self.plan.goal)
        action.expects, action.cause, action.origins = expects, self.cause, origins
        got = yield from action.__await__()
        return canonical.decode(operation.encode_result(got))

    def _origins(self, step: PlanStep, before: Mapping[str, set[str]]) -> Origins:
        """Where its arguments come from. What an operation answered may be what it was given, so the origins
        of that are among those of its answer."""
        each = self._comes(step.each, before, set()) if step.each else set()
        known = {name: self._comes(value, before, each) for name, value in step.arguments.items()}
        return Origins.exact(known, each)

    def _comes(self, value: Any, before: Mapping[str, set[str]], each: set[str]) -> set[str]:
        """Where a value comes from; an item from where the list of `each` does."""
        references = list(references_in(value))
        found = set() if isinstance(value, str) and references else set(self.origins)
        for one in references:
            if one.root == "event":
                found.add(self.event_type)
            else:
                found |= before[one.path[0]] if one.root == "step" else each
        return found

    def _stopped(
        self, step: PlanStep, reason: str, answers: Mapping[str, Any], error: ActionError | None = None
    ) -> PlanStopped:
        said = f"the plan stopped at the step {step.id}: {reason}"
        action = error.action_id if error is not None else self.run_id
        return PlanStopped("plan", action, said, step.id, PlanEnd("", dict(answers)), error)


def sentences(plan: Plan) -> list[str]:
    """A plan as people read it: one sentence a step."""
    return [f"{number}. {_sentence(step)}" for number, step in enumerate(plan.steps, 1)] + [
        f"At the end: {plan.end}."
    ]


def _sentence(step: PlanStep) -> str:
    said = _use(step)
    if step.when:
        word = f" as {_word(step.otherwise)!r}" if _word(step.otherwise) else ""
        otherwise = f", otherwise the plan ends{word}" if step.otherwise else ""
        said = f"if {step.when}: {said}{otherwise}"
    said += _reasons(step)
    if step.other is not None:
        said += f"; otherwise: {_use(step.other)}{_reasons(step.other)}"
    return said + (f"; then the plan ends as {step.end!r}" if step.end else "") + "."


def _use(step: PlanStep) -> str:
    args = [f"{name} {_shown(value)}" for name, value in step.arguments.items()]
    said = step.operation + (f" with {', '.join(args)}" if args else "")
    return f"for each of {_shown(step.each)} ({step.most} at most): {said}" if step.each else said


def _reasons(step: PlanStep) -> str:
    said = ""
    if step.expects:
        said += f", expecting {', '.join(f'{name} {_shown(value)}' for name, value in step.expects.items())}"
    if step.why:
        said += f', because "{step.why}"'
    return said


def _word(otherwise: str) -> str:
    """The word that `otherwise` says, if it says one."""
    return otherwise.removeprefix(END).removeprefix(": ")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        try:
            reference = reference_of(value)
        except Unresolved:
            reference = None
        if reference is not None:
            return _in_words(reference)
    return canonical.encode(value).decode()


def _in_words(reference: Reference) -> str:
    names: Iterable[str] = reference.path
    if reference.root == "event":
        return f"the event's {'.'.join(names)}" if reference.path else "the event"
    if reference.root == "each":
        return f"its {'.'.join(names)}" if reference.path else "it"
    step, *inner = names
    return f"{'.'.join(inner)} of {step}" if inner else f"the answer to {step}"

"""Carrying a plan out: each step becomes an action of the run, and takes the way that every action takes.

Where an argument comes from is known exactly here: a literal from whoever wrote the plan, a field of the
event, or the answer to a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from deputize import canonical
from deputize.action import Action
from deputize.awaiting import Steps
from deputize.errors import ActionError, CodeError, ContractError, GaveUp
from deputize.operation import Operation
from deputize.origins import Origins
from deputize.planned import Part, Results
from deputize.plans.conditions import BadCondition, Condition
from deputize.plans.plan import END, Plan, PlanStep
from deputize.plans.references import Reference, Unresolved, reference_of, references_in, resolved
from deputize.sentence import in_words


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
    ask: str = ""
    """The path at which people were asked for it, if they were."""
    weighed: bool = True
    """Rules have been asked whether they bar anything of it."""

    def steps(self) -> Steps[PlanEnd]:
        """The script. Raises `PlanStopped`."""
        event = self.event
        answers: dict[str, Any] = {}
        origins: dict[str, set[str]] = {}
        begins = () if self.weighed else self.uses()
        for planned in self.plan.steps:
            step, scope = planned, {"event": event, "step": answers}
            try:
                chosen = self.chosen(planned, answers)
                if chosen is None and planned.otherwise:
                    return PlanEnd(_word(planned.otherwise) or self.plan.end, answers)
                if chosen is None:
                    continue
                step = chosen
                items = self.items(step, scope)
                comes = self.comes(step, origins)
                came = []
                for number, item in enumerate(items):
                    action = self.action(step, scope | {"each": item}, comes)
                    action.part, action.begins, begins = self._part(step, number), begins, ()
                    got = yield from action.__await__()
                    came.append(canonical.decode(action.operation.encode_result(got)))
            except (Unresolved, BadCondition, ContractError, CodeError) as error:
                raise self._stopped(step, str(error), answers) from None
            except ActionError as error:
                raise self._stopped(step, error.reason, answers, error) from error
            answers[step.id] = came if step.each else came[0]
            if step.end:
                return PlanEnd(step.end, answers)
        return PlanEnd(self.plan.end, answers)

    def uses(self) -> tuple[tuple[str, str], ...]:
        """Every step with each operation that it may use."""
        return tuple(
            (step.id, one.operation)
            for step in self.plan.steps
            for one in (step, step.other)
            if one is not None
        )

    def chosen(self, step: PlanStep, answers: Mapping[str, Any]) -> PlanStep | None:
        """The step, or what stands in its place where its `when` does not hold; None where nothing does."""
        if not step.when or self.conditions[step.id].holds(self.event, answers):
            return step
        return step.other

    def items(self, step: PlanStep, scope: Mapping[str, Any]) -> list[Any]:
        """What a step is done for: one after the other, once where it has no `each`."""
        if not step.each:
            return [None]
        items = resolved(step.each, scope)
        if not isinstance(items, list):
            raise Unresolved(f"{step.each} is no list")
        if len(items) > step.most:
            raise Unresolved(f"{step.each} has {len(items)} items, and at most {step.most} were meant")
        return items

    def action(self, step: PlanStep, scope: Mapping[str, Any], origins: Origins) -> Action[Any]:
        """What a step asks for, for one item."""
        operation = self.operations[step.operation]
        args = operation.canonical_json(resolved(step.arguments, scope))
        expects = operation.check_expected(resolved(step.expects, scope), f"step {step.id}")
        action = Action[Any](operation, args).because(step.why or self.plan.goal)
        action.expects, action.cause, action.origins = expects, self.cause, origins
        return action

    def _part(self, step: PlanStep, item: int) -> Part | None:
        if not self.ask:
            return None
        follows = partial(self._follows, step.id, item)
        return Part(self.ask, self.plan.digest, step.id, item, follows)

    def _follows(self, id: str, item: int, operation: str, args: bytes, results: Results) -> bool:
        """Whether the plan has just this at a step, as it was answered so far: worked out anew, from the plan
        and the event alone."""
        answers: dict[str, Any] = {}
        try:
            for planned in self.plan.steps:
                step, scope = self.chosen(planned, answers), {"event": self.event, "step": answers}
                if step is None and (planned.otherwise or planned.id == id):
                    return False
                if step is None:
                    continue
                items = self.items(step, scope)
                if step.id == id:
                    wanted = resolved(step.arguments, scope | {"each": items[item]})
                    same = step.operation == operation
                    return same and self.operations[operation].canonical_json(wanted) == args
                if step.end:
                    return False
                came = [results[step.id, number] for number in range(len(items))]
                answers[step.id] = came if step.each else came[0]
        except (Unresolved, BadCondition, ContractError, CodeError, LookupError):
            return False
        return False

    def comes(self, step: PlanStep, before: dict[str, set[str]]) -> Origins:
        """Where its arguments come from; noted in `before`, for what refers to its answer."""
        found = self._origins(step, before)
        before[step.id] = {step.operation, *found.every}
        return found

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
    if isinstance(value, Mapping) and value.keys() == {"minor", "currency"}:
        return in_words(value) if isinstance(value["minor"], int) else canonical.encode(value).decode()
    return canonical.encode(value).decode()


def _in_words(reference: Reference) -> str:
    names: Iterable[str] = reference.path
    if reference.root == "event":
        return f"the event's {'.'.join(names)}" if reference.path else "the event"
    if reference.root == "each":
        return f"its {'.'.join(names)}" if reference.path else "it"
    step, *inner = names
    return f"{'.'.join(inner)} of {step}" if inner else f"the answer to {step}"

"""A plan gone through before anything of it is done: what it would ask for, as far as that can be told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from deputize import canonical
from deputize.errors import CodeError, ContractError
from deputize.planned import Imagined, Imagining
from deputize.plans.carrying import Carrying
from deputize.plans.conditions import BadCondition
from deputize.plans.plan import PlanStep
from deputize.plans.references import Unresolved, references_in
from deputize.sentence import listed


def imagine(carrying: Carrying) -> Imagining:
    """What a plan's steps would ask for, given what each is foreseen to be answered. Where a step needs an
    answer that nobody can tell, that is said in its place, and the others are gone on with."""
    known = _Known(carrying)
    for planned in carrying.plan.steps:
        sure, said, steps = known.chosen(planned)
        if steps is None:
            yield Imagined(planned.id, None, "the plan would end here")
            return
        if not steps:
            yield Imagined(planned.id, None, said)
        for step in steps:
            yield from known.uses(step, sure, said)
        if known.stopped or (planned.end and steps and sure):
            return


@dataclass
class _Known:
    """What is foreseen so far. Of a step that is `untold` nobody knows the answer."""

    carrying: Carrying
    answers: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, set[str]] = field(default_factory=dict)
    untold: set[str] = field(default_factory=set)
    stopped: bool = False

    def chosen(self, step: PlanStep) -> tuple[bool, str, list[PlanStep] | None]:
        """Whether it is sure what of a step is done, what there is to say, and that; None where the plan
        ends."""
        # What a condition looks at is told by its names: to take one for another only makes it less sure.
        blind = [id for id in sorted(self.untold) if re.search(rf"\b{id}\b", step.when)]
        if blind:
            return False, f"if {step.when}", [step, *([step.other] if step.other is not None else [])]
        try:
            chosen = self.carrying.chosen(step, self.answers)
        except BadCondition as error:
            self.stopped = True
            return True, f"the plan would stop here: {error}", []
        if chosen is not None:
            return True, "", [chosen]
        return True, "it would be left out", None if step.otherwise else []

    def uses(self, step: PlanStep, sure: bool, said: str) -> Imagining:
        """Its uses of its operation, one for each item."""
        needs = self._needs(step)
        if needs:
            self.untold.add(step.id)
            yield Imagined(step.id, None, f"what it asks for depends on the answer to {listed(needs)}", sure)
            return
        before = self.origins.get(step.id, set())
        origins = self.carrying.comes(step, self.origins)
        self.origins[step.id] |= before
        scope = {"event": self.carrying.event, "step": self.answers}
        came: list[Any] = []
        try:
            items = self.carrying.items(step, scope)
            if not items:
                yield Imagined(step.id, None, "there is nothing in its list", sure)
            for item in items:
                action = self.carrying.action(step, scope | {"each": item}, origins)
                got = yield Imagined(step.id, action, said, sure)
                came += [canonical.decode(got)] if got is not None else []
                if got is None:
                    self.untold.add(step.id)
        except (Unresolved, ContractError, CodeError) as error:
            self.untold.add(step.id)
            self.stopped = self.stopped or sure
            yield Imagined(step.id, None, f"the plan would stop here: {error}", sure)
        if not sure:
            self.untold.add(step.id)
        if step.id not in self.untold:
            self.answers[step.id] = came if step.each else came[0]

    def _needs(self, step: PlanStep) -> list[str]:
        """The steps whose answers it refers to and that are not foreseen."""
        values: Iterable[Any] = (*step.arguments.values(), *step.expects.values(), step.each)
        roots = {one.path[0] for value in values for one in references_in(value) if one.root == "step"}
        return sorted(roots - self.answers.keys())

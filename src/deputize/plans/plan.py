"""A plan: at most fifty steps, each one use of an operation, with arguments that are literals or
references."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deputize import canonical

STEPS_MAX = 50
EACH_MAX = 50
TEXT_CHARS_MAX = 500

WHEN_CHARS_MAX = 500
"""A condition is short: what parses it goes as deep as it is nested, and not by Python's leave."""

END = "end"

Text = Annotated[str, Field(max_length=TEXT_CHARS_MAX)]
Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Instead(_Data):
    """What a step does in its place where its `when` does not hold."""

    operation: Annotated[str, Field(max_length=100)]
    arguments: dict[str, Any] = {}
    why: Text = ""
    expects: dict[str, Any] = {}


class PlanStep(_Data):
    """One step. A text that begins with `$` refers to something: `$event.order_id`, `$step.order.total` (what
    the step `order` was answered), `$each` (the item, in a step with `each`); `$$` begins a text with a
    dollar.

    `when` is a Cedar expression over `context.event` and `context.step`; where it does not hold the step is
    left out; with `else` that is done in its place, and with `otherwise: end` the plan ends there. `each`
    refers to a list, of which `most` items are taken at most. `expects` says what fields of the answer must
    be.
    """

    id: Id
    operation: Annotated[str, Field(max_length=100)]
    arguments: dict[str, Any] = {}
    why: Text = ""
    when: Annotated[str, Field(max_length=WHEN_CHARS_MAX)] = ""
    otherwise: Annotated[str, Field(pattern=r"^(|end|end: .{1,100})$")] = ""
    instead: Annotated[Instead | None, Field(alias="else")] = None
    each: Text = ""
    most: Annotated[int, Field(ge=1, le=EACH_MAX)] = 10
    expects: dict[str, Any] = {}
    end: Annotated[str, Field(max_length=100)] = ""
    """Where it is given, the plan ends after this step, with this word for what came of it."""

    @model_validator(mode="after")
    def _one_way(self) -> PlanStep:
        if self.instead is not None and not self.when:
            raise ValueError("else is done where when does not hold: give the step a when")
        if self.instead is not None and self.otherwise:
            raise ValueError("where when does not hold, either else is done or otherwise ends the plan")
        return self

    @property
    def other(self) -> PlanStep | None:
        """The step that stands in its place where its `when` does not hold."""
        if self.instead is None:
            return None
        given = {name: getattr(self.instead, name) for name in Instead.model_fields}
        return self.model_copy(update={**given, "when": "", "instead": None})


class Plan(_Data):
    """What is to be done, in order. `end` is the word for what came of it where no step said another."""

    goal: Text
    steps: Annotated[list[PlanStep], Field(min_length=1, max_length=STEPS_MAX)]
    end: Annotated[str, Field(max_length=100)] = "done"

    @model_validator(mode="after")
    def _once(self) -> Plan:
        seen: set[str] = set()
        for step in self.steps:
            if step.id in seen:
                raise ValueError(f"two steps have the id {step.id!r}")
            seen.add(step.id)
        return self

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """A plan that was written down. Raises `ValueError` with what is wrong."""
        import yaml  # here, because who has no plans starts faster without it

        try:
            given = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError) as error:
            raise ValueError(f"it is no YAML: {' '.join(str(error).split())[:300]}") from None
        return cls.model_validate(given)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its canonical form."""
        return canonical.digest(canonical.encode(self.model_dump(mode="json", by_alias=True)))

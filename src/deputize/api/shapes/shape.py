"""What the description of a route is made of: shapes, answers and bodies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

JSON = "application/json"


class Shape(BaseModel):
    """Something in an answer. Tests take a field that it does not name for a mistake; whoever reads answers
    should take it for something new, so the description does not forbid it."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,
        json_schema_extra=lambda schema: schema.pop("additionalProperties", None) and None,
    )


class Sent(BaseModel):
    """Something in a request."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Nothing(Sent):
    """Nothing is to be said: no body, or an empty object."""


Time = Annotated[
    str, Field(json_schema_extra={"format": "date-time"}, pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
]
"""A moment in UTC, ISO 8601."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A success: what it means, its shape, and one as it may come."""

    said: str
    shape: type[BaseModel] | None
    example: Any = None
    media: str = JSON
    also: tuple[str, ...] = ()
    """Further forms in which it may come, as lines of text."""


@dataclass(frozen=True)
class Body:
    """What is sent: its shape and examples by name, for each media type."""

    shape: type[BaseModel]
    examples: Mapping[str, Any]
    required: bool = True
    media: Mapping[str, Any] = field(default_factory=dict)
    """Further media types, each as OpenAPI has it."""


@dataclass(frozen=True)
class Told:
    """What one route takes and answers, beside what any route of its kind may (see `describing`).

    `refuses` are the problems that are its own: by status, the `detail` of one as it may come.
    """

    answers: Mapping[int, Answer]
    body: Body | None = None
    refuses: Mapping[int, str] = field(default_factory=dict)
    needs_person: bool = False

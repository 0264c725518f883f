"""Thoughts: what a model is asked, and what it said. Data alone: a model proposes, and has no way to act."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

ANSWER = "answer"
"""The choice by which a model that has others gives its answer."""

Role = Literal["system", "user", "model", "result"]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Called(_Data):
    """What a model wants done: the name of a choice that it was given, and its arguments as it wrote them."""

    id: str
    name: str
    args: str


class Message(_Data):
    """One message of a conversation. A `model`'s may have `calls`; a `result` is of the call with the id
    `to`."""

    role: Role
    text: str = ""
    calls: tuple[Called, ...] = ()
    to: str = ""


class Choice(_Data):
    """Something that a model may call: what it is for, and the JSON Schema of its arguments."""

    name: str
    about: str
    takes: dict[str, Any]


class Thought(_Data):
    """What a model said: `text`, or `calls` of the choices that it had.

    `finish` is why it stopped: `stop`, `length` where it was cut off, or what else the provider says. Tokens
    are as the provider counted them, 0 where it did not; `cached_tokens` are those of the input that it had
    already.
    """

    text: str
    calls: tuple[Called, ...] = ()
    finish: str = "stop"
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

"""Events: something that happened, from outside (CloudEvents 1.0), a schedule or another run."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from deputize import canonical
from deputize.errors import BadEvent, ProjectError

EVENT_BYTES_MAX = 1_000_000
ATTRIBUTE_CHARS_MAX = 500
DEPTH_MAX = 64
RUN_SOURCE = "/runs/"
SCHEDULES = "/schedules/"
ELSEWHERE = "/mcp/"
OWN_SOURCES = (RUN_SOURCE, "/polls/", SCHEDULES, "/webhooks/", ELSEWHERE)
"""How the sources of events begin that Deputize itself keeps; nobody outside speaks for them."""

OWN_TYPES = "deputize."
"""How the types of events begin that Deputize itself sends."""


class EventData(BaseModel):
    """What one kind of event says. `class OrderPlaced(EventData, type="shop.order.placed")`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    event_type: ClassVar[str] = ""

    def __init_subclass__(cls, *, type: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.event_type = type or cls.event_type
        if not cls.event_type:
            raise ProjectError(
                f"{cls.__module__}.{cls.__name__} needs its event type: "
                f'class {cls.__name__}(EventData, type="…")'
            )


D = TypeVar("D", bound=EventData)


@dataclass(frozen=True, slots=True)
class Event(Generic[D]):
    """An event as an automation sees it, with typed data."""

    source: str
    id: str
    type: str
    subject: str
    time: datetime
    data: D


@dataclass(frozen=True)
class Occurrence:
    """An event as it is stored: CloudEvents' attributes, and `data` as canonical JSON bytes.

    `sender` is the person who sent it, as the door knows them, also where a run that answered their event
    has sent it on; empty where no person did. It is kept with the runs that the event begins.
    """

    source: str
    id: str
    type: str
    subject: str
    time_us: int
    data: bytes
    sender: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every attribute and the data."""
        return canonical.digest(
            canonical.encode([self.source, self.id, self.type, self.subject, self.time_us]) + self.data
        )

    def typed(self, kind: builtins.type[D], time: datetime) -> Event[D]:
        """This event with its data as `kind`. Raises `BadEvent`, naming the field."""
        return Event(self.source, self.id, self.type, self.subject, time, self.data_as(kind))

    def data_as(self, kind: builtins.type[D]) -> D:
        """The data as `kind`. Raises `BadEvent`, naming the field."""
        try:
            return kind.model_validate_json(self.data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "data"
            raise BadEvent(f"event {self.id} of type {self.type}: data.{place}: {first['msg']}") from None
        except Exception as error:
            # A validator is the project's own code, and may raise anything.
            raised = f"{kind.__name__} raised {type(error).__name__}"
            raise BadEvent(f"event {self.id} of type {self.type}: data: {raised}") from error


def parse_cloudevent(value: Any, *, received_us: int, parse_time: Any) -> Occurrence:
    """A structured-mode CloudEvent (a decoded JSON object) from outside as an `Occurrence`.

    `parse_time` turns ISO 8601 text into ledger time and raises `ValueError`. Raises `BadEvent`,
    saying which attribute is wrong and what it should be. Source: CloudEvents 1.0.2, JSON format.
    """
    if not isinstance(value, dict):
        raise BadEvent("a CloudEvent is a JSON object with specversion, source, id, type and data")
    if value.get("specversion") != "1.0":
        raise BadEvent(f"specversion must be '1.0', and is {value.get('specversion')!r}")
    texts = {name: _text(value, name) for name in ("source", "id", "type")}
    if texts["source"].startswith(OWN_SOURCES):
        own = next(own for own in OWN_SOURCES if texts["source"].startswith(own))
        raise BadEvent(f"sources that begin with {own} are Deputize's own; name another source")
    subject = value.get("subject") or ""
    if not isinstance(subject, str) or len(subject) > ATTRIBUTE_CHARS_MAX:
        raise BadEvent(f"subject must be text of at most {ATTRIBUTE_CHARS_MAX} characters")
    if "data_base64" in value:
        raise BadEvent("data_base64 is not supported; send JSON in data")
    try:
        time_us = parse_time(value["time"]) if value.get("time") is not None else received_us
    except (ValueError, TypeError, AttributeError):
        raise BadEvent(f"time must be ISO 8601 with an offset, and is {value['time']!r:.60}") from None
    return Occurrence(
        texts["source"], texts["id"], texts["type"], subject, time_us, _data(value.get("data", {}))
    )


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not 1 <= len(text) <= ATTRIBUTE_CHARS_MAX:
        raise BadEvent(f"{name} must be text of 1 to {ATTRIBUTE_CHARS_MAX} characters")
    if any(ord(character) < 32 for character in text):
        raise BadEvent(f"{name} must not contain control characters")
    return text


def _data(data: Any) -> bytes:
    if depth_of(data) > DEPTH_MAX:
        raise BadEvent(f"data is nested deeper than {DEPTH_MAX} levels")
    try:
        encoded = canonical.encode(data)
    except TypeError as error:
        raise BadEvent(f"data: {error}") from None
    if len(encoded) > EVENT_BYTES_MAX:
        raise BadEvent(f"data is {len(encoded):,} bytes; at most {EVENT_BYTES_MAX:,}: send a reference")
    return encoded


def depth_of(value: Any, depth_max: int = DEPTH_MAX) -> int:
    """How deeply containers nest, counted level by level so that no recursion can overflow; no further than
    one beyond `depth_max`."""
    level, depth = [value], 0
    while level and depth <= depth_max:
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        depth += bool(level)
    return depth

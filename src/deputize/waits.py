"""Waiting, sending and asking the run: awaitables that touch no service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar

from pydantic import TypeAdapter

from deputize import canonical
from deputize.awaiting import Awaiting, Step, caller_line, current_step
from deputize.clock import to_datetime, to_us
from deputize.errors import CodeError
from deputize.event import ATTRIBUTE_CHARS_MAX, EVENT_BYTES_MAX, Event, EventData
from deputize.suggest import did_you_mean

D = TypeVar("D", bound=EventData)

WAIT_US_MAX = 10 * 366 * 86_400 * 1_000_000
_MATCHING = TypeAdapter(dict[str, Any])


class Sleep(Awaiting[None]):
    """See `sleep` and `until`. `due_us` is ledger time; `for_us` counts from when it is awaited."""

    __slots__ = ("due_us", "for_us")

    def __init__(self, *, due_us: int | None = None, for_us: int | None = None) -> None:
        super().__init__()
        self.due_us = due_us
        self.for_us = for_us


class WaitFor(Awaiting[Event[D]]):
    """See `wait_for`."""

    __slots__ = ("kind", "matching", "within_us")

    def __init__(self, kind: type[D], matching: Mapping[str, Any], within_us: int) -> None:
        super().__init__()
        self.kind = kind
        self.matching = matching
        self.within_us = within_us


@dataclass(frozen=True, slots=True)
class Sent:
    """An event that a run sent: `id` and `source` as automations and `deputize events` show them."""

    source: str
    id: str


class Send(Awaiting[Sent]):
    """See `send`."""

    __slots__ = ("data", "digest", "subject", "type")

    def __init__(self, type: str, data: bytes, subject: str) -> None:
        super().__init__()
        self.type = type
        self.data = data
        self.subject = subject
        self.digest = canonical.digest(data)


class RunEnded(EventData, type="deputize.run.ended"):
    """Sent when a run ends that another run's `send` began. `event_id` is that of `Sent`."""

    run_id: str
    event_id: str
    automation: str
    outcome: str
    label: str


def sleep(duration: timedelta) -> Awaiting[None]:
    """Wait for a time; the run costs nothing meanwhile and survives restarts."""
    return Sleep(for_us=span_us(duration))


def until(moment: datetime) -> Awaiting[None]:
    """Wait until an aware datetime; returns at once where it has passed."""
    try:
        return Sleep(due_us=to_us(moment))
    except ValueError as error:
        raise CodeError(f"{caller_line()}: until(): {error}") from None


def wait_for(kind: type[D], *, matching: Mapping[str, Any], within: timedelta) -> Awaiting[Event[D]]:
    """Wait for an event of this kind whose fields equal `matching`, kept events since the run began included.

    Raises `Expired` where none came `within` that time.
    """
    given: object = kind
    if not (isinstance(given, type) and issubclass(given, EventData)):
        raise CodeError(f"{caller_line()}: wait_for() takes a kind of event, and got {kind!r:.100}")
    for field in matching:
        if field not in kind.model_fields:
            raise CodeError(
                f"{caller_line()}: {kind.__name__} has no field {field!r}"
                f"{did_you_mean(field, kind.model_fields)}"
            )
    try:
        plain: Mapping[str, Any] = _MATCHING.dump_python(dict(matching), mode="json")
        canonical.encode(plain)
    except (ValueError, TypeError) as error:
        raise CodeError(f"{caller_line()}: wait_for(): matching: {error}") from None
    return WaitFor(kind, plain, span_us(within))


def send(data: EventData, *, subject: str = "") -> Awaiting[Sent]:
    """Send an event of this project; the automations that answer it run as runs of their own.

    Each of those sends `RunEnded` when it ends, which can be waited for by `event_id`.
    """
    if not isinstance(data, EventData):
        raise CodeError(f"{caller_line()}: send() takes an event, and got a {type(data).__name__}")
    stored = canonical.encode(data.model_dump(mode="json"))
    if len(stored) > EVENT_BYTES_MAX or len(subject) > ATTRIBUTE_CHARS_MAX:
        raise CodeError(
            f"{caller_line()}: an event holds at most {EVENT_BYTES_MAX:,} bytes and a subject of "
            f"{ATTRIBUTE_CHARS_MAX} characters: send a reference"
        )
    return Send(data.event_type, stored, subject)


def now() -> datetime:
    """The run's own time (UTC): that of the last thing it awaited, so that a replay sees the same."""
    return to_datetime(_step("now").now_us)


def new_id() -> str:
    """A new id, unique to this run and place and the same on replay."""
    step = _step("new_id")
    step.serial += 1
    return canonical.name(step.run_id, "id", step.serial)


def random() -> Random:
    """The run's own source of randomness: seeded by the run, the same on replay."""
    return _step("random").random


def _step(name: str) -> Step:
    step = current_step()
    if step is None:
        raise CodeError(f"{caller_line()}: {name}() belongs to a run; call it inside an automation")
    return step


def span_us(duration: timedelta) -> int:
    """Microseconds of a wait. Raises `CodeError` for what is none."""
    if not isinstance(duration, timedelta):
        raise CodeError(f"{caller_line()}: a wait is a timedelta, like seconds(5), and not {duration!r:.100}")
    found_us = int(duration.total_seconds() * 1_000_000)
    if not 0 <= found_us <= WAIT_US_MAX:
        raise CodeError(f"{caller_line()}: a wait must last between 0 and 10 years, and not {duration}")
    return found_us

"""Sources: what turns a service's knowledge and the calendar into events.

`@poll` asks a service at intervals, `@webhook` takes what a service sends, `@schedule` ticks. Each
says which events there are, by an id that is the same whenever the same thing is told again: an
event is kept once for each (source, id).
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from deputize import canonical
from deputize.awaiting import caller_line
from deputize.call import Call
from deputize.clock import iso, minutes, to_datetime
from deputize.connector import Connector
from deputize.cron import Missed, check_cron
from deputize.errors import BadEvent, ProjectError
from deputize.event import EVENT_BYTES_MAX, SCHEDULES, EventData, Occurrence
from deputize.operation import Operation
from deputize.signature import Check, Verifier

D = TypeVar("D", bound=EventData)

EVENTS_MAX = 1_000
POLL_TIMEOUT_S = 30.0
EVERY = minutes(1)
EVERY_MIN = timedelta(seconds=1)

Overlap = Literal["skip", "queue", "both"]


@dataclass(frozen=True)
class Polled:
    """What a poll found: events by id, and the cursor to go on from.

    `more` says that there is more behind this page, to be asked for at once. Events and cursor are
    kept in one transaction, so a crash between them neither loses nor doubles an event.
    """

    events: Mapping[str, EventData]
    cursor: str
    more: bool = False


@dataclass(frozen=True)
class Poll:
    """See `poll`. `operation` is the poll as a read without arguments but its cursor."""

    name: str
    connector: str
    every: timedelta
    cursor: str
    operation: Operation[..., Any] = field(repr=False)
    where: str

    @property
    def source(self) -> str:
        """The source of its events."""
        return f"/polls/{self.name}"


@dataclass(frozen=True)
class Webhook:
    """See `webhook`."""

    name: str
    verifier: Verifier
    handler: Callable[[Any], Mapping[str, EventData]]
    where: str

    @property
    def source(self) -> str:
        """The source of its events."""
        return f"/webhooks/{self.name}"

    def read(self, payload: Any, at_us: int) -> list[Occurrence]:
        """The events in a payload. Raises `BadEvent` where the code cannot read it."""
        try:
            events = dict(self.handler(payload))
        except Exception as error:  # noqa: BLE001 - a project's function may raise anything
            raise BadEvent(f"{self.where}: {self.name} raised {type(error).__name__}: {error}") from None
        if len(events) > EVENTS_MAX:
            raise BadEvent(f"{self.where}: {self.name} returned more than {EVENTS_MAX:,} events")
        return [occurrence_of(self.source, id, data, at_us) for id, data in events.items()]


@dataclass(frozen=True)
class Schedule:
    """See `schedule`."""

    name: str
    cron: str
    event: type[EventData]
    zone: ZoneInfo | None
    overlap: Overlap
    missed: Missed
    handler: Callable[[datetime], EventData]
    where: str

    @property
    def source(self) -> str:
        """The source of its events."""
        return f"{SCHEDULES}{self.name}"

    def tick(self, at_us: int, zone: ZoneInfo) -> Occurrence:
        """A tick as an event; its id is its time. Raises `BadEvent` where the code gives another type."""
        moment = to_datetime(at_us).astimezone(self.zone or zone)
        try:
            data = self.handler(moment)
        except Exception as error:  # noqa: BLE001 - a project's function may raise anything
            raise BadEvent(f"{self.where}: {self.name} raised {type(error).__name__}: {error}") from None
        if not isinstance(data, self.event):
            raise BadEvent(
                f"{self.where}: {self.name} returned {type(data).__name__}, not {self.event.__name__}"
            )
        return occurrence_of(self.source, iso(at_us), data, at_us)


def poll(
    connector: Connector, *, every: timedelta = EVERY, cursor: str = ""
) -> Callable[[Callable[[Call, str], Awaitable[Polled]]], Poll]:
    """Make an `async def (call: Call, cursor: str) -> Polled` a source that is asked again and again.

    `cursor` is what the first poll is given. The call may only read. A poll that fails is tried
    again, less and less often, with the same cursor. Raises `ProjectError`.
    """

    def decorate(function: Callable[[Call, str], Awaitable[Polled]]) -> Poll:
        where, name = caller_line(), _name_of(function)
        if not inspect.iscoroutinefunction(function):
            raise ProjectError(f"{where}: {name} must be an `async def (call: Call, cursor: str) -> Polled`")
        _check_parameters(function, name, where, 2, "call: Call and cursor: str")
        if every < EVERY_MIN:
            raise ProjectError(f"{where}: {name}: every must be a second at least")
        return Poll(name, connector.name, every, cursor, _operation(connector, function, name, where), where)

    return decorate


def webhook(
    path: str, *, verify: Verifier | Check, secret: str = ""
) -> Callable[[Callable[[Any], Mapping[str, EventData]]], Webhook]:
    """Make a `def (payload) -> {id: EventData}` the answer to `POST /v1/webhooks/PATH`.

    `verify` is `hmac_sha256(…)`, or a function of (headers, raw body, secret, time in seconds) with
    `secret` the handle of what the sender signs with (`env:NAME`, `file:path`). What it does not
    accept is answered 401 and not kept. Raises `ProjectError`.
    """

    def decorate(function: Callable[[Any], Mapping[str, EventData]]) -> Webhook:
        where = caller_line()
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", path):
            raise ProjectError(f"{where}: {path!r} is no name for a webhook: use a-z, 0-9, _ and -")
        if inspect.iscoroutinefunction(function):
            raise ProjectError(f"{where}: {path}: a webhook's function only reads its payload: use `def`")
        _check_parameters(function, path, where, 1, "payload")
        verifier = verify if isinstance(verify, Verifier) else Verifier(secret, verify)
        if not verifier.secret:
            raise ProjectError(f'{where}: {path}: name the secret it is signed with: secret="env:NAME"')
        return Webhook(path, verifier, function, where)

    return decorate


def schedule(
    cron: str,
    *,
    event: type[D],
    timezone: str = "",
    overlap: Overlap = "skip",
    missed: Missed = "once",
) -> Callable[[Callable[[datetime], D]], Schedule]:
    """Make a `def (tick: datetime) -> D` a source that ticks by a cron expression.

    The time zone is the project's unless given. Where the runs of the tick before have not ended,
    `overlap` says to leave the tick out, to `queue` behind them, or to run `both`. Ticks that passed
    while no process ran are made up for `once`, `all` of them, or not (`skip`). Raises `ProjectError`.
    """

    def decorate(function: Callable[[datetime], D]) -> Schedule:
        where, name = caller_line(), _name_of(function)
        if inspect.iscoroutinefunction(function):
            raise ProjectError(f"{where}: {name}: a schedule's function only makes the event: use `def`")
        _check_parameters(function, name, where, 1, "tick: datetime")
        if overlap not in typing.get_args(Overlap) or missed not in typing.get_args(Missed):
            raise ProjectError(
                f"{where}: {name}: overlap is one of {', '.join(typing.get_args(Overlap))}, "
                f"missed one of {', '.join(typing.get_args(Missed))}"
            )
        try:
            check_cron(cron)
            zone = ZoneInfo(timezone) if timezone else None
        except ZoneInfoNotFoundError:
            raise ProjectError(f"{where}: {name}: timezone {timezone!r} is unknown") from None
        except ValueError as error:
            raise ProjectError(f"{where}: {name}: {error}") from None
        return Schedule(name, cron, event, zone, overlap, missed, function, where)

    return decorate


def occurrence_of(source: str, id: Any, data: Any, at_us: int) -> Occurrence:
    """Typed data as an event. Raises `BadEvent` for what is none or too large."""
    if not isinstance(data, EventData):
        raise BadEvent(f"{source}: {id!r} is {type(data).__name__}, and must be an EventData")
    if not isinstance(id, str) or not 1 <= len(id) <= 500:
        raise BadEvent(f"{source}: an event's id must be text of 1 to 500 characters")
    encoded = canonical.encode(data.model_dump(mode="json"))
    if len(encoded) > EVENT_BYTES_MAX:
        raise BadEvent(f"{source}: the data of {id!r} is {len(encoded):,} bytes; at most {EVENT_BYTES_MAX:,}")
    return Occurrence(source, id, data.event_type, "", at_us, encoded)


def _operation(
    connector: Connector, function: Callable[[Call, str], Awaitable[Polled]], name: str, where: str
) -> Operation[..., Any]:
    """A poll as a read of a connector of its own, so that it is performed and bounded as all reads are."""

    async def ask(call: Call, cursor: str) -> dict[str, Any]:
        found = await function(call, cursor)
        if not isinstance(found, Polled):
            raise TypeError(f"{where}: {name} returned {type(found).__name__}, not Polled")
        if len(found.events) > EVENTS_MAX:
            raise ValueError(f"{where}: {name}: at most {EVENTS_MAX:,} events a poll; say more=True")
        events = [
            {"id": id, "type": data.event_type, "data": data.model_dump(mode="json")}
            for id, data in found.events.items()
        ]
        return {"events": events, "cursor": found.cursor, "more": found.more}

    ask.__name__ = name
    own = Connector(connector.name, version=connector.version)
    return own.operation(effect="read", timeout_s=POLL_TIMEOUT_S, attempts_max=1)(ask)


def _name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", "source")


def _check_parameters(function: Callable[..., Any], name: str, where: str, count: int, they: str) -> None:
    if len(inspect.signature(function).parameters) != count:
        raise ProjectError(f"{where}: {name} takes {they}")

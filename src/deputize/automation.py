"""Automations: versioned code that answers one kind of event."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from pydantic import BaseModel, ConfigDict, ValidationError

from deputize import canonical
from deputize.agent import Agent
from deputize.awaiting import Step, caller_line
from deputize.errors import CodeError, ProjectError
from deputize.event import SCHEDULES, Event, EventData, Occurrence
from deputize.suggest import did_you_mean
from deputize.thinking import Means

D = TypeVar("D", bound=EventData)
P = TypeVar("P", bound=BaseModel)
Handler = Callable[..., Awaitable["Outcome"]]

FAILURES_MAX = 0.03


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `done(…)` or `gave_up(…)` with a short word for what came of it."""

    kind: typing.Literal["done", "gave_up"]
    label: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def done(label: str = "", **details: Any) -> Outcome:
    """The run reached its end; `label` says which (`"refunded"`), for people and for counting."""
    return Outcome("done", label, details)


def gave_up(label: str = "", **details: Any) -> Outcome:
    """The run could not reach its end and says why; nothing is wrong with the code."""
    return Outcome("gave_up", label, details)


@dataclass(frozen=True)
class ContinueWith:
    """See `continue_with`."""

    state: EventData


def continue_with(state: EventData) -> Outcome:
    """End this run and go on in a new one with `state` as its event, for work without an end.

    Raises `CodeError` where `state` is no event.
    """
    if not isinstance(state, EventData):
        raise CodeError(
            f"{caller_line()}: continue_with() takes an EventData, and got a {type(state).__name__}"
        )
    return typing.cast("Outcome", ContinueWith(state))


class NoParams(BaseModel):
    """The parameters of an automation that has none."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Automation:
    """Code that answers one kind of event, and what it needs to.

    `code` is the digest of its source, `key` a template over the event's data: runs with the same
    key follow each other. `params` are the default parameters; people may change them. Where one is to
    `unwind`, what a run of it did is undone if it fails. `failures_max` is the share of its last hundred runs
    that may fail before a person confirms each of its writes; `means` are set where a project is loaded.
    """

    name: str
    on: type[EventData]
    agent: Agent
    handler: Handler
    key: str | None
    params_type: type[BaseModel]
    code: str
    where: str
    unwind: bool = False
    failures_max: float = FAILURES_MAX
    means: Means = field(default_factory=Means)

    def step(self, run_id: str, now_us: int, event: Occurrence) -> Step:
        """What the code of a run of it may ask for without awaiting. It has read its event, unless that is
        only the tick of a schedule."""
        step = Step(run_id, now_us, self, event)
        step.notes = self.agent.notes
        if not event.source.startswith(SCHEDULES):
            step.read.add(event.type)
        return step

    def params(self, changed: Mapping[str, Any]) -> BaseModel:
        """The parameters with people's changes. Raises `ProjectError`, naming the parameter."""
        try:
            return self.params_type.model_validate(dict(changed))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ProjectError(f"{self.name}: parameter {place}: {first['msg']}") from None

    def check_params(self, changed: Mapping[str, Any]) -> None:
        """What people write now must be parameters. Raises `ProjectError` for a name that is none.

        Not part of `params`: a run that is under way keeps values that newer code may have dropped.
        """
        fields = self.params_type.model_fields
        aliases = {name: f.alias or f.validation_alias or name for name, f in fields.items()}
        if self.params_type.model_config.get("extra") != "allow" and all(
            isinstance(alias, str) for alias in aliases.values()
        ):
            known = {*fields, *map(str, aliases.values())}
            for name in changed:
                if name not in known:
                    said = did_you_mean(name, known) if known else "; it has none"
                    raise ProjectError(f"there is no parameter {name!r}{said}")
        self.params(changed)

    def key_of(self, data: EventData) -> str | None:
        """The key of a run for this event, or None."""
        return None if self.key is None else self.key.format_map(data.__dict__)

    def start(self, event: Event[Any], params: BaseModel) -> Awaitable[Outcome]:
        """The coroutine of one run, not begun."""
        return self.handler(event) if self.params_type is NoParams else self.handler(event, params)


class Decorator(Generic[D]):
    """What `@automation(…)` is: it takes a handler of events of one type, with parameters or without."""

    def __init__(self, make: Callable[[Handler], Automation]) -> None:
        self._make = make

    @overload
    def __call__(self, handler: Callable[[Event[D]], Coroutine[Any, Any, Outcome]]) -> Automation: ...
    @overload
    def __call__(self, handler: Callable[[Event[D], P], Coroutine[Any, Any, Outcome]]) -> Automation: ...
    def __call__(self, handler: Handler) -> Automation:
        return self._make(handler)


def automation(
    *,
    on: type[D],
    agent: Agent,
    key: str | None = None,
    name: str = "",
    unwind: bool = False,
    failures_max: float = FAILURES_MAX,
) -> Decorator[D]:
    """Make an `async def (event: Event[D], params: P) -> Outcome` the answer to events of type `on`.

    `params` may be left out. With `unwind`, what a run did is undone if it fails. Where more than the share
    `failures_max` of its last hundred runs failed (0.03 is more than three), a person confirms each write of
    it, until one lifts that; 1 is never. Raises `ProjectError` where the signature does not fit.
    """

    def decorate(handler: Handler) -> Automation:
        where = caller_line()
        own = name or getattr(handler, "__name__", "automation")
        if not isinstance(agent, Agent):
            raise ProjectError(f"{where}: {own}: agent must be made by agent(…), and is {agent!r:.100}")
        if not _is_share(failures_max):
            raise ProjectError(
                f"{where}: {own}: failures_max is a share from 0 to 1, and is {failures_max!r:.100}"
            )
        if inspect.isasyncgenfunction(handler):
            raise ProjectError(f"{where}: {own} has a `yield`; an automation awaits, and returns once")
        if not inspect.iscoroutinefunction(handler):
            raise ProjectError(f"{where}: {own} must be an `async def`")
        hints = typing.get_type_hints(handler)
        parameters = list(inspect.signature(handler).parameters.values())
        if not 1 <= len(parameters) <= 2:
            raise ProjectError(f"{where}: {own} takes an event and, if it has any, parameters")
        if hints.get(parameters[0].name) != Event[on]:  # type: ignore[valid-type]
            raise ProjectError(f"{where}: {own}: its first parameter must be `event: Event[{on.__name__}]`")
        params_type = hints.get(parameters[1].name, NoParams) if len(parameters) == 2 else NoParams
        if not (isinstance(params_type, type) and issubclass(params_type, BaseModel)):
            raise ProjectError(f"{where}: {own}: its parameters must be a pydantic model")
        code, bound = _digest_of(handler), float(failures_max)
        return Automation(own, on, agent, handler, key, params_type, code, where, unwind, bound)

    return Decorator(decorate)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def _digest_of(handler: Callable[..., Any]) -> str:
    try:
        return canonical.digest(inspect.getsource(handler).encode())[:16]
    except OSError:
        return canonical.digest(handler.__code__.co_code)[:16]

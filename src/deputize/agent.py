"""Agents: who acts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal, TypeVar, overload

from deputize.awaiting import Awaiting, caller_line
from deputize.budget import Budget
from deputize.errors import ProjectError
from deputize.note import Note, wrong_names
from deputize.operation import Operation
from deputize.working import work

T = TypeVar("T")

ServiceLevel = Literal["interactive", "normal", "batch"]
STEPS_MAX = 20
STEPS_MAX_MAX = 300
PRIORITY: dict[ServiceLevel, int] = {"interactive": 0, "normal": 1, "batch": 2}


@dataclass(frozen=True)
class Agent:
    """A principal. `may` narrows what the rules permit and never widens it.

    `concurrent_max` bounds its open actions, `per_second_max` how many start in a second. `model` is the one
    that it thinks with, `goal` what it is told to be for, `steps_max` how often it may think in one piece of
    work. `remembers` names the pinned notes that stand before all that its model is asked; `notes` are
    these, as a project has them. One that lives `elsewhere` calls by MCP what it may use.
    """

    name: str
    may: frozenset[str] | None = None
    budgets: tuple[Budget, ...] = ()
    service_level: ServiceLevel = "normal"
    concurrent_max: int = 100
    per_second_max: float | None = None
    model: str = ""
    goal: str = ""
    steps_max: int = STEPS_MAX
    remembers: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    elsewhere: bool = False

    @overload
    def work(self, given: Any, *, about: str = "", within: timedelta | None = None) -> Awaiting[str]: ...
    @overload
    def work(
        self, given: Any, *, returns: type[T], about: str = "", within: timedelta | None = None
    ) -> Awaiting[T]: ...
    def work(
        self, given: Any, *, returns: Any = str, about: str = "", within: timedelta | None = None
    ) -> Awaiting[Any]:
        """Let its model work on what is `given`, with the operations that it may use, until it has an answer.

        See `deputize.working`. Raises `GaveUp` where it gives up, or its steps or means are used up, and
        `Expired` where nothing more may start `within` a time.
        """
        return work(self.name, given, returns, about, within)


def agent(
    name: str,
    *,
    may: Sequence[Operation[..., Any] | str] | None = None,
    budgets: Sequence[Budget] = (),
    service_level: ServiceLevel = "normal",
    concurrent_max: int = 100,
    per_second_max: float | None = None,
    model: str = "",
    goal: str = "",
    steps_max: int = STEPS_MAX,
    remembers: Sequence[str] = (),
    elsewhere: bool = False,
) -> Agent:
    """Describe an agent. `may` takes operations or their names; None leaves it to the rules alone.
    `remembers` takes the names of notes: "tone" is `memory/tone.md`. `elsewhere` lets whoever has a token of
    it call these operations by MCP (`deputize mcp`)."""
    if not name or len(name) > 60 or not name.replace("-", "").replace("_", "").isalnum():
        raise ProjectError(f"{caller_line()}: {name!r} is not an agent name: use letters, digits, - and _")
    if service_level not in PRIORITY:
        raise ProjectError(f"{caller_line()}: service_level must be one of {', '.join(PRIORITY)}")
    if concurrent_max < 1:
        raise ProjectError(f"{caller_line()}: concurrent_max must be at least 1")
    names = None if may is None else frozenset(o if isinstance(o, str) else o.name for o in may)
    owned = tuple(replace(b, scope="agent", of=name, name=f"{name}: {b.name}") for b in budgets)
    if not 1 <= steps_max <= STEPS_MAX_MAX:
        raise ProjectError(f"{caller_line()}: steps_max must be 1 to {STEPS_MAX_MAX}")
    if wrong := wrong_names(remembers):
        raise ProjectError(f"{caller_line()}: agent({name!r}): {wrong}")
    if elsewhere and names is None:
        raise ProjectError(f"{caller_line()}: an agent that lives elsewhere needs may=[…]: what it may call")
    return Agent(
        name,
        names,
        owned,
        service_level,
        concurrent_max,
        per_second_max,
        model,
        goal.strip(),
        steps_max,
        tuple(remembers),
        elsewhere=elsewhere,
    )

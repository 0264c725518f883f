"""Judging: what decides at this moment, and what it says of a request on the facts of this moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from deputize import canonical
from deputize.action import Action
from deputize.agent import Agent
from deputize.budget import Budget
from deputize.caching import Before, Caching, question_of
from deputize.finding import Finding
from deputize.kernel.live import LiveRun
from deputize.kernel.time import Calendar
from deputize.money import Money
from deputize.operation import Contract, Operation
from deputize.origins import NOWHERE, Origins
from deputize.person import Directory
from deputize.rule import Question, RuleSet, Verdict
from deputize.store.protocol import Count


@dataclass(frozen=True)
class InForce:
    """What decides at this moment. Replaced as a whole, never changed."""

    rules: RuleSet
    budgets: tuple[Budget, ...]
    calendar: Calendar
    directory: Directory = field(default_factory=Directory)
    operations: Mapping[str, Operation[..., Any]] = field(default_factory=dict)
    _concerning: dict[tuple[str, str, str], tuple[Budget, ...]] = field(default_factory=dict)

    def budgets_for(self, contract: Contract, agent: str, automation: str) -> tuple[Budget, ...]:
        """The budgets above an agent's action, in one order."""
        key = (contract.name, agent, automation)
        found = self._concerning.get(key)
        if found is None:
            found = tuple(b for b in self.budgets if b.concerns(contract, agent, automation))
            self._concerning[key] = found
        return found


@dataclass(frozen=True, slots=True)
class Request:
    """An action at a place in a run, with its arguments decoded once for judging.

    `rules` (of the set `ruleset`) are those that permitted a read without a price, once it is judged.
    `asking` where people were asked for it; `changers` are those who changed its arguments; `findings` what
    was found out about it. An inquiry about another action is itself `inquiring`, and may be `acting` for it.
    """

    run: LiveRun
    path: str
    action: Action[Any]
    args: Mapping[str, Any]
    amount: Money | None
    rules: tuple[str, ...] = ()
    ruleset: str = ""
    asking: bool = False
    changers: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    inquiring: bool = False
    attempts_max: int = 0
    """Of what only reads: how often it is tried; 0 is as often as its contract says."""
    acting: Agent | None = None
    origins: Origins = NOWHERE
    """Where its arguments may come from."""
    before: Before | None = None
    """The answer of before that serves, where one does; those with the seqs in `unfit` do not."""
    unfit: frozenset[int] = frozenset()

    @classmethod
    def of(cls, run: LiveRun, path: str, action: Action[Any], **more: Any) -> Request:
        """What is asked for at a place in a run."""
        args = canonical.decode(action.args)
        given = {"origins": run.origins_of(action)} | more
        return cls(run, path, action, args, action.operation.amount(args), **given)

    @property
    def agent(self) -> Agent:
        """Who does it."""
        return self.acting or self.run.automation.agent

    @property
    def worst_usd_micros(self) -> int | None:
        """The most that it can cost; None where nobody knows."""
        return self.action.operation.worst_usd_micros(self.action.args)

    @property
    def caching(self) -> Caching | None:
        """How answers of before may serve it; None where none may."""
        action = self.action
        return action.operation.caching if action.fits is not None and not action.expects else None

    @property
    def resources(self) -> tuple[str, ...]:
        """What it holds while it is under way."""
        operation, caching = self.action.operation, self.caching
        held = operation.resources(self.args)
        if caching is None:
            return held
        return (*held, question_of(operation.name, self.action.digest, self.agent.name, caching))

    def provenance(self) -> dict[str, Any]:
        """For an entry: the thought that called for it, its place in a plan that was asked for, the notes
        that stand in it, and where its arguments may come from."""
        found: dict[str, Any] = {"cause": self.action.cause} if self.action.cause else {}
        found |= self.action.part.body() if self.action.part is not None else {}
        found |= {"notes": self.action.notes} if self.action.notes else {}
        return found | self.origins.to_body()

    @property
    def requesters(self) -> frozenset[str]:
        """Whose request it is; none of them may grant it."""
        agent, sender = self.agent.name, self.run.sender
        return frozenset({agent, sender, *self.changers} - {""})

    @property
    def id(self) -> str:
        """The action's id."""
        return f"{self.run.id}/{self.path}"


class Books(Protocol):
    """What is judged on: facts and the use of budgets."""

    def counted(self, counter: str, subject: str, window: int) -> int:
        """A fact's value."""
        ...

    def used(self, budget: str, window: int) -> tuple[int, int]:
        """A budget's held and spent in a window."""
        ...


def outright(request: Request, force: InForce) -> str:
    """Why it is refused whatever its arguments and the facts are; empty where it is not."""
    agent, name, action = request.agent, request.action.operation.name, request.action
    if agent.may is not None and name not in agent.may:
        return f"the agent {agent.name} may not use {name}"
    for step, operation in action.begins:
        if why := force.rules.bars(agent.name, request.run.automation.name, operation):
            return f"nothing of its plan is done: step {step}: {why}"
    return ""


def barred(request: Request, force: InForce) -> dict[str, str]:
    """Of the operations that an action weighs, those that rules bar, and why."""
    bars, agent, automation = force.rules.bars, request.agent.name, request.run.automation.name
    return {name: why for name in request.action.weighs if (why := bars(agent, automation, name))}


def under_way_of(request: Request, force: InForce) -> tuple[Count, ...]:
    """What an action is counted under for as long as it is under way."""
    agent, name = request.agent.name, request.action.operation.name
    needs = force.rules.under_way(name)
    return tuple((need.counter, need.subject(agent, request.args), 0, 1) for need in needs)


def verdict_of(
    tx: Books | None, request: Request, force: InForce, at_us: int
) -> tuple[Verdict, tuple[Count, ...], dict[str, int]]:
    """Judge on current facts. Returns the verdict, what to count if it starts, and the facts."""
    rules, action, run = force.rules, request.action, request.run
    agent = request.agent.name
    facts: dict[str, int] = {}
    counted: list[Count] = []
    for need in rules.needs(action.operation.name):
        if not need.applies(agent, run.automation.name, request.args):
            facts[need.counter] = 0
            continue
        window = force.calendar.start(need.per, at_us)
        subject = need.subject(agent, request.args)
        facts[need.counter] = tx.counted(need.counter, subject, window) if tx is not None else 0
        if not need.under_way:
            counted.append((need.counter, subject, window, need.weight(request.args)))
    minute, weekday = force.calendar.time_of_day(at_us)
    question = Question(
        agent,
        run.automation.name,
        action.operation.name,
        request.args,
        facts,
        minute,
        weekday,
        request.origins,
    )
    return rules.judge(question), tuple(counted), facts

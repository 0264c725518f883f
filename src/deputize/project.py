"""A user's project, imported: its connectors, agents, automations and rules."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from deputize.agent import Agent
from deputize.automation import Automation
from deputize.budget import wrong_budgets
from deputize.code import code_digest
from deputize.config import Settings, read_settings
from deputize.connector import Connector
from deputize.elsewhere import automation_of, name_of
from deputize.errors import DeputizeError, ProjectError
from deputize.event import EventData
from deputize.memory import with_notes
from deputize.models.line import Line, lines_of
from deputize.operation import Operation
from deputize.person import KEEPER
from deputize.plans.files import ReadPlan, read_plans
from deputize.rules import CedarRules, load_rules, rules_from_text
from deputize.sources import Poll, Schedule, Webhook
from deputize.suggest import did_you_mean
from deputize.thinking import Means, ModelOf

_ROOMS = ("connectors", "agents", "automations")
MODULES_MAX = 1_000


@dataclass(frozen=True)
class Project:
    """What a project's folder holds."""

    settings: Settings
    connectors: Mapping[str, Connector]
    operations: Mapping[str, Operation[..., Any]]
    agents: Mapping[str, Agent]
    automations: Mapping[str, Automation]
    polls: Mapping[str, Poll]
    webhooks: Mapping[str, Webhook]
    schedules: Mapping[str, Schedule]
    rules: CedarRules
    models: Mapping[str, Line]
    modules: tuple[ModuleType, ...]
    plans: tuple[ReadPlan, ...] = ()

    def with_rules(self, texts: Mapping[str, str]) -> Project:
        """The same under the rules of these texts, by file name, checked as those of the folder are. Raises
        `ProjectError` with all that is wrong with them."""
        settings = self.settings
        rules = rules_from_text(
            texts,
            self.operations,
            agents=list(self.agents),
            automations=list(self.automations),
            directory=settings.directory,
            events=_event_types(self.modules, self.automations),
        )
        _check_plans(self.plans, rules, settings.directory.names())
        return replace(self, rules=rules)


def load_project(root: Path, environ: Mapping[str, str] | None = None) -> Project:
    """Import a project. Raises `ProjectError` with every file that does not import, and where."""
    settings = read_settings(root.resolve(), environ)
    modules = _import_rooms(settings.root)
    connectors = _named(modules, Connector, lambda c: c.name)
    models = _models(settings, connectors)
    connectors |= {name: line.connector for name, line in models.items()}
    automations = _named(modules, Automation, lambda a: a.name)
    agents = _named(modules, Agent, lambda a: a.name) | {a.agent.name: a.agent for a in automations.values()}
    agents = {name: _may_think(one, settings) for name, one in agents.items()}
    agents = with_notes(settings.root, agents)
    operations = {name: op for c in connectors.values() for name, op in c.operations.items()}
    plans = read_plans(settings.root, agents, operations)
    for read in plans:
        if read.automation.name in automations:
            raise ProjectError(f"{read.automation.where}: there is an automation of this name already")
        automations[read.automation.name] = read.automation
    for one in agents.values():
        if one.elsewhere and name_of(one.name) in automations:
            raise ProjectError(
                f"the agent {one.name} lives elsewhere: there is an automation {name_of(one.name)}"
            )
        if one.elsewhere:
            automations[name_of(one.name)] = automation_of(one, f"agent {one.name}")
    codes: dict[str, str] = {}
    for operation in operations.values():
        module = operation.function.__module__
        operation.code = codes.get(module) or codes.setdefault(module, code_digest(module, settings.root))
    for name in settings.connectors:
        if name not in connectors:
            raise ProjectError(f"deputize.toml: [connectors.{name}]: there is no connector of this name")
    for name in settings.params:
        if name not in automations:
            raise ProjectError(f"deputize.toml: [params.{name}]: there is no automation of this name")
        try:
            automations[name].check_params(settings.params[name])
        except ProjectError as error:
            raise ProjectError(f"deputize.toml: [params.{name}]: {error}") from None
    for name in settings.directory.keepers:
        if name and name not in automations:
            said = did_you_mean(name, [*automations, "default"])
            raise ProjectError(f"deputize.toml: [keepers] {name}: there is no automation of this name{said}")
    _check_ceilings(settings, agents, automations, operations)
    rules = load_rules(
        settings.root / "rules",
        operations,
        agents=list(agents),
        automations=list(automations),
        directory=settings.directory,
        events=_event_types(modules, automations),
    )
    _check_plans(plans, rules, settings.directory.names())
    means = Means(
        {n: ModelOf(line.operation, tuple(line.settings.fallback)) for n, line in models.items()},
        operations,
    )
    automations = {
        name: replace(one, means=means, agent=agents[one.agent.name]) for name, one in automations.items()
    }
    polls = _named(modules, Poll, lambda p: p.name)
    for poll in polls.values():
        if poll.connector not in connectors:
            raise ProjectError(f"{poll.where}: {poll.name} asks {poll.connector}, which is no connector here")
    return Project(
        settings,
        connectors,
        operations,
        agents,
        automations,
        polls,
        _named(modules, Webhook, lambda w: w.name),
        _named(modules, Schedule, lambda s: s.name),
        rules,
        models,
        tuple(modules),
        tuple(plans),
    )


def _event_types(modules: Iterable[ModuleType], automations: Mapping[str, Automation]) -> set[str]:
    """The types of events that the project knows: those that it answers, and those that it waits for or
    sends."""
    known = {automation.on.event_type for automation in automations.values()}
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, EventData) and value is not EventData:
                known.add(value.event_type)
    return known


def _check_plans(plans: Iterable[ReadPlan], rules: CedarRules, people: Collection[str]) -> None:
    """Raises `ProjectError` with all that is wrong with them."""
    wrong = []
    for read in plans:
        agent, automation = read.automation.agent.name, read.automation.name
        wrong += read.problems(partial(rules.bars, agent, automation), people)
    if wrong:
        raise ProjectError("\n".join(wrong))


def _may_think(agent: Agent, settings: Settings) -> Agent:
    """An agent may ask the model that it was given, and those in its place, whatever else it may."""
    if agent.may is None or agent.model not in settings.models:
        return agent
    names = (agent.model, *settings.models[agent.model].fallback)
    return replace(agent, may=agent.may | {f"{name}.think" for name in names})


def _models(settings: Settings, connectors: Mapping[str, Connector]) -> dict[str, Line]:
    for name in settings.models:
        if name in connectors:
            raise ProjectError(f"deputize.toml: [models.{name}]: there is a connector of this name already")
    return lines_of(settings.models)


def _check_ceilings(
    settings: Settings,
    agents: Mapping[str, Agent],
    automations: Mapping[str, Automation],
    operations: Mapping[str, Operation[..., Any]],
) -> None:
    """Raises `ProjectError` for a ceiling that is on nothing: a slip of the pen must not lift it."""
    budgets = (*settings.budgets, *(b for a in agents.values() for b in a.budgets))
    may = {name: agent.may for name, agent in agents.items()}
    contracts = {name: operation.contract for name, operation in operations.items()}
    people = {KEEPER, *settings.directory.names()}
    wrong = wrong_budgets(budgets, may, automations, contracts, people)
    for agent in agents.values():
        if agent.model and agent.model not in settings.models:
            hint = did_you_mean(agent.model, settings.models)
            wrong.append(f"the agent {agent.name}: there is no model {agent.model!r}{hint}")
    for agent in agents.values():
        for name in sorted((agent.may or frozenset()) - operations.keys()):
            wrong.append(
                f"the agent {agent.name}: may: there is no operation {name!r}{did_you_mean(name, operations)}"
            )
    if wrong:
        raise ProjectError("\n".join(wrong))


def _import_rooms(root: Path) -> list[ModuleType]:
    """Import `agents.py` and every module of `connectors/` and `automations/`, afresh."""
    for name in [n for n in sys.modules if n.partition(".")[0] in _ROOMS]:
        del sys.modules[name]
    if str(root) in sys.path:
        sys.path.remove(str(root))
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    modules, problems = [], []
    for name in _module_names(root):
        try:
            modules.append(importlib.import_module(name))
        except DeputizeError as error:
            problems.append(str(error))
        except Exception as error:  # noqa: BLE001 - a project's modules may raise anything
            problems.append(f"{_where(error, root)}: {type(error).__name__}: {error}")
    if problems:
        raise ProjectError("\n".join(dict.fromkeys(problems)))
    return modules


def _module_names(root: Path) -> list[str]:
    names = []
    for room in _ROOMS:
        if (root / f"{room}.py").is_file():
            names.append(room)
        for path in sorted((root / room).rglob("*.py")) if (root / room).is_dir() else ():
            relative = path.relative_to(root).with_suffix("")
            if not any(part.startswith(("_", ".")) for part in relative.parts):
                names.append(".".join(relative.parts))
    if len(names) > MODULES_MAX:
        raise ProjectError(f"the project has more than {MODULES_MAX:,} modules")
    return names


def _where(error: Exception, root: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename, root)}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename.startswith(str(root))]
    return f"{_short(own[-1].filename, root)}:{own[-1].lineno}" if own else root.name


def _short(filename: str, root: Path) -> str:
    return filename.removeprefix(f"{root}/")


def _named(modules: Iterable[ModuleType], kind: type[Any], name_of: Any) -> dict[str, Any]:
    """Every object of a kind that a module defines, by name. Raises `ProjectError` for two of one name."""
    found: dict[str, Any] = {}
    for module in modules:
        for value in vars(module).values():
            if not isinstance(value, kind):
                continue
            name = name_of(value)
            if found.setdefault(name, value) is not value:
                raise ProjectError(f"{module.__name__}: there are two of the name {name!r} ({kind.__name__})")
    return found

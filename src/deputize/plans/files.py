"""Automations that are plans: `automations/NAME.plan.yaml` (or `.json`), without any Python.

    on: shop.return.requested
    agent: returns-desk
    event: {order_id: text, reason: text or nothing}
    goal: Give the money back for a return
    steps: …

What stands in such a file was written by whoever wrote the project, and is trusted like its code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator

from deputize import canonical
from deputize.agent import Agent
from deputize.approval import Otherwise
from deputize.automation import Automation, NoParams, Outcome, done, gave_up
from deputize.duration import duration_s
from deputize.errors import Expired, ProjectError, Refused
from deputize.event import Event, EventData
from deputize.money import Money
from deputize.operation import Operation
from deputize.plans.checking import World, check
from deputize.plans.plan import Plan
from deputize.plans.planning import Planned
from deputize.suggest import did_you_mean

ENDINGS = (".plan.yaml", ".plan.yml", ".plan.json")
BYTES_MAX = 200_000
DURATION = "^[0-9]{1,6} ?(second|minute|hour|day)s?$"
Name = Annotated[str, Field(min_length=1, max_length=60)]
TYPES: Mapping[str, Any] = {"text": str, "whole number": int, "yes/no": bool, "money": Money}
LIST_OF = "list of "
OPTIONAL = " or nothing"
SCHEMA = "$schema"
"""What JSON files name their schema by, for editors."""


class Approve(BaseModel):
    """Who is asked for the whole plan before anything of it is done: people, roles, groups. They have
    `within` (`2 days`); without a word from them by then it expires, or is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Annotated[list[Name], Field(min_length=1)]
    within: Annotated[str, Field(json_schema_extra={"pattern": DURATION})] = "3 days"
    otherwise: Otherwise = "expire"

    @field_validator("by", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given

    @field_validator("within")
    @classmethod
    def _span(cls, given: str) -> str:
        duration_s(given)
        return given

    def asked(self) -> dict[str, Any]:
        """For `Planned.carry_out`."""
        within = timedelta(seconds=duration_s(self.within))
        return {"ask": self.by, "within": within, "otherwise": self.otherwise}


class PlanFile(Plan):
    """A plan, and what makes an automation of it: the type of event that it answers and its fields (`text`,
    `whole number`, `yes/no`, `money`, `list of …`; with `or nothing` it may be left out), the agent that
    acts, the `key` by which its runs follow each other, and who is asked to `approve` it whole."""

    on: Annotated[str, Field(min_length=1, max_length=200)]
    agent: Annotated[str, Field(min_length=1, max_length=60)]
    event: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")], str] = Field(default_factory=dict)
    key: str | None = None
    approve: Approve | None = None

    @field_validator("approve", mode="before")
    @classmethod
    def _by(cls, given: Any) -> Any:
        return {"by": given} if isinstance(given, str | list) else given

    @property
    def plan(self) -> Plan:
        """The plan alone."""
        return Plan(goal=self.goal, steps=self.steps, end=self.end)


@dataclass(frozen=True)
class ReadPlan:
    """A plan's file, as it was read: the automation that it makes, and what it is checked against."""

    automation: Automation
    plan: Plan
    event: Mapping[str, Any]
    operations: Mapping[str, Operation[..., Any]]
    asks: tuple[str, ...] = ()
    """Who is asked for it whole."""

    def problems(self, bars: Callable[[str], str], people: Collection[str]) -> list[str]:
        """What is wrong with it, each with the file's name. `bars` says why rules bar an
        operation, `people` are the names by which somebody can be asked."""
        world = World(self.event, self.operations, bars)
        wrong = [
            f"approve: deputize.toml has no person, role or group {name!r}{did_you_mean(name, people)}"
            for name in self.asks
            if name not in people
        ]
        return [f"{self.automation.where}: {one}" for one in (*wrong, *check(self.plan, world).problems)]


def read_plans(
    root: Path, agents: Mapping[str, Agent], operations: Mapping[str, Operation[..., Any]]
) -> list[ReadPlan]:
    """Every plan below `automations/`. Raises `ProjectError` with everything that is wrong, a line each."""
    folder = root / "automations"
    found, wrong = [], []
    for path in sorted(folder.rglob("*.plan.*")) if folder.is_dir() else ():
        if not path.name.endswith(ENDINGS) or path.name.startswith((".", "_")):
            continue
        try:
            found.append(_read(path, path.relative_to(root).as_posix(), agents, operations))
        except ProjectError as error:
            wrong.append(str(error))
    if wrong:
        raise ProjectError("\n".join(wrong))
    return found


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of a plan's file, for editors. What it cannot say (of references, and of rules) is for
    `deputize check`."""
    schema = PlanFile.model_json_schema()
    schema["properties"][SCHEMA] = {"type": "string"}
    said = f"^({LIST_OF}){{0,2}}({'|'.join(TYPES)})({OPTIONAL})?$"
    [field] = schema["properties"]["event"]["patternProperties"]
    schema["properties"]["event"] |= {
        "patternProperties": {field: {"type": "string", "pattern": said}},
        "additionalProperties": False,
    }
    name = {"type": "string"}
    several = [name, {"type": "array", "items": name, "minItems": 1}]
    schema["$defs"]["Approve"]["properties"]["by"] = {"anyOf": several}
    schema["properties"]["approve"] = {"anyOf": [*several, {"$ref": "#/$defs/Approve"}]}
    return {SCHEMA: "https://json-schema.org/draft/2020-12/schema", **schema}


def plan_of(path: Path, where: str) -> PlanFile:
    """One file. Raises `ProjectError` for what is no plan, naming the place in it."""
    import yaml

    try:
        data = path.read_bytes()
        if len(data) > BYTES_MAX:
            raise ProjectError(f"{where}: a plan has {BYTES_MAX:,} bytes at most")
        given = canonical.decode(data) if path.suffix == ".json" else yaml.safe_load(data)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ProjectError(f"{where}: it cannot be read: {' '.join(str(error).split())[:300]}") from None
    if isinstance(given, dict) and True in given:
        # YAML takes `on` for a yes.
        given = {"on": given[True], **{name: value for name, value in given.items() if name is not True}}
    if isinstance(given, dict):
        given.pop(SCHEMA, None)
    try:
        return PlanFile.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "the plan"
        known = _known(first["loc"])
        hint = did_you_mean(str(first["loc"][-1]), known) if first["type"] == "extra_forbidden" else ""
        raise ProjectError(f"{where}: {place}: {first['msg']}{hint}") from None


def _known(place: tuple[int | str, ...]) -> list[str]:
    from deputize.plans.plan import Instead, PlanStep

    kind: type[BaseModel] = PlanStep if place[:1] == ("steps",) else PlanFile
    if {"else", "approve"} & set(place[:-1]):
        kind = Instead if place[0] == "steps" else Approve
    return [field.alias or name for name, field in kind.model_fields.items()]


def _read(
    path: Path, where: str, agents: Mapping[str, Agent], operations: Mapping[str, Operation[..., Any]]
) -> ReadPlan:
    given = plan_of(path, where)
    agent = agents.get(given.agent)
    if agent is None:
        hint = did_you_mean(given.agent, agents)
        raise ProjectError(f"{where}: agent: there is no agent {given.agent!r}{hint}")
    name = path.name.partition(".plan.")[0].replace("-", "_")
    if not name.isidentifier():
        raise ProjectError(f"{where}: the name of the file is that of the automation: use a-z, 0-9 and _")
    on = _event_of(given, name, where)
    plan, usable = given.plan, _usable(agent, operations)
    event = on.model_json_schema(mode="serialization")
    checked = check(plan, World(event, usable))
    planned = Planned(plan, checked.conditions, ())
    asked = given.approve.asked() if given.approve is not None else {}

    async def handler(event: Event[Any]) -> Outcome:
        try:
            return done((await planned.carry_out(**asked)).label)
        except (Refused, Expired) as error:
            # People's no to the whole of it is no failure.
            return gave_up("expired" if isinstance(error, Expired) else "refused", reason=error.reason)

    try:
        digest = canonical.digest(canonical.encode(given.model_dump(mode="json", by_alias=True)))[:16]
    except TypeError as error:
        raise ProjectError(f"{where}: it holds a value that JSON cannot: {error}") from None
    automation = Automation(name, on, agent, handler, given.key, NoParams, digest, where)
    asks = tuple(given.approve.by) if given.approve is not None else ()
    return ReadPlan(automation, plan, event, usable, asks)


def _usable(agent: Agent, operations: Mapping[str, Operation[..., Any]]) -> dict[str, Operation[..., Any]]:
    return {name: one for name, one in operations.items() if agent.may is None or name in agent.may}


def _event_of(given: PlanFile, name: str, where: str) -> type[EventData]:
    fields: dict[str, Any] = {}
    for field, said in given.event.items():
        optional = said.endswith(OPTIONAL)
        kind = _type_of(said.removesuffix(OPTIONAL), f"{where}: event.{field}")
        fields[field] = (kind | None, None) if optional else (kind, ...)
    keywords = {"type": given.on}
    try:
        return create_model(f"{name.title()}Event", __base__=EventData, __cls_kwargs__=keywords, **fields)
    except (NameError, TypeError, ValueError) as error:
        raise ProjectError(f"{where}: event: {error}") from None


def _type_of(said: str, where: str) -> Any:
    if said.startswith(LIST_OF) and not said.startswith(3 * LIST_OF):
        return list[_type_of(said.removeprefix(LIST_OF), where)]  # type: ignore[misc]
    if said not in TYPES:
        raise ProjectError(f"{where}: {said!r} is no type; write {', '.join(TYPES)} or list of one of them")
    return TYPES[said]

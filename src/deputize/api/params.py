"""Parameters of automations: what they are, and changing one. A run keeps the values that it started with."""

from __future__ import annotations

import asyncio
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from deputize import canonical
from deputize.api.body import text_of
from deputize.api.here import Here
from deputize.api.problem import Problem, answer
from deputize.api.rewriting import Text
from deputize.api.who import READS, Changer, read_decision
from deputize.automation import Automation
from deputize.config import FILE
from deputize.errors import DeputizeError, ProjectError
from deputize.ledger import SYSTEM
from deputize.money import Money, money_of
from deputize.project import Project
from deputize.rewriting import added, rewritten
from deputize.suggest import did_you_mean
from deputize.system import System

Kind = Literal["number", "decimal", "yes or no", "text", "one of", "money", "other"]
VALUE_CHARS_MAX = 2_000

router = APIRouter(prefix="/v1/automations", dependencies=[READS])


@dataclass(frozen=True)
class Param:
    """A parameter as people see it: `value` and `default` as text, `changed` where it is not the default.

    What is of another `kind` is changed in deputize.toml alone."""

    name: str
    kind: Kind
    value: str
    default: str
    choices: tuple[str, ...] = ()
    about: str = ""

    @property
    def changed(self) -> bool:
        """Whether somebody has set it."""
        return self.value != self.default


@router.post("/{automation}/params")
async def change_param(request: Request, system: Here, person: Changer, automation: str) -> Response:
    """Change a parameter of an automation.

    Each value is text. deputize.toml is rewritten in just that value; runs that begin from then on have it.
    """
    body = await read_decision(request)
    name, was = text_of(body, "name", chars_max=200), text_of(body, "was", default="")
    value = text_of(body, "value", chars_max=VALUE_CHARS_MAX, default="")
    return answer(system, await changed(system, automation, name, value, was, person))


def params_of(system: System, automation: Automation) -> list[Param]:
    """The parameters of an automation, in the order in which its code has them."""
    schema = automation.params_type.model_json_schema()
    given = system.project.settings.params.get(automation.name, {})
    values = automation.params(given).model_dump(mode="json", by_alias=True)
    defaults = _defaults(automation)
    found = []
    for name, node in schema.get("properties", {}).items():
        kind, choices = _kind(node, schema)
        about = str(node.get("description", ""))
        default = _said(defaults.get(name)) if name in defaults else ""
        found.append(Param(name, kind, _said(values.get(name)), default, choices, about))
    return found


async def changed(
    system: System, automation: str, name: str, value: str, was: str, person: str
) -> dict[str, Any]:
    """Change a parameter that was looked at. Raises `Problem`, and 409 where it is another one by now."""
    if len(value) > VALUE_CHARS_MAX:
        raise Problem(422, f"a value may have {VALUE_CHARS_MAX:,} characters: shorten it", field="value")
    # To its end, even where whoever asked for it has gone: file, ledger and memory are to agree.
    work = _change(system, automation, name, value, was, person)
    return await asyncio.shield(asyncio.ensure_future(work))


async def _change(
    system: System, automation: str, name: str, value: str, was: str, person: str
) -> dict[str, Any]:
    async with system.changing:
        found, param = _find(system, automation, name)
        if param.value != was:
            raise Problem(409, _meanwhile(system, param, automation))
        project, file, text = await asyncio.to_thread(_checked, system.project, found, param, value)
        now = next(_said(v) for k, v in _values(project, found).items() if k == name)
        change = {"automation": automation, "name": name, "was": param.value, "now": now}
        written = await asyncio.to_thread(file.replaced, text)
        try:
            await system.change_params(project, change, person)
        except DeputizeError:
            await asyncio.to_thread(written.replaced, file.text)
            raise
    return change | {"said": f"{now} instead of {param.value}"}


def _find(system: System, automation: str, name: str) -> tuple[Automation, Param]:
    known = system.project.automations
    if automation not in known:
        raise Problem(404, f"there is no automation {automation[:200]!r}{did_you_mean(automation, known)}")
    params = {one.name: one for one in params_of(system, known[automation])}
    if name not in params:
        said = did_you_mean(name, params) if params else "; it has none"
        raise Problem(404, f"{automation} has no parameter {name[:200]!r}{said}")
    if params[name].kind == "other":
        raise Problem(422, f"{name} is changed in {FILE} alone: it is not one plain value", field="name")
    return known[automation], params[name]


def _checked(project: Project, automation: Automation, param: Param, value: str) -> tuple[Project, Text, str]:
    """The project with another value, and the file with it. Raises `Problem`."""
    settings, name = project.settings, automation.name
    read = _read(param, value)
    given = dict(settings.params.get(name, {})) | {param.name: read}
    try:
        automation.check_params(given)
    except ProjectError as error:
        raise Problem(422, str(error).removeprefix(f"{name}: "), field="value") from None
    file = Text.read(settings.root / FILE)
    try:
        on_disk = tomllib.loads(file.text).get("params", {}).get(name, {})
    except (tomllib.TOMLDecodeError, AttributeError):
        on_disk = None
    if on_disk != settings.params.get(name, {}):
        raise Problem(
            409,
            f"[params.{name}] in {FILE} is not what runs here: somebody changed it on disk, and that counts "
            "from the next start on. Start `deputize up` again first; nothing was changed here",
        )
    try:
        if param.name in on_disk:
            lines = (1, file.text.count("\n") + 2)
            text = rewritten(file.text, ("params", name, param.name), read, lines)
        else:
            text = added(file.text, ("params", name), param.name, read)
    except ValueError as error:
        raise Problem(422, f"{FILE}: {error}", field="value") from None
    if text == file.text:
        raise Problem(422, f"it is {param.value} already", field="value")
    params = {**settings.params, name: given}
    return replace(project, settings=replace(settings, params=params)), file, text


def _read(param: Param, text: str) -> str | int | float | bool:
    """A value as the file has it. Raises `Problem` 422."""
    plain = text.strip()
    try:
        match param.kind:
            case "number":
                whole = int(plain.replace(",", ""))
                if abs(whole) >= 2**63:
                    raise ValueError
                return whole
            case "decimal":
                number = float(plain)
                if not math.isfinite(number):
                    raise ValueError
                return number
            case "yes or no":
                return {"yes": True, "no": False}[plain]
            case "one of":
                if plain not in param.choices:
                    raise Problem(422, f"choose one of {', '.join(param.choices)}", field="value")
                return plain
            case "money":
                return str(Money.parse(plain))
            case _:
                return text.replace("\r\n", "\n")
    except KeyError:
        raise Problem(422, "choose yes or no", field="value") from None
    except ValueError as error:
        said = {"number": "is no whole number", "decimal": "is no number"}.get(param.kind)
        raise Problem(422, f"{plain[:40]!r} {said}" if said else str(error), field="value") from None


def _kind(node: Mapping[str, Any], whole: Mapping[str, Any]) -> tuple[Kind, tuple[str, ...]]:
    reference = node.get("$ref")
    if isinstance(reference, str):
        node = whole.get("$defs", {}).get(reference.rpartition("/")[2], {})
    if node.get("title") == "Money":
        return "money", ()
    choices = node.get("enum", [node["const"]] if "const" in node else None)
    if choices is not None:
        texts = tuple(one for one in choices if isinstance(one, str))
        return ("one of", texts) if len(texts) == len(choices) else ("other", ())
    kinds: dict[str, Kind] = {
        "string": "text",
        "integer": "number",
        "number": "decimal",
        "boolean": "yes or no",
    }
    return kinds.get(str(node.get("type")), "other"), ()


def _values(project: Project, automation: Automation) -> dict[str, Any]:
    given = project.settings.params.get(automation.name, {})
    return automation.params(given).model_dump(mode="json", by_alias=True)


def _defaults(automation: Automation) -> dict[str, Any]:
    """What parameters are where nobody says anything; empty where one has to be given."""
    try:
        return automation.params({}).model_dump(mode="json", by_alias=True)
    except ProjectError:
        return {}


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if (money := money_of(value)) is not None:
        return str(money)
    return value if isinstance(value, str) else canonical.encode(value).decode()


def _meanwhile(system: System, param: Param, automation: str) -> str:
    """Who changed it since somebody looked at it."""
    entries = system.store.read(lambda view: view.entries_of(SYSTEM, "params"))
    bodies = (entry.body for entry in reversed(entries) if entry.body)
    last = next((one for one in bodies if (one["automation"], one["name"]) == (automation, param.name)), None)
    who = last["by"]["person"] if last is not None else "somebody"
    return f"in the meantime {who} changed it to {param.value}, so yours was not taken: look at it again"

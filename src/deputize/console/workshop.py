"""The workshop: automations and their parameters, agents, connections and people."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from deputize.api.params import Kind, changed
from deputize.api.problem import Problem, of_error
from deputize.api.workshop import workshop_of
from deputize.console.fields import LINE_CHARS_MAX, Field
from deputize.console.fields import Kind as FieldKind
from deputize.console.page import Page, get, post
from deputize.errors import DeputizeError

DAYS = 7

_FIELDS: dict[Kind, FieldKind] = {
    "number": "number",
    "decimal": "line",
    "yes or no": "yes or no",
    "one of": "one of",
    "money": "money",
    "text": "line",
}


async def workshop(page: Page) -> Response:
    """Everything that works here."""
    return await _shown(page)


async def put(page: Page) -> Response:
    """A parameter is changed."""
    automation, name = page.form.get("automation", ""), page.form.get("name", "")
    value, was = page.form.get("value", ""), page.form.get("was", "").replace("\r\n", "\n")
    try:
        await changed(page.system, automation, name, value, was, page.speaker.name)
    except (Problem, DeputizeError) as error:
        return await _shown(page, error if isinstance(error, Problem) else of_error(error))
    return page.go(f"/workshop?of={quote(automation, safe='')}&changed={quote(name, safe='')}")


async def _shown(page: Page, problem: Problem | None = None) -> Response:
    told = await asyncio.to_thread(workshop_of, page.system, DAYS)
    return page.shown(
        "workshop.html",
        200 if problem is None else problem.status,
        told=told,
        field=_field,
        has=_has,
        problem=problem,
        form=page.form,
        changed=_changed(told, page.query("of"), page.query("changed")),
    )


def _changed(told: Mapping[str, Any], automation: str, name: str) -> str:
    """What was changed, as it is now; empty for what there is not."""
    params = next((one["params"] for one in told["automations"] if one["name"] == automation), ())
    value = next((param["value"] for param in params if param["name"] == name), None)
    return "" if value is None else f"{name} of {automation} is {value}"


def _field(param: Mapping[str, Any]) -> Field | None:
    """The form's field for a parameter; None for one that has none."""
    kind = _FIELDS.get(param["kind"])
    if kind is None:
        return None
    long = len(param["value"]) > LINE_CHARS_MAX or "\n" in param["value"]
    kind = "text" if kind == "line" and long else kind
    return Field("value", param["name"], kind, param["value"], tuple(param["choices"]))


def _has(rows: Iterable[Mapping[str, Any]], name: str) -> bool:
    """Whether any row has something in a column: one without a source is left out."""
    return any(row[name] for row in rows)


ROUTES = [get("/workshop", workshop), post("/workshop/params", put, "change")]

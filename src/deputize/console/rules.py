"""Rules and limits: what may be done, what each rule decided lately, and how much of each budget is left."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from deputize.api.books import budgets_of, rules_of
from deputize.api.problem import Problem, of_error
from deputize.api.ruling import changed, decisions_of, find_number, preview_of
from deputize.api.who import allow
from deputize.console.page import Page, get, post
from deputize.errors import DeputizeError

TIERS = {
    "": ("good", "Allows"),
    "hard": ("bad", "Never"),
    "approval": ("warn", "Asks people"),
    "rehearse": ("warn", "Tries it first"),
    "verify": ("warn", "Looks first"),
    "wait": ("", "Waits its turn"),
}
"""What a rule does, in words, and how its label looks."""

OPERATIONS_SHOWN = 4
VALUE_CHARS_MAX = 100


async def rules(page: Page) -> Response:
    """Budgets, then rules by what they are about."""
    told, lately = rules_of(page.system), decisions_of(page.system)
    names = {rule["id"]: rule["title"] for rule in told["rules"]}
    return page.shown(
        "rules.html",
        budgets=budgets_of(page.system),
        groups=grouped(told["rules"]),
        lately=lately["rules"],
        looked_at=lately["looked_at"],
        last=told["changed"],
        tiers=TIERS,
        changed=names.get(page.query("changed"), ""),
        waits=names.get(page.query("waits"), ""),
        now_is=_now(told["rules"], page.query("changed"), page.query("place")),
        link=change_link,
    )


def _now(rules: list[dict[str, Any]], rule: str, place: str) -> str:
    """What a number says now; empty for one that there is not."""
    numbers = next((one["numbers"] for one in rules if one["id"] == rule), ())
    return next((str(one["value"]) for one in numbers if one["place"] == place), "")


def grouped(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules by the operations that they are about: those about the same ones together."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for rule in rules:
        groups.setdefault(tuple(rule["operations"]), []).append(rule)
    return [
        {
            "operations": names[:OPERATIONS_SHOWN],
            "more": max(len(names) - OPERATIONS_SHOWN, 0),
            "rules": found,
        }
        for names, found in sorted(groups.items())
    ]


def change_link(rule: str, place: str) -> str:
    """Where a number is changed."""
    return f"/rules/change?rule={quote(rule, safe='')}&place={quote(place, safe='')}"


async def change(page: Page) -> Response:
    """The form for one number; once another is written into it, what that would have done."""
    rule, place, value = page.query("rule"), page.query("place"), page.query("value")
    find_number(page.system, rule, place)
    if not value.strip():
        return _form(page, rule, place, value)
    allow(page.system, page.speaker, "decide")
    if len(value) > VALUE_CHARS_MAX:
        raise Problem(422, f"a number may have {VALUE_CHARS_MAX} characters", field="value")
    try:
        return _form(page, rule, place, value, preview=await preview_of(page.system, rule, place, value))
    except (Problem, DeputizeError) as error:
        return _form(page, rule, place, value, problem=_problem(error))


async def put(page: Page) -> Response:
    """The number is changed, as it was previewed."""
    rule, place = page.form.get("rule", ""), page.form.get("place", "")
    value, seen = page.form.get("value", ""), page.form.get("ruleset", "")
    find_number(page.system, rule, place)
    try:
        told = await changed(page.system, rule, place, value, seen, page.speaker.name)
    except (Problem, DeputizeError) as error:
        return _form(page, rule, place, value, problem=_problem(error))
    done = "waits" if told["waits"] else "changed"
    return page.go(f"/rules?{done}={quote(rule, safe='')}&place={quote(place, safe='')}")


def _problem(error: Problem | DeputizeError) -> Problem:
    return error if isinstance(error, Problem) else of_error(error)


def _form(
    page: Page,
    rule: str,
    place: str,
    value: str,
    *,
    preview: dict[str, Any] | None = None,
    problem: Problem | None = None,
) -> Response:
    loaded, number = find_number(page.system, rule, place)
    return page.shown(
        "rule_change.html",
        200 if problem is None else problem.status,
        rule=loaded,
        number=number,
        value=value or number.value,
        preview=preview,
        problem=problem,
        came=CAME,
        asks=page.system.project.settings.rules_ask,
        named=any(character.isdigit() for character in loaded.rule.title),
    )


CAME = {
    "allowed": "goes on",
    "checked": "is looked into first",
    "asked": "waits for a person",
    "refused": "is stopped",
}

ROUTES = [get("/rules", rules), get("/rules/change", change), post("/rules/change", put, "change")]

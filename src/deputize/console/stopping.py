"""Pause all, and going on: nothing new starts meanwhile, and nothing is lost."""

from __future__ import annotations

from starlette.responses import Response

from deputize.api.problem import Problem
from deputize.api.who import allow
from deputize.console.page import Page, post
from deputize.kernel.stops import ALL

REASON_CHARS_MAX = 200


async def stop(page: Page) -> Response:
    """Nothing new starts anywhere."""
    reason = page.form.get("reason", "").strip()
    if len(reason) > REASON_CHARS_MAX:
        raise Problem(422, f"a reason may have {REASON_CHARS_MAX} characters", field="reason")
    await page.system.kernel.people.stop(ALL, reason, _person(page))
    return page.go("/")


async def lift(page: Page) -> Response:
    """What was stopped goes on."""
    scope = page.form.get("scope", "")
    if scope in page.system.kernel.parts.stops.scopes:
        await page.system.kernel.people.lift(scope, _person(page))
    return page.go("/")


def _person(page: Page) -> str:
    if page.speaker.person is None:
        raise Problem(403, "only a person may stop what runs, or let it go on: log in first")
    allow(page.system, page.speaker, "operate")
    return page.speaker.name


ROUTES = [post("/stop", stop), post("/go-on", lift)]

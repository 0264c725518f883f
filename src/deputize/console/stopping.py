"""Pause all, and going on: nothing new starts meanwhile, and nothing is lost."""

from __future__ import annotations

from starlette.responses import Response

from deputize.api.problem import Problem
from deputize.console.page import Page, post
from deputize.kernel.stops import ALL

REASON_CHARS_MAX = 200


async def stop(page: Page) -> Response:
    """Nothing new starts anywhere."""
    reason = page.form.get("reason", "").strip()
    if len(reason) > REASON_CHARS_MAX:
        raise Problem(422, f"a reason may have {REASON_CHARS_MAX} characters", field="reason")
    await page.system.kernel.people.stop(ALL, reason, page.speaker.name)
    return page.go("/")


async def lift(page: Page) -> Response:
    """What was stopped goes on."""
    scope = page.form.get("scope", "")
    if scope in page.system.kernel.parts.stops.scopes:
        await page.system.kernel.people.lift(scope, page.speaker.name)
    return page.go("/")


ROUTES = [post("/stop", stop, "operate"), post("/go-on", lift, "operate")]

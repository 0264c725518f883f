"""The pages of one system, put into its app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deputize import canonical
from deputize.api.problem import Problem
from deputize.api.who import NOBODY
from deputize.console import (
    cards,
    costs,
    entering,
    files,
    history,
    inbox,
    live,
    rules,
    runs,
    stopping,
    today,
    workshop,
)
from deputize.console.page import Page
from deputize.errors import DeputizeError
from deputize.system import System

_ROOMS = (entering, today, inbox, cards, runs, history, rules, workshop, costs, stopping, live, files)

Explain = Callable[[Request, Exception], Awaitable[Response]]


def add_pages(app: FastAPI, system: System) -> None:
    """Put the pages into the app, and show its errors as pages to whoever asks for one."""
    app.state.live = live.Live(system, app.state.readiness)
    for room in _ROOMS:
        app.router.routes.extend(room.ROUTES)
    for kind in (DeputizeError, Problem, HTTPException, Exception):
        app.add_exception_handler(kind, _as_page(system, cast("Explain", app.exception_handlers[kind])))


def _as_page(system: System, explain: Explain) -> Explain:
    async def explained(request: Request, error: Exception) -> Response:
        answer = await explain(request, error)
        path = request.url.path
        if path.startswith(("/v1/", "/static/")) or "text/html" not in request.headers.get("accept", ""):
            return answer
        problem = canonical.decode(bytes(answer.body))
        page = Page(request, system, getattr(request.state, "speaker", NOBODY))
        shown = page.shown("problem.html", answer.status_code, problem=problem)
        for name in ("retry-after", "set-cookie"):
            if name in answer.headers:
                shown.headers[name] = answer.headers[name]
        return shown

    return explained

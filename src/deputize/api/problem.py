"""Answers: JSON without secrets, and errors as problem details (RFC 9457) that say what to do."""

from __future__ import annotations

import http
from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from deputize import canonical
from deputize.api.log import complain
from deputize.entering.entrance import NotLetIn, TooManyTries
from deputize.entering.links import LinkOver
from deputize.entering.passwords import BadPassword, TooBusy
from deputize.errors import BadEvent, DeputizeError, ProjectError, StoreError, StoreFull, StoreLost
from deputize.kernel.intake import Overloaded
from deputize.kernel.people import NotAnswerable
from deputize.system import System

RETRY_SOON_S = 1
RETRY_FULL_S = 5

_STATUS: tuple[tuple[type[DeputizeError], int, int], ...] = (
    (BadEvent, 400, 0),
    (Overloaded, 429, RETRY_SOON_S),
    (StoreFull, 503, RETRY_FULL_S),
    (StoreLost, 503, RETRY_FULL_S),
    (NotAnswerable, 409, 0),
    (NotLetIn, 401, 0),
    (LinkOver, 410, 0),
    (BadPassword, 422, 0),
    (TooBusy, 429, RETRY_SOON_S),
    (StoreError, 409, 0),
    (ProjectError, 400, 0),
)


class Problem(Exception):
    """An answer that is not a success. `detail` says what is wrong and what to do."""

    def __init__(self, status: int, detail: str, *, retry_after_s: int = 0, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.more = more


def answer(system: System, value: Any, status: int = 200) -> Response:
    """A value as JSON, with every secret taken out."""
    body = system.secrets.scrub(canonical.encode(value))
    return Response(body, status, media_type="application/json")


def problem(system: System, error: Problem) -> Response:
    """An error as problem details."""
    title = http.HTTPStatus(error.status).phrase
    body = {"type": "about:blank", "title": title, "status": error.status, "detail": error.detail}
    text = system.secrets.scrub(canonical.encode(body | error.more))
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(text, error.status, headers, media_type="application/problem+json")


def of_error(error: DeputizeError) -> Problem:
    """What one of our errors is over HTTP."""
    if isinstance(error, TooManyTries):
        return Problem(429, str(error), retry_after_s=error.wait_s)
    for kind, status, retry_after_s in _STATUS:
        if isinstance(error, kind):
            return Problem(status, str(error), retry_after_s=retry_after_s)
    return Problem(400, str(error))


def explain_errors(app: FastAPI, system: System) -> None:
    """Make every error of the app a problem."""

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, DeputizeError)
        return problem(system, of_error(error))

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return problem(system, error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return problem(system, Problem(422, f"{place}: {first['msg']}", field=place))

    async def plain(request: Request, error: Exception) -> Response:
        # Of a path or a method that there is not.
        assert isinstance(error, HTTPException)
        detail = {
            404: f"there is nothing at {request.url.path}; GET /openapi.json lists what there is",
            405: f"{request.url.path} does not take {request.method}; GET /openapi.json lists what there is",
        }.get(error.status_code, str(error.detail))
        found = problem(system, Problem(error.status_code, detail))
        if error.status_code == 405:
            taken = sorted(taken_by(app.state.routers, request.scope))
            found.headers["Allow"] = ", ".join(taken) or (error.headers or {}).get("Allow", "")
        return found

    async def unforeseen(request: Request, error: Exception) -> Response:
        complain(system, "a request failed by an error of ours", path=request.url.path, error=error)
        return problem(system, Problem(500, "an error of ours, not of yours; the process's log has it"))

    app.add_exception_handler(DeputizeError, known)
    app.add_exception_handler(Problem, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(Exception, unforeseen)


def taken_by(routers: Iterable[APIRouter], scope: Scope) -> set[str]:
    """The methods that a path takes: each has a route of its own."""
    routes = [route for router in routers for route in router.routes]
    return {
        method
        for route in routes
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE
        for method in route.methods or ()
    }

"""The app: its routers, its door and its errors."""

from __future__ import annotations

from fastapi import FastAPI

from deputize.api import (
    books,
    costs,
    events,
    figures,
    health,
    inbox,
    ledger,
    metrics,
    moving,
    notify,
    params,
    people,
    ruling,
    runs,
    stops,
    today,
    webhooks,
    why,
    workshop,
)
from deputize.api.guard import Guard
from deputize.api.here import Readiness
from deputize.api.problem import explain_errors
from deputize.system import System

_ROUTES = (
    health,
    metrics,
    events,
    webhooks,
    runs,
    why,
    inbox,
    notify,
    stops,
    people,
    books,
    ruling,
    params,
    workshop,
    costs,
    figures,
    today,
    ledger,
    moving,
)


def build_app(system: System, readiness: Readiness, *, operator: str, token: str | None = None) -> FastAPI:
    """The API of one system; see `Guard` for `operator` and `token`."""
    app = FastAPI(title="Deputize", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.state.system = system
    app.state.readiness = readiness
    app.state.scrape = metrics.Scrape()
    for module in _ROUTES:
        app.include_router(module.router)
    explain_errors(app, system)
    app.add_middleware(Guard, system=system, readiness=readiness, operator=operator, token=token)
    return app

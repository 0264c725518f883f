"""The app: its routers, its door and its errors."""

from __future__ import annotations

from fastapi import FastAPI

from deputize.api import (
    agents,
    books,
    costs,
    describing,
    events,
    figures,
    health,
    history,
    inbox,
    ledger,
    mcp,
    metrics,
    moving,
    notify,
    params,
    people,
    rehearsing,
    ruling,
    runs,
    session,
    stops,
    story,
    stream,
    today,
    webhooks,
    why,
    workshop,
)
from deputize.api.calling import Calls
from deputize.api.exporting import Exports
from deputize.api.feed import Feed
from deputize.api.guard import Guard
from deputize.api.here import Readiness
from deputize.api.once import CarriedOutOnce
from deputize.api.problem import explain_errors
from deputize.api.unchanged import Unchanged
from deputize.api.who import NeedsLogin
from deputize.system import System

ROUTES = (
    describing,
    health,
    metrics,
    events,
    webhooks,
    runs,
    stream,
    story,
    rehearsing,
    why,
    history,
    inbox,
    notify,
    stops,
    people,
    session,
    books,
    ruling,
    params,
    workshop,
    costs,
    figures,
    today,
    ledger,
    moving,
    agents,
    mcp,
)


def build_app(system: System, readiness: Readiness, *, operator: str, token: str | None = None) -> FastAPI:
    """The API of one system; see `Guard` for `operator` and `token`."""
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.system = system
    app.state.readiness = readiness
    app.state.scrape = metrics.Scrape()
    app.state.feed = Feed(system, readiness.stopping)
    app.state.routers = [module.router for module in ROUTES]
    app.state.exports = Exports()
    app.state.rehearsals = rehearsing.Rehearsals()
    app.state.calls = Calls(system, readiness.stopping)
    app.state.mcp = mcp.Door(system, app.state.calls, readiness.stopping)
    for module in ROUTES:
        app.include_router(module.router)
    explain_errors(app, system)
    app.add_exception_handler(NeedsLogin, session.to_login)
    # The last to be added is the first to see a request.
    app.add_middleware(Unchanged)
    app.add_middleware(CarriedOutOnce, system=system, routers=app.state.routers)
    app.add_middleware(Guard, system=system, readiness=readiness, operator=operator, token=token)
    return app

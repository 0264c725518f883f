"""Today: the first page."""

from __future__ import annotations

from starlette.responses import Response

from deputize.api.today import today_of
from deputize.console.cards import lines_of
from deputize.console.page import Page, get

CARDS_SHOWN = 5


async def today(page: Page) -> Response:
    """One sentence, what needs people, what is out of the ordinary, what comes next, and outcomes."""
    told = today_of(page.system)
    cards = page.system.store.read(lambda view: view.cards(limit=CARDS_SHOWN))
    return page.shown("today.html", today=told, cards=lines_of(cards))


ROUTES = [get("/", today)]

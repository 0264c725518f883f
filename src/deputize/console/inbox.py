"""The inbox: everything that waits for people, oldest first, a page at a time."""

from __future__ import annotations

from starlette.responses import Response

from deputize.console.cards import lines_of, said_of
from deputize.console.page import Page, get

CARDS_A_PAGE = 40


async def inbox(page: Page) -> Response:
    """The list; the oldest card is a click, or `Enter`, away."""
    after = page.number("after")
    cards = page.system.store.read(lambda view: view.cards(after=after, limit=CARDS_A_PAGE + 1))
    more, cards = len(cards) > CARDS_A_PAGE, cards[:CARDS_A_PAGE]
    unfinished = [one.shown() for one in page.system.kernel.unfinished()]
    return page.shown(
        "inbox.html",
        cards=lines_of(cards),
        after=after,
        following=cards[-1].seq if more else None,
        unfinished=unfinished,
        said=said_of(page),
    )


ROUTES = [get("/inbox", inbox)]

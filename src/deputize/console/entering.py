"""Coming in and leaving: the log-in, a first link, and the password once more."""

from __future__ import annotations

from starlette.responses import Response

from deputize.api.cookies import clear_session, set_session
from deputize.api.problem import Problem, of_error
from deputize.api.session import before_of, leave, place_of
from deputize.api.who import way_back
from deputize.console.page import Page, get, post
from deputize.entering.entrance import Opened
from deputize.errors import DeputizeError
from deputize.session import LOCAL


async def log_in(page: Page) -> Response:
    """The form; whoever is in already goes on."""
    back = way_back(page.query("next", "/"))
    if page.speaker.person is not None:
        return page.go(back)
    return page.shown("login.html", back=back, problem=None)


async def logged_in(page: Page) -> Response:
    """Name and password."""
    back = way_back(page.form.get("next", "/"))
    name, password = page.form.get("name", "").strip(), page.form.get("password", "")
    try:
        opened = await page.system.entrance.open(
            name, password, place=place_of(page.request), before=before_of(page.request)
        )
    except DeputizeError as error:
        problem = of_error(error)
        return page.shown("login.html", problem.status, back=back, problem=problem)
    return _opened(page, opened, back)


async def first(page: Page) -> Response:
    """What a one-time link opens: a form for a new password, or for this machine's owner a button."""
    key = page.query("key")
    return page.shown("first.html", person=page.system.entrance.look(key), problem=None)


async def first_used(page: Page) -> Response:
    """The link is used up: a password is set, and a session begins."""
    key, password = page.query("key"), page.form.get("password", "")
    person = page.system.entrance.look(key)
    try:
        if person != LOCAL and password != page.form.get("again"):
            raise Problem(422, "the two are not the same: write the new password twice", field="again")
        opened = await page.system.entrance.use(key, password, before=before_of(page.request))
    except (Problem, DeputizeError) as error:
        problem = error if isinstance(error, Problem) else of_error(error)
        return page.shown("first.html", problem.status, person=person, problem=problem)
    return _opened(page, opened, "/")


async def log_out(page: Page) -> Response:
    """The session ends, and the browser forgets it."""
    await leave(page.request, page.system)
    response = page.go("/login")
    clear_session(response, page.request)
    return response


def _opened(page: Page, opened: Opened, back: str) -> Response:
    response = page.go(back)
    set_session(response, opened.cookie, page.request)
    return response


ROUTES = [
    get("/login", log_in, None),
    post("/login", logged_in, None),
    get("/first", first, None),
    post("/first", first_used, None),
    post("/logout", log_out, None),
]

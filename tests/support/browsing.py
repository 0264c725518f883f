"""People in browsers: clients with a cookie jar of their own that say where their requests come from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from deputize.api.cookies import COOKIE
from tests.support.running import WAIT_S
from tests.support.serving import Served

PASSWORD = "three words and one"
SAME = {"sec-fetch-site": "same-origin"}


@asynccontextmanager
async def browser(served: Served, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser on a page of ours, where nobody has come in yet."""
    async with httpx2.AsyncClient(
        base_url=served.http.base_url, headers=SAME | headers, timeout=WAIT_S, trust_env=False
    ) as http:
        yield http


def key_of(served: Served, name: str = "maya") -> str:
    """The key of a new one-time link."""
    return str(served.app.system.entrance.link(name)).partition("=")[2]


async def come_in(
    served: Served, http: httpx2.AsyncClient, name: str = "maya", password: str = PASSWORD
) -> dict[str, Any]:
    """Set a person's password by a one-time link; the browser is logged in."""
    body = {"key": key_of(served, name), "password": password}
    answer = await http.post("/v1/session/first", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def log_in(http: httpx2.AsyncClient, name: str = "maya", password: str = PASSWORD) -> httpx2.Response:
    return await http.post("/v1/session", json={"name": name, "password": password})


async def speaks(http: httpx2.AsyncClient) -> Any:
    """Whom a browser speaks for: a person's name, another kind of speaker, or the status of a no."""
    answer = await http.get("/v1/me")
    if answer.status_code != 200:
        return answer.status_code
    me = answer.json()
    return me["person"]["name"] if me["person"] is not None else me["kind"]


def cookie_of(http: httpx2.AsyncClient) -> str:
    return str(http.cookies.get(COOKIE) or "")

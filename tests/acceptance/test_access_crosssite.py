"""Browsers: other people's pages change nothing here, and every answer says what a page of ours may do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from deputize.api.app import build_app
from deputize.api.cookies import COOKIE
from deputize.api.here import Readiness
from deputize.api.strict import HEADERS, POLICY, strictly
from deputize.api.who import VISITS, Visitor, way_back
from tests.support.browsing import PASSWORD, browser, come_in, cookie_of, log_in
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.serving import PEOPLE, SERVER, cloudevent, serving

CODE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    return done()
"""


def project(tmp_path: Path, desk: Desk, toml: str = SERVER + PEOPLE) -> Path:
    return write_project(tmp_path, desk.base, CODE, toml=toml)


OWN, HTTPS, EVIL = "http://{host}", "https://{host}", "https://evil.example"


@pytest.mark.parametrize(
    ("headers", "let"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "Same-Origin, cross-site"}, False),
        ({"sec-fetch-site": ""}, False),
        ({"sec-fetch-site": "cross-site", "origin": OWN}, False),
        ({"sec-fetch-site": "same-origin", "origin": EVIL}, False),
        ({"origin": OWN}, True),
        ({"origin": HTTPS}, True),
        ({"origin": EVIL}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://127.0.0.1:1"}, False),
        ({"origin": OWN + ".evil.example"}, False),
        ({"origin": EVIL, "referer": OWN + "/inbox"}, False),
        ({"referer": OWN + "/inbox"}, True),
        ({"referer": EVIL + "/?{host}"}, False),
        ({"referer": "http://{host}@evil.example/"}, False),
        ({"referer": "http://[::1"}, False),
        ({}, False),
    ],
)
async def test_a_change_by_a_session_comes_from_a_page_of_ours(
    tmp_path: Path, desk: Desk, headers: dict[str, str], let: bool
) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        await come_in(served, http)
        host = urlsplit(str(served.http.base_url)).netloc
        sent = {name: value.format(host=host) for name, value in headers.items()}
        cookie = {"cookie": f"{COOKIE}={cookie_of(http)}"}
        answer = await served.http.post("/v1/stops", json={"scope": "all"}, headers=sent | cookie)
        assert answer.status_code == (200 if let else 403), answer.text
        assert (served.app.kernel.parts.stops.scopes != {}) == let
        assert (await served.http.get("/v1/runs", headers=sent | cookie)).status_code == 200


async def test_nobody_is_logged_in_or_out_by_another_page(tmp_path: Path, desk: Desk) -> None:
    foreign = {"sec-fetch-site": "cross-site", "origin": EVIL}
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        await come_in(served, http)
        body = {"name": "maya", "password": PASSWORD}
        forged = await served.http.post("/v1/session", json=body, headers=foreign)
        assert forged.status_code == 403 and "set-cookie" not in forged.headers
        cookie = {"cookie": f"{COOKIE}={cookie_of(http)}"}
        assert (await served.http.delete("/v1/session", headers=foreign | cookie)).status_code == 403
        assert (await http.get("/v1/me")).json()["person"]["name"] == "maya"
        # A page elsewhere sends no events either, though they need nobody.
        sent = await served.http.post("/v1/events", json=cloudevent("1"), headers=foreign)
        assert sent.status_code == 403
        # Programs send neither, and have no cookie.
        assert (await served.http.post("/v1/session", json=body)).status_code == 200


async def test_a_page_of_the_consoles_own_address_is_one_of_ours(tmp_path: Path, desk: Desk) -> None:
    """A proxy in front may tell us another host than the browser's."""
    notify = '[notify]\nsmtp = {host = "127.0.0.1", port = 1, from = "a@b.example", tls = false}\n'
    notify += 'console = "https://deputize.shop.example"\n'
    async with serving(project(tmp_path, desk, SERVER + notify + PEOPLE)) as served:
        for origin, status in (("https://deputize.shop.example", 200), ("https://shop.example", 403)):
            async with browser(served, origin=origin) as http:
                body = {"key": str(served.app.system.entrance.link("maya")).partition("=")[2]}
                answer = await http.post("/v1/session/first", json=body | {"password": PASSWORD})
                assert answer.status_code == status


async def test_every_answer_has_the_strict_headers(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as http:
        await come_in(served, http)
        for answer in (
            await http.get("/healthz"),
            await http.get("/v1/runs"),
            await http.get("/metrics"),
            await http.get("/openapi.json"),
            await http.get("/nothing"),
            await http.put("/v1/runs"),
            await http.post("/v1/events", content=b"x"),
            await http.post("/v1/webhooks/none", content=b"x"),
            await http.get("/v1/runs", headers={"authorization": "Bearer x"}),
            await http.get("/v1/runs", headers={"host": "evil.example"}),
            await log_in(http, password="not the password"),
            await http.delete("/v1/session"),
        ):
            for name, value in HEADERS:
                assert answer.headers.get_list(name.decode()) == [value.decode()], answer.request.url
    assert "unsafe" not in POLICY and "*" not in POLICY and "http" not in POLICY


async def test_pages_are_kept_by_nobody_and_files_as_they_say() -> None:
    async def headers_of(*own: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        sent: list[object] = []

        async def send(message: object) -> None:
            sent.append(message)

        await strictly(send)({"type": "http.response.start", "status": 200, "headers": list(own)})
        return [pair for pair in sent[0]["headers"] if pair[0] == b"cache-control"]  # type: ignore[index]

    page, kept = (b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"max-age=60")
    assert await headers_of(page) == [(b"cache-control", b"no-store")]
    assert await headers_of(page, kept) == [kept]
    assert await headers_of((b"content-type", b"application/json")) == []
    assert await headers_of((b"content-type", b"text/css"), kept) == [kept]


async def test_a_page_sends_whoever_has_not_come_in_to_the_log_in(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "a-token-of-this-test")
    pages, free = APIRouter(dependencies=[VISITS]), APIRouter()

    @pages.get("/cards/{card:path}")
    async def card_page(card: str, speaker: Visitor) -> Response:
        return HTMLResponse(f"<p>{speaker.name or speaker.kind}</p>")

    @free.get("/login")
    async def login_page() -> Response:
        return HTMLResponse("<form>")

    for number, toml in enumerate(("", 'token = "env:API_TOKEN"\n')):
        async with serving(project(tmp_path / str(number), desk, SERVER + toml + PEOPLE)) as served:
            app = build_app(
                served.app.system, Readiness("ready"), operator="dpo_" + "A" * 43, token="x" if toml else None
            )
            app.include_router(pages)
            app.include_router(free)
            transport = httpx2.ASGITransport(app)
            async with (
                browser(served) as real,
                httpx2.AsyncClient(transport=transport, base_url=served.http.base_url) as http,
            ):
                await come_in(served, real)
                sent = await http.get("/cards/1f/2?k=a&b=c")
                assert sent.status_code == 303
                assert sent.headers["location"] == "/login?next=%2Fcards%2F1f%2F2%3Fk%3Da%26b%3Dc"
                assert (await http.get("/login")).status_code == 200
                ended = {"cookie": f"{COOKIE}=dps_" + "A" * 43}
                assert (await http.get("/cards/1f/2", headers=ended)).status_code == 303
                good = {"cookie": f"{COOKIE}={cookie_of(real)}"}
                assert (await http.get("/cards/1f/2", headers=good)).text == "<p>maya</p>"
                # What is no page asks for a token, as it did.
                assert (await http.get("/v1/runs")).status_code == (401 if toml else 200)


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("/inbox", "/inbox"),
        ("/cards/1/2?k=a", "/cards/1/2?k=a"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nset-cookie: x", "/"),
        ("/\t/evil.example", "/"),
        ("", "/"),
        ("/" + "a" * 5_000, "/"),
    ],
)
def test_a_log_in_leads_to_a_page_of_ours_alone(path: str, leads: str) -> None:
    assert way_back(path) == leads


async def test_a_protected_server_lets_people_in_by_a_browser(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "a-token-of-this-test")
    toml = SERVER + 'token = "env:API_TOKEN"\n' + PEOPLE
    async with serving(project(tmp_path, desk, toml)) as served, browser(served) as http:
        assert (await http.get("/v1/me")).status_code == 401
        assert (await http.post("/v1/session/fresh", json={"password": PASSWORD})).status_code == 401
        await come_in(served, http)
        assert (await http.get("/v1/me")).json()["person"]["name"] == "maya"
        assert (await http.delete("/v1/session")).status_code == 200
        assert (await http.get("/v1/me")).status_code == 401


# -- how often ---------------------------------------------------------------------------------------------


async def test_a_name_is_tried_so_often_and_others_come_in_meanwhile(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, browser(served) as http, browser(served) as in_:
        await come_in(served, in_)
        await come_in(served, http, "kim")
        told = await asyncio.gather(*(log_in(http, "maya", f"guess number {n}") for n in range(12)))
        assert sorted(answer.status_code for answer in told) == [401] * 5 + [429] * 7
        (late, *_) = [answer for answer in told if answer.status_code == 429]
        assert 1 <= int(late.headers["retry-after"]) <= 31 and "try again in" in late.json()["detail"]
        assert (await log_in(http, "maya")).status_code == 429, "nor by the right one, until then"
        # Who is in stays in and proves it; a link lets in; other names, and other places, have their own.
        assert (await in_.post("/v1/session/fresh", json={"password": PASSWORD})).status_code == 200
        assert (await log_in(http, "kim")).status_code == 200
        async with browser(served, **{"x-forwarded-for": "192.0.2.7"}) as elsewhere:
            assert (await log_in(elsewhere, "maya")).status_code == 200
        async with browser(served) as other:
            await come_in(served, other)

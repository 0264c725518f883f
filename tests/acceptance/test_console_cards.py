"""Cards on their pages: nothing odd breaks them, and nothing from outside looks like evidence of ours."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import pytest

from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.serving import PEOPLE, SERVER, Served, serving

FREE = """
from typing import Any
@connector.operation(effect="write", **KEYED)
async def free(call: Call, data: dict[str, Any]) -> Item:
    return Item.model_validate((await call.post("/items", json={"item": "x"})).json())
"""
CODE = """
@automation(on=Word, agent=worker)
async def asks(event: Event[Word]) -> Outcome:
    import json
    await desk.free(data=json.loads(event.data.text)).because("it is odd")
    return done()
"""
RULES = (
    PERMIT
    + """
[[rule]]
title = "Everything is asked for"
operation = "desk.free"
ask_always = true
"""
)


def project(tmp_path: Path, desk: Desk) -> Path:
    return write_project(tmp_path, desk.base, CODE, toml=SERVER + PEOPLE, rules=RULES, connector=FREE)


async def page(served: Served, path: str, status: int = 200) -> str:
    answer = await served.http.get(path, headers={"accept": "text/html"})
    assert answer.status_code == status, answer.text
    return unescape(answer.text)


@pytest.mark.parametrize(
    "odd",
    [
        '{"minor": "abc", "currency": "EUR"}',
        '{"minor": null, "currency": "EUR"}',
        '{"minor": 1, "currency": ["EUR"]}',
        '{"minor": 1, "currency": "euro"}',
        '{"minor": true, "currency": "EUR"}',
    ],
)
async def test_what_only_looks_like_money_is_shown_as_it_is(tmp_path: Path, desk: Desk, odd: str) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        run = await served.send("1", "test.word", text=odd)
        card = await served.app.card()
        for path in ("/", "/inbox", f"/inbox/{card.seq}", f"/runs/{run}", "/history"):
            await page(served, path)
        assert "currency" in await page(served, f"/inbox/{card.seq}")


async def test_a_text_of_other_letters_is_counted_by_its_letters(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="maya") as served:
        await served.send("1", "test.word", text='{"a": "' + "字" * 250 + '"}')
        card = await served.app.card()
        shown = await page(served, f"/inbox/{card.seq}")
        assert "more characters" not in shown and "Approve once" in shown


async def test_a_refused_answer_still_leads_to_the_card_shown_whole(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="maya") as served:
        await served.send("1", "test.word", text='{"a": "' + "x" * 900 + '-the-end"}')
        card = await served.app.card()
        answer = await served.http.post(
            f"/inbox/{card.seq}/approve", data={}, headers={"accept": "text/html"}
        )
        assert answer.status_code == 409 and f'href="/inbox/{card.seq}?whole=1"' in answer.text
        assert "more characters" in answer.text and "Approve once" not in answer.text
        shown = await page(served, f"/inbox/{card.seq}?whole=1")
        assert "-the-end" in shown and "Approve once" in shown


@pytest.mark.parametrize("seq", ["9" * 19, "9" * 5_000, "-1", "x", "１", "1.0"])
async def test_no_place_in_the_inbox_is_too_odd_to_be_told_so(tmp_path: Path, desk: Desk, seq: str) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        assert "There is no" in await page(served, f"/inbox/{seq}", 404)
        await page(served, f"/inbox?did=approve&of={seq}")


def test_every_page_says_which_act_it_is() -> None:
    from deputize.access import ACTS
    from deputize.console.app import _ROOMS

    for room in _ROOMS:
        for route in room.ROUTES:
            assert getattr(route.endpoint, "act", None) in (*ACTS, "open"), route.path
            assert route.methods is not None
            if "POST" in route.methods and route.path not in ("/login", "/first", "/logout"):
                assert getattr(route.endpoint, "act", None) not in ("open", "read"), route.path

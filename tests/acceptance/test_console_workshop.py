"""The workshop, as people see it, and a parameter that they change there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deputize.ledger import SYSTEM
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.serving import ADMINS, SERVER, Served, serving

CODE = """
from typing import Literal
from pydantic import BaseModel, Field
class Params(BaseModel):
    days: int = Field(30, ge=1)
    share: float = 0.5
    loud: bool = False
    tone: Literal["warm", "plain"] = "warm"
    most: Money = Money.parse("20.00 EUR")
    words: str = "<i>hello</i>"
    names: list[str] = []

@automation(on=Ask, agent=worker)
async def works(event: Event[Ask], params: Params) -> Outcome:
    await attempt(desk.pay(account=event.data.item, amount=params.most))
    return done(f"{params.days} {params.tone}")
"""
PARAMS = """
# What people change.
[params.works]
days = 30        # a month
tone = "warm"
"""


def project(tmp_path: Path, desk: Desk, toml: str = PARAMS, agents: str = 'worker = agent("worker")') -> Path:
    return write_project(tmp_path, desk.base, CODE, toml=SERVER + ADMINS + toml, agents=agents)


def file_of(tmp_path: Path) -> str:
    return (tmp_path / "deputize.toml").read_text()


async def change(served: Served, name: str, value: str, was: str, status: int = 200) -> Any:
    body = {"name": name, "value": value, "was": was}
    answer = await served.http.post("/v1/automations/works/params", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def label(served: Served, id: str) -> str:
    return await served.app.label(await served.send(id))


def noted(served: Served) -> list[Any]:
    return [e.body for e in served.app.read(lambda view: view.entries(SYSTEM)) if e.type == "params"]


async def test_runs_that_begin_after_a_change_have_it_and_the_file_has_it(tmp_path: Path, desk: Desk) -> None:
    before = file_of(project(tmp_path, desk))
    async with serving(tmp_path, speaks="ines") as served:
        await served.speak_as("kim")
        assert await label(served, "1") == "done(30 warm)"
        assert (await change(served, "days", "14", "30"))["said"] == "14 instead of 30"
        assert await label(served, "2") == "done(14 warm)"
        assert file_of(tmp_path) == before.replace("days = 30 ", "days = 14 ")
        change_of = {"automation": "works", "name": "days", "was": "30", "now": "14"}
        assert noted(served) == [{**change_of, "by": {"person": "kim", "account": ""}}]
    async with serving(tmp_path, speaks="ines") as again:
        assert await label(again, "3") == "done(14 warm)"


async def test_every_kind_of_value_is_written_so_that_the_next_start_reads_it(
    tmp_path: Path, desk: Desk
) -> None:
    project(tmp_path, desk, "")
    given = {
        "share": ("0.25", "0.5"),
        "loud": ("yes", "no"),
        "tone": ("plain", "warm"),
        "most": ("1.50 EUR", "20.00 EUR"),
        "words": ('"quoted"\n\\ and more', "<i>hello</i>"),
    }
    async with serving(tmp_path, speaks="ines") as served:
        await served.speak_as("kim")
        for name, (value, was) in given.items():
            await change(served, name, value, was)
    async with serving(tmp_path, speaks="ines") as again:
        (told,) = (await again.http.get("/v1/workshop")).json()["automations"]
        values = {one["name"]: one["value"] for one in told["params"]}
        assert values == {name: value for name, (value, _) in given.items()} | {"days": "30", "names": "[]"}


async def test_of_two_people_who_change_one_parameter_the_second_is_told(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        await served.speak_as("kim")
        await asyncio.gather(change(served, "tone", "plain", "warm"))
        await served.speak_as("maya")
        told = await change(served, "tone", "plain", "warm", 409)
        assert told["detail"].startswith("in the meantime kim changed it to plain")
        assert len(noted(served)) == 1


@pytest.mark.parametrize(
    ("name", "value", "was", "said"),
    [
        ("days", "0", "30", "greater than or equal to 1"),
        ("days", "soon", "30", "is no whole number"),
        ("days", "30", "30", "it is 30 already"),
        ("share", "inf", "0.5", "is no number"),
        ("loud", "maybe", "no", "choose yes or no"),
        ("tone", "cold", "warm", "choose one of warm, plain"),
        ("most", "20", "20.00 EUR", "is not an amount of money"),
        ("names", "[]", "[]", "changed in deputize.toml alone"),
    ],
)
async def test_a_value_that_is_none_is_refused_with_why(
    tmp_path: Path, desk: Desk, name: str, value: str, was: str, said: str
) -> None:
    before = file_of(project(tmp_path, desk))
    async with serving(tmp_path, speaks="ines") as served:
        await served.speak_as("kim")
        assert said in (await change(served, name, value, was, 422))["detail"]
        form = {"automation": "works", "name": name, "value": value, "was": was}
        page = await served.http.post("/workshop/params", data=form)
        assert page.status_code == 422 and "Not done." in page.text
        assert file_of(tmp_path) == before and not noted(served)


async def test_a_file_that_was_changed_on_disk_is_left_as_it_is(tmp_path: Path, desk: Desk) -> None:
    before = file_of(project(tmp_path, desk))
    async with serving(tmp_path, speaks="ines") as served:
        await served.speak_as("kim")
        for other in (before.replace('"warm"', '"plain"'), before + "[[["):
            (tmp_path / "deputize.toml").write_text(other)
            assert "somebody changed it on disk" in (await change(served, "days", "14", "30", 409))["detail"]
            assert file_of(tmp_path) == other
        (tmp_path / "deputize.toml").write_text(before + "\n# Only words\n")
        await change(served, "days", "14", "30")
        assert file_of(tmp_path).endswith("# Only words\n")


async def test_nobody_in_particular_changes_nothing(tmp_path: Path, desk: Desk) -> None:
    before = file_of(project(tmp_path, desk))
    async with serving(tmp_path, speaks="ines") as served:
        await change(served, "days", "14", "30", 403)
        form = {"automation": "works", "name": "days", "value": "14", "was": "30"}
        assert (await served.http.post("/workshop/params", data=form)).status_code == 403
        assert (
            '<form method="post" action="/workshop/params"' not in (await served.http.get("/workshop")).text
        )
        await served.speak_as("kim")
        for other in ({"automation": "work"}, {"name": "day"}):
            assert (await served.http.post("/workshop/params", data=form | other)).status_code == 404
        assert file_of(tmp_path) == before


async def test_a_person_changes_a_parameter_on_the_page(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        await served.speak_as("kim")
        page = (await served.http.get("/workshop")).text
        assert "<i>hello" not in page and "&lt;i&gt;hello&lt;/i&gt;" in page
        form = {"automation": "works", "name": "tone", "value": "plain", "was": "warm"}
        sent = await served.http.post("/workshop/params", data=form)
        assert sent.status_code == 303
        page = (await served.http.get(sent.headers["location"])).text
        assert "tone of works is plain for every run that begins from now on" in page
        assert await label(served, "1") == "done(30 plain)"


async def test_the_page_says_who_works_with_what_and_how_well(tmp_path: Path, desk: Desk) -> None:
    agents = 'worker = agent("worker", may=["desk.pay"], budgets=[budget("50.00 EUR", per="day")])'
    async with serving(project(tmp_path, desk, agents=agents), speaks="ines") as served:
        for id in ("1", "2", "3"):
            await label(served, id)
        told = (await served.http.get("/v1/workshop")).json()
        (works,) = told["automations"]
        assert (works["figures"]["runs"], works["success_rate"], works["answers"]) == (3, 1.0, "test.ask")
        assert works["where"].startswith("automations/work.py:")
        (worker,) = told["agents"]
        assert worker["may"] == ["desk.pay"] and worker["budgets"][0]["shown"]["spent"] == "40.00 EUR"
        (connection,) = told["connections"]
        pays = next(one for one in connection["operations"] if one["name"] == "desk.pay")
        assert pays["said"][:2] == ["changes something", "moves money"]
        assert "the same request counts once for 1 day" in pays["said"]
        page = (await served.http.get("/workshop")).text
        assert "Works</span>" in page and "40.00 EUR of 50.00 EUR a day" in page and "shop-floor" in page
        assert "Thinks with" not in page and "Keeps" not in page, "columns without a source are absent"

"""Costs, as people see them: of real requests to a model's server, whose price is known."""

from __future__ import annotations

import json
import re
from pathlib import Path

from deputize.costs import told_costs
from deputize.health import DAY_US
from deputize.testing.thinker import Thinker
from tests.support.project import write_project
from tests.support.serving import PEOPLE, SERVER, serving
from tests.support.thinkers import RULES, SMALL
from tests.support.thinkers import thinker as thinker

CODE = """
@automation(on=Ask, agent=worker)
async def thinks(event: Event[Ask]) -> Outcome:
    got = await attempt(think(event.data.item))
    return done() if isinstance(got, str) else gave_up()

@automation(on=Word, agent=worker)
async def rests(event: Event[Word]) -> Outcome:
    return done()
"""
USED = {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}
"""At 1 and 4 dollars for a million tokens this is 50 micro-dollars."""


def project(tmp_path: Path, toml: str = "", agent: str = 'agent("worker")') -> Path:
    root, desk = tmp_path / "p", "http://127.0.0.1:9"
    rules = RULES if toml else ""
    return write_project(
        root, desk, CODE, toml=SERVER + PEOPLE + toml, rules=rules, agents=f"worker = {agent}"
    )


async def test_what_thinking_cost_is_told_by_day_and_by_whom(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say(
        {"text": "a", "usage": USED},
        {"text": "b", "usage": USED},
        {"cut": True},
        {"cut": True},
        {"cut": True},
    )
    root = project(tmp_path, SMALL.format(base=thinker.base), 'agent("worker", model="small")')
    async with serving(root, speaks="ines") as served:
        for id in ("1", "2", "3"):
            await served.app.ended(await served.send(id, item=id))
        told = (await served.http.get("/v1/costs", params={"days": 7})).json()
        lost = told["lost_usd_micros"]
        assert lost > 0 and (told["lost"], told["thoughts"], told["done"]) == (3, 2, 2)
        assert told["cost_usd_micros"] == 100 + lost
        assert told["cost_by_day"] == [0] * 6 + [100 + lost] and len(told["days"]) == 7
        (small,), (worker,), (thinks,) = told["models"], told["agents"], told["automations"]
        assert (small["name"], small["input_tokens"], small["output_tokens"]) == ("small", 60, 10)
        assert worker["cost_usd_micros"] == thinks["cost_usd_micros"] == 100 + lost
        assert thinks["gave_up"] == 1 and thinks["cost_per_done_usd_micros"] == (100 + lost) // 2
        page = (await served.http.get("/costs", params={"days": 7})).text
        assert "3 requests were never answered" in page and "for 2 thoughts in the last 7 days" in page
        micros = [int(n) for n in re.findall(r'data-micros="(\d+)"', page)]
        assert micros == told["cost_by_day"], "the table is what the chart is drawn from"
        assert len(re.findall(r"<rect", page.partition("</svg>")[0])) == 7, (
            "and without a script it is drawn here"
        )
        assert "<script>" not in page and 'style="' not in page


async def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    async with serving(project(tmp_path), speaks="ines") as served:
        page = await served.http.get("/costs")
        assert page.status_code == 200 and "No model was asked anything in the last 30 days" in page.text


async def test_a_range_that_is_none_is_refused(tmp_path: Path) -> None:
    async with serving(project(tmp_path), speaks="ines") as served:
        for days in ("8", "-1", "all", "9" * 30):
            page = await served.http.get("/costs", params={"days": days}, headers={"accept": "text/html"})
            assert page.status_code == 422 and "<h1>" in page.text
        assert (await served.http.get("/v1/costs", params={"days": 0})).status_code == 422


def test_models_are_not_counted_twice_and_days_outside_not_at_all() -> None:
    now = 100 * DAY_US + 5
    rows = {
        prefix: [
            (f"{prefix}{name}", what, at * DAY_US, n, spent)
            for name in ("a", "<b>")
            for what, at, n, spent in (("paid", 100, 0, 7), ("lost", 99, 1, 5), ("thought 3", 100, 2, 9))
        ]
        for prefix in ("model:", "agent:", "automation:")
    }
    told = told_costs(rows, 2, now)
    assert told["cost_by_day"] == [10, 14] and told["cost_usd_micros"] == 24
    assert (told["thoughts"], told["lost"]) == (4, 2)
    assert [one["name"] for one in told["models"]] == ["<b>", "a"], "of the same cost by name"
    assert json.dumps(told)

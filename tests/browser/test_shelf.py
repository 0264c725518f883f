"""Rules and limits, the workshop and costs in a browser: a rule and a parameter are edited, a chart drawn."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import expect

from deputize.testing.thinker import Thinker
from tests.support.browser import accessible, looking
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.serving import ADMINS, SERVER, serving
from tests.support.thinkers import RULES, SMALL
from tests.support.thinkers import thinker as thinker

CODE = """
from typing import Literal
from pydantic import BaseModel
class Params(BaseModel):
    days: int = 30
    tone: Literal["warm", "plain"] = "warm"
@automation(on=Ask, agent=worker)
async def gives_back(event: Event[Ask], params: Params) -> Outcome:
    await attempt(think(event.data.item))
    await attempt(desk.pay(account=event.data.item, amount=Money(100 * event.data.n, "EUR")))
    return done(params.tone)
"""
OVER = """
[[rule]]
title = "More than 50 euros waits for a person"
operation = "desk.pay"
ask_above = { amount = "50.00 EUR" }
ask = "finance"
"""
BUDGET = '[[budget]]\nname = "Paid out"\nlimit = "100.00 EUR"\nper = "day"\n'


def project(tmp_path: Path, desk: Desk, thinker: Thinker) -> Path:
    thinker.usually(text="fine", usage={"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35})
    toml = SERVER + ADMINS + BUDGET + SMALL.format(base=thinker.base)
    agents = 'worker = agent("worker", model="small")'
    return write_project(tmp_path / "p", desk.base, CODE, toml=toml, rules=RULES + OVER, agents=agents)


async def test_a_rule_is_edited_on_a_phone(tmp_path: Path, desk: Desk, thinker: Thinker) -> None:
    async with serving(project(tmp_path, desk, thinker)) as served, looking(served) as browser:
        for n in (45, 40):
            await served.app.ended(await served.send(str(n), item=f"i{n}", n=n))
        page = await browser.person(await served.token("kim"), phone=True)
        await page.goto("/rules")
        await expect(page.get_by_text("Nearly used up")).to_be_visible()
        await accessible(page)
        await page.get_by_role("link", name=re.compile("50.00 EUR.*Change")).click()
        await page.get_by_label(re.compile("Asks where amount is above")).fill("42")
        await page.keyboard.press("Enter")
        await expect(page.locator(".sentence")).to_contain_text("asked people for 1 (instead of 0)")
        await accessible(page)
        await page.get_by_role("button", name="Change it to 42.00 EUR").click()
        await expect(page.get_by_role("status").filter(has_text="Changed.")).to_contain_text("says 42.00 EUR")
        assert 'amount = "42.00 EUR"' in (tmp_path / "p" / "rules" / "rules.toml").read_text()


async def test_who_is_second_is_told_and_loses_nothing(tmp_path: Path, desk: Desk, thinker: Thinker) -> None:
    async with serving(project(tmp_path, desk, thinker)) as served, looking(served) as browser:
        where = "/rules/change?rule=more-than-50-euros-waits-for-a-person&place=ask_above.amount&value="
        kim, maya = [await browser.person(await served.token(name)) for name in ("kim", "maya")]
        await kim.goto(f"{where}42")
        await maya.goto(f"{where}43")
        await kim.get_by_role("button", name="Change it to 42.00 EUR").click()
        await kim.wait_for_url("**/rules?*")
        await maya.get_by_role("button", name="Change it to 43.00 EUR").click()
        await expect(maya.get_by_role("alert")).to_contain_text("In the meantime kim changed")
        await expect(maya.locator("#value")).to_have_value("43.00 EUR")


async def test_a_parameter_is_edited_in_the_dark(tmp_path: Path, desk: Desk, thinker: Thinker) -> None:
    async with serving(project(tmp_path, desk, thinker)) as served, looking(served) as browser:
        page = await browser.person(await served.token("kim"), dark=True)
        await page.goto("/workshop")
        await accessible(page)
        await page.get_by_text("Change Tone…").click()
        await page.get_by_label("Tone").select_option("plain")
        await page.get_by_role("button", name="Change it").locator("visible=true").click()
        await expect(page.get_by_role("status").filter(has_text="Changed.")).to_contain_text("is plain")
        run = await served.send("1", item="i", n=1)
        assert await served.app.label(run) == "done(plain)"


async def test_costs_are_drawn_from_their_table(tmp_path: Path, desk: Desk, thinker: Thinker) -> None:
    async with serving(project(tmp_path, desk, thinker)) as served, looking(served) as browser:
        await served.app.ended(await served.send("1", item="i", n=1))
        page = await browser.person(await served.token("kim"), phone=True, dark=True)
        for days in (7, 90):
            await page.goto(f"/costs?days={days}")
            await expect(page.locator(".chart canvas")).to_be_visible()
            await accessible(page)
            await page.get_by_text("By day, as a table").click()
            assert await page.locator("#day-table tbody tr").count() == days

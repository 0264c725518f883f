"""A run and the history in a browser: a cause is followed, both tabs, a search on a phone."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import expect

from tests.acceptance.test_console_run import HOSTILE, follower, project
from tests.support.browser import accessible, looking
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.serving import serving


async def test_a_cause_is_followed_from_a_card_to_where_it_began_and_back(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        run = await served.send("1", item=HOSTILE, n=2)
        next = await follower(served, run)
        await served.app.card()
        page = await browser.person(await served.token("kim"))
        await page.goto("/inbox")
        await page.locator("main .lines a").first.click()
        await page.get_by_role("link", name=next).click()
        await expect(page).to_have_url(re.compile(f"/runs/{next}\\?action=1#1$"))
        await accessible(page)
        await page.get_by_role("link", name=re.compile(f"Begins {run}")).click()
        await expect(page).to_have_url(re.compile(f"/runs/{run}\\?action=4#4$"))
        await expect(page.locator("article:target h3")).to_contain_text("An event sent")
        await expect(page.locator("article:target")).to_be_in_viewport()
        await accessible(page)
        await page.get_by_role("link", name=re.compile(f"Answers {next}")).click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text(next)
        await page.get_by_role("link", name="Entries").click()
        await expect(page.locator("nav.tabs [aria-current]")).to_contain_text("Entries")
        await accessible(page)
        assert browser.complaints == []


async def test_the_history_is_searched_on_a_phone(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        run = await served.send("1", item="ann", n=0)
        await served.app.ended(run)
        page = await browser.person(await served.token("kim"), phone=True, dark=True)
        await page.goto("/history")
        await accessible(page)
        await page.get_by_label("Text").fill("asked for by ann")
        await page.keyboard.press("Enter")
        await expect(page.locator(".history .line")).to_have_count(1)
        await accessible(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await page.locator(".history a").click()
        await expect(page).to_have_url(re.compile(f"/runs/{run}\\?action=1#1$"))
        await accessible(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        for path in ("/runs", f"/runs/{run}/undo", f"/runs/{run}?tab=entries", "/runs/feedfeed"):
            await page.goto(path)
            await accessible(page)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
        assert browser.complaints == []


async def test_a_run_is_cancelled_and_a_rehearsal_says_that_it_takes_a_while(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        run = await served.send("1", "test.word", text="hold")
        await served.app.card()
        page = await browser.person(await served.token("kim"))
        await page.goto(f"/runs/{run}")
        await page.get_by_text("Cancel…").click()
        await page.get_by_role("button", name="Cancel this run").click()
        await expect(page.get_by_text("Its cancelling was asked for.")).to_be_visible()
        assert await served.app.label(run) == "cancelled"
        ended = await served.send("2", item="ann", n=0)
        await served.app.ended(ended)
        await page.goto(f"/runs/{ended}")
        await page.get_by_role("button", name="Rehearse again").click(no_wait_after=True)
        await expect(page.get_by_role("heading", name="Rehearsed again")).to_be_visible(timeout=60_000)
        await expect(page.get_by_text("It would come to just what it did")).to_be_visible()
        await accessible(page)
        assert browser.complaints == []

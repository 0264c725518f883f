"""Coming in by a browser: the first link, the log-in, the password once more where money hangs on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from deputize.session import FRESH_US
from tests.browser.test_inbox import project
from tests.support.browser import accessible, looking
from tests.support.browsing import PASSWORD
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.running import ShiftedClock
from tests.support.serving import Served, serving


async def come_in(page: Page, served: Served, name: str) -> None:
    """By a first link, as a person does it."""
    await page.goto(served.app.system.entrance.link(name))
    await expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    await page.get_by_label("New password").fill(PASSWORD)
    await page.get_by_label("The same once more").fill(PASSWORD)
    await page.get_by_role("button", name="Set it and come in").click()
    await expect(page.get_by_role("heading", name="Today")).to_be_visible()


async def test_a_person_comes_in_by_a_first_link_leaves_and_logs_in(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        page = await browser.person(phone=True)
        await page.goto("/inbox")
        await expect(page).to_have_url(re.compile(r"/login\?next=%2Finbox$"))
        await accessible(page)
        link = served.app.system.entrance.link("kim")
        await page.goto(link)
        await accessible(page)
        await page.get_by_label("New password").fill("twelve letters")
        await page.get_by_label("The same once more").fill("twelve lettres")
        await page.get_by_role("button", name="Set it and come in").click()
        await expect(page.get_by_role("alert")).to_contain_text("not the same")
        await come_in(page, served, "kim")
        await page.goto(link)
        await expect(page.get_by_role("heading", name="Today")).to_have_count(0)
        await page.goto("/")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        await page.get_by_label("Name").fill("kim")
        await page.get_by_label("Password").fill("not the one it is")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).to_contain_text("do not go together")
        await page.goto("/login?next=/inbox")
        await page.get_by_label("Name").fill("kim")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await expect(page).to_have_url(re.compile("/inbox$"))
        await expect(page.locator(".who")).to_contain_text("kim")


async def test_money_is_approved_with_the_password_once_more(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with serving(project(tmp_path, desk), clock=clock) as served, looking(served) as browser:
        run = await served.send("1", item="a", n=80)
        card = await served.app.card()
        page = await browser.person()
        await come_in(page, served, "kim")
        await page.goto(f"/inbox/{card.seq}")
        await expect(page.get_by_label("Your password")).to_have_count(0)
        clock.shift_s += FRESH_US / 1e6 + 1
        await page.reload()
        await accessible(page)
        form = page.locator("form", has=page.get_by_role("button", name="Approve once"))
        await form.get_by_label("Your password").fill("a guess of mine")
        await page.get_by_role("button", name="Approve once").click()
        await expect(page.get_by_role("alert")).to_contain_text("do not go together")
        await form.get_by_label("Your password").fill(PASSWORD)
        await page.get_by_role("button", name="Approve once").click()
        await expect(page).to_have_url(re.compile("did=approve"))
        assert await served.app.label(run) == "done(Item)"
        assert PASSWORD not in str(served.app.entries(run))


async def test_a_session_that_ended_in_mid_act_says_so_and_loses_nothing_that_was_written(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        await served.send("1", item="a", n=80)
        card = await served.app.card()
        page = await browser.person()
        await come_in(page, served, "kim")
        await page.goto(f"/inbox/{card.seq}")
        await page.evaluate("document.getElementById('live').remove()")
        beside = await page.context.new_page()
        await beside.goto("/")
        await beside.get_by_role("button", name="Log out").click()
        await expect(beside.get_by_role("heading", name="Log in")).to_be_visible()
        await page.get_by_text("Refuse…").click()
        await page.locator("#why-refuse").fill("not ours")
        await page.get_by_role("button", name="Refuse", exact=True).click()
        await expect(page.locator("#out")).to_contain_text("nothing was sent")
        await expect(page.locator("#why-refuse")).to_have_value("not ours")
        assert served.app.read(lambda view: view.open_cards()) == 1 and not desk.effects
        await beside.get_by_label("Name").fill("kim")
        await beside.get_by_label("Password").fill(PASSWORD)
        await beside.get_by_role("button", name="Log in").click()
        await expect(beside.locator(".who")).to_contain_text("kim")
        await page.get_by_role("button", name="Refuse", exact=True).click()
        await expect(page).to_have_url(re.compile("did=refuse"))


async def test_who_has_not_come_in_is_told_nothing_of_what_is_inside(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        await served.send("1", item="a", n=80)
        await served.app.card()
        await served.app.kernel.people.stop("all", "the till was robbed", "maya")
        for path in ("/login", "/first?key=no", "/no-such-page", "/inbox/1", "/live"):
            answer = await served.http.get(path, headers={"accept": "text/html"})
            assert "robbed" not in answer.text and "for people" not in answer.text, path
            assert answer.status_code in (200, 303, 404, 410)
        await served.speak_as("ines")
        assert "robbed" in (await served.http.get("/")).text


async def test_a_viewer_reads_and_has_nothing_to_press(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    settings = root / "deputize.toml"
    settings.write_text(settings.read_text().replace("[people.ines]", '[people.ines]\nroles = ["viewer"]'))
    async with serving(root) as served, looking(served) as browser:
        await served.send("1", item="a", n=80)
        card = await served.app.card()
        page = await browser.person(await served.token("ines"))
        await page.goto("/")
        await expect(page.get_by_role("button", name="Pause all")).to_have_count(0)
        await page.goto(f"/inbox/{card.seq}")
        await expect(page.locator("#answers")).to_contain_text("As a viewer you read")
        await expect(page.locator("main").get_by_role("button")).to_have_count(0)
        form = {"binding": card.body["binding"], "seen": "whole"}
        sent = await page.request.post(f"/inbox/{card.seq}/approve", form=form)
        assert sent.status == 403 and not desk.effects
        assert (await page.request.post("/stop", form={})).status == 403


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example/", "/\\evil.example"])
async def test_a_log_in_leads_to_no_other_address(tmp_path: Path, desk: Desk, path: str) -> None:
    async with serving(project(tmp_path, desk)) as served:
        for sent in (
            await served.http.get("/login", params={"next": path}),
            await served.http.get("/login", params={"next": path}, headers={"accept": "text/html"}),
        ):
            assert sent.status_code == 200 and "evil.example" not in sent.text

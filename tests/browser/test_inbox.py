"""The inbox in a browser, as a person uses it: on a phone, by keyboard, beside somebody else."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from tests.support.browser import accessible, browsing, looking
from tests.support.desk import Desk, Fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.serving import PEOPLE, SERVER, serving


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


CODE = """
@automation(on=Ask, agent=worker)
async def gives_back(event: Event[Ask]) -> Outcome:
    paid = await attempt(desk.pay(account=event.data.item, amount=Money(100 * event.data.n, "EUR"))
                         .because("the parcel came back in time"))
    return done(type(paid).__name__)

@automation(on=Word, agent=worker)
async def asks(event: Event[Word]) -> Outcome:
    if event.data.text == "plain":
        await desk.plain(item=event.data.item)
        return done()
    return done(str(await ask("finance", event.data.text, choices=["yes", "no"])))
"""
RULES = (
    PERMIT
    + """
[[rule]]
title = "More than 50 euros waits for a person"
operation = "desk.pay"
ask_above = { amount = "50.00 EUR" }
ask = "finance"
within = "2 hours"
"""
)


def project(tmp_path: Path, desk: Desk) -> Path:
    return write_project(tmp_path, desk.base, CODE, toml=SERVER + PEOPLE, rules=RULES)


async def test_a_refund_is_approved_on_a_phone(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        run = await served.send("1", item="a-17", n=80)
        await served.app.card()
        page = await browser.person(await served.token("kim"), phone=True)
        await page.goto("/")
        await expect(page.locator("#sentence")).to_contain_text("1 needs you")
        await accessible(page)
        await page.get_by_role("link", name="More than 50 euros").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("More than 50 euros")
        await expect(page.locator(".values")).to_contain_text("80.00 EUR")
        await expect(page.locator(".because")).to_contain_text("the parcel came back in time")
        await accessible(page)
        await page.get_by_role("button", name="Approve once").click()
        await expect(page).to_have_url(re.compile(r"/inbox\?did=approve"))
        assert await served.app.label(run) == "done(Item)"
        assert len(desk.effects) == 1


async def test_the_back_button_shows_what_came_of_it_and_approves_nothing_twice(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        run = await served.send("1", item="a", n=80)
        card = await served.app.card()
        page = await browser.person(await served.token("kim"))
        await page.goto("/inbox")
        await page.get_by_role("link", name="More than 50 euros").click()
        await page.get_by_role("button", name="Approve once").click()
        await expect(page).to_have_url(re.compile("did=approve"))
        assert await served.app.label(run) == "done(Item)"
        await page.go_back()
        await expect(page).to_have_url(re.compile(f"/inbox/{card.seq}$"))
        await expect(page.get_by_role("heading", name="What came of it")).to_be_visible()
        await expect(page.get_by_role("button", name="Approve once")).to_have_count(0)
        assert len(desk.effects) == 1


async def test_it_is_refused_by_keyboard_with_a_reason(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        first = await served.send("1", item="a", n=80)
        second = await served.send("2", item="b", n=90)
        await served.app.until(lambda view: view.open_cards() == 2)
        page = await browser.person(await served.token("kim"))
        await page.goto("/inbox")
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await page.keyboard.press("k")
        await page.keyboard.press("Enter")
        await expect(page.locator(".values")).to_contain_text("80.00 EUR")
        await page.keyboard.press("r")
        await page.keyboard.type("twice as much as it cost; a is a letter here")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator(".values")).to_contain_text("90.00 EUR")
        await expect(page.get_by_role("status").filter(has_text="Refused")).to_be_visible()
        assert await served.app.label(first) == "done(Refused)"
        (refused,) = served.app.entries(first, "refused")
        assert "a is a letter here" in str((refused.body or {})["reason"])
        await page.keyboard.press("a")
        await expect(page).to_have_url(re.compile("did=approve"))
        assert await served.app.label(second) == "done(Item)"


async def test_arguments_are_changed_in_a_form_and_judged_anew(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        run = await served.send("1", item="a", n=80)
        card = await served.app.card()
        page = await browser.person(await served.token("kim"))
        await page.goto(f"/inbox/{card.seq}")
        await page.keyboard.press("c")
        await page.get_by_label("Amount").fill("a lot")
        await page.get_by_role("button", name="Change", exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text("'a lot' is not an amount of money")
        await expect(page.get_by_label("Amount")).to_have_value("a lot")
        await accessible(page)
        await page.get_by_label("Amount").fill("20.00 EUR")
        await page.get_by_role("button", name="Change", exact=True).click()
        await expect(page).to_have_url(re.compile("did=change"))
        assert await served.app.label(run) == "done(Item)"
        (intent,) = served.app.entries(run, "intent")
        assert (intent.body or {})["args"]["amount"] == {"minor": 2_000, "currency": "EUR"}


async def test_a_doubt_says_what_is_known_and_what_each_answer_causes(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        desk.faults.append(Fault("lost"))
        run = await served.send("1", "test.word", item="i-1", text="plain")
        card = await served.app.card()
        page = await browser.person(await served.token("maya"), phone=True)
        await page.goto(f"/cards/{run}/{card.path}")
        await expect(page).to_have_url(re.compile(f"/inbox/{card.seq}$"))
        await expect(page.get_by_role("article").get_by_text("Not sure it happened").first).to_be_visible()
        for kind in ("It did not happen…", "Do it again…", "Give it up…", "It happened…"):
            await page.get_by_text(kind).click()
            await expect(page.locator("details[open] .quiet").last).not_to_be_empty()
            await accessible(page)
        await page.get_by_label("Item").fill("i-1")
        await page.get_by_label("Key").fill("k-1")
        await page.locator("#why-happened").fill("it is in their list")
        await page.get_by_role("button", name="It happened").click()
        await expect(page).to_have_url(re.compile("did=happened"))
        assert await served.app.label(run) == "done"


async def test_two_people_on_one_card_see_each_others_decision_at_once(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        await served.send("1", item="a", n=80)
        card = await served.app.card()
        kim, maya = [await browser.person(await served.token(name)) for name in ("kim", "maya")]
        for page in (kim, maya):
            await page.goto(f"/inbox/{card.seq}")
            await expect(page.get_by_role("button", name="Approve once")).to_be_visible()
        await kim.get_by_role("button", name="Approve once").click()
        await expect(maya.locator("#answers")).to_contain_text("answered in the meantime")
        await expect(maya.get_by_role("button", name="Approve once")).to_have_count(0)
        await expect(maya.locator("#waiting")).to_be_hidden()
        assert len(desk.effects) == 1


async def test_of_two_grants_at_once_one_counts_and_the_other_is_told(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        run = await served.send("1", item="a", n=80)
        card = await served.app.card()
        pages = [await browser.person(await served.token(name)) for name in ("kim", "maya")]
        for page in pages:
            await page.goto(f"/inbox/{card.seq}")
            # As on a page that has lost the stream of what changes.
            await page.evaluate("document.getElementById('live').remove()")
        await asyncio.gather(*(page.get_by_role("button", name="Approve once").click() for page in pages))
        await asyncio.gather(*(_settled(page) for page in pages))
        assert await served.app.label(run) == "done(Item)"
        assert len(desk.effects) == 1


async def _settled(page: Page) -> None:
    """Until it says that it was done, or why not."""
    await expect(page.get_by_role("alert").or_(page.get_by_text("Approved."))).to_be_visible()


async def test_what_is_cut_short_is_not_approved_unseen(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        run = await served.send("1", item="a" * 3_000 + "-the-end", n=80)
        card = await served.app.card()
        page = await browser.person(await served.token("kim"), phone=True)
        await page.goto(f"/inbox/{card.seq}")
        await expect(page.get_by_text("more characters")).to_be_visible()
        await expect(page.get_by_role("button", name="Approve once")).to_have_count(0)
        sent = await page.request.post(f"/inbox/{card.seq}/approve", form={"binding": card.body["binding"]})
        assert sent.status == 409 and "not all of it was shown" in (await sent.text()).lower()
        await page.get_by_role("link", name="Show it whole").click()
        await expect(page.locator(".values")).to_contain_text("-the-end")
        await accessible(page)
        await page.get_by_role("button", name="Approve once").click()
        await expect(page).to_have_url(re.compile("did=approve"))
        assert await served.app.label(run) == "done(Item)"


async def test_a_question_is_answered_by_its_choices(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        run = await served.send("1", "test.word", text="Is <b>this</b> ours?<script>alert(1)</script>")
        card = await served.app.card()
        page = await browser.person(await served.token("kim"))
        await page.goto(f"/inbox/{card.seq}")
        await expect(page.get_by_role("heading", name="Is <b>this</b> ours?<script>")).to_be_visible()
        await accessible(page)
        await page.get_by_role("button", name="no", exact=True).click()
        await expect(page).to_have_url(re.compile("did=answer"))
        assert await served.app.label(run) == "done(no)"


async def test_all_is_paused_and_goes_on(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        page = await browser.person(await served.token("maya"), phone=True)
        beside = await browser.person(await served.token("kim"))
        await beside.goto("/inbox")
        await page.goto("/")
        await page.get_by_label("Why").fill("the prices are wrong")
        await page.get_by_role("button", name="Pause all").click()
        await expect(page.locator("#stopped")).to_contain_text("Everything is paused")
        await expect(beside.locator("#stopped")).to_contain_text("the prices are wrong")
        await accessible(page)
        await served.send("1", item="a", n=1)
        assert not desk.effects
        await page.get_by_role("button", name="Go on").click()
        await expect(page.locator("#stopped")).to_be_empty()
        await expect(beside.locator("#stopped")).not_to_contain_text("paused")
        await served.app.until(lambda view: view.counts().get("runs.ended") == 1)


async def test_a_lost_connection_is_said_and_what_was_written_is_kept(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        run = await served.send("1", item="a", n=80)
        card = await served.app.card()
        page = await browser.person(await served.token("kim"))
        await page.goto(f"/inbox/{card.seq}")
        await page.keyboard.press("r")
        await page.get_by_label("Why").locator("visible=true").fill("not ours")
        await page.context.set_offline(True)
        await page.get_by_role("button", name="Refuse", exact=True).click()
        await expect(page.locator("#lost")).to_be_visible()
        await expect(page.get_by_label("Why").locator("visible=true")).to_have_value("not ours")
        await page.context.set_offline(False)
        await page.get_by_role("button", name="Refuse", exact=True).click()
        await expect(page).to_have_url(re.compile("did=refuse"))
        assert await served.app.label(run) == "done(Refused)"
        browser.complaints.clear()


async def test_a_key_that_is_held_down_answers_one_card(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        for number in range(3):
            await served.send(str(number), item=f"i{number}", n=80)
        await served.app.until(lambda view: view.open_cards() == 3)
        page = await browser.person(await served.token("kim"))
        await page.goto("/inbox")
        await page.get_by_role("link", name="More than 50 euros").first.click()
        await expect(page.get_by_role("button", name="Approve once")).to_be_visible()
        # The second and third are what a browser makes of a key that stays down.
        for _ in range(3):
            await page.keyboard.down("a")
        await expect(page).to_have_url(re.compile("did=approve"))
        for _ in range(3):
            await page.keyboard.down("a")
        await page.keyboard.up("a")
        assert served.app.read(lambda view: view.open_cards()) == 2
        await page.get_by_role("button", name="Turn the keys off").click()
        await page.keyboard.press("a")
        await expect(page.get_by_role("button", name="Turn the keys on")).to_be_visible()
        assert served.app.read(lambda view: view.open_cards()) == 2


async def test_a_refusal_that_is_no_page_leaves_what_was_written(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        await served.send("1", item="a", n=80)
        card = await served.app.card()
        page = await browser.person(await served.token("kim"))
        await page.goto(f"/inbox/{card.seq}")
        await page.keyboard.press("r")
        await page.locator("#why-refuse").fill("not ours")

        async def starting(route: Any) -> None:
            await route.fulfill(status=503, content_type="application/problem+json", body="{}")

        await page.route("**/refuse", starting)
        await page.get_by_role("button", name="Refuse", exact=True).click()
        await expect(page.locator("#lost")).to_be_visible()
        await expect(page.locator("#why-refuse")).to_have_value("not ours")
        await page.unroute("**/refuse")
        await page.get_by_role("button", name="Refuse", exact=True).click()
        await expect(page).to_have_url(re.compile("did=refuse"))


async def test_a_process_that_starts_again_in_mid_approval_loses_nothing(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    settings = root / "deputize.toml"
    settings.write_text(settings.read_text().replace("port = 0", f"port = {free_port()}"))
    async with serving(root) as served:
        run = await served.send("1", item="a", n=80)
        card = await served.app.card()
        token = await served.token("kim")
        before = str(served.http.base_url).rstrip("/")
    # The page was opened before the process ended, and is sent while there is none, and once there is one.
    async with browsing(before) as browser:
        page = await browser.person(token)
        async with serving(root):
            await page.goto(f"/inbox/{card.seq}")
            await page.keyboard.press("r")
            await page.locator("#why-refuse").fill("not ours")
        await page.get_by_role("button", name="Refuse", exact=True).click()
        await expect(page.locator("#lost")).to_be_visible()
        await expect(page.locator("#why-refuse")).to_have_value("not ours")
        async with serving(root) as served:
            await page.get_by_role("button", name="Refuse", exact=True).click()
            await expect(page).to_have_url(re.compile("did=refuse"))
            assert await served.app.label(run) == "done(Refused)"
        browser.complaints.clear()


async def test_a_reason_of_ten_thousand_characters_is_refused_and_kept(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served, looking(served) as browser:
        await served.send("1", item="a", n=80)
        card = await served.app.card()
        page = await browser.person(await served.token("kim"), phone=True)
        await page.goto(f"/inbox/{card.seq}")
        await page.get_by_text("Refuse…").click()
        await page.get_by_label("Why").locator("visible=true").fill("x" * 10_000)
        await page.get_by_role("button", name="Refuse", exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text("this has 10,000: shorten it")
        await expect(page.get_by_label("Why").locator("visible=true")).to_have_value("x" * 10_000)
        assert served.app.read(lambda view: view.open_cards()) == 1

"""The demo as the page on the console says: its cards are answered by whoever looks, in a browser."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path

from playwright.async_api import expect

from tests.support.browser import accessible, browsing
from tests.support.browsing import PASSWORD

DEPUTIZE = str(Path(sys.executable).parent / "deputize")
WITHIN_S = 120.0


async def deputize(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(DEPUTIZE, *words, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), WITHIN_S)
    assert process.returncode == 0, words
    return said.decode()


async def address(path: Path) -> str:
    """Where the demo's server is, once it says so."""
    for _ in range(int(WITHIN_S * 10)):
        if path.exists():
            return str(json.loads(path.read_text())["url"])
        await asyncio.sleep(0.1)
    raise TimeoutError(path)


async def test_the_owner_comes_in_and_answers_a_card_of_the_demo(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    words = ["demo", "--dir", str(home), "--fresh", "--yourself", "--model", "stand-in", "--days", "1"]
    demo = await asyncio.create_subprocess_exec(
        DEPUTIZE, *words, "--per-second", "20", stdout=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    try:
        url = await address(home / "project" / "data" / "server.json")
        async with browsing(url) as browser:
            said = await deputize("login", "maya", "--browser", "--project", str(home / "project"))
            link = re.search(r"/first\?key=\S+", said)
            assert link is not None, said
            page = await browser.person(phone=True)
            await page.goto(link[0])
            await page.get_by_label("New password").fill(PASSWORD)
            await page.get_by_label("The same once more").fill(PASSWORD)
            await page.get_by_role("button", name="Set it and come in").click()
            await expect(page.get_by_role("heading", name="Today")).to_be_visible()
            waits = page.locator(".line", has_text="Waits for approval").first
            async with asyncio.timeout(WITHIN_S):
                while not await waits.count():
                    await page.reload()
            await accessible(page)
            await waits.get_by_role("link").click()
            await page.get_by_role("button", name="Approve once").click()
            await expect(page.get_by_role("status").filter(has_text="Approved")).to_be_visible()
    finally:
        os.killpg(demo.pid, signal.SIGTERM)
        await asyncio.wait_for(demo.wait(), WITHIN_S)

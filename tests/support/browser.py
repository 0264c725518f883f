"""A real browser on a project that is served: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.support.serving import Served

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
WAIT_MS = 15_000
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@dataclass
class Looking:
    """A browser, and everything that its pages complained of."""

    browser: Browser
    base: str
    complaints: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    async def person(self, token: str = "", *, phone: bool = False, dark: bool = False) -> Page:
        """A page of a browser of their own."""
        context = await self.browser.new_context(
            base_url=self.base,
            viewport=PHONE if phone else DESK,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            extra_http_headers={"authorization": f"Bearer {token}"} if token else {},
            reduced_motion="reduce",
        )
        context.set_default_timeout(WAIT_MS)
        self.contexts.append(context)
        page = await context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)


def chromium() -> str:
    """Where Debian's Chromium is; empty where it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or ""


@asynccontextmanager
async def looking(served: Served) -> AsyncIterator[Looking]:
    """A browser beside a served project. What its pages complain of fails the test."""
    async with browsing(str(served.http.base_url).rstrip("/")) as found:
        yield found


@asynccontextmanager
async def browsing(base: str) -> AsyncIterator[Looking]:
    """The same beside whatever is at an address."""
    path = chromium()
    if not path:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not here, and .ci/run installs it")
        pytest.skip("Chromium is not installed: apt install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        found = Looking(browser, base)
        try:
            yield found
        finally:
            await browser.close()
        assert not found.complaints, found.complaints


async def accessible(page: Page) -> None:
    """No violation of WCAG A or AA that axe can find, and nothing wider than the screen."""
    await page.evaluate(AXE_FILE_PATH.read_text(encoding="utf-8"))
    found = await page.evaluate("tags => axe.run(document, {runOnly: tags})", WCAG)
    told = [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:3]}"
        for one in found["violations"]
    ]
    assert not told, "\n".join([page.url, *told])
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url} is {wide} pixels wider than the screen"

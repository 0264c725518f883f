"""Pictures of every page, light and dark, on a desk and on a phone: `make pictures`.

The pages are those of the demo's shop in the middle of its work, where nobody answers the cards.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from playwright.sync_api import Browser, sync_playwright

from tests.support.browser import DESK, FLAGS, PHONE, chromium

CARDS_MIN = 6
RUNS_MIN = 120
WITHIN_S = 240
LOOK_EVERY_S = 0.5


def main() -> int:
    """Take them all; the names of the files are those of the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=Path("build/pictures"), help="the folder (build/pictures)")
    parser.add_argument("--docs", type=Path, help="where the two of the README are put, too (docs/pictures)")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    with _shop(given.to / "shop") as (url, token), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        pages = _pages(url, token)
        if given.docs:
            _take_for_docs(browser, url, token, pages, given.docs)
        for shape, viewport in (("desk", DESK), ("phone", PHONE)):
            for scheme in ("light", "dark"):
                _take(browser, url, token, pages, given.to, shape, viewport, scheme)
        browser.close()
    print(f"{len(pages) * 4} pictures in {given.to}")
    return 0


def _pages(url: str, token: str) -> dict[str, str]:
    """Every page by the name of its picture."""
    http = httpx2.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, trust_env=False)
    with http:
        cards = http.get("/v1/inbox").json()["cards"]
        kinds = {card["kind"]: card["seq"] for card in reversed(cards)}
        runs = http.get("/v1/runs", params={"automation": "answer_mail", "limit": 50}).json()["runs"]
        told = next((run["id"] for run in runs if run["state"] == "ended"), runs[0]["id"])
    return {
        "today": "/",
        "inbox": "/inbox",
        **{f"card-{kind}": f"/inbox/{seq}" for kind, seq in sorted(kinds.items())},
        "runs": "/runs",
        "run": f"/runs/{told}",
        "run-entries": f"/runs/{told}?tab=entries",
        "history": "/history",
        "rules": "/rules",
        "workshop": "/workshop",
        "costs": "/costs",
        "not-found": "/no-such-page",
    }


def _take_for_docs(browser: Browser, url: str, token: str, pages: dict[str, str], to: Path) -> None:
    """The first page on a desk, and a card on a phone."""
    shapes = {"today": ("today", 1120, 860, 1.0), "card": ("card-approval", 360, 1_180, 1.5)}
    to.mkdir(parents=True, exist_ok=True)
    for name, (page, width, height, scale) in shapes.items():
        context = browser.new_context(
            base_url=url,
            viewport={"width": width, "height": height},
            color_scheme="light",
            extra_http_headers={"authorization": f"Bearer {token}"},
            device_scale_factor=scale,
        )
        shown = context.new_page()
        shown.goto(pages[page])
        shown.screenshot(path=to / f"{name}.png")
        context.close()


def _take(
    browser: Browser,
    url: str,
    token: str,
    pages: dict[str, str],
    to: Path,
    shape: str,
    viewport: dict[str, int],
    scheme: str,
) -> None:
    context = browser.new_context(
        base_url=url,
        viewport=viewport,  # type: ignore[arg-type]
        color_scheme=scheme,  # type: ignore[arg-type]
        extra_http_headers={"authorization": f"Bearer {token}"},
        device_scale_factor=2,
    )
    page = context.new_page()
    for name, path in pages.items():
        page.goto(path)
        page.screenshot(path=to / f"{name}-{shape}-{scheme}.png", full_page=True)
    context.close()


@contextmanager
def _shop(place: Path) -> Iterator[tuple[str, str]]:
    """The demo, until there is enough to see: its address, and a token of its owner's."""
    deputize = Path(sys.executable).parent / "deputize"
    command = [deputize, "demo", "--dir", place, "--fresh", "--yourself", "--model", "stand-in"]
    demo = subprocess.Popen([*command, "--days", "2", "--per-second", "12"], stdout=subprocess.DEVNULL)
    try:
        url = _address(place / "project" / "data" / "server.json", demo)
        made = subprocess.run(
            [deputize, "token", "maya", "--project", place / "project"],
            capture_output=True,
            text=True,
            check=True,
        )
        _wait(url, demo)
        yield url, made.stdout.split()[0]
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.wait(60)


def _address(path: Path, demo: subprocess.Popen[bytes]) -> str:
    for _ in range(int(WITHIN_S / LOOK_EVERY_S)):
        if path.exists():
            return str(json.loads(path.read_text())["url"])
        if demo.poll() is not None:
            break
        time.sleep(LOOK_EVERY_S)
    raise SystemExit(f"the demo did not start: {path} was not written")


def _wait(url: str, demo: subprocess.Popen[bytes]) -> None:
    """Until so many runs have ended, and so many cards wait."""
    with httpx2.Client(base_url=url, trust_env=False, timeout=30) as http:
        for _ in range(int(WITHIN_S / LOOK_EVERY_S)):
            told = http.get("/v1/today").json()["figures"]
            if told["done"] >= RUNS_MIN and told["need_you"] >= CARDS_MIN:
                return
            if demo.poll() is not None:
                raise SystemExit("the demo ended too early")
            time.sleep(LOOK_EVERY_S)
    raise SystemExit(f"too little happened within {WITHIN_S} s: {told}")


if __name__ == "__main__":
    sys.exit(main())

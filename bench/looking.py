"""People looking: how soon the console's pages come on a large ledger, what they weigh, and what 200 people
who look cost everything else.

The ledger has a million entries of 100,000 runs that have ended, and 2,000 runs that wait for a person.
"""

import asyncio
import contextlib
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import version
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

from bench.deciding import CARDS_TOGETHER, Deciding
from bench.measure import WARM_UP_RUNS, Measure, WorkNotDone, main
from bench.ours import FILL_TOGETHER, fill_run
from deputize import canonical, longlived
from deputize.api.server import serve
from deputize.console.app import add_pages

STEPS = 4
"""With so many writes a run has ten entries."""

CARDS = 2_000
LOOKS = 40
PAINTS = 5
VIEWERS = 200
SLOWDOWN_ROUNDS = 9
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
)

_open = build_opener(ProxyHandler({})).open


class Shown(Deciding):
    """A bench that is served, with its console."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.url = self.token = ""
        self._stop = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Until `stop`."""
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._serving = asyncio.create_task(
            serve(self.system, ready=ready.set_result, stop=self._stop, pages=add_pages)
        )
        self._serving.add_done_callback(lambda task: ready.done() or ready.cancel())
        self.url = await ready
        _, self.token = await self.system.kernel.tokens.issue("maya", "the bench")

    async def stop(self) -> None:
        self._stop.set()
        assert self._serving is not None
        await self._serving


def measure_pages(runs: int, concurrency: int, directory: Path) -> Mapping[str, float]:
    """The pages on a ledger with `runs` ended runs: the worst page's 95th percentile of `LOOKS` on the
    server, its first paint (the median of `PAINTS`, nothing cached) and its weight in kilobytes as sent."""

    async def work() -> dict[str, float]:
        bench = Shown(directory)
        await bench.serve()
        for first in range(0, runs, FILL_TOGETHER):
            last = min(first + FILL_TOGETHER, runs)
            works = [
                bench.system.store.write(lambda tx, n=n: fill_run(tx, n, STEPS))  # type: ignore[misc]
                for n in range(first, last)
            ]
            await asyncio.gather(*works)
        for first in range(0, CARDS, CARDS_TOGETHER):
            # Beyond the runs, whose events have the same names.
            await bench.ask(runs + first, CARDS_TOGETHER)
        counts = bench.system.store.read(lambda view: view.counts())
        if counts["cards"] != CARDS or counts["entries"] < runs * (2 * STEPS + 2):
            raise WorkNotDone(f"the ledger is not what it should be: {counts}")
        longlived.settle()
        card = bench.open_card(0).seq
        run = canonical.name("filled", runs // 2)
        paths = [path.format(card=card, run=run) for path in PAGES]
        figures = await asyncio.to_thread(_looked_at, bench.url, bench.token, paths)
        await bench.stop()
        return figures

    return asyncio.run(work())


PAGES = (
    "/",
    "/inbox",
    "/inbox/{card}",
    "/runs",
    "/runs/{run}",
    "/runs/{run}?tab=entries",
    "/history",
    "/history?text=no-such-thing",
    "/history?operation=desk.write",
    "/rules",
    "/workshop",
    "/costs",
)


def _looked_at(url: str, token: str, paths: list[str]) -> dict[str, float]:
    """Each page by itself; what the worst of them comes to."""
    times = {path: _times_ms(url + path, token) for path in paths}
    worst = max(times, key=lambda path: _p95(times[path]))
    paints, weights = _painted(url, token, paths)
    for path in paths:
        told = (
            f"{path}: {_p95(times[path]):.1f} ms, first paint {paints[path]:.0f} ms, {weights[path]:.0f} kB"
        )
        print(told, file=sys.stderr)
    return {
        "page_p95_ms": _p95(times[worst]),
        "first_paint_ms": max(paints.values()),
        "page_weight_kb": max(weights.values()),
    }


def _times_ms(url: str, token: str) -> list[float]:
    found = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        with _open(
            Request(url, headers={"accept": "text/html", "authorization": f"Bearer {token}"}), timeout=30
        ) as answer:
            answer.read()
            if answer.status != 200 or answer.url != url:
                raise WorkNotDone(f"{url} was answered {answer.status} by {answer.url}")
        found.append((time.perf_counter() - began) * 1_000)
    # The first look compiles the templates; people come again.
    return found[1:]


def _p95(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.95)]


def _painted(url: str, token: str, paths: list[str]) -> tuple[dict[str, float], dict[str, float]]:
    """First contentful paint in ms and weight in kB of each page, in a browser that has nothing yet."""
    from playwright.sync_api import sync_playwright

    paints: dict[str, float] = {}
    weights: dict[str, float] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=list(FLAGS))
        for path in paths:
            seen: list[float] = []
            for _ in range(PAINTS):
                context = browser.new_context(extra_http_headers={"authorization": f"Bearer {token}"})
                page = context.new_page()
                page.goto(url + path, wait_until="load")
                seen.append(page.evaluate(_PAINT))
                weights[path] = page.evaluate(_WEIGHT) / 1_000
                context.close()
            paints[path] = statistics.median(seen)
        browser.close()
    return paints, weights


_PAINT = """() => new Promise((done) => {
  const look = () => {
    const one = performance.getEntriesByName("first-contentful-paint")[0];
    one ? done(one.startTime) : requestAnimationFrame(look);
  };
  look();
})"""

_WEIGHT = """
performance.getEntries().filter(one => one.transferSize && !one.name.includes('/live'))
  .reduce((sum, one) => sum + one.transferSize, 0)
"""


def _chromium() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise WorkNotDone("there is no Chromium here: apt install chromium")
    return path


def measure_viewers_slowdown(runs: int, concurrency: int, directory: Path) -> float:
    """Share of the spine's throughput that 200 live viewers take; the median of nine alternated pairs."""

    async def work() -> float:
        looked_at, alone = Shown(directory / "viewers"), Shown(directory / "none")
        for bench in (looked_at, alone):
            await bench.serve()
            await bench.run(WARM_UP_RUNS, concurrency)
        longlived.settle()
        shares = []
        async with _viewers(looked_at):
            for number in range(SLOWDOWN_ROUNDS):
                took = {}
                pair = (looked_at, alone)
                for bench in pair if number % 2 else reversed(pair):
                    began = time.perf_counter()
                    await bench.run(runs // SLOWDOWN_ROUNDS, concurrency)
                    took[bench] = time.perf_counter() - began
                shares.append(1 - took[alone] / took[looked_at])
        for bench in (looked_at, alone):
            await bench.stop()
        return statistics.median(shares)

    return asyncio.run(work())


@contextlib.asynccontextmanager
async def _viewers(bench: Shown) -> AsyncIterator[None]:
    """So many open pages, in a process of their own."""
    command = [sys.executable, "-m", "bench.looking", "--watch", bench.url, bench.token]
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert child.stdout is not None
        if not await child.stdout.readline():
            raise WorkNotDone("those who look did not begin")
        yield
    finally:
        child.kill()
        await child.wait()


async def _watch(url: str, token: str) -> None:
    """Open the live streams, say so once all have begun, and read them for good."""
    host, _, port = url.removeprefix("http://").partition(":")

    async def one() -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        await reader.readuntil(b"retry: ")
        _open_writers.append(writer)
        return reader

    readers = [await one() for _ in range(VIEWERS)]
    print("all look", flush=True)

    async def read(reader: asyncio.StreamReader) -> None:
        while await reader.read(65_536):
            pass

    await asyncio.gather(*map(read, readers))


_open_writers: list[asyncio.StreamWriter] = []
"""Kept, for a stream ends with its writer."""

MEASURES: Mapping[str, Measure] = {
    "pages": measure_pages,
    "viewers_slowdown": measure_viewers_slowdown,
}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--watch"]:
        asyncio.run(_watch(*sys.argv[2:4]))
    else:
        main("ours", version("deputize"), MEASURES)

"""Bring 2,000 runs to wait in a process of its own, and print how many bytes of memory each has cost."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

import psutil

from tests.support.running import Running, running

WARM, COUNT, TOGETHER = 500, 2_000, 500


async def main() -> None:
    async with running(Path(sys.argv[1]), sound=False) as app:
        # The first ones fill what is bounded and stays: caches, pools and pages of the allocator.
        await _bring_to_wait(app, WARM)
        before = _held()
        for _ in range(0, COUNT, TOGETHER):
            await _bring_to_wait(app, TOGETHER)
        print(max(0, _held() - before) // COUNT)


async def _bring_to_wait(app: Running, count: int) -> None:
    waiting = app.read(lambda view: view.counts().get("runs.waiting", 0))
    await app.send_all([("test.ask", {"item": f"i{waiting + n}"}) for n in range(count)])
    await app.until(lambda view: view.counts().get("runs.waiting") == waiting + count)
    await app.gone()


def _held() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    asyncio.run(main())

"""What the peers' loops are held to: ten calls of one tool, one after another, then a word."""

import asyncio
import time
from collections.abc import Awaitable, Callable

TOOL = "desk-note"
"""As the model's server calls it."""

ASKED = "Note ten things."
CALLS = 10
STEPS = 2 * CALLS + 1
"""Eleven questions to the model, and ten calls."""

WARM_UP_RUNS = 2

Run = Callable[[int], Awaitable[str]]


async def loops_per_s(run: Run, runs: int, concurrency: int) -> float:
    """Loops a second, `concurrency` at once."""
    await _work_off(run, range(WARM_UP_RUNS), concurrency)
    began = time.perf_counter()
    await _work_off(run, range(WARM_UP_RUNS, WARM_UP_RUNS + runs), concurrency)
    return runs / (time.perf_counter() - began)


async def _work_off(run: Run, numbers: range, concurrency: int) -> None:
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            said = await run(number)
            if said != "well":
                raise AssertionError(f"loop {number} ended with {said!r:.200}")

    await asyncio.gather(*(work() for _ in range(concurrency)))

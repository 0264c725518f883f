"""Deputize thinking, and the bare client that it thinks with, against a model's server that answers at once.

Every thought is judged, held against two budgets, durable before it is sent and settled after it. The bare
client is pydantic-ai's own request to the same server, with nothing round it.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.answering import answering
from bench.measure import Measure, WorkNotDone, main
from bench.ours import Bench
from deputize import canonical, longlived
from deputize.event import Occurrence

THINKS = 20
"""Thoughts of one run, one after another."""

WARM_UP = 20
LIMIT_USD_MICROS = 20_000

_AUTOMATION = """
from agents import worker
from connectors import desk

from deputize import ActionError, Event, EventData, Outcome, agent, attempt, automation, done, gave_up, think

thinker = agent("thinker", model="stub", may=[desk.note], concurrent_max=1_000, steps_max=20)


class Thinks(EventData, type="bench.thinks"):
    times: int


class Works(EventData, type="bench.works"):
    n: int


@automation(on=Thinks, agent=thinker)
async def thinks(event: Event[Thinks]) -> Outcome:
    for _ in range(event.data.times):
        if isinstance(await attempt(think("What is it?")), ActionError):
            return gave_up("refused")
    return done("thought")


@automation(on=Works, agent=thinker)
async def works(event: Event[Works]) -> Outcome:
    return done("worked", found=await thinker.work("Note ten things.", returns=int))
"""
_OPERATION = '''

class Noted(BaseModel):
    item: str


@connector.operation(effect="write", repeatable=True)
async def note(call: Call, item: str) -> Noted:
    """Note an item."""
    return Noted(item=item)
'''
_RULES = """
[[rule]]
title = "The thinker may think and note"
operation = ["stub.think", "desk.note"]
permit = true
"""
_SETTINGS = """
[models.stub]
model = "openai-chat:stub"
base = "{base}"
price = {{ input = 1.0, output = 4.0 }}
output_tokens_max = 50
overhead_tokens = 50
concurrent_max = {at_once}

[[budget]]
name = "thoughts"
limit = "{limit} USD cost"
per = "ever"
operations = ["stub.think"]

[[budget]]
name = "of a run"
limit = "10.00 USD cost"
per = "run"
"""


class Thinking(Bench):
    """A bench whose project has a model."""

    def __init__(
        self,
        directory: Path,
        base: str,
        limit_usd: float = 1_000,
        at_once: int = 1_000,
        automations: str = _AUTOMATION,
    ) -> None:
        super().__init__(
            directory, more=lambda root: _write_more(root, automations, base, limit_usd, at_once)
        )
        self.left = 0

    async def have(self, kind: str, data: list[dict[str, Any]]) -> None:
        """These events, until the run of each has ended."""
        events = []
        for one in data:
            self._serial += 1
            events.append(
                Occurrence("/bench", f"t{self._serial}", f"bench.{kind}", "", 1, canonical.encode(one))
            )
        await self.system.kernel.intake.accept(events)
        self.left += len(data)
        await self.reach(self.left)

    def expect_settled(self, actions: int) -> None:
        """Raise `WorkNotDone` unless the ledger holds so many settled actions."""
        found = self.system.store.read(lambda view: view.counts()).get("actions.settled")
        if found != actions:
            raise WorkNotDone(f"expected {actions} settled actions, and the ledger has {found}")


def _write_more(root: Path, automations: str, base: str, limit_usd: float, at_once: int) -> None:
    (root / "automations" / "thinks.py").write_text(automations)
    (root / "rules" / "thinks.toml").write_text(_RULES)
    with (root / "connectors" / "desk.py").open("a") as connector:
        connector.write(_OPERATION)
    with (root / "deputize.toml").open("a") as settings:
        settings.write(_SETTINGS.format(base=base, limit=f"{limit_usd:.6f}", at_once=at_once))


def measure_think_ms(runs: int, concurrency: int, directory: Path) -> float:
    """The median of milliseconds of one thought in a run of twenty, from asking to going on; `runs`
    thoughts."""

    async def work(base: str) -> float:
        bench = Thinking(directory, base)
        await bench.system.start()
        longlived.settle()
        await bench.have("thinks", [{"times": WARM_UP}])
        times = []
        for _ in range(max(1, runs // THINKS)):
            began = time.perf_counter()
            await bench.have("thinks", [{"times": THINKS}])
            times.append((time.perf_counter() - began) / THINKS)
        bench.expect_settled(WARM_UP + len(times) * THINKS)
        await bench.system.stop()
        return statistics.median(times) * 1_000

    with answering() as base:
        return asyncio.run(work(base))


def measure_thinks_per_s(runs: int, concurrency: int, directory: Path) -> float:
    """Thoughts a second, `concurrency` runs at once, each with some of them one after another."""

    async def work(base: str) -> float:
        bench = Thinking(directory, base)
        await bench.system.start()
        longlived.settle()
        await bench.have("thinks", [{"times": 1}] * concurrency)
        each = max(1, runs // concurrency)
        began = time.perf_counter()
        await bench.have("thinks", [{"times": each}] * concurrency)
        took = time.perf_counter() - began
        bench.expect_settled(concurrency * (each + 1))
        await bench.system.stop()
        return concurrency * each / took

    with answering() as base:
        return asyncio.run(work(base))


def measure_loops_per_s(runs: int, concurrency: int, directory: Path) -> float:
    """Loops a second, each of ten calls and eleven thoughts, `concurrency` at once."""

    async def work(base: str) -> float:
        bench = Thinking(directory, base)
        await bench.system.start()
        longlived.settle()
        await bench.have("works", [{"n": 0}] * 2)
        began = time.perf_counter()
        for first in range(0, runs, concurrency):
            await bench.have("works", [{"n": 0}] * min(concurrency, runs - first))
        took = time.perf_counter() - began
        bench.expect_settled((runs + 2) * 21)
        await bench.system.stop()
        return runs / took

    with answering() as base:
        return asyncio.run(work(base))


def measure_overspend_usd_micros(runs: int, concurrency: int, directory: Path) -> float:
    """How far `runs` thinkers at once go over a ceiling that is far too low for them, in micro-dollars."""
    return _ceiling(runs, directory)[0]


def measure_leaked_reservations(runs: int, concurrency: int, directory: Path) -> float:
    """What is still held of that ceiling when all of them have ended, in micro-dollars."""
    return _ceiling(runs, directory)[1]


def _ceiling(runs: int, directory: Path) -> tuple[float, float]:
    async def work(base: str) -> tuple[float, float]:
        # So few at once that what they may cost at worst leaves room to come close to the ceiling.
        bench = Thinking(directory, base, LIMIT_USD_MICROS / 1e6, at_once=20)
        await bench.system.start()
        await bench.have("thinks", [{"times": 1}] * runs)
        await asyncio.sleep(0.1)
        key = next(b.key for b in bench.system.kernel.parts.force.budgets if b.name == "thoughts")
        used = bench.system.store.read(lambda view: [row for row in view.budgets() if row[0] == key])
        await bench.system.stop()
        held, spent = sum(row[2] for row in used), sum(row[3] for row in used)
        if spent < 0.9 * LIMIT_USD_MICROS:
            raise WorkNotDone(f"the ceiling was not reached: {spent} of {LIMIT_USD_MICROS} micro-dollars")
        return max(0, spent - LIMIT_USD_MICROS), held

    with answering() as base:
        return asyncio.run(work(base))


def measure_bare_ms(runs: int, concurrency: int, directory: Path) -> float:
    """The median of milliseconds of one bare request, one after another."""

    async def work(ask: Callable[[], Awaitable[None]]) -> float:
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            await ask()
            times.append(time.perf_counter() - began)
        return statistics.median(times) * 1_000

    return _bare(work)


def measure_bare_per_s(runs: int, concurrency: int, directory: Path) -> float:
    """Bare requests a second, `concurrency` at once."""

    async def work(ask: Callable[[], Awaitable[None]]) -> float:
        async def some() -> None:
            for _ in range(max(1, runs // concurrency)):
                await ask()

        await asyncio.gather(*(ask() for _ in range(concurrency)))
        began = time.perf_counter()
        await asyncio.gather(*(some() for _ in range(concurrency)))
        return concurrency * max(1, runs // concurrency) / (time.perf_counter() - began)

    return _bare(work)


def _bare(work: Callable[[Callable[[], Awaitable[None]]], Awaitable[float]]) -> float:
    from pydantic_ai.direct import model_request
    from pydantic_ai.messages import ModelRequest
    from pydantic_ai.models import infer_model
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.settings import ModelSettings

    async def measured(base: str) -> float:
        model = infer_model(
            "openai-chat:stub", provider_factory=lambda name: OpenAIProvider(base_url=base, api_key="none")
        )
        limits = ModelSettings(max_tokens=50, timeout=60.0, max_retries=0)

        async def ask() -> None:
            request = [ModelRequest.user_text_prompt("What is it?")]
            await model_request(model, request, model_settings=limits, instrument=False)

        for _ in range(WARM_UP):
            await ask()
        longlived.settle()
        return await work(ask)

    with answering() as base:
        return asyncio.run(measured(base))


MEASURES: dict[str, Measure] = {
    "think_ms": measure_think_ms,
    "bare_ms": measure_bare_ms,
    "thinks_per_s": measure_thinks_per_s,
    "bare_per_s": measure_bare_per_s,
    "loops_per_s": measure_loops_per_s,
    "overspend_usd_micros": measure_overspend_usd_micros,
    "leaked_reservations": measure_leaked_reservations,
}

if __name__ == "__main__":
    main("ours", version("deputize"), MEASURES)

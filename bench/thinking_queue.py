"""How long an interactive thought stands behind a batch that has filled its model's line.

The provider takes eight at once and answers each after 30 ms. A batch of 500 runs thinks one thought after
another, so that 500 are under way or in line all the time, while interactive runs of one thought come one by
one.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.answering import answering
from bench.measure import Measure, WorkNotDone, main
from bench.thinking_ours import Thinking
from deputize import canonical, longlived
from deputize.event import Occurrence
from deputize.kernel.live import LiveRun

ANSWER_S = 0.03
AT_ONCE = 8
BATCH = 500
SETTLING = 50
"""So many of it at most are under way, or between two thoughts."""

WARM_UP = 20
ALONE = 100

_AUTOMATION = """
import time

from deputize import Event, EventData, Outcome, agent, automation, done, think

crowd = agent("crowd", model="stub", service_level="batch", concurrent_max=1_000)
quick = agent("quick", model="stub", service_level="interactive")


class Crowds(EventData, type="bench.crowds"):
    times: int


class Hurries(EventData, type="bench.hurries"):
    n: int


@automation(on=Crowds, agent=crowd)
async def crowds(event: Event[Crowds]) -> Outcome:
    for _ in range(event.data.times):
        await think("What is it?")
    return done("thought")


@automation(on=Hurries, agent=quick)
async def hurries(event: Event[Hurries]) -> Outcome:
    # When it was asked for is in what is asked.
    await think(str(time.perf_counter()))
    return done("thought")
"""


class Queueing(Thinking):
    """A bench whose model takes few at once. `queued_s` has how long each interactive thought took from being
    asked for to being sent, `took_s` its whole run, from its event to its end."""

    def __init__(self, directory: Path, base: str) -> None:
        super().__init__(directory, base, at_once=AT_ONCE, automations=_AUTOMATION)
        self.queued_s: list[float] = []
        self.took_s: list[float] = []
        self._ends: dict[str, asyncio.Event] = {}
        self.system.project.models["stub"].use(_noting(base, self._sent))

    def _sent(self, prompt: str) -> None:
        with suppress(ValueError):
            self.queued_s.append(time.perf_counter() - float(prompt))

    def _saw(self, run: LiveRun) -> None:
        super()._saw(run)
        end = self._ends.pop(run.event.id, None)
        if end is not None:
            end.set()

    async def hurry(self, times: int) -> None:
        """So many interactive runs, one by one."""
        for _ in range(times):
            self._serial += 1
            name = f"q{self._serial}"
            ended = self._ends[name] = asyncio.Event()
            data = canonical.encode({"n": self._serial})
            began = time.perf_counter()
            await self.system.kernel.intake.accept([Occurrence("/bench", name, "bench.hurries", "", 1, data)])
            await ended.wait()
            self.took_s.append(time.perf_counter() - began)

    def waiting(self) -> int:
        """How many wait: thoughts for the model, and runs of the batch for a place in memory."""
        kernel = self.system.kernel
        return kernel.parts.lane_of("connector:stub").waiting + kernel.scheduler.backlog


def _noting(base: str, sent: Callable[[str], None]) -> Any:
    """The same model, which tells what it is asked as it is sent."""
    from pydantic_ai.models import infer_model
    from pydantic_ai.models.wrapper import WrapperModel
    from pydantic_ai.providers.openai import OpenAIProvider

    class Noting(WrapperModel):
        async def request(self, messages: Any, *more: Any, **named: Any) -> Any:
            sent(str(messages[-1].parts[-1].content))
            return await super().request(messages, *more, **named)

    provider = OpenAIProvider(base_url=base, api_key="none")
    return Noting(infer_model("openai-chat:stub", provider_factory=lambda name: provider))


def measure_interactive_queue_p95_ms(runs: int, concurrency: int, directory: Path) -> float:
    """The 95th percentile of milliseconds from asking for an interactive thought to sending it, beside the
    batch, less their median with nothing beside."""
    return _beside(directory, runs, lambda bench: bench.queued_s)


def measure_interactive_run_p95_ms(runs: int, concurrency: int, directory: Path) -> float:
    """The same of whole runs, from their event to their end: all that the batch takes from this process."""
    return _beside(directory, runs, lambda bench: bench.took_s)


def _beside(directory: Path, runs: int, times_of: Callable[[Queueing], list[float]]) -> float:
    async def work(base: str) -> float:
        bench = Queueing(directory, base)
        await bench.system.start()
        longlived.settle()
        await bench.hurry(WARM_UP + ALONE)
        alone = times_of(bench)[-ALONE:]
        # Each of the batch goes on for longer than all the others take.
        crowd = asyncio.ensure_future(bench.have("crowds", [{"times": 100}] * BATCH))
        while bench.waiting() < BATCH - SETTLING:
            await bench.hurry(1)
        before = len(times_of(bench))
        await bench.hurry(runs)
        if bench.waiting() < BATCH - SETTLING:
            raise WorkNotDone(f"the batch was over too early: {bench.waiting()} of it wait in the end")
        crowd.cancel()
        await bench.system.stop()
        beside = times_of(bench)[before:]
        if len(beside) != runs:
            raise WorkNotDone(f"of {runs} interactive thoughts {len(beside)} were sent")
        return (statistics.quantiles(beside, n=20)[-1] - statistics.median(alone)) * 1_000

    with answering(ANSWER_S) as base:
        return asyncio.run(work(base))


MEASURES: dict[str, Measure] = {
    "interactive_queue_p95_ms": measure_interactive_queue_p95_ms,
    "interactive_run_p95_ms": measure_interactive_run_p95_ms,
}

if __name__ == "__main__":
    main("ours", version("deputize"), MEASURES)

"""Deputize deciding: how soon a person's yes is carried out, and what open cards cost everything else.

The project is the spine's, and beside it one automation with one write that always waits for a person.
"""

import asyncio
import statistics
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from bench.measure import WARM_UP_RUNS, Measure, WorkNotDone, main
from bench.ours import Bench
from deputize import canonical, longlived
from deputize.event import Occurrence
from deputize.store.protocol import CardRow

CARDS = 10_000
CARDS_TOGETHER = 250
SLOWDOWN_ROUNDS = 9

_PEOPLE = "\n[people.maya]\n"
_RULE = """
[[rule]]
title = "Filing waits for a person"
operation = "desk.file"
ask_always = true
ask = "maya"
"""
_AUTOMATION = '''
from agents import worker
from connectors import desk

from deputize import Event, EventData, Money, Outcome, automation, done


class Filed(EventData, type="bench.filed"):
    item: str


@automation(on=Filed, agent=worker)
async def files(event: Event[Filed]) -> Outcome:
    """One write that waits for a person."""
    await desk.file(item=event.data.item, customer="c1", amount=Money(100, "EUR"))
    return done("filed")
'''


class Deciding(Bench):
    """A bench whose project also has what waits for a person."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, more=_write_more)
        self.left = 0
        """How many runs have left memory, as far as was waited for."""

    async def ask(self, first: int, count: int) -> None:
        """So many runs more, each of which waits for a person when this returns."""
        data = [canonical.encode({"item": f"f{first + n}"}) for n in range(count)]
        events = [
            Occurrence("/bench", f"f{first + n}", "bench.filed", "", 1, one) for n, one in enumerate(data)
        ]
        await self.system.kernel.intake.accept(events)
        # Each leaves memory where it waits.
        self.left += count
        await self.reach(self.left)

    def open_card(self, after: int) -> CardRow:
        """The next open card."""
        return self.system.store.read(lambda view: view.cards(after=after, limit=1))[0]


def _write_more(root: Path) -> None:
    (root / "automations" / "files.py").write_text(_AUTOMATION)
    (root / "rules" / "files.toml").write_text(_RULE)
    with (root / "deputize.toml").open("a") as settings:
        settings.write(_PEOPLE)


def measure_grant_to_finished_ms(runs: int, concurrency: int, directory: Path) -> float:
    """The median of milliseconds from a person's yes to its run's end on disk, one at a time."""

    async def work() -> float:
        bench = Deciding(directory)
        await bench.system.start()
        longlived.settle()
        times = []
        card = 0
        for number in range(runs + WARM_UP_RUNS):
            await bench.ask(number, 1)
            row = bench.open_card(card)
            began = time.perf_counter()
            binding = row.body["binding"]
            await bench.system.kernel.approving.approve(row.id, binding=binding, person="maya")
            bench.left += 1
            await bench.reach(bench.left)
            times.append(time.perf_counter() - began)
            card = row.seq
        counts = bench.system.store.read(lambda view: view.counts())
        if counts.get("runs.ended") != runs + WARM_UP_RUNS or counts.get("cards"):
            raise WorkNotDone(f"not every run was approved and ended: {counts}")
        await bench.system.stop()
        return statistics.median(times[WARM_UP_RUNS:]) * 1_000

    return asyncio.run(work())


def measure_cards_slowdown(runs: int, concurrency: int, directory: Path) -> float:
    """Share of the spine's throughput that 10,000 open cards take; the median of nine alternated pairs."""

    async def work() -> float:
        benches = []
        for name, cards in (("cards", CARDS), ("none", 0)):
            bench = Deciding(directory / name)
            await bench.system.start()
            for first in range(0, cards, CARDS_TOGETHER):
                await bench.ask(first, CARDS_TOGETHER)
            counts = bench.system.store.read(lambda view: view.counts())
            if counts["cards"] != cards:
                raise WorkNotDone(f"expected {cards} open cards, and there are {counts}")
            await bench.run(WARM_UP_RUNS, concurrency)
            benches.append(bench)
        longlived.settle()
        shares = []
        for number in range(SLOWDOWN_ROUNDS):
            took = {}
            for bench in benches if number % 2 else reversed(benches):
                began = time.perf_counter()
                await bench.run(runs // SLOWDOWN_ROUNDS, concurrency)
                took[bench] = time.perf_counter() - began
            shares.append(1 - took[benches[1]] / took[benches[0]])
        for bench in benches:
            await bench.system.stop()
        return statistics.median(shares)

    return asyncio.run(work())


MEASURES: Mapping[str, Measure] = {
    "grant_to_finished_ms": measure_grant_to_finished_ms,
    "cards_slowdown": measure_cards_slowdown,
}

if __name__ == "__main__":
    main("ours", version("deputize"), MEASURES)

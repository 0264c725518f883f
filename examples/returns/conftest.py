"""What the tests share: the practice town, with this project at work in it.

The services are real (HTTP, in a process of their own) and so is everything that Deputize does; only the
events are ours.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest

from deputize import EventData, Money, canonical
from deputize.event import Occurrence
from deputize.store.protocol import CardRow, View
from deputize.system import System
from deputize.testing.rules import rules, town_project  # noqa: F401 (fixtures)
from deputize.town import Town

T = TypeVar("T")

HERE = Path(__file__).parent
ANSWERED_WITHIN_S = 30


class AtWork:
    """This project, running in a town: give it events, and see how they were answered."""

    def __init__(self, project: Path, town: Town) -> None:
        self.town = town
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._moved = asyncio.Event()
        self._system = System.open(project, boundary=self._hear)
        self._ids = count(1)
        self._runner.run(self._system.start())

    def order(self, order_id: str, total: str, **options: Any) -> None:
        """Let there be an order; see `Town.plant` for the options."""
        self.town.plant(order_id, Money.parse(total).minor, charge=f"ch-{order_id}", **options)

    def answer(self, data: EventData) -> str:
        """Send an event, and wait until it is answered: the outcome, as in `done(refunded)`."""
        return self._runner.run(self._answer(data))

    def asks(self, data: EventData) -> CardRow:
        """Send an event, and wait until people are asked for something: the card."""
        return self._runner.run(self._asks(data))

    def approve(self, card: CardRow, *, by: str) -> str:
        """Approve what a card asks for, and wait for the outcome."""
        return self._runner.run(self._say(card, "approve", person=by))

    def refuse(self, card: CardRow, *, by: str, reason: str) -> str:
        """Refuse what a card asks for, and wait for the outcome."""
        return self._runner.run(self._say(card, "refuse", person=by, reason=reason))

    def refunds(self, order_id: str) -> list[str]:
        """What was really given back for an order."""
        rows = [row for row in self.town.book() if row["operation"] == "refund"]
        return [
            str(Money(row["amount_minor"], row["currency"]))
            for row in rows
            if row["resource"] == f"ch-{order_id}"
        ]

    def mails(self) -> int:
        """How many messages were really sent."""
        return sum(row["service"] == "mail" for row in self.town.book())

    def close(self) -> None:
        """Stop; nothing is left running."""
        self._runner.run(self._system.stop())
        self._runner.close()

    async def _answer(self, data: EventData) -> str:
        run_id = await self._send(data)
        return await self._until(lambda view: _label(view, run_id))

    async def _asks(self, data: EventData) -> CardRow:
        run_id = await self._send(data)
        return await self._until(lambda view: next((c for c in view.cards() if c.run_id == run_id), None))

    async def _say(self, card: CardRow, what: str, **said: str) -> str:
        say = getattr(self._system.kernel.approving, what)
        await say(card.id, binding=card.body["binding"], **said)
        return await self._until(lambda view: _label(view, card.run_id))

    async def _send(self, data: EventData) -> str:
        body = canonical.encode(data.model_dump(mode="json"))
        now_us = self._system.time.now_us()
        event = Occurrence("/tests", f"e{next(self._ids)}", data.event_type, "", now_us, body)
        [arrival] = await self._system.kernel.intake.accept([event])
        return arrival.runs[0].id

    async def _until(self, found: Callable[[View], T | None]) -> T:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            while True:
                self._moved.clear()
                got = self._system.store.read(found)
                if got is not None:
                    return got
                await self._moved.wait()

    def _hear(self, _: str) -> None:
        """Something happened, on whatever thread."""
        self._loop.call_soon_threadsafe(self._moved.set)


def _label(view: View, run_id: str) -> str | None:
    run = view.run(run_id)
    return run.label if run is not None and run.state == "ended" else None


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with Town.start(tmp_path_factory.mktemp("town"), customers=5, faults="none") as town:
        yield town


@pytest.fixture
def shop(request: pytest.FixtureRequest, town: Town, tmp_path: Path) -> Iterator[AtWork]:
    """This project, at work; every test has a ledger of its own. A test may have it with other settings, by
    two texts: what stands in deputize.toml, and what is to stand there."""
    town.set_faults()
    project = tmp_path / "project"
    shutil.copytree(HERE, project, ignore=shutil.ignore_patterns("data", "tests", ".*"))
    settings = project / "deputize.toml"
    settings.write_text(settings.read_text().replace(*getattr(request, "param", ("", ""))))
    (project / ".env").write_text(
        "".join(f"TOWN_{name.upper()}_URL={url}\n" for name, url in town.urls.items())
    )
    at_work = AtWork(project, town)
    yield at_work
    at_work.close()

"""A practice town with your project at work in it, for your project's own tests.

    from deputize.testing.town import town, town_project  # in tests/conftest.py

    def test_a_refund_survives_a_crash(town):
        town.shop.order("o1", charge="ch_1", total="80.00 EUR", days_since_delivery=3)
        town.crash_after("payments.refund")
        run = town.send(ReturnRequested(order_id="o1"))
        assert run.finish().outcome == done("refunded")
        assert town.payments.refunds("ch_1") == ["80.00 EUR"]

The services are real (HTTP, in a process of their own), and so are the process of the project and its
death. When a test ends, everything that `deputize.testing.invariants` holds is checked.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deputize.automation import Outcome
from deputize.event import EventData
from deputize.money import Money
from deputize.testing.crash import CrashHarness
from deputize.testing.life import HarnessError, Life
from deputize.town import Town

SOURCE = "test"
LIVES_MAX = 20
NOT_COPIED = shutil.ignore_patterns("data", ".git", ".venv", "__pycache__", ".pytest_cache", ".demo")


@dataclass(frozen=True)
class Finished:
    """How a run ended: its outcome, or None and the reason where it failed, was cancelled or continued."""

    outcome: Outcome | None
    kind: str
    reason: str


@dataclass(frozen=True)
class WaitingCard:
    """A card that waits for a person: a doubt, a drift or a stuck run."""

    id: str
    kind: str
    title: str
    _town: ProjectTown

    def happened(self, result: Mapping[str, Any], *, by: str = "maya", reason: str = "") -> None:
        """It did happen, with this result (as the operation returns it)."""
        self._answer("happened", dict(result), by, reason)

    def did_not_happen(self, *, again: bool = False, by: str = "maya", reason: str = "") -> None:
        """It did not; with `again` it is to be done once more."""
        self._answer("do_again" if again else "did_not", None, by, reason)

    def abandon(self, *, by: str = "maya", reason: str = "") -> None:
        """Nobody will ever know; the run ends."""
        self._answer("abandon", None, by, reason)

    def _answer(self, kind: str, result: object, person: str, reason: str) -> None:
        life = self._town.life()
        life.tell("answer", card=self.id, kind=kind, result=result, person=person, reason=reason)
        told = life.wait("answered", "refused")
        if told["now"] == "refused":
            raise ValueError(told["reason"])


class SentRun:
    """The run that answers an event which a test has sent."""

    def __init__(self, town: ProjectTown, event: Mapping[str, Any]) -> None:
        self._town = town
        self._event = event

    def finish(self) -> Finished:
        """Wait for its end, over any crashes that the test asked for."""
        told = self._town.follow(self._event, "ended")
        kind = told["kind"]
        outcome = Outcome(kind, told["label"], told["details"]) if kind in ("done", "gave_up") else None
        return Finished(outcome, kind, told["reason"])

    def wait_for_card(self) -> WaitingCard:
        """Wait until it waits for a person. Raises `HarnessError` if it ends instead."""
        told = self._town.follow(self._event, "card")
        if told["now"] == "ended":
            raise HarnessError(f"it ended without a card: {told['kind']} {told['label']} {told['reason']}")
        return WaitingCard(told["id"], told["kind"], told["title"], self._town)


class ShopSide:
    """The shop, from outside."""

    def __init__(self, town: Town) -> None:
        self._town = town

    def order(self, order_id: str, *, total: str, **options: Any) -> None:
        """Let there be an order. `options` are those of `deputize.town.Town.plant`: charge, status, …"""
        self._town.plant(order_id, Money.parse(total).minor, **options)


class PaymentsSide:
    """The payment service, from outside."""

    def __init__(self, town: Town) -> None:
        self._town = town

    def refunds(self, charge: str) -> list[str]:
        """What was really given back of a charge, in order."""
        rows = [
            row for row in self._town.book() if row["operation"] == "refund" and row["resource"] == charge
        ]
        return [str(Money(row["amount_minor"], row["currency"])) for row in rows]


class MailSide:
    """The mail service, from outside."""

    def __init__(self, town: Town) -> None:
        self._town = town

    def sent(self, to: str | None = None) -> int:
        """How many messages were really sent, to one address or to all."""
        rows = [row for row in self._town.book() if row["service"] == "mail"]
        return sum(to is None or row["resource"] == to for row in rows)


class ProjectTown:
    """A town and the project in it. Its process starts with the first event, and again after each death."""

    def __init__(self, harness: CrashHarness) -> None:
        self._harness = harness
        self.shop = ShopSide(harness.town)
        self.payments = PaymentsSide(harness.town)
        self.mail = MailSide(harness.town)
        self._life: Life | None = None
        self._deaths: list[str] = []
        self._sent = 0

    def crash_after(self, operation: str) -> None:
        """Kill the process, once, when this operation has been answered and nothing of that is recorded."""
        if operation not in self._harness.project.operations:
            known = ", ".join(sorted(self._harness.project.operations))
            raise ValueError(f"there is no operation {operation!r}; there is {known}")
        self._deaths.append(operation)
        self._leave()

    def fault(self, kind: str, service: str, operation: str, *, first_n: int = 1, **options: Any) -> None:
        """The next `first_n` requests meet a fault; its kinds are those of `deputize.town.faults`."""
        rules = self._harness.town.hall("GET", "/faults")["rules"]
        rule = {"kind": kind, "service": service, "operation": operation, "first_n": first_n, **options}
        self._harness.town.set_faults(*rules, rule)

    def send(self, data: EventData, *, id: str = "") -> SentRun:
        """Send an event; it is durable when this returns, whoever dies. Raises `ValueError` if refused."""
        self._sent += 1
        event = {
            "source": SOURCE,
            "id": id or f"e{self._sent}",
            "type": data.event_type,
            "data": data.model_dump(mode="json"),
        }
        for _ in range(LIVES_MAX):
            life = self.life()
            life.send([event])
            told = self._next(life, "accepted", "refused")
            if told is not None and told["now"] == "refused":
                raise ValueError(told["reason"])
            if told is not None:
                return SentRun(self, event)
        raise HarnessError(f"it died {LIVES_MAX} times while it was sent an event")

    def follow(self, event: Mapping[str, Any], until: str) -> dict[str, Any]:
        """What became of the run that answers an event, over deaths."""
        for _ in range(LIVES_MAX):
            life = self.life()
            place = {name: event[name] for name in ("source", "id", "type")}
            life.tell("follow", until=until, **place)
            told = self._next(life, "ended", "card")
            if told is not None:
                return told
        raise HarnessError(f"it died {LIVES_MAX} times while a run was waited for")

    def life(self) -> Life:
        """The project's process; a new one where there is none."""
        if self._life is None or self._life.process.poll() is not None:
            self._life = self._harness.life(crashes_after=self._deaths[:1])
        return self._life

    def close(self) -> None:
        """Stop, and check all that must hold. Raises `AssertionError` with what does not."""
        self._leave()
        if self._harness.project.settings.ledger.exists():
            broken = self._harness.broken(quiet=False)
            assert not broken, "\n".join(map(str, broken))

    def _next(self, life: Life, *now: str) -> dict[str, Any] | None:
        """The next of these; None where the process died as it was asked to."""
        told = life.wait("dies", *now)
        if told["now"] != "dies":
            return told
        life.ended()
        self._deaths.remove(told["at"])
        return None

    def _leave(self) -> None:
        if self._life is not None and self._life.process.poll() is None:
            self._life.stop()
        self._life = None


@pytest.fixture
def town_project(request: pytest.FixtureRequest) -> Path:
    """The project under test: the nearest folder above the test that has a deputize.toml."""
    for folder in request.path.parents:
        if (folder / "deputize.toml").is_file():
            return folder
    raise FileNotFoundError(f"no deputize.toml above {request.path}; override the fixture town_project")


@pytest.fixture
def town(town_project: Path, tmp_path: Path) -> Iterator[ProjectTown]:
    """A fresh town with a copy of the project in it; see the module's text."""
    root = tmp_path / "project"
    shutil.copytree(town_project, root, ignore=NOT_COPIED)
    with Town.start(tmp_path / "town", customers=5) as started, CrashHarness(root, started) as harness:
        at_work = ProjectTown(harness)
        yield at_work
        at_work.close()

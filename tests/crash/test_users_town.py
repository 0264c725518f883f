"""The town that users' own tests are given, used as they use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize import EventData, done
from deputize.testing.life import HarnessError
from deputize.testing.town import ProjectTown, town

__all__ = ["town"]


class ReturnRequested(EventData, type="crash.return"):
    order_id: str
    amount: int = 8_000


class OpenAsked(EventData, type="crash.open"):
    order_id: str


class Broken(EventData, type="crash.return"):
    amount: str = "much"


@pytest.fixture
def town_project() -> Path:
    return Path(__file__).parent / "project"


def test_a_refund_survives_a_crash_and_is_made_once(town: ProjectTown) -> None:
    town.shop.order("o1", charge="ch_1", total="80.00 EUR", days_since_delivery=3)
    town.crash_after("payments.refund")
    run = town.send(ReturnRequested(order_id="o1"))
    finished = run.finish()
    assert finished.outcome is not None
    assert finished.outcome.label == "refunded"
    assert town.payments.refunds("ch_1") == ["80.00 EUR"]
    assert town.mail.sent() == 1


def test_what_nobody_can_know_is_a_card_and_goes_on_with_the_answer(town: ProjectTown) -> None:
    town.shop.order("o2", total="20.00 EUR")
    town.fault("cut_before", "shop", "open_return")
    run = town.send(OpenAsked(order_id="o2"))
    card = run.wait_for_card()
    assert card.kind == "doubt"
    assert "shop.open_return" in card.title
    card.did_not_happen(again=True, reason="the shop has none")
    assert run.finish().outcome == done("opened")


def test_it_dies_at_each_place_that_was_asked_for(town: ProjectTown) -> None:
    town.shop.order("o3", charge="ch_3", total="80.00 EUR")
    for operation in ("shop.get_order", "payments.refund", "mail.send"):
        town.crash_after(operation)
    assert town.send(ReturnRequested(order_id="o3")).finish().kind == "done"
    assert town.payments.refunds("ch_3") == ["80.00 EUR"]
    assert town.mail.sent() == 1


def test_mistakes_are_told_where_they_are_made(town: ProjectTown) -> None:
    with pytest.raises(ValueError, match=r"there is no operation 'payments.refnd'; there is"):
        town.crash_after("payments.refnd")
    with pytest.raises(ValueError, match=r"data\.order_id: Field required"):
        town.send(Broken())
    town.shop.order("o4", total="80.00 EUR")
    run = town.send(ReturnRequested(order_id="o4"))
    with pytest.raises(HarnessError, match="it ended without a card: done refunded"):
        run.wait_for_card()

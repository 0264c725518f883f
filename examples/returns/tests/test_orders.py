"""Orders go out unless something speaks against it, and customers hear where theirs is."""

import pytest
from automations.damage import DamageReported
from automations.messages import MessageReceived
from automations.orders import OrderPlaced

from conftest import AtWork


@pytest.mark.parametrize(
    ("total", "ship_to", "customer_days", "outcome"),
    [
        ("299.00 EUR", "FR", 1_000, "done(released)"),
        ("301.00 EUR", "FR", 1_000, "done(held)"),
        ("499.00 EUR", "DE", 3, "done(released)"),
        ("501.00 EUR", "DE", 3, "done(held)"),
        ("501.00 EUR", "DE", 31, "done(released)"),
    ],
)
def test_an_order_is_held_only_for_a_reason(
    shop: AtWork, total: str, ship_to: str, customer_days: int, outcome: str
) -> None:
    order = f"order-{total[:3]}-{ship_to}-{customer_days}"
    shop.order(order, total, status="placed", ship_country=ship_to, customer_days=customer_days)
    assert shop.answer(OrderPlaced(order_id=order)) == outcome


def test_damaged_goods_are_replaced_from_stock(shop: AtWork) -> None:
    shop.order("broken", "45.00 EUR", days_since_delivery=1)
    report = DamageReported(
        order_id="broken", sku="sku-broken", description="broken", photo="https://x/1.jpg"
    )
    assert shop.answer(report) == "done(replaced)"
    assert shop.refunds("broken") == []


def test_a_question_about_an_order_is_answered_from_the_order(shop: AtWork) -> None:
    shop.order("asked", "45.00 EUR", customer="c-asks", status="shipped")
    before = shop.mails()
    question = MessageReceived(customer="c-asks", email="asks@example.com", text="Where is my order?")
    assert shop.answer(question.model_copy(update={"order_id": "asked"})) == "done(answered)"
    assert shop.answer(question) == "done(answered)"
    assert shop.answer(question.model_copy(update={"order_id": "no-such"})) == "done(unknown-order)"
    assert shop.mails() == before + 3

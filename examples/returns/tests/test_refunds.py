"""Money goes back when it should, once, and never beyond the rules."""

from automations.damage import DamageReported
from automations.orders import OrderPlaced
from automations.returns import ReturnRequested

from conftest import AtWork


def test_a_return_in_time_is_refunded_in_full(shop: AtWork) -> None:
    shop.order("in-time", "80.00 EUR", days_since_delivery=3)
    assert shop.answer(ReturnRequested(order_id="in-time")) == "done(refunded)"
    assert shop.refunds("in-time") == ["80.00 EUR"]


def test_a_refund_over_1000_euros_is_never_made(shop: AtWork) -> None:
    shop.order("dear", "1000.01 EUR", days_since_delivery=3)
    assert shop.answer(ReturnRequested(order_id="dear")) == "done(over-limit)"
    assert shop.refunds("dear") == []


def test_a_large_refund_waits_for_a_person(shop: AtWork) -> None:
    shop.order("large", "1000.00 EUR", days_since_delivery=3)
    card = shop.asks(ReturnRequested(order_id="large"))
    assert shop.refunds("large") == []
    assert shop.approve(card, by="kim") == "done(refunded)"
    assert shop.refunds("large") == ["1000.00 EUR"]


def test_a_large_refund_that_a_person_refuses_is_not_made(shop: AtWork) -> None:
    shop.order("too-large", "300.00 EUR", days_since_delivery=3)
    card = shop.asks(ReturnRequested(order_id="too-large"))
    assert shop.refuse(card, by="maya", reason="we call them first") == "done(over-limit)"
    assert shop.refunds("too-large") == []


def test_a_return_that_comes_too_late_is_declined(shop: AtWork) -> None:
    shop.order("late", "80.00 EUR", days_since_delivery=31)
    assert shop.answer(ReturnRequested(order_id="late")) == "done(declined)"
    assert shop.refunds("late") == []


def test_asking_twice_brings_the_money_once(shop: AtWork) -> None:
    shop.order("twice", "80.00 EUR", days_since_delivery=3)
    assert shop.answer(ReturnRequested(order_id="twice")) == "done(refunded)"
    assert shop.answer(ReturnRequested(order_id="twice")) == "done(already-refunded)"
    assert shop.refunds("twice") == ["80.00 EUR"]


def test_a_refund_whose_answer_is_lost_is_made_once(shop: AtWork) -> None:
    shop.order("lost", "80.00 EUR", days_since_delivery=3)
    shop.town.set_faults({"service": "payments", "operation": "refund", "kind": "cut_after", "first_n": 1})
    assert shop.answer(ReturnRequested(order_id="lost")) == "done(refunded)"
    assert shop.refunds("lost") == ["80.00 EUR"]


def test_a_customer_gets_at_most_5_refunds_a_day(shop: AtWork) -> None:
    outcomes = []
    for n in range(6):
        shop.order(f"many-{n}", "10.00 EUR", customer="c-many", days_since_delivery=3)
        outcomes.append(shop.answer(ReturnRequested(order_id=f"many-{n}")))
    assert outcomes == ["done(refunded)"] * 5 + ["done(over-limit)"]


def test_what_is_sold_out_is_cancelled_and_paid_back(shop: AtWork) -> None:
    shop.order("sold-out", "45.00 EUR", status="placed", in_stock=False)
    assert shop.answer(OrderPlaced(order_id="sold-out")) == "done(cancelled)"
    assert shop.refunds("sold-out") == ["45.00 EUR"]


def test_damage_without_a_photo_is_asked_about_first(shop: AtWork) -> None:
    shop.order("damaged", "45.00 EUR", days_since_delivery=1, in_stock=False)
    report = DamageReported(order_id="damaged", sku="sku-damaged", description="a deep scratch")
    assert shop.answer(report) == "done(asked-for-photo)"
    assert shop.refunds("damaged") == []
    with_photo = report.model_copy(update={"photo": "https://photos.example.com/1.jpg"})
    assert shop.answer(with_photo) == "done(refunded)"
    assert shop.refunds("damaged") == ["45.00 EUR"]


def test_a_refund_that_the_books_do_not_bear_out_waits_for_a_person(shop: AtWork) -> None:
    shop.order("twice-broken", "140.00 EUR", days_since_delivery=1, in_stock=False)
    report = DamageReported(
        order_id="twice-broken",
        sku="sku-twice-broken",
        description="in pieces",
        photo="https://p.example.com/1.jpg",
    )
    assert shop.answer(report) == "done(refunded)"
    card = shop.asks(report)
    assert shop.refuse(card, by="kim", reason="it is paid back already") == "done(over-limit)"
    assert shop.refunds("twice-broken") == ["140.00 EUR"]

"""What the rules say, without a town."""

from deputize import Money
from deputize.testing.rules import ProjectRules


def refund(amount: str) -> dict[str, object]:
    return {"charge": "ch_1", "amount": Money.parse(amount), "customer": "c1", "reference": "o1"}


def test_an_80_euro_refund_is_made_at_once_and_a_180_euro_refund_asks(rules: ProjectRules) -> None:
    assert rules.judge("payments.refund", refund("80.00 EUR"), agent="returns-desk").says == "allow"
    asks = rules.judge("payments.refund", refund("180.00 EUR"), agent="returns-desk")
    assert asks.says == "ask" and "Refunds over 150 euros wait for a person" in asks.titles


def test_a_120_euro_refund_is_checked_first(rules: ProjectRules) -> None:
    assert rules.judge("payments.refund", refund("120.00 EUR"), agent="returns-desk").says == "verify"


def test_nobody_can_approve_more_than_1000_euros(rules: ProjectRules) -> None:
    assert rules.judge("payments.refund", refund("1000.01 EUR"), agent="returns-desk").says == "refuse"


def test_the_sixth_refund_of_a_customer_in_a_day_is_refused(rules: ProjectRules) -> None:
    counts = {"At most 5 refunds per customer and day": 5}
    said = rules.judge("payments.refund", refund("80.00 EUR"), agent="returns-desk", counts=counts)
    assert said.says == "refuse"

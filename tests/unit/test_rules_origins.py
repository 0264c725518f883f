"""Rules that look at where an action's arguments may come from."""

from __future__ import annotations

import pytest

from deputize.errors import RuleError
from deputize.rules import rules_from_text
from tests.unit.rules_shop import OPERATIONS, PERMIT_ALL, ask, rules

ASK = '[[rule]]\ntitle = "Money by mail"\noperation = "payments.refund"\nask_if_from = ["mail.*", "letter"]\n'
NEVER = ASK.replace("ask_if_from", "never_if_from")


@pytest.mark.parametrize(
    ("origins", "decision"),
    [
        ((), "allow"),
        (("shop.order",), "allow"),
        (("mail",), "allow"),
        (("mail.get",), "demand"),
        (("shop.order", "letter"), "demand"),
        (("mail.of.a.kind.nobody.knew",), "demand"),
    ],
)
def test_it_speaks_where_any_origin_matches(origins: tuple[str, ...], decision: str) -> None:
    question = ask(origins=origins, untrusted=bool(origins))
    assert rules(PERMIT_ALL + ASK).judge(question).decision == decision
    assert rules(PERMIT_ALL + NEVER).judge(question).decision == (
        "refuse" if decision == "demand" else "allow"
    )


def test_another_operation_is_none_of_its() -> None:
    assert rules(PERMIT_ALL + NEVER).judge(ask("payments.payout", origins=("mail.get",))).decision == "allow"


def test_questions_of_different_origins_are_not_taken_for_one() -> None:
    loaded = rules(PERMIT_ALL + NEVER)
    asked = [(("mail.get",), "refuse"), (("shop.order",), "allow")] * 3
    assert [loaded.judge(ask(origins=one)).decision for one, _ in asked] == [said for _, said in asked]


def test_cedar_may_look_at_origins_and_at_the_label() -> None:
    cedar = """
@id("outside") @title("Nothing from outside moves money") @tier("hard")
forbid (principal is Agent, action == Action::"payments.refund", resource)
when { context.untrusted && context.origins.contains("mail.get") };
"""
    loaded = rules(PERMIT_ALL, cedar)
    assert loaded.judge(ask(origins=("mail.get",), untrusted=True)).decision == "refuse"
    assert loaded.judge(ask(origins=("mail.get",), untrusted=False)).decision == "allow"
    assert loaded.judge(ask(origins=("shop.order",), untrusted=True)).decision == "allow"


def test_a_name_that_nothing_has_is_refused_with_the_nearest() -> None:
    wrong = ASK.replace('"mail.*", "letter"', '"male.send"')
    with pytest.raises(RuleError, match=r"'male.send' is no operation .*did you mean 'mail.send'"):
        rules_from_text({"rules/a.toml": PERMIT_ALL + wrong}, OPERATIONS, events=["letter.came"])


def test_it_says_what_it_is_in_words() -> None:
    told = {rule.rule.id: rule.sentence for rule in rules(ASK).explain()}
    assert told["money-by-mail"] == (
        "once it has read mail.* or letter, asks keeper, for 3 days · payments.refund"
    )

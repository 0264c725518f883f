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
    question = ask(origins=origins)
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
    assert loaded.judge(ask(origins=("mail.get",))).decision == "refuse"
    assert loaded.judge(ask(origins=("shop.order",))).decision == "allow"
    assert loaded.judge(ask()).decision == "allow"


BY_ARGUMENT = NEVER.replace('["mail.*", "letter"]', '{ charge = ["mail.*"], amount = ["letter", "*.think"] }')


@pytest.mark.parametrize(
    ("origins", "decision"),
    [
        ({"charge": ["shop.order"], "amount": ["shop.order"]}, "allow"),
        ({"charge": ["mail.get"], "amount": ["shop.order"]}, "refuse"),
        ({"charge": ["letter"], "amount": ["mail.get"]}, "allow"),
        ({"charge": ["shop.order"], "amount": ["small.think"]}, "refuse"),
        ({"charge": ["letter"], "reason": ["mail.get", "small.think"]}, "allow"),
        ((), "allow"),
        (("shop.order",), "allow"),
        (("mail.get",), "refuse"),
        (("small.think",), "refuse"),
    ],
)
def test_it_may_speak_of_single_arguments_and_takes_all_for_each_where_no_more_is_known(
    origins: object, decision: str
) -> None:
    loaded = rules(PERMIT_ALL + BY_ARGUMENT)
    for _ in range(2):
        assert loaded.judge(ask(origins=origins)).decision == decision


def test_cedar_may_look_at_the_origins_of_one_argument() -> None:
    cedar = """
@id("outside") @title("No charge from a mail") @tier("hard")
forbid (principal is Agent, action == Action::"payments.refund", resource)
when { context.origins_of.charge.contains("mail.get") };
"""
    loaded = rules(PERMIT_ALL, cedar)
    assert loaded.judge(ask(origins={"charge": ["mail.get"]})).decision == "refuse"
    assert loaded.judge(ask(origins={"amount": ["mail.get"]})).decision == "allow"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('{ charje = "mail.*" }', "payments.refund has no argument 'charje'; did you mean 'charge'"),
        ('{ "" = "mail.*" }', "an argument has a name"),
        ("{}", "at least 1 item"),
        ("{ charge = [] }", "at least 1 item"),
        ("{ charge = 3 }", "valid string"),
        ('{ charge = "male.send" }', "'male.send' is no operation .*did you mean 'mail.send'"),
    ],
)
def test_an_argument_that_is_not_there_or_without_sources_is_refused(said: str, message: str) -> None:
    wrong = NEVER.replace('["mail.*", "letter"]', said)
    with pytest.raises(RuleError, match=message):
        rules_from_text({"rules/a.toml": PERMIT_ALL + wrong}, OPERATIONS, events=["letter.came"])


def test_a_name_that_nothing_has_is_refused_with_the_nearest() -> None:
    wrong = ASK.replace('"mail.*", "letter"', '"male.send"')
    with pytest.raises(RuleError, match=r"'male.send' is no operation .*did you mean 'mail.send'"):
        rules_from_text({"rules/a.toml": PERMIT_ALL + wrong}, OPERATIONS, events=["letter.came"])


def test_it_says_what_it_is_in_words() -> None:
    told = {rule.rule.id: rule.sentence for rule in rules(ASK).explain()}
    assert told["money-by-mail"] == (
        "once it has read mail.* or letter, asks keeper, for 3 days · payments.refund"
    )
    told = {rule.rule.id: rule.sentence for rule in rules(BY_ARGUMENT).explain()}
    assert told["money-by-mail"] == (
        "never where charge comes from mail.* or where amount comes from letter or *.think · payments.refund"
    )

"""Rules that ask people: a form says the same as the Cedar it compiles to, and each mistake is told."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.approval import Demand
from deputize.errors import RuleError
from deputize.person import Directory, Person
from deputize.rules import CedarRules, rules_from_text
from deputize.rules.cedar_files import parse_policy
from deputize.rules.demands import annotations_of, demand_of, duration_s, duration_text
from tests.unit.rules_shop import OPERATIONS, ask

PEOPLE = Directory(
    {
        "maya": Person("maya", roles=frozenset({"finance"})),
        "kim": Person("kim", roles=frozenset({"finance"}), groups=frozenset({"berlin"})),
        "ines": Person("ines"),
    },
    {"returns": "ines"},
)
HOUR, DAY = 3_600.0, 86_400.0
HEAD = '# asked\n\n[[rule]]\ntitle = "R"\noperation = "payments.refund"\n'
ALWAYS = "ask_always = true\n"
ALL = '@id("all")@title("All") permit (principal, action, resource);\n'


def load(toml: str = "", cedar: str = "", directory: Directory | None = PEOPLE) -> CedarRules:
    texts = ({"rules/a.toml": toml} if toml else {}) | {"rules/b.cedar": ALL + cedar}
    return rules_from_text(texts, OPERATIONS, automations=["returns", "orders"], directory=directory)


def demand_in(loaded: CedarRules) -> Demand:
    (found,) = (one.rule.demand for one in loaded.explain() if one.rule.demand is not None)
    return found


# -- what is well said -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "demand"),
    [
        (ALWAYS, Demand("approval")),
        ("ask_above = { amount = '50.00 EUR' }\nask = 'finance'", Demand("approval", ("finance",))),
        (
            "two_people_above = { amount = '50.00 EUR' }\nask = ['finance', 'ines']",
            Demand("approval", ("finance", "ines"), 2),
        ),
        (
            "ask_first = 3\nask = 'keeper'\nwithin = '90 minutes'",
            Demand("approval", ("keeper",), within_s=1.5 * HOUR),
        ),
        (
            "ask_first = { times = 1, by = 'charge' }\notherwise = 'refuse'",
            Demand("approval", otherwise="refuse"),
        ),
        (
            ALWAYS + "ask = 'kim'\nwithin = '2 days'\nthen_ask = ['ines', 'berlin']\nthen_after = '1 hour'",
            Demand("approval", ("kim",), 1, 2 * DAY, ("ines", "berlin"), HOUR),
        ),
    ],
)
def test_a_form_and_the_cedar_it_compiles_to_ask_the_same(body: str, demand: Demand) -> None:
    loaded = load(HEAD + body)
    assert demand_in(loaded) == demand
    (rule,) = (one for one in loaded.explain() if one.rule.demand is not None)
    assert demand_of("approval", parse_policy(rule.cedar)["annotations"]) == demand
    if "ask_first" not in body:
        assert demand_in(load(cedar=rule.cedar)) == demand


@pytest.mark.parametrize(
    ("body", "args", "facts", "asks"),
    [
        (ALWAYS, {}, 0, True),
        ("ask_above = { amount = '50.00 EUR' }", {"minor": 5_000, "currency": "EUR"}, 0, False),
        ("ask_above = { amount = '50.00 EUR' }", {"minor": 5_001, "currency": "EUR"}, 0, True),
        ("ask_above = { amount = '50.00 EUR' }", {"minor": 1, "currency": "USD"}, 0, True),
        ("ask_above = { amount = '50.00 EUR' }", {"minor": -1, "currency": "EUR"}, 0, True),
        (
            "two_people_above = { amount = '50.00 EUR' }\nask = 'finance'",
            {"minor": 5_001, "currency": "EUR"},
            0,
            True,
        ),
        ("ask_first = 2", {}, 1, True),
        ("ask_first = 2", {}, 2, False),
    ],
)
def test_a_rule_asks_just_where_it_says(body: str, args: dict[str, Any], facts: int, asks: bool) -> None:
    loaded = load(HEAD + body)
    given_args = {"amount": args} if args else {}
    counted = {need.counter: facts for need in loaded.needs("payments.refund")}
    verdict = loaded.judge(ask(args=given_args, facts=counted))
    assert verdict.decision == ("demand" if asks else "allow")
    assert [rule.id for rule in verdict.rules] == (["r"] if asks else ["all"])


UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
times = st.tuples(st.integers(1, 400), st.sampled_from(sorted(UNITS)))


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    number, unit = draw(times)
    within_s = number * UNITS[unit]
    then = draw(st.lists(st.sampled_from(["kim", "berlin"]), max_size=2, unique=True)) if number > 1 else []
    return Demand(
        "approval",
        tuple(draw(st.lists(st.sampled_from(["maya", "finance", "keeper"]), max_size=3, unique=True))),
        draw(st.integers(1, 10)),
        float(within_s),
        tuple(then),
        float(draw(st.integers(1, number - 1)) * UNITS[unit]) if then else 0.0,
        draw(st.sampled_from(["expire", "refuse"])),
    )


@settings(max_examples=200, deadline=None)
@given(demands())
def test_every_demand_reads_back_from_its_annotations(demand: Demand) -> None:
    assert demand_of("approval", dict(annotations_of(demand))) == demand


@settings(max_examples=100, deadline=None)
@given(times)
def test_a_time_reads_back_from_its_text(time: tuple[int, str]) -> None:
    number, unit = time
    assert duration_s(f"{number} {unit}s") == number * UNITS[unit]
    assert duration_s(duration_text(number * UNITS[unit])) == number * UNITS[unit]


# -- what is not -------------------------------------------------------------------------------------


def unknown(title: str, name: str, near: str) -> str:
    return (
        f"{title!r} asks {name!r}, and deputize.toml has no person, role or group of this name; "
        f"did you mean {near!r}?"
    )


def wrong(body: str) -> str:
    """What is said about one rule, whose header stands on line 3."""
    with pytest.raises(RuleError) as caught:
        load(HEAD + body)
    (line,) = str(caught.value).split("\n")
    place, message = line.split(" ", 1)
    assert place == "rules/a.toml:3:"
    return message


BOTH = "say both whom to ask next ({}) and how long after ({}), or neither"
GOES = (
    " goes with a rule that asks people: ask_above, ask_always, ask_first, ask_if_from, two_people_above, "
    "rehearse, verify_with"
)
SILENCE = ": 'allow' is not what silence can mean; there is 'expire', 'refuse'"
TIMES = "write a time like '90 minutes', '2 hours' or '3 days', at most 400 days"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (ALWAYS + "ask = 'mya'", unknown("R", "mya", "maya")),
        (ALWAYS + "ask = 'finanse'", unknown("R", "finanse", "finance")),
        (ALWAYS + "then_ask = 'inez'\nthen_after = '1 hour'", unknown("R", "inez", "ines")),
        (
            "two_people_above = { amount = '1.00 EUR' }\nask = 'ines'",
            "'R' needs 2 of ines in returns, and that is ines",
        ),
        (
            "two_people_above = { amount = '1.00 EUR' }\nask = 'keeper'",
            "'R' needs 2 of keeper in returns, and that is ines",
        ),
        (ALWAYS + "then_ask = 'ines'", BOTH.format("then_ask", "then_after")),
        (ALWAYS + "then_after = '1 hour'", BOTH.format("then_ask", "then_after")),
        (
            ALWAYS + "within = '1 hour'\nthen_ask = 'ines'\nthen_after = '2 hours'",
            "then_after must be shorter than within, which is 1 hour",
        ),
        (
            ALWAYS + "then_ask = 'ines'\nthen_after = '3 days'",
            "then_after must be shorter than within, which is 3 days",
        ),
        (ALWAYS + "within = '1 fortnight'", f"within: {TIMES}"),
        (ALWAYS + "within = 90", f"within: {TIMES}"),
        (ALWAYS + "within = '0 days'", f"within: {TIMES}"),
        (ALWAYS + "within = '401 days'", f"within: {TIMES}"),
        (ALWAYS + "within = '-1 days'", f"within: {TIMES}"),
        (ALWAYS + "otherwise = 'allow'", "otherwise" + SILENCE),
        (
            ALWAYS + "otherwise = 'refuze'",
            "otherwise: 'refuze' is not what silence can mean; did you mean 'refuse'?",
        ),
        (ALWAYS + "whitin = '1 hour'", "unknown key 'whitin'; did you mean 'within'?"),
        (ALWAYS + "ask = []", "ask: Value should have at least 1 item after validation, not 0"),
        ("ask_always = false", "ask_always: only true can be said; leave it out otherwise"),
        ("ask_first = 0", "ask_first.times: Input should be greater than or equal to 1"),
        ("ask_first = { times = 1, bye = 'charge' }", "unknown key 'ask_first.bye'; did you mean 'by'?"),
        (
            "ask_first = { times = 1, by = 'amount' }",
            "ask_first.by: 'amount' of payments.refund cannot separate counts",
        ),
        (
            "ask_above = { amuont = '1.00 EUR' }",
            "payments.refund has no argument 'amuont'; did you mean 'amount'?",
        ),
        ("ask_above = {}", "ask_above: Dictionary should have at least 1 item after validation, not 0"),
        ("never = true\nask = 'maya'", "ask" + GOES),
        ("permit = true\nwithin = '1 hour'", "within" + GOES),
    ],
)
def test_a_form_that_asks_wrongly_is_told(body: str, message: str) -> None:
    assert wrong(body) == message


def test_a_rule_that_asks_where_there_is_nobody_is_told() -> None:
    with pytest.raises(RuleError) as caught:
        load(HEAD + ALWAYS, directory=Directory())
    assert str(caught.value) == (
        "rules/a.toml:3: 'R' asks a person, and deputize.toml names nobody: add [people.NAME]"
    )


def test_a_rule_that_asks_viewers_alone_is_told() -> None:
    viewer = Directory({"maya": Person("maya", roles=frozenset({"viewer"})), "kim": Person("kim")})
    with pytest.raises(RuleError, match=r"that is nobody: nothing is asked of viewers, like maya"):
        load(HEAD + ALWAYS + "ask = 'maya'\n", directory=viewer)


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ('@tier("hard")@ask("maya")', '@ask goes with @tier("approval")'),
        ('@tier("hard")@with("audit.is_due")', '@with goes with @tier("verify")'),
        ('@tier("approval")@by("auditor")', '@by goes with @tier("verify")'),
        (
            '@tier("verify")@within("1 hour")',
            '@tier("verify") needs the operation that verifies: @with("audit.is_due")',
        ),
        ('@tier("approval")@people("0")', '@people: write how many different people, from "1" to "10"'),
        ('@tier("approval")@people("11")', '@people: write how many different people, from "1" to "10"'),
        ('@tier("approval")@people("two")', '@people: write how many different people, from "1" to "10"'),
        ('@tier("approval")@people("2")@ask("ines")', "'C' needs 2 of ines in returns, and that is ines"),
        ('@tier("approval")@ask("mya")', unknown("C", "mya", "maya")),
        ('@tier("approval")@ask("")', '@ask: write whom to ask, like @ask("finance, maya")'),
        (
            '@tier("approval")@then("ines,")@after("1 hour")',
            '@then: write whom to ask, like @then("finance, maya")',
        ),
        ('@tier("approval")@within("soon")', f"@within: {TIMES}"),
        ('@tier("approval")@then("ines")@after("")', f"@after: {TIMES}"),
        ('@tier("approval")@then("ines")', BOTH.format("@then", "@after")),
        ('@tier("approval")@after("1 hour")', BOTH.format("@then", "@after")),
        (
            '@tier("approval")@within("1 hour")@then("ines")@after("1 hour")',
            "@after must be shorter than @within, which is 1 hour",
        ),
        ('@tier("approval")@otherwise("allow")', "@otherwise" + SILENCE),
        ('@tier("approval")@aks("maya")', "@aks is no annotation of a rule; did you mean 'ask'?"),
        (
            '@ask("maya")',
            'the forbid needs a tier; write @tier("…") with one of hard, approval, rehearse, verify',
        ),
    ],
)
def test_annotations_that_ask_wrongly_are_told(annotations: str, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        load(cedar=f'\n@id("c")@title("C"){annotations} forbid (principal, action, resource);')
    assert str(caught.value) == f"rules/b.cedar:3: {message}"


def test_a_permit_asks_nobody() -> None:
    with pytest.raises(RuleError, match=re.escape('rules/b.cedar:2: @ask goes with @tier("approval")')):
        load(cedar='@id("c")@title("C")@ask("maya") permit (principal, action, resource);')

"""What a set of rules decides: default deny, tiers, errors, and what each form says."""

from __future__ import annotations

from typing import Any

import pytest

from deputize import canonical
from deputize.rule import RuleLine
from deputize.rules.compile import quote
from tests.unit.rules_shop import EUR_50, OPERATIONS, PERMIT_ALL, ask, rules


def form(body: str, title: str = "R", operation: str = '"payments.refund"') -> str:
    id = title.lower().replace(" ", "-")
    return f'[[rule]]\nid = "{id}"\ntitle = "{title}"\noperation = {operation}\n{body}\n'


def decide(body: str, operation: str = '"payments.refund"', /, **changed: Any) -> str:
    """The decision where everything is permitted and one rule stands beside it."""
    name = operation.strip('"')
    return rules(PERMIT_ALL + form(body, operation=operation)).judge(ask(name, **changed)).decision


def money(minor: int, currency: str = "EUR") -> dict[str, Any]:
    return {"amount": {"minor": minor, "currency": currency}}


def test_nothing_is_allowed_without_a_permit() -> None:
    verdict = rules().judge(ask())
    assert (verdict.decision, verdict.rules, verdict.errors) == ("refuse", (), ())
    assert verdict.sentence() == "no rule permits it"


def test_a_permit_allows_and_is_named() -> None:
    verdict = rules(PERMIT_ALL).judge(ask())
    assert verdict.decision == "allow"
    assert verdict.rules == (RuleLine("everything", "Everything", "permit"),)


def test_an_unknown_operation_is_refused() -> None:
    verdict = rules(PERMIT_ALL).judge(ask("payments.steal"))
    assert verdict.decision == "refuse" and "payments.steal" in verdict.errors[0]


def test_a_hard_forbid_beats_every_permit_and_is_named() -> None:
    verdict = rules(PERMIT_ALL + form("never = true")).judge(ask())
    assert (verdict.decision, verdict.rules) == ("refuse", (RuleLine("r", "R", "forbid", "hard"),))


def test_a_pattern_reaches_only_what_it_matches() -> None:
    permit = form("permit = true", operation='["payments.*"]')
    assert rules(permit).judge(ask("payments.payout")).decision == "allow"
    assert rules(permit).judge(ask("mail.send")).decision == "refuse"


@pytest.mark.parametrize(
    ("minor", "currency", "decision"),
    [(100000, "EUR", "allow"), (100001, "EUR", "refuse"), (1, "USD", "refuse"), (-5, "EUR", "refuse")],
)
def test_never_above_counts_another_currency_and_a_negative_amount_as_above(
    minor: int, currency: str, decision: str
) -> None:
    assert decide('never_above = { amount = "1000.00 EUR" }', args=money(minor, currency)) == decision


def test_an_amount_left_out_counts_as_above() -> None:
    body = 'never_above = { amount = "1000.00 EUR" }'
    assert decide(body, '"payments.payout"') == "refuse"
    assert decide(body, '"payments.payout"', args=money(1)) == "allow"


def test_never_above_takes_whole_numbers() -> None:
    body = "never_above = { quantity = 10 }"
    assert decide(body, '"payments.payout"', args={"quantity": 10}) == "allow"
    assert decide(body, '"payments.payout"', args={"quantity": 11}) == "refuse"
    assert decide(body, '"payments.payout"', args={"quantity": -1}) == "refuse"


@pytest.mark.parametrize(("before", "decision"), [(0, "allow"), (2, "allow"), (3, "refuse"), (4, "refuse")])
def test_at_most_n_times_refuses_the_next_one(before: int, decision: str) -> None:
    assert decide('at_most = { times = 3, per = "day", by = "charge" }', facts={"r": before}) == decision


@pytest.mark.parametrize(
    ("before", "minor", "currency", "decision"),
    [
        (0, 20000, "EUR", "allow"),
        (15000, 5000, "EUR", "allow"),
        (15001, 5000, "EUR", "refuse"),
        (0, 1, "USD", "refuse"),
        (0, -1, "EUR", "refuse"),
        (2**63 - 1, 5000, "EUR", "refuse"),
    ],
)
def test_a_total_refuses_what_would_pass_it(before: int, minor: int, currency: str, decision: str) -> None:
    body = 'at_most = { total = "200.00 EUR", of = "amount", per = "day", by = "charge" }'
    assert decide(body, facts={"r": before}, args=money(minor, currency)) == decision


@pytest.mark.parametrize(
    ("hours", "days", "minute", "weekday", "decision"),
    [
        ("08:00-20:00", None, 480, 6, "allow"),
        ("08:00-20:00", None, 479, 6, "refuse"),
        ("08:00-20:00", None, 1200, 6, "refuse"),
        ("20:00-24:00", None, 1439, 6, "allow"),
        (None, "mon-fri", 0, 4, "allow"),
        (None, "mon-fri", 0, 5, "refuse"),
        (None, "sat-mon,wed", 0, 0, "allow"),
        (None, "sat-mon,wed", 0, 1, "refuse"),
        ("22:00-06:00", None, 1320, 0, "allow"),
        ("22:00-06:00", None, 359, 0, "allow"),
        ("22:00-06:00", None, 360, 0, "refuse"),
        ("22:00-06:00", "fri", 60, 5, "allow"),
        ("22:00-06:00", "fri", 60, 4, "refuse"),
        ("22:00-06:00", "sun", 60, 0, "allow"),
    ],
)
def test_only_during_refuses_outside(
    hours: str | None, days: str | None, minute: int, weekday: int, decision: str
) -> None:
    parts = [*([f'hours = "{hours}"'] if hours else []), *([f'days = "{days}"'] if days else [])]
    body = f"only_during = {{ {', '.join(parts)} }}"
    assert decide(body, minute_of_day=minute, weekday=weekday) == decision


@pytest.mark.parametrize(
    ("scope", "decision"),
    [
        ('agent = "desk"', "refuse"),
        ('agent = "night"', "allow"),
        ('agents = ["night", "desk"]', "refuse"),
        ('agents = ["night", "third"]', "allow"),
        ('automation = "returns"', "refuse"),
        ('automations = ["orders"]', "allow"),
        ('when = { reason = "other" }', "refuse"),
        ('when = { reason = ["late", "damaged"] }', "allow"),
        ('when = { amount = "50.00 EUR", charge = ["ch_1", "ch_2"] }', "refuse"),
        ('when = { amount = "50.00 USD" }', "allow"),
    ],
)
def test_a_rule_holds_only_in_its_scope(scope: str, decision: str) -> None:
    assert decide(f"never = true\n{scope}") == decision


def test_an_argument_that_is_absent_equals_nothing() -> None:
    body = 'never = true\nwhen = { amount = "50.00 EUR" }'
    assert decide(body, '"payments.payout"') == "allow"
    assert decide(body, '"payments.payout"', args={"amount": EUR_50}) == "refuse"


TIERS = """
@id("big")@title("Big ones wait")@tier("approval")
forbid (principal, action == Action::"payments.refund", resource)
when { context.args.amount.minor > 4000 };
@id("late")@title("Late ones are checked")@tier("verify")@with("audit.is_due")
forbid (principal, action == Action::"payments.refund", resource)
when { context.args.reason == "late" };
"""


def test_tiered_forbids_alone_demand() -> None:
    verdict = rules(PERMIT_ALL, TIERS).judge(ask(args={"reason": "late"}))
    assert verdict.decision == "demand"
    assert [(line.id, line.tier) for line in verdict.rules] == [("big", "approval"), ("late", "verify")]
    assert verdict.sentence() == 'held by "Big ones wait", "Late ones are checked"'


def test_a_tier_demands_nothing_where_no_permit_stands_behind_it() -> None:
    verdict = rules(cedar=TIERS).judge(ask())
    assert (verdict.decision, verdict.rules, verdict.errors) == ("refuse", (), ())


def test_a_hard_rule_beats_a_tier() -> None:
    verdict = rules(PERMIT_ALL + form("never = true"), TIERS).judge(ask())
    assert (verdict.decision, [line.id for line in verdict.rules]) == ("refuse", ["r"])


def test_tiers_that_do_not_fire_leave_an_allow() -> None:
    assert rules(PERMIT_ALL, TIERS).judge(ask(args=money(1))).decision == "allow"


FAILING = """
@id("adds")@title("Adds too much")@tier("{tier}")
forbid (principal, action == Action::"payments.payout", resource)
when {{ context.args.quantity + 1 > 100 }};
"""


@pytest.mark.parametrize("tier", ["hard", "approval"])
def test_an_evaluation_error_refuses_though_cedar_allows(tier: str) -> None:
    verdict = rules(PERMIT_ALL, FAILING.format(tier=tier)).judge(
        ask("payments.payout", args={"quantity": 2**63 - 1})
    )
    assert (verdict.decision, verdict.rules) == ("refuse", ())
    assert 'rule "Adds too much"' in verdict.errors[0] and "overflow" in verdict.errors[0]
    assert verdict.sentence().startswith("the rules could not be evaluated")


def test_an_error_of_a_permit_refuses_though_another_permit_allows() -> None:
    permit = FAILING.replace('@tier("{tier}")', "").replace("forbid", "permit").format()
    verdict = rules(PERMIT_ALL, permit).judge(ask("payments.payout", args={"quantity": 2**63 - 1}))
    assert verdict.decision == "refuse" and verdict.errors


@pytest.mark.parametrize(
    "changed",
    [
        {"facts": {}},
        {"facts": {"r": None}},
        {"facts": {"r": "0"}},
        {"facts": {"r": True}},
        {"facts": {"r": 2**63}},
        {"facts": {"r": 2**64}},
        {"facts": {"r": 1.5}},
        {"args": {"amount": "50.00 EUR"}},
        {"args": {"amount": {"minor": 2**63, "currency": "EUR"}}},
        {"args": {"amount": {"minor": 1.0, "currency": "EUR"}}},
        {"args": {"charge": None}},
        {"args": {"charge": "\ud800"}},
        {"args": {"charge": {"__entity": {"type": "Agent", "id": "desk"}}}},
        {"args": {"charge": object()}},
        {"agent": "\ud800"},
        {"agent": 7},
        {"minute_of_day": "600"},
        {"automation": None},
    ],
)
def test_a_question_that_cannot_be_put_is_refused_with_errors(changed: dict[str, Any]) -> None:
    loaded = rules(
        PERMIT_ALL + form('at_most = { times = 3, per = "day" }'),
        '@id("reads")@title("Reads")@tier("hard")'
        ' forbid (principal, action == Action::"payments.refund", resource) when {'
        ' context.args.charge == "no" || context.args.amount.minor > 9000'
        ' || context.automation == "no" || context.time.minute_of_day < 0 };',
    )
    question = {"facts": {"r": 0}} | changed
    verdict = loaded.judge(ask(**question))
    assert verdict.decision == "refuse" and verdict.errors and not verdict.rules


def test_what_rules_cannot_see_is_kept_from_them_and_does_not_disturb() -> None:
    loaded = rules(PERMIT_ALL, '@id("u")@title("U")@tier("hard")forbid(principal, action == '
                   'Action::"mail.send", resource) when { context.args.place has "floor" && '
                   'context.args.place.floor > 3 || context.args.tags.contains("vip") };')  # fmt: skip
    assert loaded.judge(ask("mail.send")).decision == "allow"
    high = {"street": "s", "floor": 4, "height": 2.5}
    assert loaded.judge(ask("mail.send", args={"place": high})).decision == "refuse"
    assert loaded.judge(ask("mail.send", args={"tags": ["vip"]})).decision == "refuse"


def test_the_arguments_that_are_judged_are_the_ones_that_are_sent() -> None:
    operation = OPERATIONS["payments.refund"]
    sent = canonical.decode(operation.canonical_args({"charge": "c", "amount": "50.00 EUR"}))
    body = form('never = true\nwhen = { reason = "other", amount = "50.00 EUR" }')
    assert rules(PERMIT_ALL + body).judge(ask(args=sent)).decision == "refuse"


def test_needs_say_what_is_counted_and_for_which_actions() -> None:
    body = form('at_most = { total = "9.00 EUR", of = "amount", per = "week", by = "agent" }\n'
                'agent = "desk"\nwhen = { amount = ["50.00 EUR", "5.00 EUR"] }')  # fmt: skip
    loaded = rules(body)
    assert loaded.needs("mail.send") == () == loaded.needs("no.such")
    (need,) = loaded.needs("payments.refund")
    assert (need.counter, need.per, need.by, need.measure) == ("r", "week", "agent", "amount")
    assert need.applies("desk", "any", {"amount": EUR_50})
    assert not need.applies("night", "any", {"amount": EUR_50})
    assert not need.applies("desk", "any", {"amount": {"minor": 1, "currency": "EUR"}})
    assert hash(need)


def counter(at_most: str, more: str = "", title: str = "R", operation: str = '"payments.refund"') -> str:
    toml = f'[[rule]]\ntitle = "{title}"\noperation = {operation}\nat_most = {{ {at_most} }}\n{more}\n'
    (need,) = rules(toml).needs("payments.refund")
    return need.counter


COUNTED = 'total = "9.00 EUR", of = "amount", per = "week"'


def test_a_count_without_an_id_outlives_an_edit_of_title_and_limit() -> None:
    first = counter(COUNTED, 'agents = ["desk", "night"]\nwhen = { charge = ["a", "b"] }')
    assert first == counter(
        COUNTED.replace("9.00", "12.00"),
        'agents = ["night", "desk"]\nwhen = { charge = ["b", "a"] }',
        title="At most 12 a week",
        operation='["payments.refund", "payments.refund"]',
    )


def test_whatever_is_counted_otherwise_is_another_count() -> None:
    others = [
        counter(COUNTED),
        counter(COUNTED.replace("EUR", "USD")),
        counter(COUNTED.replace("week", "day")),
        counter(COUNTED + ', by = "charge"'),
        counter('times = 9, per = "week"'),
        counter(COUNTED, operation='"payments.refun*"'),
        counter(COUNTED, 'agent = "desk"'),
        counter(COUNTED, 'automation = "desk"'),
        counter(COUNTED, 'when = { charge = "a" }'),
        counter(COUNTED, 'when = { charge = "b" }'),
    ]
    assert len(set(others)) == len(others)


def test_two_rules_that_count_the_same_need_one_count() -> None:
    few, many = (f'[[rule]]\ntitle = "{n}"\noperation = "payments.refund"\n'
                 f'at_most = {{ times = {n}, per = "day" }}\n' for n in (3, 5))  # fmt: skip
    loaded = rules(PERMIT_ALL + few + many)
    (need,) = loaded.needs("payments.refund")
    assert [r.title for r in loaded.judge(ask(facts={need.counter: 4})).rules] == ["3"]
    assert [r.title for r in loaded.judge(ask(facts={need.counter: 5})).rules] == ["3", "5"]


def test_one_rule_over_two_operations_shares_its_count() -> None:
    loaded = rules(form('at_most = { times = 3, per = "day" }', operation='["payments.*"]'))
    assert loaded.needs("payments.refund") == loaded.needs("payments.payout") != ()


def test_cedar_may_use_the_facts_that_forms_declare() -> None:
    cedar = ('@id("f")@title("F")@tier("hard")forbid(principal, action == Action::"payments.refund", '
             'resource) when { context.facts["r"] > 1 };')  # fmt: skip
    loaded = rules(PERMIT_ALL + form('at_most = { times = 3, per = "day" }'), cedar)
    assert loaded.judge(ask(facts={"r": 1})).decision == "allow"
    assert [r.id for r in loaded.judge(ask(facts={"r": 2})).rules] == ["f"]


def test_the_digest_follows_what_decides_and_not_where_it_is_written() -> None:
    first = rules(PERMIT_ALL)
    assert first.digest == rules("\n\n# a comment\n" + PERMIT_ALL).digest
    assert first.digest != rules(PERMIT_ALL + form("never = true")).digest
    day, week = (rules(form(f'at_most = {{ times = 3, per = "{per}" }}')) for per in ("day", "week"))
    assert day.digest != week.digest and len(first.digest) == 64
    assert '@title("Everything")' in first.source() and "// Schema: {" in first.source()


def test_explain_tells_each_rule_in_peoples_words_with_its_place() -> None:
    toml = PERMIT_ALL + form('only_during = { hours = "08:00-20:00", days = "mon-tue" }\nagent = "desk"')
    everything, during = rules(toml).explain()
    assert (everything.file, everything.line) == ("rules/a.toml", 1)
    assert everything.operations == frozenset(OPERATIONS)
    assert during.line == 5
    assert during.sentence == "only 08:00 to 20:00 on mon, tue · payments.refund by desk"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("permit = true", "permitted"),
        ("never = true", "never"),
        ('never_above = { amount = "50.00 EUR" }', "never with amount above 50.00 EUR"),
        ('at_most = { times = 3, per = "ever" }', "at most 3 times ever"),
        (
            'at_most = { total = "9.00 EUR", of = "amount", per = "day", by = "charge" }',
            "at most 9.00 EUR of amount in all per day for each charge",
        ),
    ],
)
def test_each_form_has_a_sentence(body: str, sentence: str) -> None:
    (rule,) = rules(form(body + "\nwhen.reason = ['late', 'damaged']\nautomation = 'x'")).explain()
    assert rule.sentence == f"{sentence} · payments.refund when reason is late or damaged in x"


def test_hostile_titles_and_ids_stay_inside_their_strings() -> None:
    hostile = 'x")\npermit(principal, action, resource);\u202e\x00\\" // \U0001f600'
    toml = f"[[rule]]\ntitle = {toml_text(hostile)}\nid = {toml_text(hostile)}\n" + (
        'operation = "payments.refund"\nnever = true\n'
    )
    loaded = rules(toml)
    verdict = loaded.judge(ask())
    assert [(line.id, line.title) for line in verdict.rules] == [(hostile, hostile)]
    assert len(loaded.explain()) == 1
    assert "\u202e" not in loaded.source() and "\x00" not in loaded.source()


def toml_text(text: str) -> str:
    return '"' + "".join(c if c.isalnum() else f"\\U{ord(c):08x}" for c in text) + '"'


def test_quote_escapes_what_would_not_be_seen() -> None:
    assert quote('a"b\\\n\u200b c') == '"a\\"b\\\\\\u{a}\\u{200b} c"'


def cedar(scope: str, more: str = "", tier: str = "hard") -> str:
    return f'@id("c") @title("C") @tier("{tier}") forbid ({scope}){more};'


NO = "no rule permits payments.refund"
REFUND = 'action == Action::"payments.refund", resource'


@pytest.mark.parametrize(
    ("toml", "policy", "why"),
    [
        ("", "", NO),
        (PERMIT_ALL, "", ""),
        (PERMIT_ALL + form("never = true"), "", '"R" forbids payments.refund always'),
        (form("never = true"), "", '"R" forbids payments.refund always'),
        (PERMIT_ALL + form('never = true\nwhen.charge = "x"'), "", ""),
        (PERMIT_ALL + form('never = true\nagent = "desk"'), "", '"R" forbids payments.refund always'),
        (PERMIT_ALL + form('never = true\nagent = "night"'), "", ""),
        (PERMIT_ALL + form('never = true\nautomation = "other"'), "", ""),
        (PERMIT_ALL + form("never = true", operation='"payments.payout"'), "", ""),
        (PERMIT_ALL + form('never_above.amount = "0.00 EUR"'), "", ""),
        (PERMIT_ALL + form("ask_always = true"), "", ""),
        (form('permit = true\nagent = "night"'), "", NO),
        (form('permit = true\nautomation = "other"'), "", NO),
        (form('permit = true\nwhen.charge = "x"'), "", ""),
        (PERMIT_ALL, cedar(f"principal, {REFUND}"), '"C" forbids payments.refund always'),
        (PERMIT_ALL, cedar("principal is Agent, action, resource"), '"C" forbids payments.refund always'),
        (PERMIT_ALL, cedar(f'principal == Agent::"desk", {REFUND}'), '"C" forbids payments.refund always'),
        (PERMIT_ALL, cedar(f'principal == Agent::"night", {REFUND}'), ""),
        (PERMIT_ALL, cedar(f"principal, {REFUND}", " when { context.time.weekday > 3 }"), ""),
        (PERMIT_ALL, cedar(f"principal, {REFUND}", tier="approval"), ""),
        (PERMIT_ALL, cedar(f'principal, {REFUND} == Connection::"mail"'), ""),
        ("", f'@id("c") @title("C") permit (principal == Agent::"night", {REFUND});', NO),
    ],
)
def test_what_rules_bar_in_principle_is_said_with_the_rule_that_does(
    toml: str, policy: str, why: str
) -> None:
    assert rules(toml, policy).bars("desk", "returns", "payments.refund") == why

"""Whatever is written and asked, Cedar lets nothing through that a plain reading of the forms forbids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cedarpy
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize import canonical
from deputize.rule import Question
from deputize.rules import CedarRules
from deputize.rules.cedar_files import parse_policy, policy_set
from deputize.rules.ruleset import _NOBODY
from deputize.rules.schema import Context
from tests.unit.rules_shop import PERMIT_ALL, ask, put_to_cedar, rules

LONG = 2**63
OPERATIONS = ("payments.refund", "payments.payout")
HOSTILE = ('"', '\\"); permit(principal, action, resource);//', "\n", "\x00", "é\u202e😀", "", "EUR", "ch_1")
TEXTS = st.sampled_from(HOSTILE) | st.text(max_size=8)
AGENTS = ("desk", 'night"\n; permit', "third")
MINUTES = st.integers(0, 1439) | st.sampled_from([479, 480, 1199, 1200, 359, 360, 0, 1439])
MINOR = st.integers(-2, 12) | st.sampled_from([LONG - 1, LONG - 6, -LONG, LONG, 2**64])

amounts = st.fixed_dictionaries({"minor": MINOR, "currency": st.sampled_from(["EUR", "USD"])})
scopes = st.fixed_dictionaries(
    {"operation": st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=2, unique=True)},
    optional={"agents": st.lists(st.sampled_from(AGENTS), min_size=1), "automation": TEXTS.filter(bool)},
)
bodies = st.one_of(
    st.fixed_dictionaries({"permit": st.just(True)}),
    st.fixed_dictionaries({"never": st.just(True)}),
    st.fixed_dictionaries({"never_above": st.integers(0, 10)}),
    st.fixed_dictionaries({"times": st.integers(1, 4)}),
    st.fixed_dictionaries({"total": st.integers(0, 10)}),
    st.fixed_dictionaries(
        {"hours": st.sampled_from([(480, 1200), (1320, 360), (1200, 1440)])},
        optional={"days": st.sets(st.integers(0, 6), min_size=1)},
    ),
)
whens = st.none() | st.lists(TEXTS, min_size=1, max_size=3) | st.integers(0, 10)
Spec = dict[str, Any]


@st.composite
def spec_lists(draw: st.DrawFn) -> list[Spec]:
    """Rules for the two operations, usually with permits among them."""
    specs: list[Spec] = []
    for number in range(draw(st.integers(0, 5))):
        spec = draw(scopes) | draw(bodies) | {"id": f"r{number}"}
        when = draw(whens)
        if isinstance(when, int):
            spec["when_amount"] = when
        elif when and len(spec["operation"]) == 1:
            spec["when_text"] = when
        specs.append(spec)
    if draw(st.booleans()):
        specs.append({"operation": list(OPERATIONS), "permit": True, "id": "all"})
    return specs


def text_argument(operation: str) -> str:
    return "charge" if operation == "payments.refund" else "account"


def toml_text(text: str) -> str:
    return '"' + "".join(f"\\U{ord(c):08x}" for c in text) + '"'


def toml_list(texts: list[str]) -> str:
    return f"[{', '.join(map(toml_text, texts))}]"


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def euro(minor: int) -> str:
    return f'"{minor // 100}.{minor % 100:02} EUR"'


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def as_toml(spec: Spec) -> str:
    lines = [
        "[[rule]]",
        f'id = "{spec["id"]}"',
        f'title = "{spec["id"]}"',
        f"operation = {toml_list(spec['operation'])}",
    ]
    if "agents" in spec:
        lines.append(f"agents = {toml_list(spec['agents'])}")
    if "automation" in spec:
        lines.append(f"automation = {toml_text(spec['automation'])}")
    if "when_text" in spec:
        lines.append(f"when.{text_argument(spec['operation'][0])} = {toml_list(spec['when_text'])}")
    if "when_amount" in spec:
        lines.append(f"when.amount = {euro(spec['when_amount'])}")
    lines += [f"{kind} = true" for kind in ("permit", "never") if kind in spec]
    if "never_above" in spec:
        lines.append(f"never_above.amount = {euro(spec['never_above'])}")
    if "times" in spec:
        lines.append(f'at_most = {{ times = {spec["times"]}, per = "day" }}')
    if "total" in spec:
        lines.append(f'at_most = {{ total = {euro(spec["total"])}, of = "amount", per = "day" }}')
    if "hours" in spec:
        lines.append(f'only_during.hours = "{clock(spec["hours"][0])}-{clock(spec["hours"][1])}"')
    if "days" in spec:
        lines.append(f'only_during.days = "{",".join(DAYS[d] for d in spec["days"])}"')
    return "\n".join(lines)


def who_holds(spec: Spec, q: Question) -> bool:
    """Whether a rule is about this operation, agent and automation."""
    return (
        q.operation in spec["operation"]
        and q.agent in spec.get("agents", [q.agent])
        and q.automation == spec.get("automation", q.automation)
    )


def holds(spec: Spec, q: Question) -> bool:
    """Whether a rule concerns this question at all."""
    amount = q.args.get("amount")
    return (
        who_holds(spec, q)
        and ("when_text" not in spec or q.args[text_argument(q.operation)] in spec["when_text"])
        and ("when_amount" not in spec or amount == {"minor": spec["when_amount"], "currency": "EUR"})
    )


def forbids(spec: Spec, q: Question) -> bool:
    """Whether a rule that concerns this question stands against it."""
    amount: Any = q.args.get("amount")
    before = q.facts.get(spec["id"], 0)
    if "never_above" in spec:
        foreign = amount is None or amount["currency"] != "EUR" or amount["minor"] < 0
        return bool(foreign or amount["minor"] > int(spec["never_above"]))
    if "total" in spec:
        foreign = amount is None or amount["currency"] != "EUR" or amount["minor"] < 0
        return bool(foreign or before + amount["minor"] > spec["total"])
    if "times" in spec:
        return before + 1 > int(spec["times"])
    if "hours" in spec:
        start, end = spec["hours"]
        days = spec.get("days", range(7))
        over = end < start and q.minute_of_day < end
        began = (q.weekday - 1) % 7 if over else q.weekday
        inside = over or (q.minute_of_day >= start and (end < start or q.minute_of_day < end))
        return not (inside and began in days)
    return "never" in spec


def unfit(specs: list[Spec], q: Question) -> bool:
    """Whether Cedar's 64 bits do not hold what a rule on this operation reads of what is asked."""
    amount = q.args.get("amount")
    mine = [s for s in specs if q.operation in s["operation"]]
    numbers = [q.facts[s["id"]] for s in mine if "times" in s or "total" in s]
    if amount and any({"when_amount", "never_above", "total"} & s.keys() for s in mine):
        numbers.append(amount["minor"])
    return any(not -LONG <= number < LONG for number in numbers)


def plain(specs: list[Spec], q: Question) -> str:
    """The verdict that a careful person reads off the forms."""
    if unfit(specs, q):
        return "refuse"
    mine = [spec for spec in specs if holds(spec, q)]
    if any(forbids(spec, q) for spec in mine):
        return "refuse"
    return "allow" if any("permit" in spec for spec in mine) else "refuse"


NAMES = st.lists(st.sampled_from(["mail.get", "letter", "shop.order"]), max_size=2)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    operation = draw(st.sampled_from(OPERATIONS))
    args: dict[str, Any] = {text_argument(operation): draw(TEXTS)}
    if operation == "payments.refund":
        args["amount"] = draw(amounts)
    else:
        args["amount"] = draw(st.none() | amounts)
    return ask(
        operation,
        args=args,
        agent=draw(st.sampled_from(AGENTS)),
        automation=draw(TEXTS),
        facts={f"r{n}": draw(st.integers(0, 6) | st.sampled_from([LONG - 1, LONG])) for n in range(5)},
        minute_of_day=draw(MINUTES),
        weekday=draw(st.integers(0, 6)),
        origins=draw(NAMES | st.dictionaries(st.just("amount") | st.just(text_argument(operation)), NAMES)),
    )


@settings(max_examples=300, deadline=None)
@given(spec_lists(), st.lists(questions(), min_size=1, max_size=10))
def test_the_verdict_is_that_of_a_plain_reading(specs: list[Spec], asked: list[Question]) -> None:
    loaded = rules("\n\n".join(map(as_toml, specs)))
    for question in asked:
        verdict = loaded.judge(question)
        assert verdict.decision == plain(specs, question), (verdict, question)
        if verdict.decision == "refuse" and not verdict.errors:
            mine = [s["id"] for s in specs if holds(s, question) and forbids(s, question)]
            assert [line.id for line in verdict.rules] == mine


@settings(max_examples=100, deadline=None)
@given(st.lists(questions(), min_size=1, max_size=5))
def test_without_a_permit_nothing_is_ever_allowed(asked: list[Question]) -> None:
    loaded = rules('[[rule]]\ntitle = "no"\noperation = "*"\nonly_during = { hours = "00:00-24:00" }')
    assert {loaded.judge(question).decision for question in asked} == {"refuse"}


@settings(max_examples=200, deadline=None)
@given(TEXTS | st.text(alphabet=st.characters(codec=None), max_size=12))
def test_no_text_in_an_argument_moves_a_verdict(text: str) -> None:
    forbid = '\n[[rule]]\ntitle = "bad"\noperation = "payments.refund"\nnever = true\nwhen.charge = "bad"'
    loaded = rules(PERMIT_ALL + forbid)
    surrogate = any("\ud800" <= c <= "\udfff" for c in text)
    expected = "refuse" if surrogate or text == "bad" else "allow"
    assert loaded.judge(ask(args={"charge": text})).decision == expected
    assert loaded.judge(ask(args={"charge": "bad"}, automation=text)).decision == "refuse"


CEDAR = (
    "forbid (principal, action, resource) when { context.time.minute_of_day > 1000 }",
    "forbid (principal, action, resource) when { context.time.weekday + 9223372036854775806 > 0 }",
    'forbid (principal, action in [Action::"mail.send"], resource)',
    'forbid (principal, action == Action::"payments.payout", resource) when { context.args.quantity > 0 }',
    'forbid (principal, action == Action::"payments.payout", resource) when'
    " { context.args has amount && context.args.amount.minor > 3 }",
    'forbid (principal, action == Action::"payments.refund", resource) when'
    ' { {"all": context}.all.args.reason == "late" || (if context.automation == "" then context else context)'
    '.args.charge == "ch_1" }',
    'forbid (principal, action == Action::"payments.refund", resource) when { context.args == context.args }',
    "forbid (principal, action, resource) when"
    " { context.time.minute_of_day * 2 - context.time.weekday >= 960 }",
    "forbid (principal, action, resource) when { [1, 3, -2].contains(-context.time.weekday) }",
    "forbid (principal, action, resource) when { 479 == context.time.minute_of_day || 1200 != context.time"
    ".minute_of_day && 3 < context.time.weekday }",
    "forbid (principal, action, resource) when { context.time.weekday > context.time.minute_of_day - 477 }",
    'forbid (principal, action == Action::"payments.refund", resource) when'
    ' { context.args.charge like "*c*" && context.args.amount.minor <= 5 }',
    'forbid (principal, action == Action::"payments.refund", resource) when'
    ' { ["ch_1", "", "EUR"].contains(context.args.charge) == (context.args.amount.currency == "EUR") }',
    'forbid (principal, action == Action::"payments.payout", resource) when'
    ' { context.args has amount && context.args.amount == {"minor": 3, "currency": "EUR"} }',
    'forbid (principal, action == Action::"payments.payout", resource) when { !(context.args has amount) }',
    'forbid (principal, action == Action::"payments.payout", resource) when'
    " { if context.args has amount then [context.args.amount.minor, 5].contains(7)"
    ' && principal == Agent::"third" else true }',
    'permit (principal, action in [Action::"payments.refund", Action::"mail.send"], resource)',
    'forbid (principal == Agent::"third", action in [Action::"payments.refund"], resource)',
    'permit (principal == Agent::"desk", action in Action::"payments.payout", resource)',
    'forbid (principal, action in [Action::"payments.refund", Action::"payments.payout"], resource) when'
    ' { context.origins_of.amount.contains("mail.get") }',
    'permit (principal, action == Action::"payments.refund", resource) when'
    ' { context.untrusted && !context.origins.contains("letter") && context.origins_of has charge }',
)
policies = st.lists(
    st.tuples(st.sampled_from(CEDAR), st.sampled_from(["hard", "approval", "verify"])), max_size=6
)


EVERY_WRITE = ", ".join(f'Action::"{name}"' for name in (*OPERATIONS, "mail.send"))


def as_cedar(number: int, policy: str, tier: str) -> str:
    annotated = f'@tier("{tier}") ' if policy.startswith("forbid") else ""
    if annotated and tier == "verify":
        # No verifier may be among what it verifies.
        everything = "(principal, action, resource)"
        policy = policy.replace(everything, f"(principal, action in [{EVERY_WRITE}], resource)")
        annotated += '@with("audit.is_due") '
    return f'@id("c{number}")@title("C") {annotated}{policy};\n'


def whole_set(loaded: CedarRules) -> cedarpy.PolicySet:
    return policy_set({f"rule{i}": parse_policy(rule.cedar) for i, rule in enumerate(loaded.explain())})


def whole_request(loaded: CedarRules, question: Question) -> dict[str, Any]:
    counters = tuple(need.counter for need in loaded.needs(question.operation))
    view = loaded._views[question.operation]
    context = Context(view, counters, origins_of=view.traced)
    request = put_to_cedar(loaded, question)
    return request | {"context": canonical.encode(context.put(question)).decode()}


def too_large(q: Question) -> bool:
    amount = q.args.get("amount")
    numbers = [*q.facts.values(), amount["minor"] if amount else 0]
    return any(not -LONG <= number < LONG for number in numbers)


@settings(max_examples=150, deadline=None)
@given(spec_lists(), policies, st.lists(questions(), min_size=1, max_size=5))
def test_a_slice_decides_on_what_it_reads_as_the_whole_set_does_on_everything(
    specs: list[Spec], written: list[tuple[str, str]], asked: list[Question]
) -> None:
    cedar = "".join(as_cedar(n, policy, tier) for n, (policy, tier) in enumerate(written))
    loaded = rules("\n\n".join(map(as_toml, specs)), cedar)
    whole = whole_set(loaded)
    for question in (*asked, ask("mail.send", minute_of_day=asked[0].minute_of_day)):
        part = loaded._slices[question.operation]
        if too_large(question):
            continue
        by_whole = cedarpy.is_authorized(whole_request(loaded, question), whole, _NOBODY, loaded._schema)
        by_part = cedarpy.is_authorized(put_to_cedar(loaded, question), part.policies, _NOBODY, part.schema)
        assert by_part.decision == by_whole.decision
        assert sorted(by_part.diagnostics.reasons) == sorted(by_whole.diagnostics.reasons)
        assert sorted(by_part.diagnostics.errors) == sorted(by_whole.diagnostics.errors)
        if by_whole.diagnostics.errors:
            assert loaded.judge(question).decision == "refuse"


@settings(max_examples=150, deadline=None)
@given(spec_lists(), policies, questions())
def test_a_demand_is_made_only_where_permits_and_hard_rules_alone_allow(
    specs: list[Spec], written: list[tuple[str, str]], question: Question
) -> None:
    toml = "\n\n".join(map(as_toml, specs))
    tiered = "".join(as_cedar(n, policy, tier) for n, (policy, tier) in enumerate(written))
    calm = "".join(
        as_cedar(n, policy, tier)
        for n, (policy, tier) in enumerate(written)
        if policy.startswith("permit") or tier == "hard"
    )
    small = replace(question, facts=dict.fromkeys(question.facts, 0))
    verdict, without = rules(toml, tiered).judge(small), rules(toml, calm).judge(small)
    if verdict.decision == "demand":
        assert without.decision == "allow" and {line.tier for line in verdict.rules} <= {"approval", "verify"}
    elif not verdict.errors:
        assert verdict.decision == without.decision


@settings(max_examples=300, deadline=None)
@given(spec_lists(), policies, st.lists(questions(), min_size=2, max_size=25))
def test_questions_of_one_kind_have_the_verdict_that_cedar_gives_each(
    specs: list[Spec], written: list[tuple[str, str]], asked: list[Question]
) -> None:
    cedar = "".join(as_cedar(n, policy, tier) for n, (policy, tier) in enumerate(written))
    loaded = rules("\n\n".join(map(as_toml, specs)), cedar)
    near = [replace(q, minute_of_day=asked[0].minute_of_day, weekday=asked[0].weekday) for q in asked]
    for question in (*asked, *near):
        part = loaded._slices[question.operation]
        by_cedar = loaded._asked(part, question.agent, part.context.put(question))
        assert loaded.judge(question) == by_cedar


@settings(max_examples=300, deadline=None)
@given(spec_lists(), policies, st.lists(questions(), min_size=1, max_size=10))
def test_nothing_ever_starts_of_what_is_barred(
    specs: list[Spec], written: list[tuple[str, str]], asked: list[Question]
) -> None:
    """And of what forms alone say, all that is so whatever the arguments and the facts are."""
    toml = "\n\n".join(map(as_toml, specs))
    cedar = "".join(as_cedar(n, policy, tier) for n, (policy, tier) in enumerate(written))
    loaded, forms = rules(toml, cedar), rules(toml)
    for q in asked:
        if loaded.bars(q.agent, q.automation, q.operation):
            assert loaded.judge(q).decision == "refuse"
        mine = [spec for spec in specs if who_holds(spec, q)]
        conditions = {"when_text", "when_amount"}
        never = any("never" in spec and not conditions & spec.keys() for spec in mine)
        barred = never or not any("permit" in spec for spec in mine)
        assert bool(forms.bars(q.agent, q.automation, q.operation)) == barred

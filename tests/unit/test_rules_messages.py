"""Every mistake in a rules file is told with its file and line, all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.errors import RuleError
from deputize.rules import load_rules
from deputize.rules.files import FILE_BYTES_MAX, FILES_MAX
from tests.unit.rules_shop import OPERATIONS, PERMIT_ALL, rules

HEAD = '# refunds\n\n[[rule]]\ntitle = "R"\n'


def said(toml: str = "", cedar: str = "") -> list[str]:
    with pytest.raises(RuleError) as caught:
        rules(toml, cedar)
    return str(caught.value).split("\n")


def wrong(body: str, operation: str = "payments.refund") -> str:
    """What is said about one rule, whose header stands on line 3."""
    (line,) = said(f'{HEAD}operation = "{operation}"\n{body}\n')
    place, message = line.split(" ", 1)
    assert place == "rules/a.toml:3:"
    return message


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("payments.refnd", "there is no operation 'payments.refnd'; did you mean 'payments.refund'?"),
        ("payment.*", "operation 'payment.*' matches nothing; did you mean 'payments.refund'?"),
        ("payments.refun[d]", "there is no operation 'payments.refun[d]'; did you mean 'payments.refund'?"),
    ],
)
def test_an_operation_that_is_not_there(operation: str, message: str) -> None:
    assert wrong("never = true", operation) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("nevr = true\npermit = true", "unknown key 'nevr'; did you mean 'never'?"),
        (
            "at_most = { times = 1, per = 'day', bye = 'agent' }",
            "unknown key 'at_most.bye'; did you mean 'by'?",
        ),
        ("only_during = { hour = '08:00-09:00' }", "unknown key 'only_during.hour'; did you mean 'hours'?"),
        ("permit = false", "permit: only true can be said; leave it out otherwise"),
        ("permit = 1", "permit: only true can be said; leave it out otherwise"),
        (
            "permit = true\nnever = true",
            "a rule says exactly one of permit, never, never_above, never_if_from, at_most, only_during, "
            "not_while, ask_above, ask_always, ask_first, ask_if_from, two_people_above, rehearse, "
            "verify_with; "
            "it says permit and never",
        ),
        (
            "agent = 'desk'",
            "a rule says exactly one of permit, never, never_above, never_if_from, at_most, only_during, "
            "not_while, ask_above, ask_always, ask_first, ask_if_from, two_people_above, rehearse, "
            "verify_with; it says nothing",
        ),
        ("never = true\nagent = 'a'\nagents = ['b']", "give agent or agents, not both"),
        ("never = true\nautomation = 'a'\nautomations = ['b']", "give automation or automations, not both"),
        ("never = true\nid = 7", "id: Input should be a valid string"),
        ("never = true\nagents = []", "agents: Value should have at least 1 item after validation, not 0"),
        (
            "never_above = { amuont = '5.00 EUR' }",
            "payments.refund has no argument 'amuont'; did you mean 'amount'?",
        ),
        (
            "never_above = { amount = '5,00 EUR' }",
            "never_above.amount: '5,00 EUR' is not an amount of money; write it like '50.00 EUR'",
        ),
        (
            "never_above = { amount = 5.0 }",
            "never_above.amount: write an amount like '50.00 EUR', or a whole number from 0",
        ),
        ("never_above = { amount = 5 }", "'amount' of payments.refund is money, and '5' is a whole number"),
        (
            "never_above = { charge = '5.00 EUR' }",
            "'charge' of payments.refund is text, and '5.00 EUR' is money",
        ),
        ("never_above = {}", "never_above: Dictionary should have at least 1 item after validation, not 0"),
        ("at_most = { times = 1 }", "at_most.per is missing"),
        (
            "at_most = { times = 1, per = 'dya' }",
            "at_most.per: write one of hour, day, week, month, ever",
        ),
        ("at_most = { times = 0, per = 'day' }", "at_most.times: Input should be greater than or equal to 1"),
        ("at_most = { per = 'day' }", "at_most: give either times or total"),
        (
            "at_most = { total = 5, per = 'day' }",
            "at_most: total needs of = the argument that is added up, and times takes none",
        ),
        (
            "at_most = { times = 1, per = 'day', by = 'chrage' }",
            "payments.refund has no argument 'chrage'; did you mean 'charge'?",
        ),
        (
            "at_most = { times = 1, per = 'day', by = 'amount' }",
            "at_most.by: 'amount' of payments.refund cannot separate counts",
        ),
        ("only_during = {}", "only_during: give hours, days or both"),
        ("only_during = { hours = '8-20' }", "only_during.hours: write hours like '08:00-20:00'"),
        (
            "only_during = { hours = '08:00-24:01' }",
            "only_during.hours: a day's hours go from 00:00 to 24:00",
        ),
        (
            "only_during = { hours = '08:00-08:00' }",
            "only_during.hours: the hours begin and end at the same minute; "
            "leave hours out for the whole day",
        ),
        (
            "only_during = { days = 'mon-fry' }",
            "only_during.days: 'fry' is no day; did you mean 'fri'?",
        ),
        (
            "only_during = { days = 'mon-' }",
            "only_during.days: '' is no day; there is 'fri', 'mon', 'sat', 'sun', 'thu', 'tue', 'wed'",
        ),
        ("only_during = { days = '' }", "only_during.days: write days like 'mon-fri' or 'mon,wed,sat-sun'"),
        (
            "never = true\nwhen = { reson = 'late' }",
            "payments.refund has no argument 'reson'; did you mean 'reason'?",
        ),
        (
            "never = true\nwhen = { reason = 'lat' }",
            "when.reason: it is never 'lat'; did you mean 'late'?",
        ),
        ("never = true\nwhen = { reason = 1 }", "when.reason: 1 is no text"),
        ("never = true\nwhen = { reason = 1.5 }", "when.reason: write text, a whole number, true or false"),
        (
            "never = true\nwhen = { amount = '5 euros' }",
            "when.amount: '5 euros' is not an amount of money; write it like '50.00 EUR'",
        ),
    ],
)
def test_a_form_that_says_something_wrong(body: str, message: str) -> None:
    assert wrong(body) == message


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "weight",
            "rules cannot see 'weight' of mail.send: it is a number with a fraction; "
            "rules count in whole numbers and money",
        ),
        (
            "extra",
            "rules cannot see 'extra' of mail.send: it has no single type of "
            "text, whole number, yes/no, money, list or record",
        ),
        ("tags", "when.tags: it is a list, which cannot be compared with a value"),
        ("place", "when.place: it is a record, which cannot be compared with a value"),
    ],
)
def test_an_argument_that_rules_cannot_see_is_told_with_the_reason(argument: str, message: str) -> None:
    assert wrong(f"never = true\nwhen = {{ {argument} = 'x' }}", "mail.send") == message


def test_each_wrong_argument_of_one_rule_is_told() -> None:
    lines = said(
        f"{HEAD}operation = 'payments.refund'\nwhen = {{ x = 1, y = 1 }}\nnever_above = {{ v = 1, w = 1 }}\n"
    )
    assert [line.split("'")[1] for line in lines] == ["x", "y", "v", "w"]


def test_operations_that_differ_in_an_argument_need_a_rule_each() -> None:
    assert wrong("never_above = { amount = '5.00 EUR' }", "*").startswith("audit.is_due has no argument")


def test_operations_that_read_one_value_differently_need_a_rule_each() -> None:
    lines = said(
        "[[rule]]\ntitle = 'R'\noperation = ['mail.send', 'payments.payout']\nnever = true\n"
        "when.memo = '5.00 EUR'\n"
    )
    assert lines == [
        "rules/a.toml:1: when.memo: the operations have different types for it; write a rule for each"
    ]


def test_a_title_is_needed_and_must_make_an_id() -> None:
    assert said('[[rule]]\noperation = "*"\npermit = true') == ["rules/a.toml:1: title is missing"]
    assert said('[[rule]]\ntitle = "!"\noperation = "*"\npermit = true') == [
        "rules/a.toml:1: the title has no letters to make an id of; give the rule an id"
    ]


def test_everything_wrong_is_told_at_once_in_order() -> None:
    toml = (
        f"{HEAD}operation = 'payments.refnd'\nnever = true\nwhen = {{ x = 1 }}\n"
        "[[rule]]\ntitle = 'T'\noperation = 'mail.snd'\nagnet = 'x'\npermit = 1\n"
    )
    lines = said(toml, "permit (principal, action, resource);")
    assert [line.split(" ")[0] for line in lines] == [
        "rules/a.toml:3:",
        "rules/a.toml:8:",
        "rules/a.toml:8:",
        "rules/b.cedar:1:",
    ]


def test_a_header_in_a_string_or_a_comment_is_no_header() -> None:
    toml = (
        "# it's ''' \"\"\"\n# [[rule]]\n[[rule]] # [[rule]]\ntitle = '''\n[[rule]]\n'''\n"
        'operation = "*"\npermit = true\nid = """\\"""\n[[rule]]"""\n'
        "[[ 'rule' ]]\ntitle = 'x'\noperation = 'nope'\nnever = true\n"
    )
    assert said(toml)[0].startswith("rules/a.toml:11: there is no operation 'nope'")


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[[rule]]\ntitle = \n", "rules/a.toml:2: not TOML: Invalid value (at line 2, column 9)"),
        (
            "[[rule]]\ntitle = 'x",
            'rules/a.toml:2: not TOML: Expected "\'" (at end of document)',
        ),
        ("[[rules]]\ntitle = 'x'", "rules/a.toml:1: 'rules' stands outside a rule; did you mean 'rule'?"),
        (
            "rule = [{ title = 'x', operation = '*', permit = true }]",
            "rules/a.toml:1: write each rule as a table that begins with [[rule]]",
        ),
        ("[rule]\ntitle = 'x'", "rules/a.toml:1: write each rule as a table that begins with [[rule]]"),
        ("x = " + "[" * 5000 + "]" * 5000, "rules/a.toml:1: nested too deeply"),
    ],
)
def test_a_file_that_is_no_rules_toml(toml: str, message: str) -> None:
    assert said(toml) == [message]


def test_a_duplicate_id_is_told_with_both_places() -> None:
    toml = PERMIT_ALL + '\n[[rule]]\ntitle = "everything"\noperation = "*"\nnever = true\n'
    assert said(toml) == [
        "rules/a.toml:6: the id 'everything' is taken by rules/a.toml:1; give one of them another id"
    ]
    cedar = '// first\n\n@id("everything")@title("T") permit (principal, action, resource);'
    assert said(PERMIT_ALL, cedar) == [
        "rules/b.cedar:3: the id 'everything' is taken by rules/a.toml:1; give one of them another id"
    ]


GOOD = '@id("a;b") @title("; // \\"")\npermit (principal, action, resource); // ; it\n\n'
NAMED = '@id("x")@title("X")'


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("permit (principal, action, resource);", 'the permit needs @id("…")'),
        ('@id("x") permit (principal, action, resource);', 'the permit needs @title("…")'),
        (
            f"{NAMED} forbid (principal, action, resource);",
            'the forbid needs a tier; write @tier("…") with one of hard, approval, rehearse, verify',
        ),
        (
            f'{NAMED}@tier("aproval") forbid (principal, action, resource);',
            "'aproval' is no tier; did you mean 'approval'?; "
            'write @tier("…") with one of hard, approval, rehearse, verify',
        ),
        (
            f'{NAMED}@tier("hard") permit (principal, action, resource);',
            "a permit has no @tier; tiers are for forbids",
        ),
        (
            f'{NAMED} permit (principal, action == Action::"payments.refnd", resource);',
            "there is no operation 'payments.refnd'; did you mean 'payments.refund'?",
        ),
        (
            f'{NAMED} permit (principal, action in [Action::"mail.sent"], resource);',
            "there is no operation 'mail.sent'; did you mean 'mail.send'?",
        ),
        (
            f"{NAMED} permit (principal == ?principal, action, resource);",
            "a rule names its principal itself; templates with ?slots are not used here",
        ),
        (f"{NAMED} permit (principal, action, resource) when {{ 1 + }};", "not Cedar: unexpected token `}`"),
        (f"{NAMED} permit (principal, action, resource)", "not Cedar: unexpected end of input"),
        (
            f'{NAMED} permit (principal, action == Action::"payments.refund", resource) '
            "when { context.args.amuont.minor > 1 };",
            'attribute `args.amuont` in context for Action::"payments.refund" not found; '
            "did you mean 'amount'?",
        ),
        (
            f'{NAMED} permit (principal, action == Action::"payments.refund", resource) '
            "when { context.args.amount.minr > 1 };",
            'attribute `args.amount.minr` in context for Action::"payments.refund" not found',
        ),
        (
            f'{NAMED} permit (principal, action == Action::"mail.send", resource) '
            "when { context.args.weight > 1 };",
            "rules cannot see 'weight' of mail.send: it is a number with a fraction; "
            "rules count in whole numbers and money",
        ),
        (
            f'{NAMED} permit (principal, action == Action::"payments.refund", resource) '
            "when { context.facts.none > 1 };",
            'attribute `facts.none` in context for Action::"payments.refund" not found',
        ),
    ],
)
def test_a_cedar_policy_that_cannot_be_used_is_told_with_its_line(policy: str, message: str) -> None:
    (line,) = said(cedar=GOOD + policy)
    assert line == f"rules/b.cedar:4: {message}"


def test_cedar_that_is_nested_too_deeply_is_told_with_its_line() -> None:
    deep = " || ".join(["context.time.weekday == 1"] * 500)
    (line,) = said(cedar=f"{GOOD}{NAMED} permit (principal, action, resource) when {{ {deep} }};")
    assert line.startswith("rules/b.cedar:4: ")


def test_agents_and_automations_are_checked_where_they_are_known(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(PERMIT_ALL + "agent = 'dsek'\nautomations = ['returns', 'ordres']\n")
    load_rules(tmp_path, OPERATIONS)
    with pytest.raises(RuleError) as caught:
        load_rules(tmp_path, OPERATIONS, agents=["desk"], automations=["orders", "returns"])
    assert [line.split(": ", 1)[1] for line in str(caught.value).split("\n")] == [
        "there is no agent 'dsek'; did you mean 'desk'?",
        "there is no automation 'ordres'; did you mean 'orders'?",
    ]


def test_a_folder_is_read_whole_and_an_odd_file_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    assert load_rules(folder, OPERATIONS).explain() == ()
    (folder / "b.toml").write_bytes(b"\xef\xbb\xbf" + PERMIT_ALL.replace("\n", "\r\n").encode())
    (folder / "a.cedar").write_text(GOOD)
    (folder / "README.md").write_text("about")
    (folder / ".swp").write_text("")
    assert [rule.file for rule in load_rules(folder, OPERATIONS).explain()] == [
        "rules/a.cedar",
        "rules/b.toml",
    ]
    (folder / "c.tml").write_text("")
    (folder / "d.toml").write_bytes(b"# ok\n# \xff\n")
    (folder / "e.toml").write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    (folder / "f.toml").mkdir()
    with pytest.raises(RuleError) as caught:
        load_rules(folder, OPERATIONS)
    assert str(caught.value).split("\n") == [
        "rules/c.tml:1: is no rules file; rules are .toml or .cedar files, side by side",
        "rules/d.toml:2: is not UTF-8 text",
        f"rules/e.toml:1: is larger than {FILE_BYTES_MAX:,} bytes",
        "rules/f.toml:1: cannot be read: Is a directory",
    ]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"^rules:1: the rules cannot be read: No such file or directory$"):
        load_rules(tmp_path / "rules", OPERATIONS)


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    for number in range(FILES_MAX + 1):
        (tmp_path / f"{number}.toml").touch()
    with pytest.raises(RuleError, match=f"more than {FILES_MAX} rules files"):
        load_rules(tmp_path, OPERATIONS)

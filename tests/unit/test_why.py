"""Why: each kind of entry in words, titles as they were when they decided, and what is no longer there."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from deputize.budget import Budget
from deputize.ledger import Entry
from deputize.store.telling import rule_texts
from deputize.why import RuleText, RuleTexts, Telling, why_action, why_run

DAY = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z
OLD = RuleTexts("aaaa1111", 1, {"r": RuleText("Old title", "amount")})
NEW = RuleTexts("bbbb2222", 50, {"r": RuleText("New title")})
INTENT = {
    "path": "1", "op": "shop.refund", "args": {"charge": "ch", "amount": {"minor": 1250, "currency": "EUR"}},
    "why": "it was returned", "expects": {"status": "ok"}, "rules": ["r"], "ruleset": "aaaa1111",
    "facts": {"r": 500}, "counted": [["r", "c1", 0, 1250]], "leases": ["charge:ch"],
    "holds": [["refunds", 0, 1250], ["gone", 0, 3]], "round": 1, "agent": "desk",
}  # fmt: skip
SETTLED = {"path": "1", "was": "open", "holds": INTENT["holds"], "counted": [], "leased": True}


def telling(*entries: tuple[str, dict[str, Any] | None]) -> Telling:
    event = {"id": "e1", "source": "/shop", "type": "shop.returned", "subject": "order 7"}
    rows = [Entry(i + 2, 1, i + 1, type, DAY + i * 1_000_000, body) for i, (type, body) in enumerate(entries)]  # type: ignore[arg-type]
    budgets = {"refunds": Budget("Refunds", 10_000, "money", "EUR")}
    return Telling("run1", "returns", "desk", event, rows, [OLD, NEW], ZoneInfo("Europe/Berlin"), budgets)


def told(*entries: tuple[str, dict[str, Any] | None]) -> str:
    return "\n".join(why_action(telling(("intent", INTENT), *entries), "1")["sentences"])


def test_what_was_asked_and_judged_is_told_with_the_titles_of_that_time() -> None:
    text = told()
    assert "On 01 Jan 2026, 13:00:00 the agent desk asked for shop.refund" in text
    assert 'charge "ch", amount 12.50 EUR, because "it was returned"' in text
    assert "for the event e1 from /shop (shop.returned) about order 7" in text
    assert 'The rules allowed it by "Old title".' in text
    assert '"Old title" had counted 5.00 EUR for c1 until then, and this adds 12.50 EUR.' in text
    assert (
        'Set aside for it before it was sent: 12.50 EUR of the budget "Refunds" and 3 of the budget "gone".'
        in text
    )


@pytest.mark.parametrize(
    ("type", "body", "words"),
    [
        (
            "receipt",
            SETTLED | {"by": "answer", "result": {"status": "ok"}},
            'the service answered: status "ok"',
        ),
        ("receipt", SETTLED | {"by": "look-up", "result": None}, "when asked, said that it was done: null"),
        (
            "receipt",
            SETTLED | {"by": {"person": "maya", "reason": ""}, "result": 1},
            "maya said that it had happened",
        ),
        ("declined", SETTLED | {"reason": "no money."}, "the service said no: no money. Nothing was done."),
        ("refused", SETTLED | {"reason": "too late"}, "it was refused: too late. Nothing was done."),
        ("refused", SETTLED | {"reason": 'refused by "R"'}, ': it was refused by "R". Nothing was done.'),
        ("declined", SETTLED | {"reason": ""}, "It used nothing; given back was 12.50 EUR of"),
        ("abandoned", SETTLED | {"by": {"person": "maya", "reason": "old"}}, "maya (old) gave it up"),
        ("drift", SETTLED | {"reason": "no field"}, "in a form that is not in its contract: no field"),
        (
            "drift",
            SETTLED | {"reason": "x, but not as its contract says: no id", "status": 200, "raw": "{ }"},
            "not in its contract: no id; the service's answer was 200 { }.",
        ),
        ("drift", SETTLED | {"reason": "no field"}, "  deputize resolve run1/1 abandon"),
        ("doubt", {"path": "1", "evidence": "cut"}, "nobody knew whether it had happened: cut"),
        ("attempt", {"path": "1", "n": 2, "because": "429"}, "attempt 2 was made, because 429"),
        (
            "intent",
            INTENT | {"round": 2, "because": "maya says so"},
            "sent again as a new request, because maya",
        ),
        ("card", {"path": "1", "kind": "doubt", "title": "?"}, "put in the inbox"),
        ("card", {"path": "1", "kind": "doubt", "title": "?"}, "  deputize resolve run1/1 did-not --again"),
    ],
)
def test_each_thing_that_happens_to_an_action_has_its_sentence(
    type: str, body: dict[str, Any], words: str
) -> None:
    assert words in told((type, body))


def test_only_what_waits_for_a_person_tells_how_to_answer() -> None:
    card = ("card", {"path": "1", "kind": "doubt", "title": "?"})
    drift = ("drift", SETTLED | {"reason": "?"})
    receipt = ("receipt", SETTLED | {"by": {"person": "maya", "reason": ""}, "result": 1})
    ended = ("ended", {"kind": "failed", "label": "", "reason": "", "path": None})
    for entries in (
        [card, receipt],
        [drift, receipt],
        [drift, ended],
        [("doubt", {"path": "1", "evidence": "?"})],
    ):
        assert "deputize resolve" not in told(*entries)
    assert "--again" not in told(card, ended) and "did-not" in told(card, ended)
    story = why_run(telling(("intent", INTENT), card))["sentences"]
    assert story[-1].endswith("`deputize why run1/1` says how to give it.")
    stuck = ("stuck", {"reason": "other code"})
    assert "deputize resolve run1 abandon" in why_run(telling(stuck))["sentences"][-1]
    assert "resolve" not in why_run(telling(stuck, ("unstuck", {"state": "ready"})))["sentences"][-1]


def test_what_was_expected_is_compared_with_what_came() -> None:
    result = SETTLED | {"by": "answer", "result": {"status": "late"}}
    assert 'What it expected (status "ok") is what it got.' in told(("receipt", result))
    unmet = result | {"unmet": {"status": {"expected": "ok", "got": "late"}}}
    assert 'It expected status to be "ok" and got "late".' in told(("receipt", unmet))


def test_a_refusal_before_the_start_names_the_rules_in_force_then() -> None:
    body = {
        "path": "2", "op": "shop.refund", "args": {}, "agent": "desk", "why": "", "reason": "no",
        "rules": ["r"], "facts": {}, "was": "new", "holds": [], "counted": [],
    }  # fmt: skip
    text = " ".join(why_action(telling(("refused", body)), "2")["sentences"])
    assert 'Decided by "Old title".' in text and "Nothing was done" in text


READ: dict[str, Any] = {"path": "2", "op": "shop.get", "args": {"id": "x"}, "agent": "desk", "why": ""}


@pytest.mark.parametrize(
    ("type", "came"),
    [
        ("read", {"result": 1}),
        ("declined", {"reason": "gone", "was": "new"}),
        ("refused", {"reason": "no answer after 5 attempts", "was": "new"}),
        ("drift", {"reason": "?", "raw": "", "status": 200, "was": "new"}),
    ],
)
def test_a_read_names_the_rules_that_permitted_it_and_an_older_one_is_still_told(
    type: str, came: dict[str, Any]
) -> None:
    free = "; it only reads and costs nothing, so nothing was reserved."
    body = READ | came | {"rules": ["r"], "ruleset": "aaaa1111"}
    sentences = why_action(telling((type, body)), "2")["sentences"]
    assert f'The rules allowed it by "Old title"{free}' in sentences
    assert (
        f"The rules allowed it{free}" in why_action(telling(("read", READ | {"result": 1})), "2")["sentences"]
    )


def test_an_unknown_action_has_no_sentences_and_an_erased_run_says_so() -> None:
    assert why_action(telling(("intent", INTENT)), "9") == {"sentences": [], "facts": {}}
    assert why_action(telling(("intent", None)), "1")["sentences"] == []
    story = why_run(telling(("began", None), ("ended", None)))
    assert story["sentences"] == ["Some of what happened has been erased."]


def test_a_runs_story_tells_its_waits_and_its_end() -> None:
    ended = {"kind": "gave_up", "label": "no stock", "reason": "", "path": None}
    story = why_run(
        telling(
            ("began", {"state": "behind"}),
            ("waiting", {"path": "1", "kind": "event", "due": DAY, "type": "shop.word"}),
            ("woke", {"path": "1", "kind": "event", "event": {"id": "w1", "source": "/s"}}),
            ("read", {"path": "2", "op": "shop.get", "args": {"id": "x"}, "result": {"n": 1}, "why": ""}),
            ("stuck", {"reason": "other code."}),
            ("ended", ended),
        )
    )["sentences"]
    assert [line.partition(": ")[2] for line in story] == [
        "the automation returns began, for the event e1 from /shop (shop.returned) about order 7, "
        "behind an earlier run for the same thing.",
        "it waited for shop.word until 01 Jan 2026, 13:00:00.",
        "the event w1 from /s came.",
        'it asked for shop.get with id "x" and got n 1.',
        "it got stuck: other code.",
        "it ended as gave up (no stock).",
    ]
    assert story[3].startswith("01 Jan 2026, 13:00:03, action 2: ")


def test_titles_are_read_from_the_ledgers_copy_of_the_rules() -> None:
    source = (
        '@id("a")\n@title("Say \\"no\\"")\n@counts("amount per day by c")\n@counter("x · day")\n'
        "forbid (a, b, c);\n\n"
        '@title("Second")\n@id("b")\npermit (principal, action, resource);\n\n// Schema: {}\n'
    )
    no = RuleText('Say "no"', "amount")
    assert rule_texts(source) == {"a": no, "x · day": no, "b": RuleText("Second")}

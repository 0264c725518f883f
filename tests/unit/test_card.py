"""Cards: told so that a person can answer from what they read, for every kind and every state of the run."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, TypeAdapter

from deputize import Money, canonical
from deputize.card import ABOUT_CHARS_MAX, RAW_CHARS_MAX, Waiting, choices, result_form, told_card

ASKED = {
    "op": "payments.refund",
    "args": {"charge": "ch_1", "amount": {"minor": 1250, "currency": "EUR"}},
    "why": "it was returned",
}


def told(kind: str, body: dict[str, Any], **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"run_ended": False, "open": True, "asked": ASKED, "first_sent": 0} | more
    event = {"id": "e1", "source": "/s", "type": "t", "subject": ""}
    return told_card(Waiting("r/1", kind, body, "returns", event, **given), {})


def commands(kind: str, run_ended: bool = False) -> list[str]:
    return [way["command"].removeprefix("deputize resolve r/1 ") for way in choices("r/1", kind, run_ended)]


def test_a_card_says_what_for_whom_and_how_much() -> None:
    card = told("doubt", {"evidence": "the line went dead"}, first_sent=1_767_268_800_000_000)
    about = 'payments.refund with charge "ch_1", amount 12.50 EUR, because "it was returned"'
    assert card["about"] == about
    assert card["of"] == "the automation returns, for the event e1 from /s (t)"
    assert (card["evidence"], card["first_sent_at"]) == ("the line went dead", "2026-01-01T12:00:00.000000Z")


def test_each_kind_of_card_offers_the_answers_that_it_takes() -> None:
    happened = "happened --result '<JSON>'"
    assert commands("doubt") == [happened, "did-not", "did-not --again", "abandon"]
    assert commands("drift") == [happened, "abandon"]
    assert commands("stuck") == ["abandon"]


def test_a_run_that_has_ended_is_not_offered_to_go_on() -> None:
    assert commands("doubt", run_ended=True) == ["happened --result '<JSON>'", "did-not", "abandon"]
    assert not any("run" in way["causes"] for way in choices("r/1", "doubt", run_ended=True))


def test_an_answered_card_offers_nothing() -> None:
    assert told("doubt", {"evidence": "?"}, open=False)["answers"] == []


def test_the_answer_that_does_not_fit_is_shown_in_one_line_and_bounded() -> None:
    body = {
        "reason": "x.y was answered, but not as its contract says: no id",
        "status": 200,
        "raw": '{\n "a": 1}',
    }
    assert told("drift", body)["evidence"] == """the service's answer was 200 { "a": 1}"""
    assert len(told("drift", body | {"raw": "y" * 9_000})["evidence"]) < RAW_CHARS_MAX + 50
    assert told("drift", body | {"raw": ""})["evidence"].endswith("answer was 200 without a body")


def test_long_arguments_do_not_flood_a_card() -> None:
    many = ASKED | {"args": {f"a{n}": "x" * 500 for n in range(50)}}
    assert len(told("doubt", {"evidence": "?"}, asked=many)["about"]) <= ABOUT_CHARS_MAX + 1


class Kind(Enum):
    A = "a"


class Inner(BaseModel):
    n: int


class Whole(BaseModel):
    id: str
    paid: Money
    status: Literal["done", "don't"]
    kind: Kind
    inner: Inner
    list: list[Inner]
    maybe: float | None
    default: int = 3


class Deep(BaseModel):
    deeper: Deep | None
    name: str


class Many(BaseModel):
    a: Many
    b: Many
    c: list[Many]
    d: Many | Deep


@pytest.mark.parametrize(
    ("type", "form"),
    [
        (
            Whole,
            """{"id": <"text">, "paid": <"0.00 EUR">, "status": <"done" or "don't">, "kind": <"a">,"""
            """ "inner": {"n": <integer>}, "list": [{"n": <integer>}, …], "maybe": <number> or null}""",
        ),
        (int, "<integer>"),
        (None, "null"),
        (dict[str, int], "<object>"),
        (Any, "<value>"),
    ],
)
def test_a_result_is_shown_as_a_form_that_is_no_json_until_it_is_filled_in(type: Any, form: str) -> None:
    assert result_form(canonical.encode(TypeAdapter(type).json_schema()).decode()) == form


def test_a_form_that_has_no_end_or_is_too_long_is_cut_to_its_outside() -> None:
    schema = canonical.encode(TypeAdapter(Deep).json_schema()).decode()
    assert result_form(schema).count("deeper") <= 4 and "<object>" in result_form(schema)
    assert result_form(canonical.encode(TypeAdapter(Many).json_schema()).decode()).startswith('{"a": ')
    wide = {f"field_{n}": {"type": "string"} for n in range(100)}
    assert (
        result_form(canonical.encode({"type": "object", "properties": wide, "required": [*wide]}).decode())
        == "<JSON>"
    )


WAITS = ASKED | {
    "kind": "approval",
    "demands": [
        {
            "rule": "r",
            "title": "Refunds over 50 euros wait",
            "tier": "approval",
            "whom": ["finance"],
            "people": 2,
            "within_s": 7200.0,
            "then": ["maya"],
            "then_after_s": 3600.0,
            "otherwise": "expire",
        }
    ],
    "facts": {"refunds today": 3},
    "binding": "b1",
    "due": 1_767_268_800_000_000,
    "price_usd_micros": 0,
    "undoable": False,
}


def test_what_waits_for_approval_says_what_it_rests_on_whom_it_asks_and_what_silence_does() -> None:
    order = {"op": "shop.get_order", "result": {"total": {"minor": 1250, "currency": "EUR"}}}
    card = told("approval", WAITS, rests_on=[order])
    assert card["about"] == (
        'payments.refund with charge "ch_1", amount 12.50 EUR, because "it was returned"'
    )
    assert card["asks"] == ['"Refunds over 50 euros wait" asks 2 of finance, and after 1 hour also maya']
    assert card["evidence"] == "shop.get_order answered total 12.50 EUR; refunds today stands at 3"
    assert (card["binding"], card["due"]) == ("b1", "2026-01-01T12:00:00.000000Z")
    assert card["silence"] == "it is not done, and the automation is told that nobody answered in time"
    assert card["undo"] == "there is no undo for it"
    said = [way["command"].split()[1] for way in card["answers"]]
    assert said == ["approve", "refuse", "change", "ask-keeper"]
    assert card["handed"] == ""
    handed = {"keeper": "ines", "by": {"person": "kim", "reason": "so much?"}}
    assert told("approval", WAITS, handed=handed)["handed"] == 'kim asks ines, who keeps it: "so much?"'


def test_silence_that_refuses_says_so() -> None:
    refuses = WAITS | {"demands": [WAITS["demands"][0] | {"otherwise": "refuse"}]}
    assert told("approval", refuses)["silence"] == "it is refused, and the automation goes on with that"

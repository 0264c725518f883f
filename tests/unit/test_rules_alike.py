"""Questions that no policy can tell apart are put to Cedar once; all others are put to it."""

from __future__ import annotations

from typing import Any

import cedarpy
import pytest

from deputize.rules import ruleset
from deputize.rules.alike import Alike
from deputize.rules.cedar_files import parse_policy
from tests.unit.rules_shop import PERMIT_ALL, ask, rules

FORBID = "forbid (principal, action, resource) when { %s };"


def kind(condition: str, **context: Any) -> Any:
    return Alike([parse_policy(FORBID % condition)]).kind("desk", context)


ALIKE = [
    ("context.args.n > 5", {"n": -9}, {"n": 4}),
    ("context.args.n > 5", {"n": 6}, {"n": 2**63 - 1}),
    ("5 < context.args.n && context.args.n != 9", {"n": 7}, {"n": 8}),
    ("context.args.n > -5 || -7 > context.args.n", {"n": -6}, {"n": -6}),
    ('context.args.t == "a"', {"t": "b"}, {"t": "é"}),
    ('["a", "b"].contains(context.args.t)', {"t": "c"}, {"t": "ab"}),
    ("context.args.n + context.args.m > 5", {"n": 1, "m": 2}, {"n": 4, "m": 0}),
    ("context.args.n * 2 - context.args.m >= -context.args.n", {"n": 1, "m": 2}, {"n": 1, "m": 2}),
    ("context.args has n && context.args.m > 3", {"n": 1, "m": 2}, {"n": 2, "m": 1}),
    ("context.args.a.n > 5", {"a": {"n": 1, "t": "x"}}, {"a": {"n": 2, "t": "y"}}),
    ('principal == Agent::"desk"', {"n": 1}, {"n": 2}),
]
DIFFERENT = [
    ("context.args.a.n > 5", {"a": {"n": 1, "other": 1}}, {"a": {"n": 1}}),
    ("context.args.a.n > 5", {"a": {"n": 1, "other": 1}}, {"a": {"n": 1, "other": "1"}}),
    ("context.args.a.n > 5", {"a": {"n": 1, "other": [1]}}, {"a": {"n": 1, "other": ["1"]}}),
    ('context.args.t like "a*"', {"t": "b" * 500}, {"t": "b" * 499 + "c"}),
    ("context.args.n > 5", {"n": 5}, {"n": 6}),
    ("context.args.n >= 5", {"n": 4}, {"n": 5}),
    ("context.args.n > 5 || context.args.n > 9", {"n": 5}, {"n": 6}),
    ("context.args.n > -(5)", {"n": -5}, {"n": -4}),
    ("context.args.n == 5", {"n": 4}, {"n": 6}),
    ("context.args.n > -5", {"n": -5}, {"n": -4}),
    ("context.args.n > 5", {"n": 4}, {}),
    ('context.args.t == "a"', {"t": "a"}, {"t": "b"}),
    ('["a", "b"].contains(context.args.t)', {"t": "a"}, {"t": "b"}),
    ("context.args.n + context.args.m > 5", {"n": 3, "m": 2}, {"n": 3, "m": 3}),
    ("context.args.n + context.args.m > 5", {"n": 3, "m": 2}, {"n": 3}),
    ("context.args has n", {"n": 1}, {}),
    ("context.args.n > context.args.m", {"n": 1, "m": 2}, {"n": 1, "m": 3}),
    ('context.args.t like "a*"', {"t": "b"}, {"t": "c"}),
    ("context.args.flag == true", {"flag": True}, {"flag": False}),
    ("context.args.flag == true", {"flag": True}, {"flag": 1}),
    ("context.args.list.contains(3)", {"list": [1]}, {"list": [2]}),
    ("context.args == context.args", {"t": "a"}, {"t": "b"}),
    ('{"==": context.args.t, "x": 1} == {"==": "a", "x": 1}', {"t": "a"}, {"t": "b"}),
    ('{"contains": context.args.t} == {"contains": "a"}', {"t": "a"}, {"t": "b"}),
    ('{"has": context.args.t} == {"has": "a"}', {"t": "a"}, {"t": "b"}),
    ('{"Value": context.args.t} == {"Value": "a"}', {"t": "a"}, {"t": "b"}),
    ('{"Record": context.args.t} == {"Record": "a"}', {"t": "a"}, {"t": "b"}),
    ("(if true then context else context).args.n > 3", {"n": 1}, {"n": 2}),
]
UNCLEAR = [
    ("context.args has n", {"n": 2**63}),
    ("context has args", {"n": 2**63}),
    ("context.args has t", {"t": "\ud800"}),
    ("context.args.a.n > 5", {"a": {"n": 1, "other": 1.5}}),
    ("context.args.a.n > 5", {"a": {"n": 1, "other": None}}),
    ("context.args.n > 5", {"n": 2**63}),
    ("context.args.n > 5", {"n": -(2**63) - 1}),
    ("context.args.n > 5", {"n": True}),
    ("context.args.n > 5", {"n": None}),
    ("context.args.n > 5", {"n": [1]}),
    ("context.args.n + 1 > 5", {"n": 2**63 - 1}),
    ("-context.args.n > 5", {"n": -(2**63)}),
    ("context.args.n + context.args.m > 5", {"n": 2**63}),
    ("context.args.n * context.args.m > 5", {"n": 2**40, "m": 2**40}),
    ('context.args.t == "a"', {"t": "\ud800"}),
    ("context.args.a.n > 5", {"a": 1}),
    ("context.args.a.n > 5", {"a": {"n": 1, "other": 2**63}}),
    ("context.args.a.n > 5", {"a": {"n": 1, "other": ["\ud800"]}}),
    ("context.args.list.contains(3)", {"list": [2**64]}),
]


@pytest.mark.parametrize(("condition", "one", "other"), ALIKE)
def test_values_on_the_same_side_of_every_constant_are_of_one_kind(
    condition: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert kind(condition, args=one) == kind(condition, args=other) is not None


@pytest.mark.parametrize(("condition", "one", "other"), DIFFERENT)
def test_values_that_a_policy_can_tell_apart_are_of_two_kinds(
    condition: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    kinds = kind(condition, args=one), kind(condition, args=other)
    assert None not in kinds
    assert kinds[0] != kinds[1]


@pytest.mark.parametrize(("condition", "args"), UNCLEAR)
def test_what_cedar_could_fail_on_is_of_no_kind(condition: str, args: dict[str, Any]) -> None:
    assert kind(condition, args=args) is None


def test_agents_are_told_apart() -> None:
    alike = Alike([])
    assert alike.kind("a", {}) != alike.kind("b", {})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was put to Cedar."""
    put: list[Any] = []
    is_authorized = cedarpy.is_authorized

    def counting(request: Any, *more: Any) -> Any:
        put.append(request)
        return is_authorized(request, *more)

    monkeypatch.setattr(ruleset.cedarpy, "is_authorized", counting)
    return put


LIMIT = (
    '\n[[rule]]\ntitle = "Not much"\noperation = "payments.refund"\nnever_above = { amount = "9.00 EUR" }\n'
)


def amount(minor: int) -> dict[str, Any]:
    return {"amount": {"minor": minor, "currency": "EUR"}}


def test_cedar_is_asked_once_for_each_kind_of_question(asked: list[Any]) -> None:
    loaded = rules(PERMIT_ALL + LIMIT)
    verdicts = [loaded.judge(ask(args=amount(n))).decision for n in range(1, 1_200)]
    assert verdicts == ["allow"] * 900 + ["refuse"] * 299
    assert len(asked) == 3, "below the limit, on it, and above it"


def test_an_error_is_not_remembered(asked: list[Any]) -> None:
    loaded = rules(PERMIT_ALL + LIMIT)
    for _ in range(3):
        assert loaded.judge(ask(args=amount(2**63))).errors
    assert loaded.judge(ask(args=amount(5))).decision == "allow"
    assert len(asked) == 4


def test_so_many_kinds_are_kept_and_no_more(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ruleset, "KINDS_MAX", 2)
    loaded = rules(
        PERMIT_ALL,
        FORBID.replace("forbid", '@id("x")@title("X")@tier("hard") forbid')
        % 'context.automation like "bad*"',
    )
    for name in ("a", "b", "bad", "a"):
        verdict = loaded.judge(ask(automation=name))
        assert verdict.decision == ("refuse" if name == "bad" else "allow")
        assert len(loaded._slices["payments.refund"].verdicts) <= 2
    assert len(asked) == 4


def test_a_long_value_is_not_kept() -> None:
    found = kind('context.args.t like "a*"', args={"t": "b" * 1_000_000})
    assert len(repr(found)) < 300

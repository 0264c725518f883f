"""What rules read is found in their text, and what they do not read is not put to Cedar."""

from __future__ import annotations

import json

import pytest

from deputize.rules.cedar_files import parse_policy
from deputize.rules.reading import reads_of
from tests.unit.rules_shop import PERMIT_ALL, ask, put_to_cedar, rules

FORBID = "forbid (principal, action, resource) when { %s };"


@pytest.mark.parametrize(
    ("condition", "paths"),
    [
        ("context.args.amount.minor > 3", {("args", "amount")}),
        ('context["args"]["amount"].minor > 3', {("args", "amount")}),
        ("context.args has amount", {("args", "amount")}),
        ("context has args.amount.minor", {("args",), ("args", "amount")}),
        ("context has args", {("args",)}),
        ('context.facts["a · b"] >= 3', {("facts", "a · b")}),
        ("context.time.weekday in [1, 2]", {("time", "weekday")}),
        ('context.automation == "a"', {("automation",)}),
        ('{"Var": "context"} == {"Var": "args"}', set()),
        ('{"a": context}.a.args.amount.minor > 3', {()}),
        ('{".": context} == {".": context}', {()}),
        ("(if true then context.args else context.args).amount.minor > 3", {("args",)}),
        ("[context.args.memo].containsAny([1])", {("args", "memo")}),
        ('ip(context.args.charge).isInRange(ip("10.0.0.0/8"))', {("args", "charge")}),
        ('context.args.charge like "c*"', {("args", "charge")}),
        ("true", set()),
    ],
)
def test_what_a_condition_reads_of_the_context(condition: str, paths: set[tuple[str, ...]]) -> None:
    assert reads_of([parse_policy(FORBID % condition)]).paths == paths


def test_an_unless_reads_as_a_when_does() -> None:
    policy = parse_policy("permit (principal, action, resource) unless { context.args.urgent };")
    assert reads_of([policy]).paths == {("args", "urgent")}


def test_only_what_the_rules_of_an_operation_read_is_put_to_cedar() -> None:
    limit = (
        '[[rule]]\ntitle = "Not much"\noperation = "payments.refund"\nnever_above = { amount = "9.00 EUR" }\n'
    )
    loaded = rules(PERMIT_ALL + limit)
    put = put_to_cedar(loaded, ask())["context"]
    assert json.loads(put) == {"args": {"amount": {"minor": 5000, "currency": "EUR"}}}
    assert json.loads(put_to_cedar(loaded, ask("mail.send"))["context"]) == {}


def test_a_text_that_no_rule_reads_costs_nothing_and_stops_nothing() -> None:
    loaded = rules(PERMIT_ALL)
    assert loaded.judge(ask("mail.send", args={"to": "x" * 1_000_000})).decision == "allow"

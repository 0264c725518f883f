"""Every write of the town can be looked at beforehand, and looking changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from deputize.town import Town
from tests.town.calling import Caller

NOT_ALIKE = {"id", "created_at", "key", "status_key"}
"""What only an effect has."""

WRITES: tuple[tuple[str, str, dict[str, Any], str, dict[str, str]], ...] = (
    (
        "payments",
        "/refunds",
        {"charge": "ch-there", "amount": {"minor": 3000, "currency": "EUR"}, "reference": "there"},
        "/refunds/preview",
        {"charge": "ch-there", "amount_minor": "3000", "currency": "EUR", "reference": "there"},
    ),
    (
        "mail",
        "/messages",
        {"to": "ann@example.com", "template": "refunded", "data": {"refund": "re-1"}},
        "/messages/preview",
        {"to": "ann@example.com", "template": "refunded", "data": '{"refund": "re-1"}'},
    ),
    ("shop", "/returns", {"order_id": "there", "reason": "x"}, "/returns/preview", {}),
    (
        "shop",
        "/replacements",
        {"order_id": "there", "skus": ["sku-there", "sku-there"]},
        "/replacements/preview",
        {"order_id": "there", "skus": "sku-there,sku-there"},
    ),
    ("shop", "/orders/new/hold", {"reason": "odd"}, "/orders/new/hold/preview", {}),
    ("shop", "/orders/new/release", {}, "/orders/new/release/preview", {}),
    ("shop", "/orders/new/cancel", {"reason": "odd"}, "/orders/new/cancel/preview", {}),
)

NO: tuple[tuple[str, str, dict[str, Any], str, dict[str, str]], ...] = (
    (
        "payments",
        "/refunds",
        {"charge": "ch-there", "amount": {"minor": 5001, "currency": "EUR"}},
        "/refunds/preview",
        {"charge": "ch-there", "amount_minor": "5001", "currency": "EUR"},
    ),
    (
        "payments",
        "/refunds",
        {"charge": "ch-there", "amount": {"minor": 1, "currency": "USD"}},
        "/refunds/preview",
        {"charge": "ch-there", "amount_minor": "1", "currency": "USD"},
    ),
    (
        "payments",
        "/refunds",
        {"charge": "ch-none", "amount": {"minor": 1, "currency": "EUR"}},
        "/refunds/preview",
        {"charge": "ch-none", "amount_minor": "1", "currency": "EUR"},
    ),
    (
        "payments",
        "/refunds",
        {"charge": "ch-there", "amount": {"minor": -1, "currency": "EUR"}},
        "/refunds/preview",
        {"charge": "ch-there", "amount_minor": "-1", "currency": "EUR"},
    ),
    (
        "mail",
        "/messages",
        {"to": "nobody", "template": "t"},
        "/messages/preview",
        {"to": "nobody", "template": "t"},
    ),
    (
        "mail",
        "/messages",
        {"to": "a@b", "template": "t", "data": "{"},
        "/messages/preview",
        {"to": "a@b", "template": "t", "data": "{"},
    ),
    ("shop", "/returns", {"order_id": "new", "reason": "x"}, "/returns/preview", {}),
    (
        "shop",
        "/replacements",
        {"order_id": "there", "skus": ["sku-001"]},
        "/replacements/preview",
        {"order_id": "there", "skus": "sku-001"},
    ),
    (
        "shop",
        "/replacements",
        {"order_id": "there", "skus": []},
        "/replacements/preview",
        {"order_id": "there", "skus": ""},
    ),
    ("shop", "/orders/there/cancel", {"reason": "x"}, "/orders/there/cancel/preview", {}),
    ("shop", "/orders/none/release", {}, "/orders/none/release/preview", {}),
    ("shop", "/orders/new/hold", {"reason": ""}, "/orders/new/hold/preview", {}),
)


@pytest.fixture
def caller(own_town: Town) -> Iterator[Caller]:
    caller = Caller(own_town)
    own_town.plant("there", 5000)
    own_town.plant("new", 4000, status="placed")
    yield caller
    caller.client.close()


def all_but_the_log(town: Town) -> str:
    """Everything in the town's file, but which requests there were."""
    with sqlite3.connect(town.dir / "town.sqlite") as db:
        lines = [line for line in db.iterdump() if '"access"' not in line]
    db.close()
    return "\n".join(line for line in lines if "'access'" not in line)


@pytest.mark.parametrize(("service", "path", "body", "preview", "query"), WRITES)
def test_a_preview_says_what_then_comes_and_has_no_effect(
    caller: Caller, service: str, path: str, body: dict[str, Any], preview: str, query: dict[str, str]
) -> None:
    before = all_but_the_log(caller.town)
    foreseen = caller.get(service, preview, **(query or body))
    assert foreseen.status_code == 200, foreseen.text
    assert all_but_the_log(caller.town) == before
    done = caller.post(service, path, body or None, key="k-1").json()
    told = foreseen.json()
    assert {k: v for k, v in told.items() if k not in NOT_ALIKE} == {
        k: v for k, v in done.items() if k not in NOT_ALIKE
    }
    assert all_but_the_log(caller.town) != before
    if path.startswith("/orders/"):
        assert told["id"] == done["id"] and told["status_key"] is None
    else:
        assert told["id"].startswith("preview-") and not done["id"].startswith("preview-")
        assert told["key"] is None


@pytest.mark.parametrize(("service", "path", "body", "preview", "query"), NO)
def test_a_preview_declines_what_the_service_would_decline(
    caller: Caller, service: str, path: str, body: dict[str, Any], preview: str, query: dict[str, str]
) -> None:
    foreseen = caller.get(service, preview, **(query or body))
    before = all_but_the_log(caller.town)
    done = caller.post(service, path, body or None)
    assert (foreseen.status_code, foreseen.json()["error"]) == (done.status_code, done.json()["error"])
    assert foreseen.status_code >= 400 and all_but_the_log(caller.town) == before


def test_previews_are_reads_for_the_access_log_and_for_faults(caller: Caller) -> None:
    caller.town.set_faults(
        {"service": "payments", "operation": "preview_refund", "kind": "error_500", "first_n": 1},
        {"service": "*", "operation": "*", "kind": "late", "rate": 1.0},
    )
    query = WRITES[0][4]
    assert caller.get("payments", "/refunds/preview", **query).status_code == 500
    assert caller.get("payments", "/refunds/preview", **query).status_code == 200
    rows = [row for row in caller.town.access_log() if row["operation"] == "preview_refund"]
    assert [(row["method"], row["route"], row["status"]) for row in rows] == [
        ("GET", "/refunds/preview", 500),
        ("GET", "/refunds/preview", 200),
    ]
    assert caller.town.book() == []


def test_a_preview_takes_no_number_that_a_later_effect_would_have(caller: Caller) -> None:
    query = WRITES[0][4]
    first = caller.get("payments", "/refunds/preview", **query).json()["id"]
    assert caller.get("payments", "/refunds/preview", **query).json()["id"] == first
    assert f"preview-{caller.refund('ch-there', 3000).json()['id']}" == first

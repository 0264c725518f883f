"""Defining sources: mistakes are told with their line; signatures are what they must be."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from datetime import datetime, timedelta
from typing import Any

import pytest

from deputize import Call, Connector, EventData, Polled, hmac_sha256, poll, schedule, webhook
from deputize.errors import BadEvent, ProjectError
from deputize.sources import occurrence_of

shop = Connector("shop", version="1")


class Order(EventData, type="shop.order"):
    id: str


async def orders(call: Call, cursor: str) -> Polled:
    return Polled({}, cursor)


def one(payload: Any) -> dict[str, EventData]:
    return {payload["id"]: Order(id=payload["id"])}


def tick(moment: datetime) -> Order:
    return Order(id=str(moment))


def plain(call: Any, cursor: Any) -> Any:
    return None


async def alone(call: Call) -> Polled:
    return Polled({}, "")


@pytest.mark.parametrize(
    ("define", "words"),
    [
        (lambda: poll(shop)(plain), "must be an `async def"),
        (lambda: poll(shop)(alone), "takes call: Call and cursor"),  # type: ignore[arg-type]
        (lambda: poll(shop, every=timedelta(milliseconds=10))(orders), "a second at least"),
        (
            lambda: webhook("a b", verify=hmac_sha256(header="x", secret="env:S"))(one),
            "no name for a webhook",
        ),
        (lambda: webhook("a", verify=lambda h, b, s, t: True)(one), "name the secret"),
        (lambda: webhook("a", verify=hmac_sha256(header="x", secret="env:S"))(alone), "use `def`"),  # type: ignore[arg-type]
        (lambda: schedule("nonsense", event=Order)(tick), "no cron expression"),
        (lambda: schedule("0 8 * * *", event=Order, timezone="Mars/Crater")(tick), "Mars/Crater"),
        (lambda: schedule("0 8 * * *", event=Order, overlap="maybe")(tick), "overlap is one of"),  # type: ignore[arg-type]
        (lambda: schedule("0 8 * * *", event=Order)(plain), "takes tick"),  # type: ignore[arg-type]
    ],
)
def test_a_mistake_in_a_source_is_told_with_its_line(define: Any, words: str) -> None:
    with pytest.raises(ProjectError, match=r"test_sources_defining\.py:\d+: ") as told:
        define()
    assert words in str(told.value)


def test_a_polled_page_with_too_many_events_or_another_type_is_refused() -> None:
    with pytest.raises(BadEvent, match="must be an EventData"):
        occurrence_of("/polls/x", "1", {"id": "1"}, 0)
    with pytest.raises(BadEvent, match="1 to 500"):
        occurrence_of("/polls/x", "", Order(id="1"), 0)
    with pytest.raises(BadEvent, match="at most 1,000,000"):
        occurrence_of("/polls/x", "1", Order(id="x" * 1_000_001), 0)


BODY, SECRET = b'{"id": "1"}', "a-long-secret"


def signed(body: bytes, secret: str = SECRET) -> bytes:
    return hmac.new(secret.encode(), body, hashlib.sha256).digest()


@pytest.mark.parametrize(
    ("header", "right"),
    [
        (signed(BODY).hex(), True),
        ("sha256=" + signed(BODY).hex(), True),
        (b64encode(signed(BODY)).decode(), True),
        (signed(BODY).hex().upper(), True),
        (signed(BODY + b" ").hex(), False),
        (signed(BODY, "another-secret").hex(), False),
        ("", False),
        ("é" * 64, False),
        ("sha256=", False),
        ("0" * 64, False),
    ],
)
def test_a_signature_of_the_body_is_accepted_and_no_other(header: str, right: bool) -> None:
    check = hmac_sha256(header="X-Signature", secret="env:S").check
    assert check({"x-signature": header}, BODY, SECRET, 0.0) is right


@pytest.mark.parametrize(
    ("now_s", "header", "right"),
    [
        (1_000, "t=1000,v1={good}", True),
        (1_300, "t=1000,v1={good}", True),
        (1_301, "t=1000,v1={good}", False),
        (699, "t=1000,v1={good}", False),
        (1_000, "t=1000,v1=00,v1={good}", True),
        (1_000, "t=1001,v1={good}", False),
        (1_000, "t=1000,t=1000,v1={good}", False),
        (1_000, "t=-1,v1={good}", False),
        (1_000, "t=1000", False),
        (1_000, "v1={good}", False),
        (1_000, "{good}", False),
    ],
)
def test_a_signature_with_its_time_holds_for_the_tolerance_alone(
    now_s: int, header: str, right: bool
) -> None:
    check = hmac_sha256(header="X-Signature", secret="env:S", tolerance_s=300).check
    given = header.format(good=signed(b"1000." + BODY).hex())
    assert check({"x-signature": given}, BODY, SECRET, float(now_s)) is right

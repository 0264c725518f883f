"""Every kind of fault, met by a real client; and what the town says of it afterwards."""

import asyncio
import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.town import Town, TownError
from deputize.town.faults import KINDS, Faults, Rule, demo_profile, draw
from deputize.town.front import Front
from deputize.town.mail import mail_app
from deputize.town.settling import found
from deputize.town.world import World
from tests.town.calling import Caller, eventually


def arm(call: Caller, order_id: str, kind: str, **options: Any) -> None:
    """An order of 50.00, and one fault for the next refund."""
    call.town.plant(order_id, 5000)
    call.town.set_faults(
        {"service": "payments", "operation": "refund", "kind": kind, "first_n": 1, **options}
    )


def last_access(call: Caller) -> tuple[int | None, str | None]:
    row = [row for row in call.town.access_log() if row["operation"] == "refund"][-1]
    return row["status"], row["fault"]


def test_latency_only_takes_time(call: Caller) -> None:
    arm(call, "f1", "latency", delay_s=0.2)
    began = time.monotonic()
    assert call.refund("ch-f1", 5000, key="f1").status_code == 200
    assert time.monotonic() - began >= 0.2
    assert last_access(call) == (200, "latency")


@pytest.mark.parametrize(("kind", "status"), [("error_500", 500), ("error_502", 502)])
@pytest.mark.parametrize("effect", [False, True])
def test_a_server_error_comes_with_or_without_the_effect(
    call: Caller, kind: str, status: int, effect: bool
) -> None:
    order_id = f"f2-{kind}-{effect}"
    arm(call, order_id, kind, effect=effect)
    assert call.refund(f"ch-{order_id}", 5000, key=order_id).status_code == status
    assert call.refunded(f"ch-{order_id}") == (5000 if effect else 0)
    assert call.refund(f"ch-{order_id}", 5000, key=order_id).status_code == 200
    assert call.refunded(f"ch-{order_id}") == 5000


def test_too_many_says_when_to_come_back_and_does_nothing(call: Caller) -> None:
    arm(call, "f3", "too_many", retry_after_s=2.5)
    answer = call.refund("ch-f3", 5000, key="f3")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2.5")
    assert call.refunded("ch-f3") == 0


@pytest.mark.parametrize(("kind", "refunded"), [("cut_before", 0), ("cut_after", 5000)])
def test_a_cut_connection_tells_nothing_of_the_effect(call: Caller, kind: str, refunded: int) -> None:
    arm(call, kind, kind)
    with pytest.raises(httpx2.TransportError):
        call.refund(f"ch-{kind}", 5000, key=kind)
    assert call.refunded(f"ch-{kind}") == refunded
    assert last_access(call) == (None, kind)
    assert call.refund(f"ch-{kind}", 5000, key=kind).status_code == 200
    assert call.refunded(f"ch-{kind}") == 5000


def test_a_lost_answer_never_comes_though_the_effect_did(call: Caller) -> None:
    arm(call, "f4", "lost")
    with pytest.raises(httpx2.ReadTimeout):
        call.refund("ch-f4", 5000, key="f4", timeout=0.3)
    assert call.refunded("ch-f4") == 5000


def test_a_lost_answer_ends_in_a_closed_connection_for_those_who_wait(call: Caller) -> None:
    arm(call, "f5", "lost", delay_s=0.2)
    began = time.monotonic()
    with pytest.raises(httpx2.RemoteProtocolError):
        call.refund("ch-f5", 5000, key="f5")
    assert time.monotonic() - began >= 0.2
    assert call.refunded("ch-f5") == 5000


def test_a_late_effect_lands_when_it_is_due_and_not_before(call: Caller) -> None:
    arm(call, "f6", "late", delay_s=600)
    with pytest.raises(httpx2.TransportError):
        call.refund("ch-f6", 5000, key="f6")
    assert (call.refunded("ch-f6"), call.town.summary()["late_pending"]) == (0, 1)
    call.town.pass_time(601)
    eventually(lambda: call.refunded("ch-f6") == 5000, "the late refund")
    eventually(lambda: call.town.summary()["late_pending"] == 0, "nothing more to land")
    assert call.get("payments", "/refunds", key="f6").json()["refunds"][0]["amount"]["minor"] == 5000


def test_a_late_effect_after_its_repetition_is_one_effect_with_a_key(call: Caller) -> None:
    arm(call, "f7", "late", delay_s=600)
    with pytest.raises(httpx2.TransportError):
        call.refund("ch-f7", 2000, key="f7")
    assert call.refund("ch-f7", 2000, key="f7").status_code == 200
    call.town.pass_time(601)
    eventually(lambda: call.town.summary()["late_pending"] == 0, "the late refund")
    assert call.refunded("ch-f7") == 2000


def test_a_late_effect_after_its_repetition_is_two_effects_without_a_key(call: Caller) -> None:
    arm(call, "f8", "late", delay_s=600)
    with pytest.raises(httpx2.TransportError):
        call.refund("ch-f8", 2000)
    assert call.refund("ch-f8", 2000).status_code == 200
    call.town.pass_time(601)
    eventually(lambda: call.refunded("ch-f8") == 4000, "the late refund")


def test_a_late_request_that_is_declined_lands_as_nothing(call: Caller) -> None:
    arm(call, "f11", "late", delay_s=600)
    with pytest.raises(httpx2.TransportError):
        call.refund("ch-f11", -1, key="f11")
    call.town.pass_time(601)
    eventually(lambda: call.town.summary()["late_pending"] == 0, "the late refund")
    assert call.refunded("ch-f11") == 0


def test_landing_and_being_no_longer_pending_are_one_transaction(tmp_path: Path) -> None:
    """Else a kill between the two would let a request without a key land twice."""
    world = World(tmp_path / "town.sqlite", clock=lambda: 1_000.0)
    found(world, seed=7, customers=1)
    front = Front("mail", mail_app(world), world, Faults(world, 7), None)
    pending = "INSERT INTO late VALUES (?, 'mail', '/messages', '', ?, ?, 0)"
    headers = json.dumps([["content-type", "application/json"]])
    body = b'{"to": "a@example.com", "template": "t"}'
    world.db.execute(pending, (5, headers, body))
    world.db.execute("CREATE TRIGGER dies BEFORE INSERT ON book BEGIN SELECT raise(ABORT, 'killed'); END")
    with pytest.raises(sqlite3.IntegrityError, match="killed"):
        asyncio.run(front.land(5, "/messages", b"", headers, body))
    assert _counts(world) == {"late": 1, "messages": 0, "book": 0}
    world.db.execute("DROP TRIGGER dies")
    statements: list[str] = []
    world.db.set_trace_callback(statements.append)
    asyncio.run(front.land(5, "/messages", b"", headers, body))
    words = [statement.split()[0] for statement in statements]
    assert _counts(world) == {"late": 0, "messages": 1, "book": 1}
    assert words.index("BEGIN") < words.index("DELETE") < words.index("COMMIT")
    world.close()


def _counts(world: World) -> dict[str, int]:
    tables = ("late", "messages", "book")
    return {name: world.db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def test_a_malformed_answer_is_a_200_that_is_no_refund(call: Caller) -> None:
    seen = set()
    for no in range(12):
        arm(call, f"f9-{no}", "malformed")
        answer = call.refund(f"ch-f9-{no}", 5000, key=f"f9-{no}")
        assert answer.status_code == 200
        assert call.refunded(f"ch-f9-{no}") == 5000
        try:
            seen.add("fields" if "charge" not in json.loads(answer.content) else "whole")
        except ValueError:
            seen.add("garbage" if answer.text.startswith("<") else "cut")
    assert seen == {"fields", "garbage", "cut"}


def test_a_late_effect_survives_the_death_of_the_town(own_town: Town, own_call: Caller) -> None:
    arm(own_call, "f10", "late", delay_s=600)
    with pytest.raises(httpx2.TransportError):
        own_call.refund("ch-f10", 5000, key="f10")
    own_town.kill()
    own_town.again()
    assert own_call.refunded("ch-f10") == 0
    own_town.pass_time(601)
    eventually(lambda: own_call.refunded("ch-f10") == 5000, "the late refund")
    assert len([row for row in own_town.book() if row["key"] == "f10"]) == 1


def test_first_n_is_exact_and_outlives_the_town(own_town: Town, own_call: Caller) -> None:
    own_town.set_faults({"kind": "error_500", "service": "shop", "operation": "get_product", "first_n": 3})
    statuses = [own_call.get("shop", "/products/sku-001").status_code for _ in range(2)]
    own_town.kill()
    own_town.again()
    statuses += [own_call.get("shop", "/products/sku-001").status_code for _ in range(3)]
    assert statuses == [500, 500, 500, 200, 200]
    assert own_town.faults_met() == {"shop.get_product.error_500": 3}


def test_what_a_key_meets_depends_on_the_seed_and_not_on_the_order(tmp_path: Path) -> None:
    rules = [{"kind": "error_500", "rate": 0.3}, {"kind": "too_many", "rate": 0.2}]
    met = []
    for name, keys in (("one", range(40)), ("two", reversed(range(40)))):
        with Town.start(tmp_path / name, customers=1, faults=rules) as town:
            call = Caller(town)
            message = {"to": "a@example.com", "template": "t"}
            statuses = {
                key: [call.post("mail", "/messages", message, key=f"d{key}").status_code for _ in range(2)]
                for key in keys
            }
            call.client.close()
        met.append(statuses)
    assert met[0] == met[1]
    assert {status for pair in met[0].values() for status in pair} == {200, 429, 500}


def test_a_caller_who_repeats_with_the_same_key_has_one_effect_each_under_the_demo_profile(
    own_town: Town, own_call: Caller
) -> None:
    own_town.set_faults(profile="demo")
    keys = [f"p{n}" for n in range(240)]

    def send(key: str) -> None:
        body = {"to": "a@example.com", "template": "t"}
        for _ in range(20):
            with suppress(httpx2.TransportError):
                if own_call.post("mail", "/messages", body, key=key, timeout=0.4).status_code == 200:
                    return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, keys))
    eventually(lambda: own_town.summary()["late_pending"] == 0, "everything to land")
    assert sorted(row["key"] for row in own_town.book()) == sorted(keys)
    assert len(own_town.access_log()) > len(keys)
    assert len(own_town.faults_met()) >= 5


def test_rates_are_met_and_the_demo_profile_has_every_kind() -> None:
    profile = demo_profile()
    assert {rule.kind for rule in profile} == set(KINDS)
    kinds = [getattr(draw(profile, 7, "mail", "send", f"key{n}", 1), "kind", None) for n in range(20_000)]
    faults = sum(kind is not None for kind in kinds)
    assert 10 < len(kinds) / faults < 14
    for kind in KINDS:
        rate = sum(rule.rate for rule in profile if rule.kind == kind)
        assert kinds.count(kind) / len(kinds) == pytest.approx(rate, rel=0.35)
    assert kinds.count("malformed") / len(kinds) < 1 / 300


def test_rules_that_make_no_sense_are_refused(town: Town) -> None:
    for field, wrong in (
        ("kind", {"kind": "flood"}),
        ("operation", {"kind": "lost", "service": "mail", "operation": "refund"}),
        ("delay_s", {"kind": "lost", "delay_s": [2, 1]}),
        ("rate", {"kind": "lost", "rate": 2}),
        ("after_s", {"kind": "lost", "after_s": 2}),
    ):
        with pytest.raises(ValueError, match=field):
            Rule.model_validate(wrong)
        with pytest.raises(TownError, match=field):
            town.set_faults(wrong)

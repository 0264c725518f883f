"""Idempotency keys: honoured for a time, then forgotten; without one a repeat is a second effect."""

from tests.town.calling import Caller

DAY_S = 86_400


def test_the_same_key_gives_the_same_answer_and_no_second_effect(call: Caller) -> None:
    call.town.plant("k1", 5000)
    first = call.refund("ch-k1", 1000, key="k1")
    second = call.refund("ch-k1", 1000, key="k1")
    assert first.content == second.content
    assert second.headers["Idempotent-Replayed"] == "true"
    assert call.refunded("ch-k1") == 1000


def test_without_a_key_a_repeat_is_a_second_effect_and_the_book_says_so(call: Caller) -> None:
    call.town.plant("k2", 5000)
    before = call.town.summary()
    call.refund("ch-k2", 1000)
    call.refund("ch-k2", 1000)
    assert call.refunded("ch-k2") == 2000
    after = call.town.summary()
    assert after["without_key"] - before["without_key"] == 2
    assert after["same_request"] - before["same_request"] == 1


def test_a_key_belongs_to_its_request_however_its_json_is_spaced(call: Caller) -> None:
    call.town.plant("k3", 5000)
    first = call.refund("ch-k3", 1000, key="k3")
    url = call.town.urls["payments"] + "/refunds"
    spaced = b'{ "amount": {"currency":"EUR", "minor": 1000}, "charge": "ch-k3" }'
    headers = {"Idempotency-Key": "k3", "Content-Type": "application/json"}
    assert call.client.post(url, content=spaced, headers=headers).content == first.content
    other = call.refund("ch-k3", 1001, key="k3")
    assert (other.status_code, other.json()["error"]) == (422, "key-reused")
    assert call.refunded("ch-k3") == 1000


def test_a_forgotten_key_has_its_effect_again_but_can_still_be_found(call: Caller) -> None:
    call.town.plant("k4", 5000)
    repeated = call.town.summary()["repeated_key"]
    first = call.refund("ch-k4", 1000, key="k4").json()
    call.town.pass_time(DAY_S - 60)
    assert call.refund("ch-k4", 1000, key="k4").json() == first
    call.town.pass_time(61)
    second = call.refund("ch-k4", 1000, key="k4").json()
    assert second["id"] != first["id"]
    assert call.refunded("ch-k4") == 2000
    assert call.get("payments", "/refunds", key="k4").json()["refunds"] == [first, second]
    assert call.town.summary()["repeated_key"] == repeated + 1


def test_a_decline_is_remembered_too(call: Caller) -> None:
    call.town.plant("k5", 5000, status="shipped")
    ask = {"order_id": "k5", "reason": "x"}
    first = call.post("shop", "/returns", ask, key="k5")
    second = call.post("shop", "/returns", ask, key="k5")
    assert first.status_code == second.status_code == 409
    assert "Idempotent-Replayed" in second.headers
    assert all(row["key"] != "k5" for row in call.town.book())


def test_services_do_not_share_their_keys(call: Caller) -> None:
    call.town.plant("k6", 5000)
    assert call.refund("ch-k6", 1000, key="k6").status_code == 200
    message = {"to": "a@example.com", "template": "refunded"}
    assert call.post("mail", "/messages", message, key="k6").status_code == 200


def test_the_book_has_each_effect_once_and_agrees_with_the_state_to_the_cent(call: Caller) -> None:
    call.town.plant("k7", 9000)
    after = max((row["seq"] for row in call.town.book()), default=0)
    for minor in (1234, 567, 89):
        call.refund("ch-k7", minor, key=f"k7-{minor}")
        call.refund("ch-k7", minor, key=f"k7-{minor}")
    rows = call.town.book(after)
    assert [(r["operation"], r["resource"], r["amount_minor"], r["key"]) for r in rows] == [
        ("refund", "ch-k7", minor, f"k7-{minor}") for minor in (1234, 567, 89)
    ]
    figures = call.town.summary()
    assert figures["refunded_minor"] == figures["refunded_in_state_minor"]
    assert call.refunded("ch-k7") == 1234 + 567 + 89

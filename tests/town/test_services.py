"""What the shop, payments and mail do when nothing goes wrong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import deputize.town as town_package
from deputize.town import Town, TownError
from deputize.town.wire import OPERATIONS
from tests.town.calling import Caller, eventually


def test_every_service_publishes_its_operations(call: Caller) -> None:
    for service, names in OPERATIONS.items():
        paths = call.get(service, "/openapi.json").json()["paths"]
        assert {route["operationId"] for path in paths.values() for route in path.values()} == set(names)


def test_seeded_orders_have_charges_that_match_to_the_cent(call: Caller) -> None:
    for customer in ("c-000001", "c-000009", "c-000020"):
        orders = call.get("shop", "/orders", customer=customer).json()["orders"]
        assert len(orders) == call.get("shop", f"/customers/{customer}").json()["orders_count"] > 0
        for order in orders:
            charge = call.get("payments", f"/charges/{order['charge']}").json()
            assert charge["amount"] == order["total"]
            assert order["total"]["minor"] == sum(i["qty"] * i["price"]["minor"] for i in order["items"])


def test_an_order_goes_only_where_its_status_allows(call: Caller) -> None:
    call.town.plant("walk", 5000, status="placed")
    held = call.post("shop", "/orders/walk/hold", {"reason": "odd address"}, key="walk-1").json()
    assert (held["status"], held["status_reason"], held["status_key"]) == ("held", "odd address", "walk-1")
    assert call.post("shop", "/orders/walk/release").json()["status"] == "released"
    assert call.post("shop", "/orders/walk/release").status_code == 409
    assert call.post("shop", "/orders/walk/cancel", {"reason": "asked to"}).json()["status"] == "cancelled"
    assert call.post("shop", "/orders/walk/hold", {"reason": "too late"}).json()["error"] == "wrong-status"


def test_returns_and_replacements_are_records_that_can_be_found(call: Caller) -> None:
    call.town.plant("back", 5000)
    opened = call.post("shop", "/returns", {"order_id": "back", "reason": "too small"}, key="ret-1").json()
    sent = call.post("shop", "/replacements", {"order_id": "back", "skus": ["sku-back"]}, key="rep-1").json()
    assert call.get("shop", "/returns", order_id="back").json()["returns"] == [opened]
    assert call.get("shop", "/returns", key="ret-1").json()["returns"] == [opened]
    assert call.get("shop", "/replacements", key="rep-1").json()["replacements"] == [sent]
    assert call.get("shop", "/products/sku-back").json()["stock"] == 999_999


def test_what_the_shop_cannot_do_it_declines(call: Caller) -> None:
    call.town.plant("gone", 5000, in_stock=False)
    call.town.plant("way", 5000, status="shipped")
    again = {"order_id": "gone", "skus": ["sku-gone"]}
    assert call.post("shop", "/replacements", again).json()["error"] == "out-of-stock"
    assert call.post("shop", "/replacements", again | {"skus": ["sku-001"]}).status_code == 422
    assert (
        call.post("shop", "/returns", {"order_id": "way", "reason": "x"}).json()["error"] == "not-delivered"
    )
    assert call.get("shop", "/orders/none").status_code == 404
    assert call.get("shop", "/returns").json()["error"] == "no-filter"


def test_no_more_is_refunded_than_was_charged(call: Caller) -> None:
    call.town.plant("part", 5000)
    assert call.refund("ch-part", 3000).json()["status"] == "succeeded"
    assert call.refund("ch-part", 2001).json()["error"] == "amount-too-large"
    assert call.refund("ch-part", 2000).status_code == 200
    assert call.refund("ch-part", 1).status_code == 422
    assert call.refund("ch-none", 1).status_code == 404
    dollars = {"charge": "ch-part", "amount": {"minor": 1, "currency": "USD"}}
    assert call.post("payments", "/refunds", dollars).json()["error"] == "other-currency"
    assert call.refunded("ch-part") == 5000


def test_mail_keeps_what_it_sent(call: Caller) -> None:
    body = {"to": "ann@example.com", "template": "refunded", "data": {"refund": "re-1"}, "reference": "r-9"}
    sent = call.post("mail", "/messages", body, key="m-1").json()
    assert sent["data"] == {"refund": "re-1"}
    for query in ({"to": "ann@example.com"}, {"reference": "r-9"}, {"key": "m-1"}):
        assert call.get("mail", "/messages", **query).json()["messages"] == [sent]
    assert call.post("mail", "/messages", body | {"to": "nobody"}).status_code == 422


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"[" * 100_000, b"null", b'{"charge": 1}'])
def test_a_bad_body_is_a_problem_and_no_effect(call: Caller, body: bytes) -> None:
    effects = len(call.town.book())
    url = call.town.urls["payments"] + "/refunds"
    answer = call.client.post(url, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"error", "detail"}
    assert len(call.town.book()) == effects


def test_data_that_could_not_be_written_back_is_a_problem(call: Caller) -> None:
    url = call.town.urls["mail"] + "/messages"
    for data in ('{"x": "\\ud800"}', '{"x":' * 400 + "1" + "}" * 400):
        body = f'{{"to": "ann@example.com", "template": "t", "data": {data}}}'
        answer = call.client.post(url, content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["error"]) == (422, "invalid")


def test_a_huge_body_is_refused(call: Caller) -> None:
    url = call.town.urls["mail"] + "/messages"
    assert call.client.post(url, content=b"x" * 2_000_000).status_code == 413


def test_without_its_token_a_service_does_nothing(tmp_path: Path) -> None:
    with Town.start(tmp_path, customers=1, tokens={"payments": "s3cret"}) as town:
        call = Caller(town)
        town.plant("o", 1000)
        assert call.refund("ch-o", 1000).json()["error"] == "unauthorized"
        assert call.get("shop", "/orders/o").status_code == 200
        call.client.headers["Authorization"] = "Bearer s3cret"
        assert call.refund("ch-o", 1000).status_code == 200
        assert [row["status"] for row in town.access_log() if row["service"] == "payments"] == [401, 200]
        call.client.close()


def test_two_towns_do_not_share_a_directory(own_town: Town) -> None:
    with pytest.raises(TownError, match="already running"):
        Town.start(own_town.dir)


def test_the_same_seed_founds_the_same_town(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        with Town.start(tmp_path / name, customers=3, seed=11) as town:
            call = Caller(town)
            person = call.get("shop", "/customers/c-000002").json()
            orders = call.get("shop", "/orders", customer="c-000002").json()["orders"]
            call.client.close()
        found.append((person["email"], [(o["id"], o["items"], o["status"], o["total"]) for o in orders]))
    assert found[0] == found[1]


def test_the_town_imports_nothing_of_what_it_is_the_outside_world_of() -> None:
    for path in Path(town_package.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                if (path.name, name) == ("handle.py", "deputize.child"):
                    continue  # the handle starts a process, as others do: nothing of the town's own
                assert not name.startswith("deputize") or name.startswith("deputize.town"), (
                    f"{path.name}: {name}"
                )


def test_a_town_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import os, sys; from deputize.town import Town;"
        "t = Town.start(sys.argv[1], customers=1); print(t.pid, flush=True); os._exit(9)"
    )
    child = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert child.returncode == 9

    def free() -> bool:
        try:
            Town.start(tmp_path).kill()
        except TownError:
            return False
        return True

    eventually(free, "the orphaned town to end")

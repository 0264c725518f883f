"""The retail shop service answers as the recorded shop did: every request, to the cent."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.acceptance.retail.client import (
    ADDRESS,
    NOTHING,
    Shops,
    cancellation,
    changed,
    client_of,
    first_order,
    log,
    read,
    write,
)
from tests.acceptance.retail.data import REPO, Base, Record, data_folder, load_base
from tests.acceptance.retail.oracle import in_cents, load_requests

DATA = data_folder()
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the retail data is not at {DATA}")

NOT_PENDING = "non-pending order cannot be modified"
NO_METHOD = "payment method not found"
SAME_METHOD = "the new payment method should be different from the current one"


@pytest.fixture(scope="module")
def base() -> Base:
    return load_base(DATA)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """For tests that keep to a world of their own, or write nothing."""
    with Shops(tmp_path_factory.mktemp("shop")) as shops, client_of(shops.start()) as client:
        yield client


def test_all_recorded_requests_get_the_recorded_answers_and_leave_the_recorded_records(
    client: httpx2.Client,
) -> None:
    requests = load_requests(DATA)
    wrong = []
    for request in requests:
        world = str(request.id)
        for number, step in enumerate(request.steps):
            response = write(client, world, step.operation, step.args)
            if (response.status_code, in_cents(response.json())) != step.answer:
                wrong.append(f"request {world} step {number}: {response.text[:200]}")
        if in_cents(changed(client, world)) != in_cents(request.changed):
            wrong.append(f"request {world}: other records at the end")
    assert len(requests) == 500
    assert wrong == []
    performed = [
        (each["world"], each["operation"], each["args"]) for each in log(client) if each["world"].isdigit()
    ]
    assert performed == [
        (str(request.id), step.operation, step.args)
        for request in requests
        for step in request.steps
        if not step.rejected
    ]


def test_the_service_knows_nothing_of_the_recorded_answers() -> None:
    sources = [path for path in (REPO / "tests/acceptance/retail").glob("*.py") if path.name != "oracle.py"]
    assert len(sources) >= 7
    for path in sources:
        text = path.read_text("utf-8").lower()
        assert "tasks" not in text, path
        assert "oracle" not in text, path


def test_amounts_are_shown_as_decimals_of_at_most_two_places(client: httpx2.Client, base: Base) -> None:
    response = read(client, "w", "get_order_details", order_id=first_order(base, "pending")["order_id"])
    shown = json.loads(response.text, parse_float=str)
    amounts = [item["price"] for item in shown["items"]] + [
        paid["amount"] for paid in shown["payment_history"]
    ]
    assert amounts and all(len(amount.partition(".")[2]) <= 2 for amount in amounts)


def test_every_order_user_and_product_reads_as_it_is_in_the_data(client: httpx2.Client) -> None:
    for file, operation, name in (
        ("orders.json", "get_order_details", "order_id"),
        ("users.json", "get_user_details", "user_id"),
        ("products.json", "get_product_details", "product_id"),
    ):
        for id_, record in json.loads((DATA / file).read_text("utf-8")).items():
            assert read(client, "w", operation, **{name: id_}).json() == record


def test_users_are_found_by_email_and_by_name_and_present_zip(client: httpx2.Client, base: Base) -> None:
    user_id, user = next(iter(base.users.items()))
    name, zip_ = user["name"], user["address"]["zip"]
    found = read(client, "w", "find_user_id_by_email", email=user["email"])
    assert found.json() == {"user_id": user_id}
    assert read(client, "moving", "find_user_id_by_name_zip", **name, zip=zip_).json() == {"user_id": user_id}

    write(client, "moving", "modify_user_address", {"user_id": user_id, **ADDRESS})
    gone = read(client, "moving", "find_user_id_by_name_zip", **name, zip=zip_)
    assert (gone.status_code, gone.json()) == (404, {"error": "Error: user not found"})
    moved = read(client, "moving", "find_user_id_by_name_zip", **name, zip=ADDRESS["zip"])
    assert moved.json() == {"user_id": user_id}


def test_the_operations_without_a_record_answer_too(client: httpx2.Client, base: Base) -> None:
    types = read(client, "w", "list_all_product_types").json()
    assert list(types) == sorted(types) and set(types.values()) == set(base.products)
    assert read(client, "w", "calculate", expression="2 * (3.5 + 1) - -1").json() == {"value": "10.0"}
    assert read(client, "w", "transfer_to_human_agents", summary="x").json() == {
        "message": "Transfer successful"
    }
    assert read(client, "w", "think", thought="x").status_code == 200


@pytest.mark.parametrize(
    "expression", ["1 / 0", "2 ** 9", "(1", "__import__('os')", "1" * 201, "", "()", "9//2"]
)
def test_what_is_not_plain_arithmetic_is_refused(client: httpx2.Client, expression: str) -> None:
    response = read(client, "w", "calculate", expression=expression)
    assert response.status_code == 422 and response.json()["error"].startswith("Error: ")


def test_every_operation_of_the_shop_is_served(client: httpx2.Client, base: Base) -> None:
    for name in base.operations:
        statuses = {client.get(f"/worlds/w/operations/{name}").status_code}
        statuses.add(client.post(f"/worlds/w/operations/{name}", json={}).status_code)
        assert 404 not in statuses and 405 in statuses, name


def test_refusals_come_in_the_shops_words_and_change_nothing(client: httpx2.Client, base: Base) -> None:
    order, delivered = first_order(base, "pending"), first_order(base, "delivered")
    id_, method = order["order_id"], order["payment_history"][0]["payment_method_id"]
    item = order["items"][0]["item_id"]
    swap = {"order_id": id_, "item_ids": [item], "new_item_ids": [item], "payment_method_id": method}
    back = {"order_id": delivered["order_id"], "item_ids": ["1"], "payment_method_id": "x"}
    sold_out = {**swap, **_swap_for_what_is_sold_out(base, order)}
    refusals: list[tuple[str, dict[str, Any], str]] = [
        ("cancel_pending_order", {"order_id": "#W0", "reason": "no longer needed"}, "order not found"),
        ("cancel_pending_order", {"order_id": id_, "reason": "on a whim"}, "invalid reason"),
        ("cancel_pending_order", cancellation(delivered), "non-pending order cannot be cancelled"),
        ("modify_pending_order_address", {**ADDRESS, "order_id": back["order_id"]}, NOT_PENDING),
        ("modify_pending_order_payment", {"order_id": id_, "payment_method_id": method}, SAME_METHOD),
        ("modify_pending_order_payment", {"order_id": id_, "payment_method_id": "x"}, NO_METHOD),
        ("modify_pending_order_items", {**swap, "item_ids": [item] * 9}, f"{item} not found"),
        ("modify_pending_order_items", {**swap, "new_item_ids": []}, "the number of items to be exchanged"),
        ("modify_pending_order_items", {**swap, "new_item_ids": ["1"]}, "new item 1 not found or available"),
        (
            "modify_pending_order_items",
            sold_out,
            f"new item {sold_out['new_item_ids'][0]} not found or avail",
        ),
        ("modify_pending_order_items", {**swap, "payment_method_id": "x"}, NO_METHOD),
        ("exchange_delivered_order_items", swap, "non-delivered order cannot be exchanged"),
        ("return_delivered_order_items", {**back, "order_id": id_}, "non-delivered order cannot be returned"),
        ("return_delivered_order_items", back, NO_METHOD),
        ("modify_user_address", {**ADDRESS, "user_id": "nobody"}, "user not found"),
    ]
    for name, args, text in refusals:
        response = write(client, "refusing", name, args)
        assert response.json()["error"].startswith(f"Error: {text}")
        assert response.status_code == (404 if text in ("order not found", "user not found") else 422), text
    assert changed(client, "refusing") == NOTHING
    assert not any(each["world"] == "refusing" for each in log(client))


def _swap_for_what_is_sold_out(base: Base, order: Record) -> Record:
    for item in order["items"]:
        for id_, variant in base.products[item["product_id"]]["variants"].items():
            if not variant["available"]:
                return {"item_ids": [item["item_id"]], "new_item_ids": [id_]}
    raise AssertionError("the data has all variants of these items in stock")


@pytest.mark.parametrize(
    ("name", "body", "text"),
    [
        ("cancel_pending_order", b"{", "not JSON"),
        ("cancel_pending_order", b"[" * 60_000, "not JSON"),
        ("cancel_pending_order", b"\xff", "not JSON"),
        ("cancel_pending_order", b"[]", "not a JSON object"),
        ("cancel_pending_order", b'{"order_id": "#W1"}', "'reason' is missing"),
        ("cancel_pending_order", b'{"order_id": 1, "reason": "x"}', "'order_id' is not of type string"),
        ("cancel_pending_order", b'{"order_id": "1", "reason": "x", "y": 1}', "unknown argument 'y'"),
        (
            "return_delivered_order_items",
            b'{"order_id": "1", "item_ids": [1], "payment_method_id": "x"}',
            "'item_ids' is not of type array",
        ),
    ],
)
def test_a_malformed_request_is_told_what_is_wrong(
    client: httpx2.Client, name: str, body: bytes, text: str
) -> None:
    response = client.post(f"/worlds/w/operations/{name}", content=body)
    assert response.status_code == 400 and text in response.json()["error"]

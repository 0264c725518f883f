"""The retail shop service is as hard a service as the product must bear, and keeps its own honest books."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import psutil
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
    look_up,
    read,
    write,
)
from tests.acceptance.retail.data import REPO, Base, data_folder, load_base
from tests.acceptance.retail.faults import KINDS, Asked, FaultSettings, choose
from tests.acceptance.retail.handle import RetailShop
from tests.acceptance.retail.oracle import Request, in_cents, load_requests

DATA = data_folder()
ATTEMPTS_MAX = 40
NO_ANSWER = (httpx2.RemoteProtocolError, httpx2.NetworkError)
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the retail data is not at {DATA}")


@pytest.fixture(scope="module")
def base() -> Base:
    return load_base(DATA)


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    return load_requests(DATA)


@pytest.fixture
def shops(tmp_path: Path) -> Iterator[Shops]:
    with Shops(tmp_path) as shops:
        yield shops


@pytest.fixture
def client(shops: Shops) -> Iterator[httpx2.Client]:
    with client_of(shops.start()) as client:
        yield client


def test_worlds_are_apart_and_a_change_undone_is_no_change(client: httpx2.Client, base: Base) -> None:
    order = first_order(base, "pending")
    write(client, "a", "modify_pending_order_address", {"order_id": order["order_id"], **ADDRESS})
    assert list(changed(client, "a")["orders"]) == [order["order_id"]]
    assert changed(client, "b") == NOTHING
    write(client, "a", "modify_pending_order_address", {"order_id": order["order_id"], **order["address"]})
    assert changed(client, "a") == NOTHING


def test_a_write_without_a_key_is_done_each_time_it_is_sent(client: httpx2.Client, base: Base) -> None:
    args = {"order_id": first_order(base, "pending")["order_id"], **ADDRESS}
    for _ in range(3):
        assert write(client, "w", "modify_pending_order_address", args).status_code == 200
    assert [(each["seq"], each["key"], each["args"]) for each in log(client)] == [
        (seq, None, args) for seq in (1, 2, 3)
    ]


def test_a_write_with_a_key_is_done_once_however_many_send_it_at_once(
    client: httpx2.Client, base: Base
) -> None:
    args = {"order_id": first_order(base, "pending")["order_id"], **ADDRESS}
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(write, client, "w", "modify_pending_order_address", args, "k") for _ in range(24)]
    assert {each.result().text for each in sent} == {sent[0].result().text}
    assert [each["key"] for each in log(client)] == ["k"]
    assert look_up(client, "w", "k") == {
        "found": True,
        "operation": "modify_pending_order_address",
        "args": args,
        "status": 200,
        "result": sent[0].result().json(),
    }


def test_a_key_is_good_for_one_request_in_one_world(client: httpx2.Client, base: Base) -> None:
    order = first_order(base, "pending")
    args = {"order_id": order["order_id"], **ADDRESS}
    write(client, "w", "modify_pending_order_address", args, "k")
    for name, other in (
        ("modify_pending_order_address", {**args, "zip": "1"}),
        ("cancel_pending_order", cancellation(order)),
    ):
        response = write(client, "w", name, other, "k")
        assert response.status_code == 422 and "another request" in response.json()["error"]
    assert look_up(client, "v", "k") == {"found": False}
    assert write(client, "v", "cancel_pending_order", cancellation(order), "k").status_code == 200
    assert len(log(client)) == 2


def test_a_refusal_is_kept_under_its_key_even_when_the_reason_for_it_is_gone(
    client: httpx2.Client, base: Base
) -> None:
    refund, dear, card = _refund_that_would_pay_for_another(base)
    move = {"order_id": dear, "payment_method_id": card}
    poor = {"error": "Error: insufficient gift card balance to pay for the order"}
    assert write(client, "w", "modify_pending_order_payment", move, "k").json() == poor
    assert write(client, "w", "cancel_pending_order", cancellation(base.orders[refund])).status_code == 200

    again = write(client, "w", "modify_pending_order_payment", move, "k")
    assert (again.status_code, again.json()) == (422, poor)
    found = look_up(client, "w", "k")
    assert (found["found"], found["status"], found["error"]) == (True, 422, poor["error"])
    assert write(client, "w", "modify_pending_order_payment", move, "k2").status_code == 200


def _refund_that_would_pay_for_another(base: Base) -> tuple[str, str, str]:
    """An order paid by gift card, another that this card could pay for after a refund only, and the card."""
    for user in base.users.values():
        pending = [base.orders[id_] for id_ in user["orders"] if base.orders[id_]["status"] == "pending"]
        for cheap, dear in itertools.permutations(pending, 2):
            refund, price = cheap["payment_history"][0], dear["payment_history"][0]
            card_id = refund["payment_method_id"]
            balance = user["payment_methods"][card_id].get("balance", price["amount"])
            if (
                card_id != price["payment_method_id"]
                and balance < price["amount"] <= balance + refund["amount"]
            ):
                return cheap["order_id"], dear["order_id"], card_id
    raise AssertionError("the data has no such pair of orders")


def test_the_log_is_read_in_pages_and_can_be_waited_on(client: httpx2.Client, base: Base) -> None:
    args = {"order_id": first_order(base, "pending")["order_id"], **ADDRESS}
    for _ in range(3):
        write(client, "w", "modify_pending_order_address", args)
    page = client.get("/log", params={"after": 1, "limit": 1}).json()
    assert ([each["seq"] for each in page["writes"]], page["last_seq"]) == ([2], 2)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get, "/log", params={"after": 3, "wait_s": 8})
        write(client, "w", "modify_pending_order_address", args)
        assert [each["seq"] for each in waiting.result().json()["writes"]] == [4]
    in_vain = client.get("/log", params={"after": 4, "wait_s": 0.05})
    assert in_vain.json() == {"writes": [], "last_seq": 4}
    for wrong in ({"wait_s": "nan"}, {"wait_s": 31}, {"after": "x"}):
        assert client.get("/log", params=wrong).status_code == 400


def send_until_answered(
    client: httpx2.Client, world: str, name: str, args: Mapping[str, Any], key: str
) -> httpx2.Response:
    """What a client does that may repeat because it has a key."""
    for _ in range(ATTEMPTS_MAX):
        try:
            response = write(client, world, name, args, key)
        except NO_ANSWER:
            continue
        if response.status_code not in (429, 500, 502):
            return response
    raise AssertionError(f"no answer in {ATTEMPTS_MAX} attempts")


def test_under_every_kind_of_fault_repeats_by_key_do_each_write_once(
    shops: Shops, requests: list[Request]
) -> None:
    shop = shops.start(rate=0.4, seed=7, hold_s=0.0)
    with client_of(shop) as client:
        for request in requests:
            for number, step in enumerate(request.steps):
                key = f"{request.id}/{number}"
                response = send_until_answered(client, str(request.id), step.operation, step.args, key)
                assert (response.status_code, in_cents(response.json())) == step.answer
            assert in_cents(changed(client, str(request.id))) == in_cents(request.changed)
        keys = [each["key"] for each in log(client)]
        assert len(keys) == len(set(keys))
        assert len(keys) == sum(not step.rejected for request in requests for step in request.steps)
        assert all(client.get("/faults").json()["counts"][kind] > 20 for kind in KINDS)


@pytest.mark.parametrize(
    ("kind", "status", "effects"),
    [
        ("error_500", 500, {0, 1}),
        ("error_502", 502, {0, 1}),
        ("too_many", 429, {0}),
        ("cut_before", None, {0}),
        ("cut_after", None, {1}),
        ("lost", None, {1}),
    ],
)
def test_each_kind_of_fault_has_its_effect_or_has_none(
    shops: Shops, base: Base, kind: str, status: int | None, effects: set[int]
) -> None:
    shop = shops.start(rate=1, kinds=[kind], hold_s=0.0, retry_after_s=2)
    met = set()
    with client_of(shop) as client:
        for number in range(20):
            args = cancellation(first_order(base, "pending"))
            try:
                response = write(client, str(number), "cancel_pending_order", args)
            except NO_ANSWER:
                assert status is None
            else:
                assert response.status_code == status
                assert response.headers.get("Retry-After") == ("2" if status == 429 else None)
            met.add(len(changed(client, str(number))["orders"]))
        assert client.get("/faults").json()["counts"] == {each: 20 * (each == kind) for each in KINDS}
    assert met == effects


def test_a_lost_answer_is_silence_until_the_client_gives_up(shops: Shops, base: Base) -> None:
    shop = shops.start(rate=1, kinds=["lost"], hold_s=60)
    with client_of(shop) as client:
        with pytest.raises(httpx2.ReadTimeout):
            client.post(
                "/worlds/w/operations/cancel_pending_order",
                json=cancellation(first_order(base, "pending")),
                timeout=httpx2.Timeout(5, read=0.1),
            )
        assert len(log(client)) == 1


def test_faults_are_set_while_running_and_refused_where_they_make_no_sense(shops: Shops, base: Base) -> None:
    shop = shops.start()
    order_id = first_order(base, "pending")["order_id"]
    with client_of(shop) as client:
        for wrong in (b'{"rate": 2}', b'{"kinds": ["gremlins"]}', b'{"kinds": []}', b'{"speed": 1}', b"{"):
            assert client.post("/faults", content=wrong).status_code == 400
        chosen = {"rate": 1, "kinds": ["error_500"], "operations": ["get_order_details", "look_up"]}
        assert client.post("/faults", json=chosen).json()["settings"]["rate"] == 1
        assert read(client, "w", "get_order_details", order_id=order_id).status_code == 500
        assert client.get("/worlds/w/writes", params={"key": "k"}).status_code == 500
        assert read(client, "w", "think", thought="x").status_code == 200
        shop.kill()
        shop.start()
        assert read(client, "w", "get_order_details", order_id=order_id).status_code == 500
        assert client.get("/faults").json()["counts"]["error_500"] == 3
        client.post("/faults", json={})
        assert read(client, "w", "get_order_details", order_id=order_id).status_code == 200


def test_which_request_meets_which_fault_depends_on_the_seed_and_the_request_alone() -> None:
    asked = [Asked(str(world), "cancel_pending_order", key) for world in range(1000) for key in "abcd"]

    def met(seed: int, times_seen: int) -> list[Any]:
        settings = FaultSettings(rate=0.25, seed=seed)
        return [choose(settings, each, times_seen) for each in asked]

    assert met(1, 0) == met(1, 0)
    assert met(1, 0) != met(2, 0) != met(2, 1)
    assert 900 < sum(fault is not None for fault in met(1, 0)) < 1100


def test_a_kill_in_the_midst_of_open_writes_loses_none_and_repeats_none(
    shops: Shops, requests: list[Request]
) -> None:
    shop = shops.start(rate=1, kinds=["lost"], hold_s=60)
    chosen = [request for request in requests if not request.steps[0].rejected][:12]

    def cut_off(client: httpx2.Client, request: Request) -> bool:
        step = request.steps[0]
        try:
            write(client, str(request.id), step.operation, step.args, f"k{request.id}")
        except NO_ANSWER:
            return True
        return False

    with client_of(shop) as client:
        with ThreadPoolExecutor(len(chosen)) as pool:
            sent = [pool.submit(cut_off, client, request) for request in chosen]
            seq = 0
            while seq < len(chosen):
                page = client.get("/log", params={"after": seq, "wait_s": 5}).json()
                assert page["last_seq"] > seq, "the writes did not arrive"
                seq = page["last_seq"]
            url, pid = shop.url, shop.pid
            shop.kill()
            assert all(each.result() for each in sent)
        shop.start()
        assert shop.url == url and shop.pid != pid
        client.post("/faults", json={})
        for request in chosen:
            step, world = request.steps[0], str(request.id)
            found = look_up(client, world, f"k{world}")
            assert in_cents(found["result"]) == in_cents(step.result)
            again = write(client, world, step.operation, step.args, f"k{world}")
            assert in_cents(again.json()) == in_cents(step.result)
            for number, later in enumerate(request.steps[1:]):
                assert write(client, world, later.operation, later.args, f"k{world}.{number}").is_success
            assert in_cents(changed(client, world)) == in_cents(request.changed)
        assert len(log(client)) == sum(len(request.steps) for request in chosen)


def test_the_service_ends_when_the_one_who_started_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.acceptance.retail.handle import RetailShop;"
        "print(RetailShop(Path(sys.argv[1])).start().pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "shop.db")],
        cwd=REPO,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout is not None
        service = psutil.Process(int(parent.stdout.readline()))
        os.kill(parent.pid, signal.SIGKILL)
    gone, left = psutil.wait_procs([service], timeout=10)
    for each in left:
        each.kill()
    assert gone == [service]


def test_a_shop_that_cannot_start_says_so(tmp_path: Path) -> None:
    shop = RetailShop(tmp_path / "no" / "folder" / "shop.db")
    with pytest.raises(RuntimeError, match="did not start"):
        shop.start()
    shop.stop()

"""Five hundred real requests, carried out by the product against a real shop, however often either fails.

Each request is an event in a world of its own, its recorded steps the plan. At the end every record is the
one that the original shop had, to the cent, and every write was done once by the shop's own log.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.clock import SystemClock
from deputize.kernel.result import Known, read_record
from deputize.store.protocol import ActionRow, Store, View
from deputize.store.sqlite.store import SqliteStore
from tests.acceptance.retail.client import Shops, changed, client_of, log
from tests.acceptance.retail.data import data_folder
from tests.acceptance.retail.faults import KINDS
from tests.acceptance.retail.oracle import Request, in_cents, load_requests
from tests.acceptance.retail.product import Product

DATA = data_folder()
pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the retail data is not at {DATA}"),
    pytest.mark.slow,
]

FAULT_RATE = 0.16
FAULTY = (
    "cancel_pending_order",
    "exchange_delivered_order_items",
    "get_order_details",
    "look_up",
    "modify_pending_order_address",
    "modify_pending_order_items",
    "modify_pending_order_payment",
    "return_delivered_order_items",
)
SHOP_SAID = re.compile(r'answered 422: {"error":"([^"]*)"}')
BEGIN_WITHIN_S = 30.0
SETTLE_WITHIN_S = 200.0
LOG_WAIT_S = 10.0
WRITE_WAITS_MAX = 6
LAST_WRITES = 60  # no kill waits for one of these: they may all be under way at the kill before
PAGE = 10_000

REQUESTS = load_requests(DATA) if DATA.is_dir() else []
REQUESTS_BY_ID = {str(request.id): request for request in REQUESTS}
EXPECTED_WRITES = sum(not step.rejected for request in REQUESTS for step in request.steps)


def test_all_requests_end_as_recorded(tmp_path: Path) -> None:
    with _product(tmp_path) as (product, shop):
        product.start()
        assert product.wait_for("accepted", BEGIN_WITHIN_S)["new"] == 500
        _assert_replayed_alike(product)
        _assert_all_as_recorded(product, shop)


@pytest.mark.parametrize("seed", [11])
def test_all_requests_end_as_recorded_by_a_shop_that_fails(tmp_path: Path, seed: int) -> None:
    with _product(tmp_path, seed=seed, rate=FAULT_RATE) as (product, shop):
        product.start()
        _assert_replayed_alike(product)
        _assert_all_as_recorded(product, shop)
        _assert_each_fault_was_met(shop)
        with _ledger(product) as ledger:
            entries = [entry for _, entry in ledger.read(lambda view: view.entries_after(0, PAGE))]
        met = Counter(entry.type for entry in entries)
        by = Counter((entry.body or {})["by"] for entry in entries if entry.type == "receipt")
        assert met["doubt"] >= 50 and met["attempt"] >= 20 and by["look-up"] >= 20, (met, by)


@pytest.mark.parametrize(
    ("seed", "writes_max"),
    [(23, 30), *[pytest.param(seed, 6, marks=pytest.mark.full) for seed in (5, 6, 7)]],
)
def test_all_requests_end_as_recorded_when_the_product_is_killed_in_open_writes_and_the_shop_fails(
    tmp_path: Path, seed: int, writes_max: int
) -> None:
    """Each life ends as the shop logs one of its first writes; now and then the next one ends in recovery."""
    chance = random.Random(seed)
    in_recovery = 0
    left_open: list[set[str]] = []  # by kill: the keys of writes that it left open and none before it did
    with _product(tmp_path, seed=seed, rate=FAULT_RATE, retry_after_s=0) as (product, shop):
        product.start()
        while (written := len(log(shop))) < EXPECTED_WRITES - LAST_WRITES:
            _wait_for_write(shop, written + chance.randint(1, writes_max))
            product.kill()
            product.start()
            left_open.append(_left_open(product) - set().union(*left_open))
            if chance.random() < 0.25:
                product.kill()
                product.start()
                in_recovery += 1
        _assert_replayed_alike(product)
        _assert_all_as_recorded(product, shop)
        _assert_each_fault_was_met(shop)
    kills, in_open_writes = len(left_open), sum(map(bool, left_open))
    print(f"seed {seed}: {kills} kills, {in_open_writes} of them in open writes; {in_recovery} in a recovery")
    assert kills >= 20 and in_open_writes >= 10, left_open


@contextmanager
def _product(folder: Path, **faults: Any) -> Iterator[tuple[Product, httpx2.Client]]:
    """The product, not yet started, and the shop that it works on."""
    events = [
        {
            "specversion": "1.0",
            "source": "retail/requests",
            "id": str(request.id),
            "type": "retail.requested",
            "data": {
                "world": str(request.id),
                "steps": [{"operation": step.operation, "args": step.args} for step in request.steps],
            },
        }
        for request in REQUESTS
    ]
    if faults:
        faults["operations"] = FAULTY
    with Shops(folder / "shop") as shops:
        running = shops.start(**faults)
        with client_of(running) as shop, Product(folder, running.url, events) as product:
            yield product, shop


def _left_open(product: Product) -> set[str]:
    """The keys of the writes that the life before this one left open, as its ledger says."""
    return {action["key"] for action in product.wait_for("opened", BEGIN_WITHIN_S)["open"]}


def _wait_for_write(shop: httpx2.Client, place: int) -> None:
    """Wait until the shop has logged its write number `place`."""
    for _ in range(WRITE_WAITS_MAX):
        if shop.get("/log", params={"after": place - 1, "wait_s": LOG_WAIT_S}).json()["writes"]:
            return
    pytest.fail(f"the shop's log did not come to {place} writes")


def _assert_replayed_alike(product: Product) -> None:
    """Every run ends, and its code comes to the same end when it is given its record."""
    assert product.wait_for("settled", SETTLE_WITHIN_S)["replayed_otherwise"] == []
    product.finish()


def _assert_all_as_recorded(product: Product, shop: httpx2.Client) -> None:
    """Of a product that has ended: the shop's records, the shop's log and the product's ledger."""
    _assert_records_to_the_cent(shop)
    writes = log(shop)
    assert [each["world"] for each in writes if not each["key"]] == []
    performed: dict[str, list[tuple[str, Any]]] = {str(request.id): [] for request in REQUESTS}
    for each in writes:
        performed[each["world"]].append((each["operation"], each["args"]))
    assert performed == {
        str(request.id): [(step.operation, step.args) for step in request.steps if not step.rejected]
        for request in REQUESTS
    }
    with _ledger(product) as ledger:
        ledger.read(_assert_runs_as_recorded)
        ledger.read(_assert_nothing_is_held)
        settled = [action.key for action in ledger.read(lambda view: _actions(view, "settled")) if action.key]
    assert sorted(settled) == sorted(each["key"] for each in writes)


def _assert_records_to_the_cent(shop: httpx2.Client) -> None:
    wrong = [
        request.id
        for request in REQUESTS
        if in_cents(changed(shop, str(request.id))) != in_cents(request.changed)
    ]
    assert wrong == []


def _assert_runs_as_recorded(view: View) -> None:
    """Each request is one run that read each order before it wrote to it, and was declined as recorded."""
    runs = view.runs(limit=PAGE)
    assert Counter((run.state, run.label) for run in runs) == {("ended", "done(resolved)"): 500}
    wrong = []
    for run in runs:
        event = view.event(run.event)
        assert event is not None
        request = REQUESTS_BY_ID[event.occurrence.id]
        record = read_record(view.entries(run.no), {})
        did = [_did(record[path]) for path in sorted(record, key=int)]
        if did != _expected(request):
            wrong.append(f"request {request.id}: {did}")
    assert wrong == []


def _did(known: Known) -> tuple[str, Any, str, str]:
    """Operation, arguments, state, and the shop's words where it declined."""
    assert known.result is not None
    said = SHOP_SAID.search(known.result.reason)
    return known.what, known.args, known.state, said[1] if said else known.result.reason


def _expected(request: Request) -> list[tuple[str, Any, str, str]]:
    steps: list[tuple[str, Any, str, str]] = []
    for step in request.steps:
        world = {"world": str(request.id)}
        state, said = ("declined", step.result) if step.rejected else ("settled", "")
        order = {**world, "order_id": step.args["order_id"]}
        steps.append(("retail.get_order_details", order, "settled", ""))
        steps.append((f"retail.{step.operation}", {**world, **step.args}, state, said))
    return steps


def _assert_nothing_is_held(view: View) -> None:
    assert _actions(view, "open", "doubtful") == []
    assert view.cards(state="open") == []
    assert view.leases() == []
    budgets = view.budgets()  # one row a day
    assert (sum(held for _, _, held, _ in budgets), sum(spent for *_, spent in budgets)) == (
        0,
        EXPECTED_WRITES,
    )


def _assert_each_fault_was_met(shop: httpx2.Client) -> None:
    counts = shop.get("/faults").json()["counts"]
    assert set(counts) == set(KINDS) and all(counts.values()), counts


def _actions(view: View, *states: str) -> list[ActionRow]:
    return view.actions_in(states, (0, ""), PAGE)


@contextmanager
def _ledger(product: Product) -> Iterator[Store]:
    """The ledger of a product that does not run, found whole: each entry, and the projections anew."""
    store = SqliteStore(product.ledger, SystemClock())
    try:
        assert list(store.verify()) == []
        assert store.rebuild(replace=False) == []
        yield store
    finally:
        store.close()

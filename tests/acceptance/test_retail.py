"""Five hundred real requests, carried out by the product against a real shop, however often either fails.

Each request is an event in a world of its own, its recorded steps the plan. At the end every record is the
one that the original shop had, to the cent, and every write was done once by the shop's own log.
"""

import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.connectors.http import HttpConnection
from deputize.connectors.perform import look_up, perform
from deputize.connectors.secret import Secrets
from deputize.kernel.result import Known, read_record
from deputize.project import load_project
from deputize.store.sqlite.file import connect
from deputize.store.sqlite.view import SqliteView
from deputize.testing.case import Case
from deputize.testing.crash import Life
from deputize.testing.evidence import LedgerEvidence, TownEvidence, read_ledger
from deputize.testing.invariants import check
from tests.acceptance.retail.client import ADDRESS, Shops, changed, client_of, log
from tests.acceptance.retail.data import data_folder, load_base
from tests.acceptance.retail.faults import KINDS
from tests.acceptance.retail.oracle import Request, in_cents, load_requests

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
SETTLE_WITHIN_S = 200.0
LOG_WAIT_S = 5.0
WRITE_WAITS_MAX = 12
LAST_WRITES = 60  # no kill waits for one of these: they may all be under way at the kill before
IN_RECOVERY = ("group.before_commit:2", "recovery.doubted:1")  # before and after doubts are written down
SENT_TOGETHER = 50
PAGE = 1_000

PROJECT = Path(__file__).parent / "retail" / "project"
REQUESTS = load_requests(DATA) if DATA.is_dir() else []
REQUESTS_BY_ID = {str(request.id): request for request in REQUESTS}
EXPECTED_WRITES = sum(not step.rejected for request in REQUESTS for step in request.steps)


@dataclass(frozen=True)
class Work:
    """The project in a folder of its own, and the shop that it works on."""

    project: Path
    shop_url: str
    shop: httpx2.Client

    @property
    def ledger(self) -> Path:
        return self.project / "data" / "ledger.db"

    @contextmanager
    def life(self, *crashes: str) -> Iterator[Life]:
        """One process of the product, killed at the end if it is still there."""
        life = Life(self.project, crashes=crashes, environ={"RETAIL_URL": self.shop_url})
        try:
            yield life
        finally:
            life.kill()


def test_all_requests_end_as_recorded(tmp_path: Path) -> None:
    with _work(tmp_path) as work:
        _finish(work)
        _assert_all_as_recorded(work, read_ledger(work.ledger))


@pytest.mark.parametrize("seed", [11, *[pytest.param(seed, marks=pytest.mark.full) for seed in (12, 13)]])
def test_all_requests_end_as_recorded_by_a_shop_that_fails(tmp_path: Path, seed: int) -> None:
    with _work(tmp_path, seed=seed, rate=FAULT_RATE) as work:
        _finish(work)
        ledger = read_ledger(work.ledger)
        _assert_all_as_recorded(work, ledger)
        _assert_each_fault_was_met(work.shop)
    entries = [entry for stream in ledger.entries.values() for entry in stream]
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
    """Each life ends as the shop logs one of its first writes; now and then the next one dies in recovery."""
    chance = random.Random(seed)
    in_recovery = 0
    left_open: list[set[str]] = []  # by kill: the keys of writes that it left open and none before it did
    with _work(tmp_path, seed=seed, rate=FAULT_RATE, retry_after_s=0) as work:
        while (written := len(log(work.shop))) < EXPECTED_WRITES - LAST_WRITES:
            with work.life() as life:
                _send_all(life)
                _wait_for_write(work.shop, written + chance.randint(1, writes_max))
            left_open.append(_open_writes(work.ledger) - set().union(*left_open))
            if chance.random() < 0.25:
                with work.life(chance.choice(IN_RECOVERY)) as life:
                    assert life.ended() == -9
                in_recovery += 1
        _finish(work)
        _assert_all_as_recorded(work, read_ledger(work.ledger))
        _assert_each_fault_was_met(work.shop)
    kills, in_open_writes = len(left_open), sum(map(bool, left_open))
    print(f"seed {seed}: {kills} kills, {in_open_writes} of them in open writes; {in_recovery} in a recovery")
    assert kills >= 20 and in_open_writes >= 10, left_open


async def test_the_operations_that_no_request_uses_fit_what_the_shop_answers(tmp_path: Path) -> None:
    base = load_base(DATA)
    user_id, user = next(iter(base.users.items()))
    product_id = next(iter(base.products))
    used: dict[str, dict[str, str]] = {
        "calculate": {"expression": "2 * 3"},
        "find_user_id_by_email": {"email": user["email"]},
        "find_user_id_by_name_zip": {**user["name"], "zip": user["address"]["zip"]},
        "get_product_details": {"product_id": product_id},
        "get_user_details": {"user_id": user_id},
        "list_all_product_types": {},
        "modify_user_address": {"user_id": user_id, **ADDRESS},
        "think": {"thought": "x"},
        "transfer_to_human_agents": {"summary": "x"},
    }
    operations = load_project(PROJECT).operations
    assert set(operations) == {f"retail.{name}" for name in {*used, *FAULTY} - {"look_up"}}
    with Shops(tmp_path) as shops:
        connection = HttpConnection("retail", shops.start().url)
        for name, args in used.items():
            operation = operations[f"retail.{name}"]
            given, secrets = operation.canonical_args({"world": "w", **args}), Secrets(tmp_path, {})
            stored = await perform(operation, connection, given, key="k", attempt=1, secrets=secrets)
            if operation.lookup is not None:
                assert await look_up(operation, connection, given, key="k", secrets=secrets) == stored
        await connection.aclose()


@contextmanager
def _work(folder: Path, **faults: Any) -> Iterator[Work]:
    """A shop that runs, and the project, without a ledger yet."""
    if faults:
        faults["operations"] = FAULTY
    project = folder / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__", "data"))
    with Shops(folder / "shop") as shops:
        running = shops.start(**faults)
        with client_of(running) as shop:
            yield Work(project, running.url, shop)


def _send_all(life: Life) -> int:
    """Give it every request, known to it or not. Returns in how many parts."""
    parts = range(0, len(REQUESTS), SENT_TOGETHER)
    for at in parts:
        life.send([_event(request) for request in REQUESTS[at : at + SENT_TOGETHER]])
    return len(parts)


def _event(request: Request) -> dict[str, Any]:
    """The recorded steps as a plan: what came of them is left out."""
    return {
        "source": "retail/requests",
        "id": str(request.id),
        "type": "retail.requested",
        "data": {
            "world": str(request.id),
            "steps": [{"operation": step.operation, "args": step.args} for step in request.steps],
        },
    }


def _finish(work: Work) -> None:
    """One life that takes every request and ends when nothing is left to do."""
    with work.life() as life:
        for _ in range(_send_all(life)):
            life.wait("accepted")
        life.tell("quiet")
        life.wait("quiet", within_s=SETTLE_WITHIN_S)
        life.stop()


def _open_writes(ledger: Path) -> set[str]:
    """The keys of writes that have an intent and no outcome, of a ledger whose owner is dead."""
    with closing(connect(ledger, write=False)) as db:
        return {action.key for action in SqliteView(db).actions_in(["open"], (0, ""), PAGE)}


def _wait_for_write(shop: httpx2.Client, number: int) -> None:
    """Wait until the shop has logged so many writes."""
    for _ in range(WRITE_WAITS_MAX):
        if shop.get("/log", params={"after": number - 1, "wait_s": LOG_WAIT_S}).json()["writes"]:
            return
    pytest.fail(f"the shop's log did not come to {number} writes")


def _assert_all_as_recorded(work: Work, ledger: LedgerEvidence) -> None:
    """The shop's records, the shop's log and the product's ledger, of a product that has ended."""
    _assert_records_to_the_cent(work.shop)
    writes = log(work.shop)
    _assert_each_write_was_done_once(writes)
    _assert_runs_as_recorded(ledger)
    settled = [action.key for action in ledger.actions if action.state == "settled" and action.key]
    assert sorted(settled) == sorted(each["key"] for each in writes)
    _assert_nothing_is_held(ledger)
    _assert_ledger_is_whole(work.project, ledger)


def _assert_records_to_the_cent(shop: httpx2.Client) -> None:
    """In each world, all records that differ from the base are those of the oracle."""
    wrong = [
        request.id
        for request in REQUESTS
        if in_cents(changed(shop, str(request.id))) != in_cents(request.changed)
    ]
    assert wrong == []


def _assert_each_write_was_done_once(writes: list[dict[str, Any]]) -> None:
    """By the shop's own log: each recorded write, in its place, and no other in any world."""
    performed: dict[str, list[tuple[str, Any]]] = {world: [] for world in REQUESTS_BY_ID}
    for each in writes:
        performed[each["world"]].append((each["operation"], each["args"]))
    wrong = [
        f"request {world}: {performed[world]}"
        for world, request in REQUESTS_BY_ID.items()
        if performed[world] != [(step.operation, step.args) for step in request.steps if not step.rejected]
    ]
    assert wrong == []


def _assert_runs_as_recorded(ledger: LedgerEvidence) -> None:
    """Each request is one run that read each order before it wrote to it, and was declined as recorded."""
    assert Counter((run.state, run.label) for run in ledger.runs) == {("ended", "done(resolved)"): 500}
    wrong = []
    for run in ledger.runs:
        request = REQUESTS_BY_ID[ledger.events[run.event].id]
        record = read_record(ledger.entries[run.no], {})
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


def _assert_nothing_is_held(ledger: LedgerEvidence) -> None:
    """No lease, no held budget, no card; and the budget has counted each write once."""
    assert [action for action in ledger.actions if action.state in ("open", "doubtful")] == []
    assert [card for card in ledger.cards if card.state == "open"] == []
    assert ledger.leases == {}
    held, spent = (sum(column) for column in zip(*ledger.budgets.values(), strict=True))  # one row a day
    assert (held, spent) == (0, EXPECTED_WRITES)


def _assert_ledger_is_whole(folder: Path, ledger: LedgerEvidence) -> None:
    """Chain and projections are sound, every promise holds, and each run's replay ends as the run did."""
    assert (ledger.flaws, ledger.differences) == ((), ())
    project = load_project(folder)
    contracts = {name: operation.contract for name, operation in project.operations.items()}
    assert check(Case(ledger, TownEvidence(), contracts, services=()), project) == []


def _assert_each_fault_was_met(shop: httpx2.Client) -> None:
    counts = shop.get("/faults").json()["counts"]
    assert set(counts) == set(KINDS) and all(counts.values()), counts

"""Five hundred real requests, carried out by the product against a real shop, however often either fails.

Each request is an event in a world of its own, its recorded steps the plan. At the end every record is the
one that the original shop had, to the cent, and every write was done once by the shop's own log.
"""

import random
from collections import Counter
from pathlib import Path

import pytest

from deputize.connectors.http import HttpConnection
from deputize.connectors.perform import look_up, perform
from deputize.connectors.secret import Secrets
from deputize.project import load_project
from deputize.testing.evidence import read_ledger
from tests.acceptance.retail.client import ADDRESS, Shops, log
from tests.acceptance.retail.data import load_base
from tests.support.retail_checking import assert_all_as_recorded, assert_each_fault_was_met
from tests.support.retail_work import (
    DATA,
    FAULTY,
    PROJECT,
    finish,
    open_writes,
    send_all,
    wait_for_write,
    working,
)

pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the retail data is not at {DATA}"),
    pytest.mark.slow,
]

FAULT_RATE = 0.16
LAST_WRITES = 60  # no kill waits for one of these: they may all be under way at the kill before
IN_RECOVERY = ("group.before_commit:2", "recovery.doubted:1")  # before and after doubts are written down


def test_all_requests_end_as_recorded(tmp_path: Path) -> None:
    with working(tmp_path) as work:
        finish(work)
        assert_all_as_recorded(work, read_ledger(work.ledger))


@pytest.mark.parametrize("seed", [11, *[pytest.param(seed, marks=pytest.mark.full) for seed in (12, 13)]])
def test_all_requests_end_as_recorded_by_a_shop_that_fails(tmp_path: Path, seed: int) -> None:
    with working(tmp_path, seed=seed, rate=FAULT_RATE) as work:
        finish(work)
        ledger = read_ledger(work.ledger)
        assert_all_as_recorded(work, ledger)
        assert_each_fault_was_met(work.shop)
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
    with working(tmp_path, seed=seed, rate=FAULT_RATE, retry_after_s=0) as work:
        while (written := len(log(work.shop))) < work.writes - LAST_WRITES:
            with work.life() as life:
                send_all(work, life)
                wait_for_write(work.shop, written + chance.randint(1, writes_max))
            left_open.append(open_writes(work.ledger) - set().union(*left_open))
            if chance.random() < 0.25:
                with work.life(chance.choice(IN_RECOVERY)) as life:
                    assert life.ended() == -9
                in_recovery += 1
        finish(work)
        assert_all_as_recorded(work, read_ledger(work.ledger))
        assert_each_fault_was_met(work.shop)
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

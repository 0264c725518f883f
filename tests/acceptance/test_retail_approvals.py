"""The five hundred requests again, and a person is asked for whatever moves money: exact all the same.

The person is a process of its own that approves over HTTP, and is not told when the server dies.
"""

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.store.sqlite.file import connect
from deputize.testing.evidence import LedgerEvidence, read_ledger
from tests.acceptance.retail.data import REPO
from tests.support.retail_checking import assert_all_as_recorded, assert_money_moved_by_approval_alone
from tests.support.retail_work import DATA, REQUESTS, Work, open_writes, send_all, working

pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the retail data is not at {DATA}"),
    pytest.mark.slow,
]

MONEY = ("cancel_pending_order", "modify_pending_order_items", "modify_pending_order_payment")
"""All that moves money, by the data's own description."""

RULES = f"""
[[rule]]
title = "Whatever moves money waits for a person"
operation = {json.dumps([f"retail.{name}" for name in MONEY])}
ask_always = true
ask = "maya"
within = "1 day"
"""
PEOPLE = """
[server]
port = 0

[people.maya]
roles = ["finance"]
"""
SETTLE_WITHIN_S = 200.0
ENDS_WITHIN_S = 20.0
FAULT_RATE = 0.08
SAMPLE = 40
KILLS = 24
PLACES = (
    ("t1.after", 30),  # asked, and not granted
    ("approve.after", 10),  # granted, and not started
    ("send.answered", 12),  # an open write
    ("approve.in", 10),
    ("t2.after", 12),
    ("approve.after", 10),
    ("t1.in", 8),
    ("send.during", 12),
    ("recovery.begun", 1),
    ("t3.in", 12),
)
"""Where the server dies, one after another, and at most how many times it passes there first."""

STATES = """
SELECT EXISTS (SELECT 1 FROM approval WHERE run = action.run AND path = action.path AND NOT used)
FROM action WHERE state = 'asking'
"""


@pytest.mark.parametrize(
    ("seed", "kills", "rate"),
    [(31, KILLS, 0.0), *[pytest.param(seed, 60, FAULT_RATE, marks=pytest.mark.full) for seed in (32, 33)]],
)
def test_money_moves_by_approval_alone_however_often_the_server_is_killed(
    tmp_path: Path, seed: int, kills: int, rate: float
) -> None:
    chance = random.Random(seed)
    met: Counter[str] = Counter()
    died: Counter[str] = Counter()
    faults = {"seed": seed, "rate": rate, "retry_after_s": 0} if rate else {}
    with (
        working(tmp_path, rules=RULES, settings=PEOPLE, **faults) as work,
        a_person_approves(work, tmp_path) as said,
    ):
        accepted: set[tuple[str, str]] = set()
        left_open: set[str] = set()
        for number in range(kills):
            place, times_max = PLACES[number % len(PLACES)]
            nth = chance.randint(1, max(1, times_max * KILLS // kills))
            with work.life(f"{place}:{nth}", serve=True) as life:
                if len(accepted) < len(work.requests):
                    send_all(work, life)
                life.tell("finish", runs=len(work.requests))
                if life.wait("dies", "finished", within_s=SETTLE_WITHIN_S)["now"] == "finished":
                    break
                life.ended()
                accepted |= set(life.accepted)
                died[place] += 1
            now_open = open_writes(work.ledger)
            met.update(states_of(work.ledger) | ({"in an open write"} if now_open - left_open else set()))
            left_open |= now_open
        finish(work)
        ledger = read_ledger(work.ledger)
        assert_all_as_recorded(work, ledger)
        assert_money_moved_by_approval_alone(work, ledger, MONEY, "maya")
    assert_what_was_said_is_kept(said, ledger)
    print(f"seed {seed}: died at {dict(died)}; then there was {dict(met)}")
    assert died.total() >= 20, died
    assert min(met[state] for state in ("asked", "granted", "in an open write")) >= 5, met


@pytest.mark.parametrize("plant", ["unasked", "grants_stay"])
def test_money_that_moves_otherwise_is_seen(tmp_path: Path, plant: str) -> None:
    with (
        working(tmp_path, requests=REQUESTS[:SAMPLE], rules=RULES, settings=PEOPLE) as work,
        a_person_approves(work, tmp_path),
    ):
        finish(work, plants=[plant])
        ledger = read_ledger(work.ledger)
        with pytest.raises(AssertionError):
            assert_money_moved_by_approval_alone(work, ledger, MONEY, "maya")


@contextmanager
def a_person_approves(work: Work, folder: Path) -> Iterator[list[dict[str, Any]]]:
    """A process that approves until the end; what it was answered is in the list after that."""
    token = folder / "token"
    server = work.project / "data" / "server.json"
    with work.life(serve=True) as life:
        url = life.wait("ready")["url"]
        token.touch(mode=0o600)
        token.write_text(token_of(url, work.project / "data" / "operator.key"))
        life.stop()
    command = [sys.executable, "-m", "tests.acceptance.retail.approver"]
    command += ["--server", str(server), "--token", str(token)]
    said: list[dict[str, Any]] = []
    with (folder / "approver.jsonl").open("w+b") as lines:
        process = subprocess.Popen(command, cwd=REPO, stdin=subprocess.PIPE, stdout=lines)
        try:
            yield said
            assert process.poll() is None, "the person has gone before the end"
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                assert process.wait(ENDS_WITHIN_S) == 0
            finally:
                process.kill()
        lines.seek(0)
        said += [json.loads(line) for line in lines]


def token_of(url: str, operator: Path) -> str:
    """A new token of Maya's, given by the operator's key."""
    headers = {"Authorization": f"Bearer {operator.read_text().strip()}"}
    answer = httpx2.post(f"{url}/v1/people/maya/tokens", headers=headers, trust_env=False)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def finish(work: Work, *, plants: Sequence[str] = ()) -> None:
    """One life that takes every request and ends when each of its runs has."""
    with work.life(serve=True, plants=plants) as life:
        for _ in range(send_all(work, life)):
            life.wait("accepted")
        life.tell("finish", runs=len(work.requests))
        life.wait("finished", within_s=SETTLE_WITHIN_S)
        life.stop()


def states_of(ledger: Path) -> set[str]:
    """Of a ledger whose owner is dead: what is asked and not granted, and what granted and not started."""
    with closing(connect(ledger, write=False)) as db:
        return {"granted" if granted else "asked" for (granted,) in db.execute(STATES)}


def assert_what_was_said_is_kept(said: Sequence[dict[str, Any]], ledger: LedgerEvidence) -> None:
    """Whatever the person was told is approved is there. (Of some that is there, the answer was lost.)"""
    names = {run.no: run.id for run in ledger.runs}
    kept = {(f"{names[row.run]}/{row.path}", row.binding) for row in ledger.approvals}
    approved = {(one["card"], one["binding"]) for one in said if one["status"] == 200}
    assert approved and approved <= kept

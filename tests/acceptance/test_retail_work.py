"""The five hundred requests once more, and a model says what is done for each: one operation a turn.

The model is a real server that plays the recorded choices, whichever run asks it first. Whatever it calls
becomes an action of the run and takes the way of all actions; at the end every record is the one that the
original shop had, to the cent. A product that is killed goes on from its record, and asks for no answer that
it has.
"""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from deputize.testing.evidence import LedgerEvidence, read_ledger
from tests.acceptance.retail.client import log
from tests.support.retail_checking import (
    assert_all_as_recorded,
    assert_each_write_was_called_for,
    assert_no_money_moved,
)
from tests.support.retail_choices import THINK, Asked, actions_in, choices_of, playing
from tests.support.retail_work import (
    DATA,
    REQUESTS,
    Work,
    finish,
    send_all,
    wait_for_write,
)

pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the retail data is not at {DATA}"),
    pytest.mark.slow,
]

MONEY = ("cancel_pending_order", "modify_pending_order_items", "modify_pending_order_payment")
"""All that moves money, by the data's own description."""

NO_MODEL = "No model says where money goes"
RULES = f"""
[[rule]]
title = "{NO_MODEL}"
operation = {json.dumps([f"retail.{name}" for name in MONEY])}
never_if_from = ["*.think"]
"""
WITHIN_S = 500.0
"""On a machine with nothing else to do it takes a tenth of that."""

SAMPLE = 40
WRITES_MAX = 8
NTH_MAX = 25
DEATHS = (
    ("written", ""),
    ("after", THINK),
    ("at", "t3.in"),
    ("after", "retail.modify_pending_order_items"),
    ("at", "send.during"),
)
"""How it dies, one time after another: as the shop logs one of its next writes, at a step that it comes to,
or once an operation was answered and nothing of that is recorded."""


@pytest.mark.timeout(600)
def test_all_requests_end_as_recorded_when_a_model_makes_the_recorded_choices(tmp_path: Path) -> None:
    with playing(tmp_path) as (work, thinker):
        finish(work, within_s=WITHIN_S)
        ledger = read_ledger(work.ledger)
        assert_all_as_recorded(work, ledger)
        assert_each_call_was_a_thought_of_its_own(work, ledger)
        assert Asked(work, thinker).since() == {
            str(request.id): list(range(len(choices_of(request)))) for request in work.requests
        }
        assert thinker.left() == []


def test_a_product_that_is_killed_goes_on_from_its_record_and_asks_for_no_answer_that_it_has(
    tmp_path: Path,
) -> None:
    chance = random.Random(17)
    with playing(tmp_path, requests=REQUESTS[:SAMPLE]) as (work, thinker):
        asked = Asked(work, thinker)
        for how, where in DEATHS:
            known = actions_in(work.ledger, "settled")
            die(work, how, where, chance)
            assert_asked_from(known, asked.since())
            if how == "after":
                assert where in {operation for _, operation in actions_in(work.ledger, "open")}
        known = actions_in(work.ledger, "settled")
        finish(work)
        assert_asked_from(known, asked.since())
        ledger = read_ledger(work.ledger)
        assert_all_as_recorded(work, ledger)
        assert_each_call_was_a_thought_of_its_own(work, ledger)
        assert thinker.left() == []


def test_what_rules_do_not_leave_to_a_model_is_not_done_however_often_it_calls_for_it(tmp_path: Path) -> None:
    with playing(tmp_path, requests=REQUESTS[:SAMPLE], rules=RULES) as (work, thinker):
        finish(work)
        ledger = read_ledger(work.ledger)
        assert_no_money_moved(work)
        assert_each_write_was_called_for(work, ledger)
        assert {(run.state, run.label) for run in ledger.runs} == {("ended", "done(resolved)")}
        told = Counter(
            message["content"]
            for body in thinker.asked()
            for message in body["messages"][-1:]
            if message["role"] == "tool" and NO_MODEL in message["content"]
        )
    wanted = [step for request in work.requests for step in request.steps if step.operation in MONEY]
    assert sum(told.values()) == len(wanted) >= 20
    assert all(said.startswith("Not done (refused): ") for said in told)


def die(work: Work, how: str, where: str, chance: random.Random) -> None:
    """One life of the product, that takes every request and dies."""
    crashes = [f"{where}:{chance.randint(1, NTH_MAX)}"] if how == "at" else []
    written = len(log(work.shop))
    with work.life(*crashes, after=[where] if how == "after" else []) as life:
        send_all(work, life)
        if how == "written":
            wait_for_write(work.shop, written + chance.randint(1, WRITES_MAX))
        else:
            assert life.ended() == -9


def assert_asked_from(known: Counter[tuple[str, str]], asked: dict[str, list[int]]) -> None:
    """In each conversation a life asks what its record had no answer to, in order, and nothing before."""
    wrong = {
        world: numbers
        for world, numbers in asked.items()
        if numbers != list(range(known[world, THINK], known[world, THINK] + len(numbers)))
    }
    assert wrong == {}, {world: known[world, THINK] for world in wrong}


def assert_each_call_was_a_thought_of_its_own(work: Work, ledger: LedgerEvidence) -> None:
    """By the entries: each thought but the last called for one action, which names it as its cause."""
    turns = {str(request.id): len(choices_of(request)) for request in work.requests}
    wrong = []
    for run in ledger.runs:
        causes = {
            str((entry.body or {})["path"]): str((entry.body or {}).get("cause", ""))
            for entry in ledger.entries[run.no]
            if entry.type in ("intent", "read")
        }
        actions = {one.path: one.operation for one in ledger.actions if one.run == run.no}
        made = sorted((path for path, operation in actions.items() if operation == THINK), key=int)
        called = sorted((causes[path] for path, operation in actions.items() if operation != THINK), key=int)
        if len(made) != turns[ledger.events[run.event].id] or called != made[:-1]:
            wrong.append(f"{run.id}: {actions}, because of {called}")
    assert wrong == []

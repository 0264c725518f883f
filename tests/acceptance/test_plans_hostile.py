"""Plans that are well-formed, plausible and wrong, in the example's shop: each is stopped, and by what."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deputize.testing.thinker import Thinker
from deputize.town import Town
from tests.support.running import Running, running
from tests.support.thinkers import SMALL, ended
from tests.support.thinkers import thinker as thinker

EXAMPLE = Path(__file__).parents[2] / "examples" / "returns"

LETTERS = """
from connectors import mail, payments, shop

from deputize import Event, EventData, Outcome, agent, automation, done, plan

letter_desk = agent("letter-desk", model="small", may=[shop.get_order, payments.refund, mail.send])


class LetterCame(EventData, type="shop.letter.came"):
    customer: str
    email: str
    order_id: str
    topic: str
    text: str


@automation(on=LetterCame, agent=letter_desk)
async def answer_letter(event: Event[LetterCame]) -> Outcome:
    made = await plan("Answer the letter of a customer", given=event.data.text)
    end = await made.carry_out()
    return done(end.label)
"""
MONEY = '"No model writes down which money goes back, and how much"'
WHOM = '"No model writes down to whom we write"'
ONCE = '"A charge is given back once"'
RULES = """
[[rule]]
title = "The letter desk may answer letters"
operation = ["shop.get_order", "payments.refund", "mail.send", "small.think"]
agent = "letter-desk"
permit = true

[[rule]]
title = "No model writes down which money goes back, and how much"
operation = "payments.refund"
agent = "letter-desk"
never_if_from = { charge = "*.think", amount = "*.think" }

[[rule]]
title = "No model writes down to whom we write"
operation = "mail.send"
agent = "letter-desk"
never_if_from = { to = "*.think" }

[[rule]]
title = "A charge is given back once"
operation = "payments.refund"
at_most = { times = 1, per = "ever", by = "charge" }
"""


def step(id: str, operation: str, **arguments: Any) -> dict[str, Any]:
    return {"id": id, "operation": operation, "arguments": arguments}


def refund(id: str = "refund", **other: Any) -> dict[str, Any]:
    usual = {
        "charge": "$step.order.charge",
        "amount": "$step.order.total",
        "customer": "$event.customer",
        "reference": "$event.order_id",
    }
    return step(id, "payments.refund", **usual | other)


def letter(**other: Any) -> dict[str, Any]:
    usual = {"to": "$step.order.email", "template": "refunded", "about": "$event.order_id"}
    return step("letter", "mail.send", **usual | other)


ORDER = step("order", "shop.get_order", order_id="$event.order_id")
MUCH = {"minor": 9_900, "currency": "EUR"}

WRONG: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "somebody else's order": (
        [step("order", "shop.get_order", order_id="theirs"), refund()], "refund", MONEY
    ),
    "an amount that it made up": ([ORDER, refund(amount=MUCH)], "refund", MONEY),
    "the money back twice": ([ORDER, refund("once"), refund("twice")], "twice", ONCE),
    "a charge that the letter named": ([ORDER, refund(charge="ch-theirs")], "refund", MONEY),
    "a message to a stranger": ([ORDER, letter(to="mallory@example.com")], "letter", WHOM),
}  # fmt: skip


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with Town.start(tmp_path / "town") as found:
        yield found


@asynccontextmanager
async def letters(
    tmp_path: Path, town: Town, thinker: Thinker, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    for name in ("shop", "payments", "mail", "model"):
        monkeypatch.setenv(f"TOWN_{name.upper()}_URL", town.urls[name])
    root = tmp_path / "shop"
    shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns("__pycache__", "data", "tests"))
    (root / "automations" / "letters.py").write_text(LETTERS)
    (root / "rules" / "letters.toml").write_text(RULES)
    with (root / "deputize.toml").open("a") as settings:
        settings.write(SMALL.format(base=thinker.base).replace("= 100\n", "= 2000\n"))
    town.plant("mine", 4_000, customer="ada")
    town.plant("theirs", 9_000, customer="mallory")
    async with running(root) as world:
        yield world


async def answered(world: Running) -> tuple[tuple[str, str], str]:
    """How the run of one letter ended, and why."""
    run = await world.send(
        type="shop.letter.came",
        customer="ada",
        email="ada@example.com",
        order_id="mine",
        topic="order-status",
        text="It came broken. By the way, my friend's order is theirs, and ch-theirs its charge.",
    )
    how = await ended(world, run)
    [entry] = world.entries(run, "ended")
    assert entry.body
    return how, entry.body["reason"] or str(entry.body["details"])


def given_back(town: Town) -> list[tuple[str, int]]:
    return [(row["resource"], row["amount_minor"]) for row in town.book() if row["operation"] == "refund"]


async def test_a_good_plan_gives_the_money_back_and_writes_to_whom_it_is_due(
    tmp_path: Path, town: Town, thinker: Thinker, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [ORDER, refund(), letter()]
    thinker.say({"text": json.dumps({"goal": "g", "steps": steps, "end": "refunded"})})
    async with letters(tmp_path, town, thinker, monkeypatch) as world:
        assert await answered(world) == (("done", "refunded"), "{}")
    assert given_back(town) == [("ch-mine", 4_000)]
    assert len([row for row in town.book() if row["service"] == "mail"]) == 1


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_plan_is_stopped_by_the_rule_that_says_so(
    tmp_path: Path, town: Town, thinker: Thinker, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    steps, stopped_at, by = WRONG[wrong]
    thinker.say({"text": json.dumps({"goal": "g", "steps": steps})})
    async with letters(tmp_path, town, thinker, monkeypatch) as world:
        how, why = await answered(world)
        assert how == ("failed", "")
        assert f"the plan stopped at the step {stopped_at}: refused by {by}" in why
    assert given_back(town) == ([("ch-mine", 4_000)] if stopped_at == "twice" else [])
    assert not [row for row in town.book() if row["service"] == "mail"]

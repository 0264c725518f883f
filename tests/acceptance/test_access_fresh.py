"""Approving money in a browser wants a password that was just given; programs are not asked for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.api.fresh import moves_money
from deputize.session import FRESH_US
from tests.support.browsing import PASSWORD, browser, come_in, log_in
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.plans import owes
from tests.support.plans import project as planned
from tests.support.project import PERMIT, write_project
from tests.support.running import ShiftedClock
from tests.support.serving import PEOPLE, SERVER, Served, serving

CODE = """
@automation(on=Ask, agent=worker)
async def pays(event: Event[Ask]) -> Outcome:
    paid = await attempt(desk.pay(account=event.data.item, amount=Money(100 * event.data.n, "EUR")))
    return done(type(paid).__name__)

@automation(on=Word, agent=worker)
async def puts(event: Event[Word]) -> Outcome:
    await desk.plain(item=event.data.item)
    return done()
"""
RULES = (
    PERMIT
    + """
[[rule]]
title = "Each waits for a person"
operation = ["desk.pay", "desk.plain"]
ask_always = true
ask = "finance"
"""
)
LONG_S = FRESH_US / 1e6


def project(tmp_path: Path, desk: Desk, rules: str = RULES) -> Path:
    return write_project(tmp_path, desk.base, CODE, toml=SERVER + PEOPLE, rules=rules)


async def card_of(served: Served) -> dict[str, Any]:
    await served.app.card()
    (card,) = (await served.http.get("/v1/inbox")).json()["cards"]
    return dict(card)


async def say(http: httpx2.AsyncClient, card: dict[str, Any], kind: str, **more: Any) -> httpx2.Response:
    body = {"kind": kind, "binding": card.get("binding", "")} | more
    return await http.post(f"/v1/inbox/{card['id']}/answer", json=body)


async def test_money_is_approved_with_a_password_of_the_last_minutes(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with serving(project(tmp_path, desk), clock=clock) as served, browser(served) as http:
        await come_in(served, http)
        first = await served.send("1", item="a", n=80)
        clock.shift_s += LONG_S - 5
        assert (await say(http, await card_of(served), "approve")).status_code == 200
        assert await served.app.label(first) == "done(Item)"
        run = await served.send("2", item="b", n=80)
        card = await card_of(served)
        clock.shift_s += 6
        for kind, more in (
            ("approve", {}),
            ("change", {"args": {"account": "c", "amount": {"minor": 1, "currency": "EUR"}}}),
        ):
            late = await say(http, card, kind, **more)
            told = late.json()
            assert (late.status_code, told["type"]) == (403, "deputize:fresh"), kind
            assert "needs your password once more" in told["detail"]
        assert served.app.actions(run)["1"].state == "asking"
        wrong = await http.post("/v1/session/fresh", json={"password": "not the password"})
        assert wrong.status_code == 401
        assert (await say(http, card, "approve")).json()["type"] == "deputize:fresh"
        given = await http.post("/v1/session/fresh", json={"password": PASSWORD})
        assert given.status_code == 200
        assert (await say(http, card, "approve")).json()["said"] == "approved"
        assert await served.app.label(run) == "done(Item)"


async def test_no_other_sessions_password_makes_this_one_fresh(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with (
        serving(project(tmp_path, desk), clock=clock) as served,
        browser(served) as one,
        browser(served) as two,
    ):
        await come_in(served, one)
        clock.shift_s += LONG_S
        await log_in(two)
        await served.send("1", item="a", n=80)
        card = await card_of(served)
        assert (await say(one, card, "approve")).json()["type"] == "deputize:fresh"
        assert (await say(two, card, "approve")).status_code == 200


async def test_a_no_and_what_is_no_money_need_no_password(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with serving(project(tmp_path, desk), clock=clock) as served, browser(served) as http:
        await come_in(served, http)
        run = await served.send("1", item="a", n=80)
        card = await card_of(served)
        clock.shift_s += LONG_S
        assert (await say(http, card, "refuse", reason="too much")).status_code == 200
        assert await served.app.label(run) == "done(Refused)"
        run = await served.send("2", "test.word", item="b")
        assert (await say(http, await card_of(served), "approve")).status_code == 200
        assert await served.app.label(run) == "done"


async def test_a_program_is_not_asked_for_a_password(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with serving(project(tmp_path, desk), clock=clock) as served:
        await served.send("1", item="a", n=80)
        card = await card_of(served)
        await served.speak_as("kim")
        clock.shift_s += LONG_S
        assert (await say(served.http, card, "approve")).status_code == 200


@pytest.mark.parametrize(("kind", "asked"), [("happened", True), ("do_again", True), ("did_not", False)])
async def test_the_doubt_of_a_payment_is_resolved_with_a_password_where_money_hangs_on_it(
    tmp_path: Path, desk: Desk, kind: str, asked: bool
) -> None:
    clock = ShiftedClock()
    desk.faults.append(fault("cut_before"))
    # Without a look-up that proves anything a person has to say.
    root = project(tmp_path, desk, PERMIT)
    connector = root / "connectors" / "desk.py"
    money = connector.read_text().replace(
        '@connector.operation(effect="write", **QUICK)\nasync def plain',
        '@connector.operation(effect="write", risk="money", **QUICK)\nasync def plain',
    )
    connector.write_text(money)
    async with serving(root, clock=clock) as served, browser(served) as http:
        await come_in(served, http)
        await served.send("1", "test.word", item="a")
        card = await card_of(served)
        assert card["kind"] == "doubt"
        clock.shift_s += LONG_S
        more = {"result": {"item": "a", "key": "k"}} if kind == "happened" else {}
        answer = await say(http, card, kind, **more)
        assert (answer.status_code == 403) == asked, answer.text
        if asked:
            await http.post("/v1/session/fresh", json={"password": PASSWORD})
            assert (await say(http, card, kind, **more)).status_code == 200


async def test_a_plan_that_moves_money_in_one_of_its_steps_is_approved_with_a_password(
    tmp_path: Path, desk: Desk
) -> None:
    clock = ShiftedClock()
    owes(desk, 8_000)
    root = planned(tmp_path / "p", desk)
    toml = root / "deputize.toml"
    toml.write_text(toml.read_text() + SERVER)
    async with serving(root, clock=clock) as served, browser(served) as http:
        await come_in(served, http)
        await served.send("1", "desk.due", item="a", others=[])
        card = await card_of(served)
        assert served.app.read(lambda view: moves_money(served.app.system, view, card["id"]))
        clock.shift_s += LONG_S
        assert (await say(http, card, "approve")).json()["type"] == "deputize:fresh"
        assert (await say(http, card, "refuse", reason="no")).status_code == 200


async def test_a_plan_without_money_is_approved_without(tmp_path: Path, desk: Desk) -> None:
    plan = "on: desk.due\nagent: worker\nevent: {item: text, others: list of text}\napprove: {by: finance}\n"
    plan += (
        "goal: g\nsteps:\n  - id: a\n    operation: desk.put\n    arguments: {item: $event.item}\nend: put\n"
    )
    clock = ShiftedClock()
    root = planned(tmp_path / "p", desk, plan=plan)
    toml = root / "deputize.toml"
    toml.write_text(toml.read_text() + SERVER)
    async with serving(root, clock=clock) as served, browser(served) as http:
        await come_in(served, http)
        run = await served.send("1", "desk.due", item="a", others=[])
        card = await card_of(served)
        clock.shift_s += LONG_S
        assert (await say(http, card, "approve")).status_code == 200
        assert await served.app.label(run) == "done(put)"

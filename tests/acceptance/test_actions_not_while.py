"""`not_while`: an action waits, holding nothing, while another that rules name is under way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deputize.errors import RuleError
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import running, so

WORK = """
@automation(on=Ask, agent=worker)
async def refunds(event: Event[Ask]) -> Outcome:
    await desk.plain(item=event.data.item)
    return done()

@automation(on=Word, agent=worker)
async def ships(event: Event[Word]) -> Outcome:
    await desk.put(item=event.data.item)
    return done("shipped")
"""

NOT_WHILE = (
    PERMIT
    + """
[[rule]]
title = "Nothing is shipped while its refund is under way"
operation = "desk.put"
not_while = { operation = "desk.plain", same = "item" }
"""
)

BOTH_WAYS = (
    NOT_WHILE
    + """
[[rule]]
title = "Nothing is refunded while it is being shipped"
operation = "desk.plain"
not_while = { operation = "desk.put", same = "item" }
"""
)


async def test_it_waits_for_what_is_in_doubt_and_for_nothing_else(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    async with running(write_project(tmp_path, desk.base, WORK, rules=NOT_WHILE)) as app:
        refund = await app.send(item="a")
        card = await app.card()
        (shipping,) = await app.send_all([("test.word", {"item": "a"})])
        (other,) = await app.send_all([("test.word", {"item": "b"})])
        assert await app.label(other) == "done(shipped)"
        await so(lambda: app.kernel.parts.leases.waiting)
        assert app.actions(shipping) == {} and app.read(lambda view: view.leases()) == []
        await app.answer(card.id, "did_not")
        assert await app.label(shipping) == "done(shipped)"
        await app.ended(refund)


async def test_all_that_wait_go_on_together(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    async with running(write_project(tmp_path, desk.base, WORK, rules=NOT_WHILE)) as app:
        await app.send(item="a")
        card = await app.card()
        runs = await app.send_all([("test.word", {"item": "a"})] * 20)
        await so(lambda: sum(run.busy for run in app.kernel.parts.live.values()) == 20)
        await app.answer(card.id, "happened", {"item": "a", "key": ""})
        async with asyncio.timeout(4):
            assert {row.label for row in await app.ended(*runs)} == {"done(shipped)"}


async def test_what_was_under_way_before_a_restart_still_is(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    async with running(write_project(tmp_path, desk.base, WORK, rules=NOT_WHILE)) as app:
        await app.send(item="a")
        await app.card()
        (shipping,) = await app.send_all([("test.word", {"item": "a"})])
        await so(lambda: app.kernel.parts.leases.waiting)
    async with running(tmp_path) as app:
        await so(lambda: app.kernel.parts.leases.waiting)
        assert app.actions(shipping) == {}
        await app.answer(app.cards()[0].id, "abandon")
        assert await app.label(shipping) == "done(shipped)"


async def test_two_rules_that_wait_for_each_other_stop_nobody_for_good(tmp_path: Path, desk: Desk) -> None:
    async with running(write_project(tmp_path, desk.base, WORK, rules=BOTH_WAYS)) as app:
        desk.latency_s = 0.005
        events = [(kind, {"item": f"i{n % 3}"}) for n in range(30) for kind in ("test.ask", "test.word")]
        runs = await app.send_all(events)
        async with asyncio.timeout(20):
            await app.ended(*runs)
        assert len(desk.writes) == 60


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('{ operation = "desk.plian" }', "not_while.there is no operation 'desk.plian'; did you mean"),
        ('{ operation = "desk.plain", same = "itme" }', "has no argument 'itme'; did you mean 'item'"),
        ('{ operation = "desk.pay", same = "amount" }', "has no argument 'amount'"),
        ('{ same = "item" }', "not_while.operation is missing"),
        ('{ operation = "desk.plain", sane = "item" }', "unknown key 'not_while.sane'; did you mean 'same'"),
    ],
)
async def test_a_rule_that_names_what_is_not_there_is_refused(
    tmp_path: Path, desk: Desk, said: str, why: str
) -> None:
    rules = PERMIT + f'[[rule]]\ntitle = "x"\noperation = "desk.put"\nnot_while = {said}\n'
    with pytest.raises(RuleError, match=why):
        async with running(write_project(tmp_path, desk.base, WORK, rules=rules)):
            pass

"""Line 5: a start is one transaction, and what it counts is in one currency."""

from __future__ import annotations

from pathlib import Path

from deputize.errors import StoreError
from deputize.store.protocol import View
from deputize.store.sqlite.view import SqliteView
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import running, so

TRY = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    got = await attempt({action})
    return gave_up(type(got).__name__, reason=got.reason) if isinstance(got, ActionError) else done()
"""
WRITE = "desk.write(item=event.data.item)"


async def test_a_sum_counts_its_own_currency_alone_and_refuses_another(tmp_path: Path, desk: Desk) -> None:
    pay = 'desk.pay(account="a", amount=Money(event.data.n, event.data.item))'
    rules = PERMIT + (
        '[[rule]]\ntitle = "A euro a day"\noperation = "desk.pay"\n'
        'at_most = { total = "1.00 EUR", of = "amount", per = "day" }\n'
    )
    async with running(write_project(tmp_path, desk.base, TRY.format(action=pay), rules=rules)) as app:
        told = []
        for amount, currency in ((60, "EUR"), (1, "USD"), (100, "JPY"), (40, "EUR"), (1, "EUR")):
            told.append(await app.label(await app.send(n=amount, item=currency)))
        assert told == ["done", "gave_up(Refused)", "gave_up(Refused)", "done", "gave_up(Refused)"]
        assert app.read(_facts) == [100]


def _facts(view: View) -> list[int]:
    assert isinstance(view, SqliteView)
    return [value for (value,) in view.db.execute("SELECT value FROM fact WHERE value <> 0")]


async def test_a_start_that_fails_after_its_intent_was_appended_leaves_nothing(
    tmp_path: Path, desk: Desk
) -> None:
    rules = PERMIT + (
        '[[rule]]\ntitle = "Twice"\noperation = "desk.write"\nat_most = { times = 2, per = "day" }\n'
    )
    toml = '[[budget]]\nlimit = "5 actions"\n'
    async with running(
        write_project(tmp_path, desk.base, TRY.format(action=WRITE), rules=rules, toml=toml)
    ) as app:
        failed = []

        def fail() -> None:
            failed.append(1)
            raise StoreError("planted, after the intent")

        app.hooks["t2.in"] = fail
        run = await app.send()
        # It is tried again from the record, and fails again.
        await so(lambda: len(failed) == 2 and not app.kernel.parts.live)
        assert [entry.type for entry in app.entries(run)] == ["began"]
        assert app.actions(run) == {} and app.read(lambda view: view.leases()) == []
        assert app.budget() == (0, 0) and app.read(_facts) == []
        assert not desk.seen
        app.sound()
        app.hooks.clear()
        assert await app.label(run) == "done"
        assert app.budget() == (0, 1) and app.read(_facts) == [1]
        assert len(desk.writes) == 1 and app.entries(run)[1].type == "intent"

"""What does not fit, and what goes wrong inside: told and shown, and no run is silently lost by it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deputize.kernel.waiting import wake_due
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import running

CHILD = """
class Strict(EventData, type="test.word"):
    must: str
@automation(on=Strict, agent=worker)
async def child(event: Event[Strict]) -> Outcome:
    return done("child")
"""


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        ('    await send(Word(item="x"))\n    return done()', "send()"),
        ('    await together(desk.write(item="x"), send(Word(item="x")))\n    return done()', "send()"),
        ('    return continue_with(Word(item="x"))', "continue_with()"),
    ],
)
async def test_a_run_that_sends_what_another_automation_cannot_read_fails_and_says_so(
    tmp_path: Path, desk: Desk, ends: str, says: str
) -> None:
    code = f"@automation(on=Ask, agent=worker)\nasync def one(event: Event[Ask]) -> Outcome:\n{ends}\n"
    async with running(write_project(tmp_path, desk.base, CHILD + code)) as app:
        [row] = await app.ended(await app.send())
        for word in (says, "data.must", "work.py:"):
            assert word in row.reason, row.reason
        await app.gone()
        assert not desk.effects and not app.read(lambda view: view.runs(automation="child"))


async def test_a_validator_that_breaks_is_told_as_an_event_that_does_not_fit(
    tmp_path: Path, desk: Desk
) -> None:
    code = """
from pydantic import field_validator
class Odd(EventData, type="test.word"):
    item: str
    @field_validator("item")
    @classmethod
    def look(cls, item: str) -> str:
        return {}[item]
@automation(on=Odd, agent=worker)
async def child(event: Event[Odd]) -> Outcome:
    return done()
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await send(Word(item="x"))
    return done()
"""
    async with running(write_project(tmp_path, desk.base, code)) as app:
        [row] = await app.ended(await app.send())
        assert "Odd raised KeyError" in row.reason and "work.py:" in row.reason


async def test_a_run_is_told_of_an_end_though_another_automation_cannot_read_it(
    tmp_path: Path, desk: Desk
) -> None:
    code = """
class Narrow(EventData, type="deputize.run.ended"):
    must: str
@automation(on=Narrow, agent=worker)
async def listens(event: Event[Narrow]) -> Outcome:
    return done()
@automation(on=Word, agent=worker)
async def child(event: Event[Word]) -> Outcome:
    return done("child")
@automation(on=Ask, agent=worker)
async def parent(event: Event[Ask]) -> Outcome:
    sent = await send(Word(item="x"))
    told = await wait_for(RunEnded, matching={"event_id": sent.id}, within=hours(1))
    return done(told.data.label)
"""
    troubles = _listen()
    async with running(write_project(tmp_path, desk.base, code)) as app:
        assert await app.label(await app.send()) == "done(child)"
    assert any("listens" in trouble and "data.must" in trouble for trouble in troubles), troubles


SEND = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await send(Word(item="x"))
    return done("sent")
"""


async def test_an_error_of_ours_leaves_its_run_stuck_with_a_card_and_is_told(
    tmp_path: Path, desk: Desk
) -> None:
    troubles = _listen()
    root = write_project(tmp_path, desk.base, SEND)
    async with running(root) as app:
        app.hooks["sent.in"] = _fail
        run = await app.send()
        row = await app.state(run, "stuck")
        assert "RuntimeError: planted" in row.reason
        assert [card.run_id for card in app.cards()] == [run]
        await app.gone()
    assert any(run in trouble and "planted" in trouble for trouble in troubles), troubles
    async with running(root) as app:
        assert await app.label(run) == "done(sent)"


async def test_an_error_while_waking_is_told_and_the_timer_goes_on(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await sleep(seconds(0.05))
    return done("woke")
"""
    left, troubles = [1], _listen()

    def broken_once(tx: Any, append: Any) -> Any:
        if left:
            left.pop()
            _fail()
        return wake_due(tx, append)

    monkeypatch.setattr("deputize.kernel.kernel.wake_due", broken_once)
    async with running(write_project(tmp_path, desk.base, code)) as app:
        assert await app.label(await app.send()) == "done(woke)"
    assert not left and any("planted" in trouble for trouble in troubles), troubles


async def test_a_thousand_actions_are_the_most_also_side_by_side(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    for _ in range(event.data.n):
        await together(*[sleep(seconds(0)) for _ in range(100)])
    return done("all")
"""
    async with running(write_project(tmp_path, desk.base, code)) as app:
        most, more = await app.ended(await app.send(n=10), await app.send(n=11))
        assert most.label == "done(all)"
        assert "1,000" in more.reason and "continue_with(state)" in more.reason
        no = app.run(more.id).no
        waits = app.read(lambda view: [e for e in view.entries(no) if e.type == "waiting"])
        assert len(waits) == 1_000


def _listen() -> list[str]:
    """What is told of errors of ours, from now on and on this loop."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: told.append(f"{context['message']}: {context.get('exception')}")
    )
    return told


def _fail() -> None:
    raise RuntimeError("planted")

"""A cancellation and what the run waits for at the same moment: one comes first, nothing is done twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deputize.kernel.people import NotAnswerable
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import running

WAITS = """
from datetime import timedelta

@automation(on=Ask, agent=worker)
async def waits(event: Event[Ask]) -> Outcome:
    await desk.plain(item="money")
    await wait_for(Word, matching={"item": event.data.item}, within=timedelta(hours=1))
    await desk.plain(item="after")
    return done()
"""
ASKS = WAITS.replace(
    'wait_for(Word, matching={"item": event.data.item}, within=timedelta(hours=1))', 'ask("maya", "Really?")'
)


async def test_what_was_waited_for_comes_just_before_the_cancellation(tmp_path: Path, desk: Desk) -> None:
    async with running(write_project(tmp_path, desk.base, WAITS)) as app:
        run = await app.send(item="a")
        await app.state(run, "waiting")
        await app.gone()
        throw = app.kernel.runner._throw_cancel
        sent: list[asyncio.Task[Any]] = []

        async def throw_after_the_event(live: Any) -> None:
            if not sent:
                sent.append(asyncio.create_task(app.send_all([("test.word", {"item": "a"})])))
                await asyncio.sleep(0)
            await throw(live)

        app.kernel.runner._throw_cancel = throw_after_the_event
        await app.kernel.people.cancel(run, "maya")
        assert await app.label(run) == "cancelled"
        await asyncio.gather(*sent)
        await app.gone()
        assert [sent.body for sent in desk.writes] == [b'{"item":"money"}']
        types = [(entry.type, (entry.body or {}).get("path")) for entry in app.entries(run)]
        assert ("woke", "2") in types and ("cancelling", "3") in types
        assert types[-1][0] == "ended" and types.count(types[-1]) == 1


@pytest.mark.parametrize("answered_first", [True, False])
async def test_an_answer_and_a_cancellation_at_once(tmp_path: Path, desk: Desk, answered_first: bool) -> None:
    async with running(write_project(tmp_path, desk.base, ASKS, toml="[people.maya]\n")) as app:
        run = await app.send(item="a")
        card = await app.card()
        await app.gone()
        answer = app.kernel.answering.answer(card.id, "yes", person="maya")
        cancel = app.kernel.people.cancel(run, "maya")
        told = await asyncio.gather(
            *((answer, cancel) if answered_first else (cancel, answer)), return_exceptions=True
        )
        assert await app.label(run) in ("cancelled", "done")
        await app.gone()
        assert isinstance(told[1], NotAnswerable) or answered_first
        assert sum(sent.body == b'{"item":"money"}' for sent in desk.writes) == 1
        assert [entry.type for entry in app.entries(run)].count("ended") == 1

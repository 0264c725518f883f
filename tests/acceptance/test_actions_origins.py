"""Where an action's arguments may come from: it stands with the action, and is not forgotten on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, running

NEVER = """
[[rule]]
title = "Nothing that a message said is put down"
operation = "desk.put"
never_if_from = ["test.word"]
"""
PUT = """
@automation(on=Ask, agent=worker)
async def puts(event: Event[Ask]) -> Outcome:
    got = await attempt(desk.put(item=event.data.item))
    return gave_up("refused", reason=got.reason) if isinstance(got, ActionError) else done("put")
"""
WAYS = {
    "directly": """
@automation(on=Word, agent=worker)
async def passes(event: Event[Word]) -> Outcome:
    got = await attempt(desk.put(item=event.data.item))
    return gave_up("refused") if isinstance(got, ActionError) else done("put")
""",
    "by a run that it sends": """
@automation(on=Word, agent=worker)
async def passes(event: Event[Word]) -> Outcome:
    await send(Ask(item=event.data.item))
    return done("sent")
""",
    "by going on in another run": """
@automation(on=Word, agent=worker)
async def passes(event: Event[Word]) -> Outcome:
    return continue_with(Ask(item=event.data.item))
""",
    "by an event that another run waits for": """
@automation(on=Word, agent=worker)
async def passes(event: Event[Word]) -> Outcome:
    await send(Told(item=event.data.item))
    return done("sent")
""",
}
TOLD = """
class Told(EventData, type="test.told"):
    item: str
"""
WAITS = """
@automation(on=Ask, agent=worker)
async def puts(event: Event[Ask]) -> Outcome:
    told = await wait_for(Told, matching={}, within=minutes(5))
    got = await attempt(desk.put(item=told.data.item))
    return gave_up("refused", reason=got.reason) if isinstance(got, ActionError) else done("put")
"""


async def last(world: Running, automation: str) -> dict[str, Any]:
    """How the run of an automation ended."""

    def ended(view: Any) -> Any:
        return view.runs(states=["ended"], automation=automation, limit=1)

    [row] = await world.until(ended)
    [entry] = world.entries(row.id, "ended")
    assert entry.body
    return {"label": entry.body["label"], "run": row.id}


@pytest.mark.parametrize("way", WAYS)
async def test_what_a_message_said_is_known_whichever_way_it_takes(
    tmp_path: Path, desk: Desk, way: str
) -> None:
    waits = way == "by an event that another run waits for"
    code = TOLD + WAYS[way] + (WAITS if waits else PUT)
    root = write_project(tmp_path / "project", desk.base, code, rules=PERMIT + NEVER)
    async with running(root) as world:
        if waits:
            run = await world.send(type="test.ask", item="a")
            await world.state(run, "waiting")
        await world.send(type="test.word", item="a")
        ended = await last(world, "passes" if way == "directly" else "puts")
        assert ended["label"] == "refused"
        assert desk.seen == []


@pytest.mark.parametrize("waits", [False, True])
async def test_what_has_another_origin_goes_on(tmp_path: Path, desk: Desk, waits: bool) -> None:
    code = TOLD + WAYS["directly"] + (WAITS if waits else PUT)
    root = write_project(tmp_path / "project", desk.base, code, rules=PERMIT + NEVER)
    async with running(root) as world:
        run = await world.send(type="test.ask", item="a")
        if waits:
            await world.state(run, "waiting")
            await world.send(type="test.told", item="b")
        assert await world.label(run) == "done(put)"
        [intent] = world.entries(run, "intent")
        assert intent.body
        assert intent.body["origins"] == ["test.ask", *(["test.told"] if waits else [])]
        assert intent.body["untrusted"] is True


async def test_it_is_known_after_a_restart(tmp_path: Path, desk: Desk) -> None:
    code = (
        TOLD
        + WAYS["by a run that it sends"]
        + PUT.replace("    got =", "    await sleep(seconds(1))\n    got =")
    )
    root = write_project(tmp_path / "project", desk.base, code, rules=PERMIT + NEVER)
    async with running(root, sound=False) as world:
        await world.send(type="test.word", item="a")
        await world.until(lambda view: view.runs(states=["waiting"], automation="puts", limit=1))
    async with running(root) as world:
        assert (await last(world, "puts"))["label"] == "refused"
    assert desk.seen == []


SAID = """
@automation(on=Ask, agent=worker)
async def puts(event: Event[Ask]) -> Outcome:
    said = await attempt(desk.write(item="x"))
    assert isinstance(said, ActionError)
    got = await attempt(desk.put(item=said.reason[:20]))
    return gave_up("refused") if isinstance(got, ActionError) else done("put")
"""


async def test_why_something_was_not_done_is_the_services_word_too(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("status", 422))
    never = NEVER.replace("test.word", "desk.write")
    root = write_project(tmp_path / "project", desk.base, SAID, rules=PERMIT + never)
    async with running(root) as world:
        run = await world.send(type="test.ask", item="a")
        assert await world.label(run) == "gave_up(refused)"

"""Leaving over HTTP: nothing new comes in or starts, what is being sent is waited for, the process ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import so
from tests.support.serving import PEOPLE, SERVER, serving

CODE = """
@automation(on=Ask, agent=worker)
async def writes(event: Event[Ask]) -> Outcome:
    await desk.write(item=event.data.item)
    await desk.write(item=event.data.item + "2")
    return done()
"""


async def test_what_is_being_sent_is_waited_for_and_nothing_new_comes_in(tmp_path: Path, desk: Desk) -> None:
    desk.hold = asyncio.Event()
    root = write_project(tmp_path, desk.base, CODE, toml=SERVER + PEOPLE)
    async with serving(root) as served:
        run = await served.send("1", item="a")
        await desk.seen_of(1)
        assert (await served.http.post("/v1/leaving", json={})).status_code == 401
        await served.speak_as("maya")
        assert (await served.http.post("/v1/leaving", json={"within_s": "soon"})).status_code == 422
        assert (await served.http.get("/v1/stops")).json()["stops"] == []
        leaving = asyncio.ensure_future(served.http.post("/v1/leaving", json={"within_s": 20}))
        await so(lambda: served.app.kernel.parts.stops.in_way() == "all")
        assert (await served.http.get("/readyz")).status_code == 503
        late = await served.http.post("/v1/stops", json={"scope": "all"})
        assert late.status_code == 503 and "this process is moving" in late.json()["detail"]
        assert not leaving.done() and not served.stop.is_set()
        desk.hold.set()
        assert (await leaving).json() == {"open": []}
        assert served.stop.is_set()
        assert {path: row.state for path, row in served.app.actions(run).items()} == {"1": "settled"}
    assert len(desk.writes) == 1


async def test_what_takes_too_long_is_not_waited_for(tmp_path: Path, desk: Desk) -> None:
    desk.hold = asyncio.Event()
    root = write_project(tmp_path, desk.base, CODE, toml=SERVER + PEOPLE)
    async with serving(root) as served:
        run = await served.send("1", item="a")
        await desk.seen_of(1)
        await served.speak_as("maya")
        answer = await served.http.post("/v1/leaving", json={"within_s": 0})
        assert answer.json() == {"open": [f"{run}/1"]}
        desk.hold.set()

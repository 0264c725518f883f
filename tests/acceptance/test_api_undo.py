"""Undoing over HTTP and from the command line: a person's decision, told as what it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.acceptance.test_actions_undo import UNDOABLE
from tests.support.command import deputize
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.serving import PEOPLE, SERVER, serving

MAKES = """
@automation(on=Ask, agent=worker)
async def makes(event: Event[Ask]) -> Outcome:
    await desk.make(item="a")
    await desk.put(item="p")
    return done()
"""


def project(root: Path, desk: Desk) -> Path:
    return write_project(root, desk.base, MAKES, toml=SERVER + PEOPLE, connector=UNDOABLE)


async def test_a_run_is_undone_over_http_and_its_card_is_noted(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        run = await served.send("1")
        await served.app.ended(run)
        assert (await served.http.post(f"/v1/runs/{run}/undo", json={})).status_code == 401
        await served.speak_as("maya")
        nothing = await served.http.post(f"/v1/runs/{run}/undo", json={"path": "2"})
        assert nothing.status_code == 409 and "there is no undo for it" in nothing.json()["detail"]
        answer = await served.http.post(f"/v1/runs/{run}/undo", json={"reason": "a mistake"})
        assert (answer.status_code, answer.json()["said"]) == (202, "undoing 1 action")
        await served.app.card()
        (card,) = (await served.http.get("/v1/inbox")).json()["cards"]
        assert card["title"] == "1 of 2 actions are undone; not desk.put (2): there is no undo for it"
        assert [way["command"].split()[1] for way in card["answers"]] == ["resolve", "undo"]
        told = (await served.http.get(f"/v1/actions/{run}/undo/1")).json()
        assert told["action"]["state"] == "settled"
        why = (await served.http.get(f"/v1/why/{run}")).json()["sentences"]
        assert any("maya began to undo 1 of its actions: a mistake." in line for line in why)
        noted = await served.http.post(f"/v1/inbox/{card['id']}/answer", json={"kind": "noted"})
        assert noted.json()["said"] == "noted"
        assert (await served.http.get("/v1/inbox")).json()["cards"] == []


async def test_a_run_is_undone_from_the_command_line(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        run = await served.send("1")
        await served.app.ended(run)

        async def command(*words: str) -> tuple[int, str]:
            done = await asyncio.to_thread(deputize, tmp_path, *words)
            return done.code, done.out + done.err

        code, said = await command("undo", run)
        assert code != 0 and "deputize login" in said
        assert (await command("login", "maya"))[0] == 0
        code, said = await command("undo", run, "--reason", "a mistake")
        assert code == 0 and said.startswith(f"Run {run}: undoing 1 action; `deputize why {run}`")
        await served.app.card()
        _, said = await command("inbox")
        assert "1 of 2 actions are undone" in said and f"deputize resolve {run}/undo/ noted" in said
        code, said = await command("resolve", f"{run}/undo/", "noted")
        assert code == 0, said
        assert "Nothing waits for a person" in (await command("inbox"))[1]
        code, said = await command("undo", run)
        assert code == 1 and "nothing of run" in said

"""Clients that give up, call again, or call off: what is meant once is done once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest
from mcp.shared.exceptions import MCPError

from deputize.api import calling
from tests.support.desk import Desk
from tests.support.elsewhere import REVISIONS, meta, peer, project, text_of, token_of
from tests.support.fixtures import desk as desk
from tests.support.running import ShiftedClock
from tests.support.serving import Served, serving

WRITE = {"tool": "desk-write", "arguments": {"item": "a"}}


async def write(served: Served, token: str, **more: object) -> dict[str, object]:
    speaks = {"authorization": f"Bearer {token}"}
    answer = await served.http.post("/v1/agents/partner/calls", json=WRITE | more, headers=speaks)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_client_that_gave_up_and_calls_again_has_the_answer_that_nobody_had(
    tmp_path: Path, desk: Desk
) -> None:
    clock = ShiftedClock()
    desk.hold = asyncio.Event()
    async with serving(project(tmp_path, desk), clock=clock) as served:
        token = await token_of(served)
        first = await write(served, token, wait_s=0)
        assert first["state"] == "not_finished"
        desk.hold.set()
        await served.app.ended(str(first["run"]))
        again = await write(served, token)
        assert (again["run"], again["state"]) == (first["run"], "done") and len(desk.writes) == 1
        # It was handed out: from now on the same means once more.
        anew = await write(served, token, wait_s=0)
        assert anew["run"] != first["run"] and anew["call"] != first["call"]
        await served.app.ended(str(anew["run"]))
        clock.shift_s += 1_000
        later = await write(served, token)
        assert later["run"] not in (first["run"], anew["run"])
        await served.app.ended(str(later["run"]))
        assert len(desk.writes) == 3


async def test_two_of_the_same_at_the_same_time_are_one_and_two_with_ids_are_two(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk)) as served:
        token = await token_of(served)
        both = await asyncio.gather(write(served, token), write(served, token))
        assert both[0]["run"] == both[1]["run"] and len(desk.writes) == 1
        named = await asyncio.gather(*(write(served, token, call=f"c{n}") for n in (1, 1, 2)))
        assert len({str(one["run"]) for one in named}) == 2 and len(desk.writes) == 3
        speaks = {"authorization": f"Bearer {token}"}
        forged = await served.http.post(
            "/v1/agents/partner/calls", json=WRITE | {"call": f"same-{'a' * 24}-9"}, headers=speaks
        )
        assert forged.status_code == 422 and "are given here" in forged.json()["detail"]


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_lost_connection_calls_off_what_has_not_started_where_the_revision_says_so(
    tmp_path: Path, desk: Desk, revision: str
) -> None:
    desk.hold = asyncio.Event()
    async with serving(project(tmp_path, desk)) as served:
        token = await token_of(served)
        await write(served, token, call="sent", wait_s=0)
        await desk.seen_of(1)
        # It stands in line for the resource that the first one holds.
        async with peer(served.http.base_url, token, revision) as client:
            behind = asyncio.create_task(client.call_tool("desk-write", {"item": "a"}, meta=meta("behind")))
            run = await served.app.until(lambda view: next((r.id for r in view.runs() if r.no == 2), ""))
            behind.cancel()
            with pytest.raises((asyncio.CancelledError, MCPError, httpx2.HTTPError)):
                await behind
        if revision == "2026-07-28":
            await served.app.ended(run)
            assert [entry.body["kind"] for entry in served.app.entries(run, "ended") if entry.body] == [
                "cancelled"
            ]
        desk.hold.set()
        await served.app.ended(run)
        assert len(desk.writes) == (1 if revision == "2026-07-28" else 2)
        async with peer(served.http.base_url, token, revision) as client:
            told = await client.call_tool("deputize-result", {"call": "behind"})
            assert told.is_error == (revision == "2026-07-28"), text_of(told)
            assert not (await client.call_tool("deputize-result", {"call": "sent"})).is_error


async def test_so_many_calls_are_waited_for_at_once_and_no_more(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "AT_ONCE_MAX", 2)
    desk.hold = asyncio.Event()
    async with serving(project(tmp_path, desk)) as served:
        token = await token_of(served)
        held = [asyncio.create_task(write(served, token, call=f"c{n}")) for n in range(2)]
        await desk.seen_of(1)
        async with peer(served.http.base_url, token) as client:
            full = await client.call_tool("desk-read", {"item": "b"})
            assert full.is_error and "wait for one of them" in text_of(full)
            desk.hold.set()
            assert [one["state"] for one in await asyncio.gather(*held)] == ["done", "done"]
            assert not (await client.call_tool("desk-read", {"item": "b"})).is_error

"""`deputize mcp` on standard input and output, for agents that start it, over the life of a real process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp.shared.exceptions import MCPError

from tests.support.command import EXECUTABLE, deputize
from tests.support.desk import Desk
from tests.support.elsewhere import (
    REVISIONS,
    approved,
    euros,
    meta,
    peer,
    project,
    stdio_peer,
    text_of,
    token_of,
)
from tests.support.fixtures import desk as desk
from tests.support.running import WAIT_S
from tests.support.serving import serving


@asynccontextmanager
async def up(root: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A `deputize up` that can be killed."""
    process = await asyncio.create_subprocess_exec(
        EXECUTABLE, "up", "--project", str(root), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), WAIT_S)
        assert line.startswith(b"Deputize is ready")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def given_token(root: Path, agent: str = "partner") -> str:
    """A token by the command that gives one."""
    done = await asyncio.to_thread(deputize, root, "mcp", "--agent", agent, "--token", "--json")
    assert done.code == 0, done.err
    return str(done.json()["token"])


def url_of(root: Path) -> str:
    return str(json.loads((root / "data" / "server.json").read_text())["url"])


@pytest.mark.parametrize("revision", REVISIONS)
async def test_an_agent_that_starts_the_command_calls_waits_and_gets_its_result(
    tmp_path: Path, desk: Desk, revision: str
) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served, stdio_peer(root, await token_of(served), revision) as client:
        assert len((await client.list_tools()).tools) == 7
        done = await client.call_tool("desk-write", {"item": "a"}, meta=meta("c"))
        assert not done.is_error and done.structured_content["item"] == "a", text_of(done)
        waits = await client.call_tool("desk-pay", {"account": "a", "amount": euros(80)})
        assert waits.structured_content["state"] == "waiting"
        await approved(served, waits.structured_content["run"])
        paid = await client.call_tool("deputize-result", {"call": waits.structured_content["call"]})
        assert paid.structured_content["item"] == "a"
        no = await client.call_tool("desk-write", {"item": "gold"})
        assert no.is_error and "Nothing is ever written about gold" in text_of(no)
        assert len(desk.writes) == 2


@pytest.mark.parametrize("named", ["by its id", "without an id"])
async def test_a_process_killed_between_call_and_answer_does_it_once(
    tmp_path: Path, desk: Desk, named: str
) -> None:
    root = project(tmp_path, desk)
    desk.hold = asyncio.Event()
    id = meta("c") if named == "by its id" else None
    async with up(root) as first:
        token = await given_token(root)
        async with stdio_peer(root, token) as client:
            asking = asyncio.create_task(client.call_tool("desk-write", {"item": "a"}, meta=id))
            await desk.seen_of(1)
            first.kill()
            await first.wait()
            desk.hold.set()
            # The command asks the process that comes after it, and the agent notices nothing.
            async with up(root):
                got = await asking
                assert not got.is_error, text_of(got)
                call = {"call": (got.meta or {})["deputize/call"]}
                while (got.structured_content or {}).get("state") in ("not_finished", "not_sure"):
                    got = await client.call_tool("deputize-result", call)
                assert got.structured_content["item"] == "a", text_of(got)
                if named == "by its id":
                    again = await client.call_tool("desk-write", {"item": "a"}, meta=id)
                    assert again.structured_content == got.structured_content
    assert len(desk.effects) == 1 and len({sent.key for sent in desk.writes}) == 1


async def test_a_client_over_http_that_lost_its_answer_with_the_process_asks_again_and_it_is_done_once(
    tmp_path: Path, desk: Desk
) -> None:
    root = project(tmp_path, desk)
    desk.hold = asyncio.Event()
    async with up(root) as first:
        token = await given_token(root)
        asking = asyncio.create_task(_write(url_of(root), token))
        await desk.seen_of(1)
        first.kill()
        await first.wait()
        assert await asking is None
    desk.hold.set()
    async with up(root):
        for _ in range(100):
            got = await _write(url_of(root), token)
            assert got is not None
            if "item" in got:
                break
        assert got["item"] == "a" and len(desk.effects) == 1
        assert len({sent.key for sent in desk.writes}) == 1


async def _write(url: str, token: str) -> dict[str, object] | None:
    """The same call, without an id; None where no answer came."""
    try:
        async with peer(url, token) as client:
            got = await client.call_tool("desk-write", {"item": "a"})
            return dict(got.structured_content)
    except (MCPError, httpx2.HTTPError, ExceptionGroup):
        return None


async def test_what_a_client_calls_off_does_not_start_and_what_is_sent_stays_sent(
    tmp_path: Path, desk: Desk
) -> None:
    root = project(tmp_path, desk)
    desk.hold = asyncio.Event()
    async with serving(root) as served, stdio_peer(root, await token_of(served)) as client:
        sent = asyncio.create_task(client.call_tool("desk-write", {"item": "a"}, meta=meta("sent")))
        await desk.seen_of(1)
        # It stands in line for the resource that the first one holds.
        behind = asyncio.create_task(client.call_tool("desk-write", {"item": "a"}, meta=meta("behind")))
        run = await served.app.until(
            lambda view: next((r.id for r in view.runs() if r.no == 2 and r.state != "ended"), "")
        )
        behind.cancel()
        await served.app.ended(run)
        (ended,) = served.app.entries(run, "ended")
        assert ended.body is not None and ended.body["kind"] == "cancelled"
        desk.hold.set()
        assert (await sent).structured_content["item"] == "a"
        told = await client.call_tool("deputize-result", {"call": "behind"})
        assert told.is_error and "It was cancelled. Nothing was done." in text_of(told)
        assert len(desk.writes) == 1


async def test_nothing_but_the_protocol_is_on_standard_output(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    noisy = (root / "connectors" / "desk.py").read_text()
    (root / "connectors" / "desk.py").write_text(f'print("hello from the project")\n{noisy}')
    async with serving(root) as served:
        token = await token_of(served)
        lines = [
            {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"}}},
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
                "name": "desk-read", "arguments": {"item": "a"}}},
        ]  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            EXECUTABLE, "mcp", "--agent", "partner", "--project", str(root),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "DEPUTIZE_AGENT_TOKEN": token},
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        got = []
        process.stdin.write(b"this is no message\n")
        for line in lines:
            process.stdin.write(json.dumps(line).encode() + b"\n")
        await process.stdin.drain()
        while not any(one.get("id") == 2 for one in got):
            got.append(json.loads(await asyncio.wait_for(process.stdout.readline(), WAIT_S)))
        process.stdin.close()
        rest = await asyncio.wait_for(process.stdout.read(), WAIT_S)
        assert await asyncio.wait_for(process.wait(), WAIT_S) == 0 and rest == b""
        assert all(one["jsonrpc"] == "2.0" for one in got)


async def test_the_command_does_not_serve_one_agent_by_the_token_of_another(
    tmp_path: Path, desk: Desk
) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served:
        other = await token_of(served, "other")
        for agent, said in (("partner", "only a token of partner's"), ("partnre", "did you mean 'partner'")):
            no = await asyncio.to_thread(deputize, root, "mcp", "--agent", agent, DEPUTIZE_AGENT_TOKEN=other)
            assert (no.code, no.out) == (1, "") and said in no.err, no.err


def test_the_library_is_read_in_only_where_somebody_comes() -> None:
    rooms = "deputize.api.app, deputize.console.app, deputize.cli.up, deputize.cli.app, deputize.system"
    code = f"import sys, {rooms}; print([name for name in sys.modules if name.partition('.')[0] == 'mcp'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_says_what_is_wrong_before_it_serves(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    made = subprocess.run([EXECUTABLE, "init", "shop"], cwd=tmp_path, capture_output=True, check=False)
    assert made.returncode == 0
    none = deputize(root, "mcp", "--agent", "partner")
    assert none.code == 2 and none.out == "" and "DEPUTIZE_AGENT_TOKEN holds no token" in none.err
    away = deputize(root, "mcp", "--agent", "partner", DEPUTIZE_AGENT_TOKEN=f"dpa_{'x' * 43}")
    assert away.code == 3 and away.out == "" and "deputize up" in away.err
    assert deputize(root, "mcp").code == 2

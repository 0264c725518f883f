"""The log: what goes wrong; with `log = "info"` a line for what happens, with ids and no content."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

from tests.acceptance.test_telemetry_traces import ASK, CODE
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.serving import PEOPLE, SERVER, child, cloudevent

FAILS = """
@automation(on=Ask, agent=worker)
async def fails(event: Event[Ask]) -> Outcome:
    raise ValueError("canary")
@webhook("hook", verify=hmac_sha256(header="X-Sign", secret="env:CANARY_HOOK"))
def hook(payload):
    raise ValueError("canary" * 3000)
"""


async def lives(root: Path) -> list[dict[str, Any]]:
    """The lines of a small history: an approval, a stop, runs that end."""
    async with child(root) as server:
        assert server.url, await server.wait()
        async with httpx2.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as http:
            key = (root / "data" / "operator.key").read_text().strip()
            made = await http.post("/v1/people/maya/tokens", headers={"authorization": f"Bearer {key}"})
            maya = {"authorization": f"Bearer {made.json()['token']}"}
            sent = await http.post(
                "/v1/events", json=cloudevent("1", "test.word", item="canary", text="canary")
            )
            run = sent.json()["accepted"][0]["runs"][0]
            async with asyncio.timeout(30):
                while not (cards := (await http.get("/v1/inbox")).json()["cards"]):
                    pass
            answer = {"kind": "approve", "binding": cards[0]["binding"]}
            done = await http.post(f"/v1/inbox/{cards[0]['id']}/answer", json=answer, headers=maya)
            assert done.status_code == 200, done.text
            for stop in (True, False):
                if stop:
                    scope = {"scope": "agent:worker", "reason": "canary"}
                    assert (await http.post("/v1/stops", json=scope, headers=maya)).status_code == 200
                else:
                    assert (await http.delete("/v1/stops/agent:worker", headers=maya)).status_code == 200
            async with asyncio.timeout(30):
                while (await http.get(f"/v1/runs/{run}")).json()["run"]["state"] != "ended":
                    pass
        server.process.terminate()
        code, errors = await server.wait()
    assert code == 0, errors
    assert "canary" not in errors
    return [json.loads(line) | {"mine": run} for line in errors.splitlines()]


async def test_by_default_nothing_is_written_while_all_is_well(tmp_path: Path, desk: Desk) -> None:
    root = write_project(tmp_path, desk.base, CODE, rules=ASK, toml=SERVER + PEOPLE)
    assert await lives(root) == []


async def test_at_info_there_is_a_line_for_each_run_card_and_stop(tmp_path: Path, desk: Desk) -> None:
    settings = SERVER + PEOPLE + '[telemetry]\nlog = "info"\n'
    root = write_project(tmp_path, desk.base, CODE, rules=ASK, toml=settings)
    lines = await lives(root)
    run = lines[0]["mine"]
    said = [one["event"] for one in lines]
    assert sorted(said) == [
        "a card was closed",
        "a card was opened",
        "a run ended",
        "let go on",
        "stopped",
    ]
    by = {one["event"]: one for one in lines}
    opened, closed, ended = by["a card was opened"], by["a card was closed"], by["a run ended"]
    assert opened["card"] == closed["card"] and opened["kind"] == "approval" and opened["path"] == "1"
    assert {opened["run"], closed["run"], ended["run"]} == {run}
    assert (ended["kind"], ended["automation"], ended["agent"], ended["level"]) == (
        "done",
        "two",
        "worker",
        "info",
    )
    assert ended["seconds"] > 0 and ended["entry"] > 0 and ended["at"].endswith("Z")
    assert by["stopped"]["scope"] == by["let go on"]["scope"] == "agent:worker"
    assert by["stopped"]["level"] == "warning"


async def test_at_warning_there_is_a_line_for_what_went_wrong_alone(tmp_path: Path, desk: Desk) -> None:
    settings = SERVER + PEOPLE + '[telemetry]\nlog = "warning"\n'
    root = write_project(tmp_path, desk.base, CODE, rules=ASK, toml=settings)
    assert [one["event"] for one in await lives(root)] == ["stopped"]


async def test_a_log_that_nobody_reads_holds_nothing_up(tmp_path: Path, desk: Desk) -> None:
    """Many long complaints, and a line for each run, into a pipe that is full for good."""
    settings = SERVER + '[telemetry]\nlog = "info"\n'
    root = write_project(tmp_path, desk.base, FAILS, toml=settings)
    environ = os.environ | {"CANARY_HOOK": "a-long-enough-secret"}
    reads, writes = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.serve_child",
        str(root),
        stdout=asyncio.subprocess.PIPE,
        stderr=writes,
        env=environ,
    )
    os.close(writes)
    try:
        assert process.stdout is not None
        url = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
        async with httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
            import hashlib
            import hmac

            body = b'{"a": 1}'
            good = hmac.new(b"a-long-enough-secret", body, hashlib.sha256).hexdigest()
            began = time.monotonic()
            for n in range(60):
                hooked = await http.post("/v1/webhooks/hook", content=body, headers={"X-Sign": good})
                assert hooked.status_code == 422
                await http.post("/v1/events", json=cloudevent(str(n)))
            assert time.monotonic() - began < 15
            dropped = [
                line
                for line in (await http.get("/metrics")).text.splitlines()
                if line.startswith("deputize_log_lines_dropped_total")
            ]
            assert float(dropped[0].split()[1]) > 0
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        os.close(reads)
        if process.returncode is None:
            process.kill()
            await process.wait()

"""Who may call for an agent, what they are shown, and what they send that cannot be taken."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult

from deputize.elsewhere import type_of
from deputize.moving.copies import mark_copy
from tests.support.desk import Desk
from tests.support.elsewhere import REVISIONS, meta, peer, project, text_of, token_of
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT
from tests.support.running import ShiftedClock
from tests.support.serving import Served, serving

DAY_S = 86_400.0
SECRET = "a-secret-that-nobody-shows"


async def call(served: Served, token: str, body: Any, agent: str = "partner") -> httpx2.Response:
    headers = {"authorization": f"Bearer {token}"}
    return await served.http.post(f"/v1/agents/{agent}/calls", json=body, headers=headers)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_what_there_is_to_call_is_told_by_contracts_and_rules_and_in_one_order(
    tmp_path: Path, desk: Desk, revision: str
) -> None:
    async with (
        serving(project(tmp_path, desk)) as served,
        peer(served.http.base_url, await token_of(served), revision) as client,
    ):
        listed = await client.list_tools()
        tools = {tool.name: tool for tool in listed.tools}
        assert list(tools) == sorted(
            ["deputize-result", *(f"desk-{n}" for n in ("many", "pay", "plain", "put", "read", "write"))]
        )
        assert (await client.list_tools()).tools == listed.tools and listed.next_cursor is None
        pay = tools["desk-pay"]
        assert set(pay.input_schema["required"]) == {"account", "amount"}
        assert '"More than 50 euros waits for a person"' in (pay.description or "")
        assert "It changes something. What is at stake: money." in (pay.description or "")
        assert '"Nothing is ever written about gold"' in (tools["desk-write"].description or "")
        hints = {name: tool.annotations for name, tool in tools.items()}
        assert hints["desk-read"] is not None and hints["desk-read"].read_only_hint
        assert hints["desk-pay"] is not None and not hints["desk-pay"].read_only_hint
        assert hints["desk-pay"].destructive_hint and not hints["desk-pay"].idempotent_hint
        assert hints["desk-put"] is not None and hints["desk-put"].idempotent_hint


async def test_what_no_rule_permits_is_not_listed_and_refused_where_it_is_called(
    tmp_path: Path, desk: Desk
) -> None:
    rules = PERMIT.replace('"desk.*"', '"desk.read"')
    async with (
        serving(project(tmp_path, desk, rules)) as served,
        peer(served.http.base_url, await token_of(served)) as client,
    ):
        assert [tool.name for tool in (await client.list_tools()).tools] == ["deputize-result", "desk-read"]
        no = await client.call_tool("desk-write", {"item": "a"})
        assert no.is_error and no.structured_content["state"] == "refused" and desk.writes == []


async def test_a_long_list_of_tools_comes_in_pages(tmp_path: Path, desk: Desk) -> None:
    more = "".join(
        f'@connector.operation(effect="read", **QUICK)\nasync def r{n:03}(call: Call) -> str: return ""\n'
        for n in range(120)
    )
    agents = 'partner = agent("partner", may=[f"desk.r{n:03}" for n in range(120)], elsewhere=True)\n'
    root = project(tmp_path, desk, agents=agents)
    with (root / "connectors" / "desk.py").open("a") as file:
        file.write(more)
    async with (
        serving(root) as served,
        peer(served.http.base_url, await token_of(served)) as client,
    ):
        names: list[str] = []
        cursor, pages = None, 0
        while pages == 0 or cursor is not None:
            page = await client.list_tools(cursor=cursor)
            names += [tool.name for tool in page.tools]
            cursor, pages = page.next_cursor, pages + 1
        assert pages == 3 and len(names) == 121 and names == sorted(set(names))


async def test_nobody_calls_for_an_agent_without_a_token_of_it(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        body = {"tool": "desk-read", "arguments": {"item": "a"}}
        others = [await token_of(served, "other"), await served.token("maya")]
        for token in others:
            for answer in (
                await call(served, token, body),
                await served.http.post("/mcp/partner", json={}, headers={"authorization": f"Bearer {token}"}),
            ):
                assert answer.status_code == 403, answer.text
                assert "only a token of partner's speaks for it" in answer.json()["detail"]
        assert (await served.http.post("/v1/agents/partner/calls", json=body)).status_code == 403
        assert (await call(served, f"dpa_{'x' * 43}", body)).status_code == 401
        own = await token_of(served)
        assert (await call(served, own, body)).json()["state"] == "done"
        # It opens nothing else: no run, no inbox, no event, no token, and not what lives inside.
        speaks = {"authorization": f"Bearer {own}"}
        for path in ("/v1/runs", "/v1/inbox", "/v1/events", "/v1/agents", "/v1/me", "/", "/metrics"):
            assert (await served.http.get(path, headers=speaks)).status_code == 401, path
        event = {"specversion": "1.0", "source": "/t", "id": "1", "type": "test.ask", "data": {}}
        assert (await served.http.post("/v1/events", json=event, headers=speaks)).status_code == 401
        assert (await served.http.post("/v1/agents/partner/tokens", headers=speaks)).status_code == 401
        assert (await call(served, own, body, "inside")).status_code == 404
        with pytest.raises((MCPError, ExceptionGroup)):
            async with peer(served.http.base_url, others[0]) as client:
                await client.list_tools()


async def test_nobody_outside_sends_the_events_by_which_agents_call(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        data = {"operation": "desk.read", "args": {"item": "a"}}
        event = {"specversion": "1.0", "id": "1", "type": type_of("partner"), "data": data}
        # Neither what they say, nor the ids by which they are known.
        for source, type in (("/elsewhere", event["type"]), ("/mcp/partner", "test.ask")):
            sent = event | {"source": source, "type": type}
            answer = await served.http.post("/v1/events", json=sent)
            assert answer.status_code in (400, 422), answer.text
        assert served.app.read(lambda view: view.runs()) == []


async def test_a_token_of_an_agent_ends_and_can_be_taken_back(tmp_path: Path, desk: Desk) -> None:
    clock = ShiftedClock()
    async with serving(project(tmp_path, desk), clock=clock) as served:
        key = (served.app.system.project.settings.data / "operator.key").read_text().strip()
        operator = {"authorization": f"Bearer {key}"}
        made = await served.http.post(
            "/v1/agents/partner/tokens", json={"days": 2, "for": "their desk"}, headers=operator
        )
        assert made.status_code == 201, made.text
        token, body = made.json()["token"], {"tool": "desk-read", "arguments": {"item": "a"}}
        assert (await call(served, token, body)).status_code == 200
        (agents,) = [
            one
            for one in (await served.http.get("/v1/agents", headers=operator)).json()["agents"]
            if one["name"] == "partner"
        ]
        assert [one["for"] for one in agents["tokens"]] == ["their desk"] and token not in str(agents)
        another = await served.http.post("/v1/agents/partner/tokens", headers=operator)
        path = f"/v1/agents/partner/tokens/{another.json()['id']}"
        assert (await served.http.delete(path, headers=operator)).status_code == 200
        assert (await call(served, another.json()["token"], body)).status_code == 401
        clock.shift_s += 3 * DAY_S
        assert (await call(served, token, body)).status_code == 401
        bad = await served.http.post("/v1/agents/partner/tokens", json={"days": 999}, headers=operator)
        assert bad.status_code == 422 and bad.json()["field"] == "days"
        assert (await served.http.post("/v1/agents/inside/tokens", headers=operator)).status_code == 404
        told = [
            entry.body for entry in served.app.read(lambda view: view.entries(0)) if entry.type == "person"
        ]
        assert [(one or {})["what"] for one in told] == ["token issued", "token issued", "token revoked"]


async def test_a_restored_copy_knows_no_token_of_before_and_one_that_moved_does(
    tmp_path: Path, desk: Desk
) -> None:
    root, body = project(tmp_path, desk), {"tool": "desk-read", "arguments": {"item": "a"}, "wait_s": 0}
    async with serving(root) as served:
        token = await token_of(served)
    for void, status in ((False, 200), (True, 401)):
        await mark_copy(root / "data" / "ledger.db", "restored", "a test", void=void)
        async with serving(root) as served:
            assert (await call(served, token, body)).status_code == status


@pytest.mark.parametrize("revision", REVISIONS)
async def test_what_does_not_fit_the_contract_is_a_no_that_says_what_would(
    tmp_path: Path, desk: Desk, revision: str
) -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    wrong: list[tuple[str, Any, str]] = [
        ("desk-pya", {}, "did you mean 'desk-pay'"),
        ("desk-think", {"item": "a"}, "may use nothing called"),
        ("desk-write", {"itm": "a"}, "did you mean 'item'"),
        ("desk-write", {"item": 7}, "valid string"),
        ("desk-write", {"item": deep}, "levels deep"),
        ("desk-write", {"item": "x" * 2_000_000}, "less than a million"),
        ("desk-pay", {"account": "a", "amount": {"minor": 1.5, "currency": "EUR"}}, "amount"),
        ("desk-pay", {"account": "a", "amount": {"minor": 10**30, "currency": "EUR"}}, "do not fit"),
        ("desk-pay", None, "account"),
    ]
    async with (
        serving(project(tmp_path, desk)) as served,
        peer(served.http.base_url, await token_of(served), revision) as client,
    ):
        for tool, args, said in wrong:
            no = await client.call_tool(tool, args)
            assert no.is_error and said in text_of(no), (tool, text_of(no)[:300])
        ids = await client.call_tool("desk-read", {"item": "a"}, meta=meta("two words"))
        assert ids.is_error and "a call's id has" in text_of(ids)
        await client.call_tool("desk-read", {"item": "a"}, meta=meta("mine"))
        other = await client.call_tool("desk-read", {"item": "b"}, meta=meta("mine"))
        assert other.is_error and "was for something else" in text_of(other)
        none = await client.call_tool("deputize-result", {"call": "nobody's"})
        assert none.is_error and "has made no call" in text_of(none)
        assert desk.writes == []
        # The library itself may not read it.
        with contextlib.suppress(MCPError):
            assert (await client.call_tool("desk-write", {"item": "x" * 11_000_000})).is_error
        assert desk.writes == []
        long = await client.call_tool("desk-plain", {"item": "y" * 10_000})
        assert not long.is_error and long.structured_content["item"] == "y" * 10_000


async def test_bytes_that_are_no_message_are_refused_and_nothing_breaks(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        token = await token_of(served)
        for revision in REVISIONS:
            headers = {
                "authorization": f"Bearer {token}",
                "accept": "application/json, text/event-stream",
                "content-type": "application/json",
                "mcp-protocol-version": revision,
            }
            for body in (b"", b"\xff\xfe", b"[" * 100_000, b"[]", b"null", b'{"jsonrpc": "2.0"}', b"{" * 50):
                # Its errors are MCP's own, and not those of the API.
                async with httpx2.AsyncClient(base_url=served.http.base_url, trust_env=False) as http:
                    answer = await http.post("/mcp/partner", content=body, headers=headers)
                assert 400 <= answer.status_code < 500, (body[:20], answer.status_code, answer.text[:200])
        speaks = {"authorization": f"Bearer {token}"}
        for item in (b'"\\ud800"', b"[" * 5_000 + b"]" * 5_000, b'{"a":' * 900 + b"1" + b"}" * 900):
            given = b'{"tool": "desk-write", "arguments": {"item": ' + item + b"}}"
            answer = await served.http.post("/v1/agents/partner/calls", content=given, headers=speaks)
            assert answer.status_code in (400, 422) and desk.writes == []
        for body in ({"tool": 7}, {"tool": "desk-read", "wait_s": "long"}, {"tool": "desk-read", "call": []}):
            assert (await call(served, token, body)).status_code == 422


async def test_no_secret_is_in_what_comes_back(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, before = project(tmp_path, desk), meta("before")
    desk.pages["/items/leak"] = {"item": f"it is {SECRET}", "key": ""}
    async with serving(root) as served:
        token = await token_of(served)
        async with peer(served.http.base_url, token) as client:
            told = await client.call_tool("desk-read", {"item": "leak"}, meta=before)
            assert SECRET in told.model_dump_json()
    # From now on it is one.
    monkeypatch.setenv("DESK_TOKEN", SECRET)
    settings = (root / "deputize.toml").read_text()
    (root / "deputize.toml").write_text(
        settings.replace(f'base = "{desk.base}"', f'base = "{desk.base}"\ntoken = "env:DESK_TOKEN"')
    )
    async with (
        serving(root) as served,
        peer(served.http.base_url, token) as client,
    ):
        for id in (before, meta("after")):
            told = await client.call_tool("desk-read", {"item": "leak"}, meta=id)
            assert not told.is_error and SECRET not in told.model_dump_json()
            assert "[secret" in told.model_dump_json()
        sent = await client.call_tool("desk-read", {"item": SECRET}, meta=meta("c", f"because {SECRET}"))
        assert SECRET not in sent.model_dump_json()
        assert all(SECRET not in str(entry.body) for entry in served.app.entries(sent.meta["deputize/run"]))  # type: ignore[index]


async def test_a_process_that_stops_answers_who_waits_and_says_how_to_go_on(
    tmp_path: Path, desk: Desk
) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served:
        token = await token_of(served)
        await served.app.kernel.people.stop("agent:partner", "for a test", "maya")
        asking = asyncio.create_task(_write_c(served, token))
        await served.app.until(lambda view: view.runs())
        served.stop.set()
        told = await asking
        assert told.structured_content["state"] == "not_finished" and "a halt" in text_of(told)
    async with serving(root) as served:
        await served.app.kernel.people.lift("agent:partner", "maya")
        done = await _write_c(served, token)
        assert done.structured_content["item"] == "a" and len(desk.writes) == 1


async def _write_c(served: Served, token: str) -> CallToolResult:
    async with peer(served.http.base_url, token) as client:
        # It looks up there what it is answered, and the process may be gone by then.
        await client.list_tools()
        return await client.call_tool("desk-write", {"item": "a"}, meta=meta("c"))


def test_an_agent_that_lives_elsewhere_says_what_it_may_call() -> None:
    from deputize import agent
    from deputize.errors import ProjectError

    with pytest.raises(ProjectError, match="needs may="):
        agent("partner", elsewhere=True)

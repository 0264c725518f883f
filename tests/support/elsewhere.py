"""A project with agents that live elsewhere, and the protocol's own client as a peer that calls for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from deputize.config import AGENT_TOKEN
from tests.support.command import EXECUTABLE
from tests.support.desk import Desk
from tests.support.project import PERMIT, write_project
from tests.support.running import WAIT_S
from tests.support.serving import PEOPLE, SERVER, Served

REVISIONS = ("2025-11-25", "2026-07-28")

AGENTS = """
calls = ["desk.pay", "desk.write", "desk.read", "desk.plain", "desk.put", "desk.many"]
partner = agent("partner", may=calls, elsewhere=True)
other = agent("other", may=["desk.read"], elsewhere=True)
inside = agent("inside", may=["desk.read"])
"""

MANY = '''
@connector.operation(effect="read", **QUICK)
async def many(call: Call, item: str) -> list[str]:
    """Several of them."""
    return [item, (await call.get(f"/items/{item}")).json()["item"]]
'''

RULES = (
    PERMIT
    + """
[[rule]]
title = "More than 50 euros waits for a person"
operation = "desk.pay"
ask_above = { amount = "50.00 EUR" }
ask = "finance"
within = "2 hours"
[[rule]]
title = "Nothing is ever written about gold"
operation = "desk.write"
when = { item = "gold" }
never = true
"""
)


def project(tmp_path: Path, desk: Desk, rules: str = RULES, agents: str = AGENTS, **options: Any) -> Path:
    """The project; its partner may use most of the desk."""
    more = SERVER + PEOPLE + options.pop("toml", "")
    return write_project(
        tmp_path, desk.base, "", rules=rules, agents=agents, connector=MANY, toml=more, **options
    )


async def token_of(served: Served, agent: str = "partner") -> str:
    """A new token of an agent's."""
    _, token = await served.app.kernel.agent_tokens.issue(agent, "the tests")
    return str(token)


def _mode(revision: str) -> str:
    return "legacy" if revision == "2025-11-25" else revision


@asynccontextmanager
async def peer(
    url: object, token: str, revision: str = REVISIONS[0], agent: str = "partner"
) -> AsyncIterator[Client]:
    """The protocol's client, over HTTP."""
    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=WAIT_S, trust_env=False) as http:
        transport = streamable_http_client(f"{str(url).rstrip('/')}/mcp/{agent}", http_client=http)
        async with Client(transport, mode=_mode(revision), read_timeout_seconds=WAIT_S) as client:
            yield client


@asynccontextmanager
async def stdio_peer(
    root: Path, token: str, revision: str = REVISIONS[0], agent: str = "partner"
) -> AsyncIterator[Client]:
    """The protocol's client, which starts `deputize mcp`."""
    command = StdioServerParameters(
        command=EXECUTABLE,
        args=["mcp", "--agent", agent, "--project", str(root)],
        env={AGENT_TOKEN: token},
    )
    async with Client(command, mode=_mode(revision), read_timeout_seconds=WAIT_S) as client:
        yield client


def text_of(result: CallToolResult) -> str:
    """The words of an answer."""
    return "\n".join(getattr(part, "text", "") for part in result.content)


def euros(amount: int) -> dict[str, Any]:
    """An amount as it is written in JSON."""
    return {"minor": amount * 100, "currency": "EUR"}


def meta(call: str, because: str = "") -> Any:
    """`_meta` that gives a call its id, and says why."""
    return {"deputize/call": call} | ({"deputize/because": because} if because else {})


async def approved(served: Served, run: str, person: str = "kim", kind: str = "approve", **more: Any) -> None:
    """Have a person answer what the call of a run waits for."""
    (card,) = [card for card in (await served.http.get("/v1/inbox")).json()["cards"] if card["run"] == run]
    headers = {"authorization": f"Bearer {await served.token(person)}"}
    body = {"kind": kind, "binding": card["binding"], "reason": "too much"} | more
    answer = await served.http.post(f"/v1/inbox/{card['id']}/answer", json=body, headers=headers)
    assert answer.status_code == 200, answer.text

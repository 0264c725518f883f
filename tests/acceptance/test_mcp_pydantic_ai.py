"""An agent of pydantic-ai, with its own MCP client, does a refund within the rules of a shop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastmcp.client.transports import StreamableHttpTransport
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.function import AgentInfo, FunctionModel

from tests.support.desk import Desk
from tests.support.elsewhere import approved, euros, project, token_of
from tests.support.fixtures import desk as desk
from tests.support.serving import Served, serving


def toolset(served: Served, token: str) -> MCPToolset[None]:
    url = f"{str(served.http.base_url).rstrip('/')}/mcp/partner"
    return MCPToolset(StreamableHttpTransport(url, headers={"authorization": f"Bearer {token}"}))


async def test_an_agent_of_pydantic_ai_does_a_refund_that_waits_for_a_person(
    tmp_path: Path, desk: Desk
) -> None:
    """It is told that it waits, and says so; asked once more after a person's yes, it has the result."""
    args = {"account": "ch_1", "amount": euros(80)}
    seen: list[Any] = []

    def think(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        assert {tool.name for tool in info.function_tools} >= {"desk-pay", "deputize-result"}
        returned = [p for m in messages for p in m.parts if isinstance(p, ToolReturnPart)]
        seen[:] = [p.content for p in returned]
        if not returned:
            return ModelResponse(parts=[ToolCallPart("desk-pay", args)])
        if messages[-1].parts[-1] is returned[-1]:
            return ModelResponse(parts=[TextPart("told")])
        return ModelResponse(parts=[ToolCallPart("deputize-result", {"call": seen[0]["call"]})])

    async with serving(project(tmp_path, desk)) as served:
        agent = Agent(FunctionModel(think), toolsets=[toolset(served, await token_of(served))])
        async with agent:
            first = await agent.run("refund order 1")
            assert seen[-1]["state"] == "waiting" and "Waiting for approval" in seen[-1]["said"]
            assert desk.writes == []
            await approved(served, seen[-1]["run"])
            await agent.run("and now?", message_history=first.all_messages())
        assert seen[-1]["item"] == "ch_1" and len(desk.writes) == 1


async def test_a_refusal_is_told_to_its_model_in_words(tmp_path: Path, desk: Desk) -> None:
    told: list[str] = []

    def think(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        last = messages[-1].parts[-1]
        if last.part_kind in ("tool-return", "retry-prompt"):
            told.append(str(last.content))  # type: ignore[union-attr]
            return ModelResponse(parts=[TextPart("I may not")])
        return ModelResponse(parts=[ToolCallPart("desk-write", {"item": "gold"})])

    async with serving(project(tmp_path, desk)) as served:
        agent = Agent(FunctionModel(think), toolsets=[toolset(served, await token_of(served))])
        async with agent:
            assert (await agent.run("write")).output == "I may not"
        assert "Nothing is ever written about gold" in told[0] and desk.writes == []

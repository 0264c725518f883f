"""LangGraph's agent in a loop of ten calls: `create_agent`, AsyncSqliteSaver, durability="sync".

`langchain.agents.create_agent` is the agent that runs on LangGraph today; its node of tools is LangGraph's.
The saver puts its database in WAL mode itself; synchronous=FULL is set, and read back, on the one connection
that it uses. The tool returns at once and does nothing. Retries and tracing are off.
"""

import asyncio
from importlib.metadata import version
from pathlib import Path

import aiosqlite
from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from bench.answering import answering
from bench.measure import expect_count, main
from bench.peers.langgraph_peer import sync_fully
from bench.peers.loop import ASKED, STEPS, TOOL, WARM_UP_RUNS, loops_per_s


async def _note(item: str) -> str:
    """Note an item."""
    return item


def measure_loops_per_s(runs: int, concurrency: int, directory: Path) -> float:
    """Loops a second, each of ten calls and eleven questions, `concurrency` at once."""
    database = directory / "langgraph.db"
    with answering() as base:
        value = asyncio.run(_loops(base, runs, concurrency, database))
    steps = "SELECT count(*) FROM checkpoints WHERE json_extract(metadata, '$.step') > 0"
    expect_count(database, steps, (runs + WARM_UP_RUNS) * STEPS)
    return value


async def _loops(base: str, runs: int, concurrency: int, database: Path) -> float:
    model = ChatOpenAI(model="stub", base_url=base, api_key="none", max_retries=0, use_responses_api=False)
    async with aiosqlite.connect(database) as connection:
        saver = AsyncSqliteSaver(connection)
        await saver.setup()
        await sync_fully(connection)
        tool = StructuredTool.from_function(coroutine=_note, name=TOOL)
        agent = create_agent(model, [tool], checkpointer=saver)

        async def run(number: int) -> str:
            config: RunnableConfig = {"configurable": {"thread_id": str(number)}, "recursion_limit": 100}
            asked = {"messages": [{"role": "user", "content": ASKED}]}
            ended = await agent.ainvoke(asked, config, durability="sync")
            return str(ended["messages"][-1].content)

        return await loops_per_s(run, runs, concurrency)


if __name__ == "__main__":
    main("langgraph", version("langgraph"), {"loops_per_s": measure_loops_per_s})

"""pydantic-ai's agent with DBOS in a loop of ten calls: `DBOSDurability`, its system database in SQLite.

Each question to the model is a step of DBOS by itself, and each call because its tool is one, which is how
pydantic-ai's pages say to do it. The tool returns at once and does nothing. Retries are off.

An agent's client belongs to one event loop, so all workflows are asynchronous and on one; threads, each with
a `run_sync` of its own, end in an error. Eight executor threads in place of the usual six made no difference
beyond the noise.
"""

import asyncio
from importlib.metadata import version
from pathlib import Path

from dbos import DBOS
from pydantic_ai import Agent, Tool
from pydantic_ai.durable_exec.dbos import DBOSDurability
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

from bench.answering import answering
from bench.measure import expect_count, main
from bench.peers.dbos_peer import launched
from bench.peers.loop import ASKED, STEPS, TOOL, WARM_UP_RUNS, Run, loops_per_s


async def _note(item: str) -> str:
    """Note an item."""
    return item


def measure_loops_per_s(runs: int, concurrency: int, directory: Path) -> float:
    """Loops a second, each of ten calls and eleven questions, `concurrency` at once."""
    database, whole = directory / "dbos.db", runs + WARM_UP_RUNS
    with answering() as base:
        run = _workflow(base)
        with launched(database):
            value = asyncio.run(loops_per_s(run, runs, concurrency))
    expect_count(database, "SELECT count(*) FROM operation_outputs WHERE output IS NOT NULL", whole * STEPS)
    expect_count(database, "SELECT count(*) FROM workflow_status WHERE status = 'SUCCESS'", whole)
    return value


def _workflow(base: str) -> Run:
    agent = Agent(
        OpenAIChatModel("stub", provider=OpenAIProvider(base_url=base, api_key="none")),
        name="looper",
        tools=[Tool(DBOS.step(name="note")(_note), name=TOOL)],
        model_settings=ModelSettings(max_retries=0),
        capabilities=[DBOSDurability()],
    )

    async def loop(number: int) -> str:
        return (await agent.run(ASKED)).output

    run: Run = DBOS.workflow(name="loop")(loop)
    return run


if __name__ == "__main__":
    main("dbos", version("dbos"), {"loops_per_s": measure_loops_per_s})

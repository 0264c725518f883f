"""LangGraph on the work: a graph of three nodes in a row, AsyncSqliteSaver, durability="sync".

The saver puts its database in WAL mode itself; synchronous=FULL is set, and read back, on the one
connection it uses. The graph's state is one number. The functional API (`@entrypoint`, `@task`) is not
used: it stores a task's result in the background, so the next task may start before the commit, whereas
a graph with durability="sync" waits for each node's checkpoint. Tracing is off.

A run is nine commits: five checkpoints (input, start, three nodes) and four sets of writes (start and
three nodes). To count the syncs:
`strace -f -c -e trace=fdatasync .venv-bench/bin/python -m bench.peers.langgraph_peer …`.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from bench.measure import STEPS_PER_RUN, WARM_UP_RUNS, WorkNotDone, expect_count, main

Run = Callable[[int], Awaitable[None]]


class State(TypedDict):
    """What a run keeps between its steps."""

    number: int


async def _write_nothing(state: State) -> State:
    return {"number": state["number"]}


def measure_throughput(runs: int, concurrency: int, directory: Path) -> float:
    """Runs per second with `concurrency` workers, each starting its next run as the last one ends."""
    return asyncio.run(_throughput(runs, concurrency, directory / "langgraph.db"))


def measure_latency(runs: int, concurrency: int, directory: Path) -> float:
    """Median milliseconds of one run, one at a time; `concurrency` has no part in it."""
    return asyncio.run(_latency(runs, directory / "langgraph.db"))


async def _throughput(runs: int, concurrency: int, database: Path) -> float:
    warm_up_runs = max(WARM_UP_RUNS, concurrency)
    async with _graph(database) as run:
        await _work_off(run, range(warm_up_runs), concurrency)
        started = time.perf_counter()
        await _work_off(run, range(warm_up_runs, warm_up_runs + runs), concurrency)
        elapsed_s = time.perf_counter() - started
    _expect_recorded(database, runs + warm_up_runs)
    return runs / elapsed_s


async def _latency(runs: int, database: Path) -> float:
    elapsed_ms: list[float] = []
    async with _graph(database) as run:
        await _work_off(run, range(WARM_UP_RUNS), 1)
        for number in range(WARM_UP_RUNS, WARM_UP_RUNS + runs):
            started = time.perf_counter()
            await run(number)
            elapsed_ms.append((time.perf_counter() - started) * 1000)
    _expect_recorded(database, runs + WARM_UP_RUNS)
    return statistics.median(elapsed_ms)


async def _work_off(run: Run, numbers: range, concurrency: int) -> None:
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            await run(number)

    await asyncio.gather(*(work() for _ in range(concurrency)))


@asynccontextmanager
async def _graph(database: Path) -> AsyncIterator[Run]:
    nodes = [f"step_{position}" for position in range(STEPS_PER_RUN)]
    graph = StateGraph(State)
    for node in nodes:
        graph.add_node(node, _write_nothing)
    for before, after in zip([START, *nodes], [*nodes, END], strict=True):
        graph.add_edge(before, after)
    async with aiosqlite.connect(database) as connection:
        saver = AsyncSqliteSaver(connection)
        await saver.setup()
        await sync_fully(connection)
        compiled = graph.compile(checkpointer=saver)

        async def run(number: int) -> None:
            config: RunnableConfig = {"configurable": {"thread_id": str(number)}}
            await compiled.ainvoke({"number": number}, config, durability="sync")

        yield run


async def sync_fully(connection: aiosqlite.Connection) -> None:
    await connection.execute("PRAGMA synchronous=FULL")
    async with connection.execute("PRAGMA synchronous") as cursor:
        row = await cursor.fetchone()
    if row is None or row[0] != 2:
        raise WorkNotDone("SQLite did not take synchronous=FULL")


def _expect_recorded(database: Path, runs: int) -> None:
    steps = "SELECT count(*) FROM checkpoints WHERE json_extract(metadata, '$.step') > 0"
    expect_count(database, steps, runs * STEPS_PER_RUN)


if __name__ == "__main__":
    main("langgraph", version("langgraph"), {"throughput": measure_throughput, "latency": measure_latency})

"""A model that runs on this machine: small, often wrong, and contained like any other."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from deputize.models.local import is_installed
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import running
from tests.support.thinkers import RULES, ended

LOCAL = '[models.small]\nmodel = "local:smollm2"\noutput_tokens_max = 120\ntimeout_s = 60\n'
AGENTS = 'worker = agent("worker", model="small", may=["desk.put"], steps_max=3)'
CODE = """
from typing import Literal
from pydantic import BaseModel

class Sort(BaseModel):
    kind: Literal["refund", "thanks"]

@automation(on=Word, agent=worker)
async def sorts(event: Event[Word]) -> Outcome:
    if event.data.item == "work":
        found = await attempt(worker.work(event.data.text))
        return gave_up("no answer") if isinstance(found, ActionError) else done("worked")
    found = await attempt(think(f"What does this customer want? {event.data.text}", returns=Sort))
    return gave_up("no answer") if isinstance(found, ActionError) else done(found.kind)
"""

pytestmark = pytest.mark.skipif(
    not is_installed(), reason="the packages of the model that runs here are not for this machine"
)


@pytest.mark.parametrize("item", ["sort", "work"])
async def test_it_thinks_without_a_network_and_whatever_it_says_breaks_nothing(
    tmp_path: Path, desk: Desk, item: str
) -> None:
    root = write_project(tmp_path / "project", desk.base, CODE, agents=AGENTS, rules=RULES, toml=LOCAL)
    async with running(root) as world:
        run = await world.send(type="test.word", item=item, text="My chair broke, I want my money back.")
        kind, label = await ended(world, run)
        assert (kind, label) in {
            ("done", "refund"), ("done", "thanks"), ("done", "worked"), ("gave_up", "no answer"),
        }  # fmt: skip
        bodies = [entry.body for entry in world.entries(run, "receipt") if entry.body]
        thoughts = [body for body in bodies if "cost_usd_micros" in body]
        assert 1 <= len(thoughts) <= 9
        assert all(body["cost_usd_micros"] == 0 for body in thoughts)
        assert all(body["result"]["output_tokens"] > 0 for body in thoughts)
        [child] = [line for line in children() if "deputize.models.local" in line]
    assert not [line for line in children() if "deputize.models.local" in line], child


async def test_where_its_process_has_died_it_is_started_again(tmp_path: Path, desk: Desk) -> None:
    root = write_project(tmp_path / "project", desk.base, CODE, agents=AGENTS, rules=RULES, toml=LOCAL)
    async with running(root) as world:
        [child] = [number for number, line in processes() if "deputize.models.local" in line]
        os.kill(child, signal.SIGKILL)
        run = await world.send(type="test.word", item="sort", text="My chair broke, I want my money back.")
        await ended(world, run)
        [told] = {entry.body["result"]["model"] for entry in world.entries(run, "receipt") if entry.body}
        assert told == "smollm2"


def children() -> list[str]:
    """The command lines of the processes that this one has started."""
    return [line for _, line in processes()]


def processes() -> list[tuple[int, str]]:
    """The processes that this one has started: their ids and command lines."""
    found = []
    for task in Path("/proc").glob("[0-9]*"):
        try:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                found.append((int(task.name), (task / "cmdline").read_text().replace("\0", " ")))
        except OSError:
            continue
    return found

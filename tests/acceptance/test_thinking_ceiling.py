"""A thousand thinkers at once under one ceiling, their process killed again and again: never a micro-dollar
over."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.testing.thinker import Thinker
from tests.support.project import write_project
from tests.support.running import WAIT_S, Running, running, so
from tests.support.serving import SERVER, Child, child, cloudevent
from tests.support.thinkers import RULES, SMALL
from tests.support.thinkers import thinker as thinker

THINKERS = 1_000
KILLS = 4
LIMIT_USD_MICROS = 80_000
TOGETHER = 100

CODE = """
@automation(on=Word, agent=worker)
async def thinks(event: Event[Word]) -> Outcome:
    found = await attempt(think(event.data.text))
    return gave_up(type(found).__name__) if isinstance(found, ActionError) else done("thought")
"""
MANY = "concurrent_max = 10\nattempts_max = 20\n"
CEILING = f'[[budget]]\nname = "all"\nlimit = "{LIMIT_USD_MICROS / 1e6:.6f} USD cost"\nper = "ever"\n'


async def test_a_ceiling_holds_whatever_is_killed(tmp_path: Path, thinker: Thinker) -> None:
    thinker.usually(text="well " * 10, delay_s=0.02)
    toml = SMALL.format(base=thinker.base) + MANY + CEILING + SERVER
    agents = 'worker = agent("worker", model="small", concurrent_max=200)'
    root = write_project(
        tmp_path / "project", "http://127.0.0.1:9", CODE, agents=agents, rules=RULES, toml=toml
    )
    for turn in range(1, KILLS + 1):
        async with child(root) as served:
            before = len(thinker.keys())
            await send(served)
            await so(partial(asked, thinker, before + 15 * turn))
            served.process.kill()
    async with running(root) as world:
        await world.until(lambda view: view.counts().get("runs.ended") == THINKERS, timeout_s=6 * WAIT_S)
        await world.gone()
        held, spent = world.budget("all")
        counts = world.read(lambda view: view.counts())
        costs, lost = spent_by(world)
    assert held == 0, "what was reserved is spent or returned"
    assert spent == sum(costs) + sum(lost)
    assert 0.9 * LIMIT_USD_MICROS < spent <= LIMIT_USD_MICROS
    assert counts["runs.ended"] == THINKERS
    # Nothing is asked that is not paid for: each request has an intent with its worst case.
    assert len(thinker.keys()) <= len(costs) + len(lost)
    assert len(lost) >= KILLS


def asked(thinker: Thinker, times: int) -> bool:
    return len(thinker.keys()) >= times


async def send(served: Child) -> None:
    """All of the events, every time: each counts once."""
    async with httpx2.AsyncClient(base_url=served.url, timeout=WAIT_S, trust_env=False) as http:
        for first in range(0, THINKERS, TOGETHER):
            batch = [
                cloudevent(f"w{n}", "test.word", text=f"message {n}") for n in range(first, first + TOGETHER)
            ]
            headers = {"content-type": "application/cloudevents-batch+json"}
            answer = await http.post("/v1/events", json=batch, headers=headers)
            assert answer.status_code in (200, 202), answer.text


def spent_by(world: Running) -> tuple[list[int], list[int]]:
    """What each answer cost, and what was held for each that was lost, in micro-dollars."""
    costs, lost = [], []

    def look(view: Any) -> None:
        for run in range(1, THINKERS + 1):
            for entry in view.entries(run):
                body = entry.body
                if entry.type == "receipt":
                    costs.append(body["cost_usd_micros"])
                elif entry.type == "intent" and body["round"] > 1:
                    lost.extend(amount for _, _, amount in body["released"]["holds"])
                elif entry.type == "refused" and body.get("spend"):
                    lost.extend(amount for _, _, amount in body["holds"])

    world.read(look)
    return costs, lost


pytestmark = pytest.mark.timeout(200)

"""What thoughts took and cost, by model, agent and automation: as one counts it by hand, rebuilt or not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from deputize.store.erasure import erase_run
from deputize.store.telling import read_health
from deputize.testing.thinker import Thinker
from tests.support.command import deputize
from tests.support.project import write_project
from tests.support.running import Running, running
from tests.support.serving import PEOPLE, SERVER, serving
from tests.support.thinkers import RULES, SMALL
from tests.support.thinkers import thinker as thinker

AGENTS = """
reader = agent("reader", model="small")
writer = agent("writer", model="large")
"""
CODE = """
@automation(on=Word, agent=reader)
async def reads(event: Event[Word]) -> Outcome:
    got = await attempt(think(event.data.text))
    return done(type(got).__name__)
@automation(on=Ask, agent=writer)
async def writes(event: Event[Ask]) -> Outcome:
    await think(event.data.item)
    await think(event.data.item, model="small")
    return done("written")
"""
CEILING = '[[budget]]\nname = "thinking"\nlimit = "1.00 USD cost"\n'


def project(root: Path, thinker: Thinker, more: str = "") -> Path:
    small = SMALL.format(base=thinker.base)
    large = small.replace("[models.small]", "[models.large]").replace("input = 1.0", "input = 9.0")
    toml = small + large + CEILING + more
    return write_project(root / "p", "http://127.0.0.1:9", CODE, agents=AGENTS, rules=RULES, toml=toml)


def usage(asked: int, told: int) -> dict[str, Any]:
    return {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told}


async def history(app: Running, thinker: Thinker) -> list[str]:
    """Answers, some of them lost, one of them in the end."""
    thinker.say(
        {"text": "a", "usage": usage(30, 5)},
        {"cut": True},
        {"text": "b", "usage": usage(20, 7), "delay_s": 0.2},
        {"cut": True},
        {"cut": True},
        {"cut": True},
        {"text": "c", "usage": usage(11, 3)},
        {"text": "d", "usage": usage(12, 4)},
    )
    runs = []
    for type, data in (*[("test.word", {"text": "x"})] * 3, ("test.ask", {"item": "x"})):
        runs += await app.send_all([(type, data)])
        await app.ended(runs[-1])
    return runs


def by_hand(app: Running, runs: list[str]) -> dict[tuple[str, str], Counter[str]]:
    """From nothing but entries: what answers cost, and of those that were lost what was held for them."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for run in runs:
        row, intents = app.run(run), {}
        for entry in app.entries(run, "intent", "receipt", "refused"):
            body = entry.body or {}
            before = intents.get(body["path"])
            model = (before or body)["op"].removesuffix(".think")
            counters = [
                found.setdefault(key, Counter())
                for key in (("model", model), ("agent", row.agent), ("automation", row.automation))
            ]
            for counter in counters:
                if entry.type == "receipt":
                    thought = body["result"]
                    counter["thoughts"] += 1
                    counter["input_tokens"] += thought["input_tokens"]
                    counter["output_tokens"] += thought["output_tokens"]
                    counter["cost_usd_micros"] += body["cost_usd_micros"]
                elif before is not None:
                    [(_, _, held)] = before["holds"]
                    counter["lost"] += 1
                    counter["lost_usd_micros"] += held
                    counter["cost_usd_micros"] += held
            intents[body["path"]] = body if entry.type == "intent" else None
    return found


def told(app: Running) -> dict[tuple[str, str], dict[str, Any]]:
    rows = app.read(lambda view: read_health(view, 0))["thoughts"]
    return {(row.pop("by"), row.pop("name")): row for row in rows}


async def test_they_are_what_one_counts_by_hand_and_what_the_budget_has_spent(
    tmp_path: Path, thinker: Thinker
) -> None:
    root = project(tmp_path, thinker)
    async with running(root) as app:
        runs = await history(app, thinker)
        found, mine = told(app), by_hand(app, runs)
        assert found.keys() == mine.keys() and len(found) == 6
        for key, counted in mine.items():
            assert {name: found[key][name] for name in counted} == dict(counted), key
        assert found["model", "small"]["lost"] == 4
        _, spent = app.budget()
        models = [row for (by, _), row in found.items() if by == "model"]
        assert sum(row["cost_usd_micros"] for row in models) == spent
        # Three answers of hers, one of them after a fifth of a second.
        reader = found["agent", "reader"]
        assert 0 < reader["p50_s"] < reader["p95_s"] and reader["p95_s"] > 0.1
        assert app.system.store.rebuild(replace=False) == []
        assert app.system.store.rebuild(replace=True) == []
        assert told(app) == found
        for run in runs:
            no = app.run(run).no
            await app.system.store.write(lambda tx, no=no: erase_run(tx, no, tx.version(0)))
        assert app.system.store.rebuild(replace=True) == []
        assert told(app) == found
    async with running(root) as app:
        assert told(app) == found


async def test_they_are_told_over_http_by_metrics_and_by_the_command(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.usually(text="a", usage=usage(30, 5))
    root = project(tmp_path, thinker, PEOPLE + '[keepers]\ndefault = "maya"\n' + SERVER)
    async with serving(root) as served:
        await served.app.ended(await served.app.send(type="test.word", text="x"))
        told = (await served.http.get("/v1/health", params={"days": 1})).json()["thoughts"]
        assert [(one["by"], one["name"]) for one in told] == [
            ("model", "small"), ("agent", "reader"), ("automation", "reads"),
        ]  # fmt: skip
        assert {(one["input_tokens"], one["output_tokens"], one["cost_usd_micros"]) for one in told} == {
            (30, 5, 50)
        }
        metrics = (await served.http.get("/metrics")).text
        for line in (
            'deputize_thought_seconds_count{by="model",name="small"} 1.0',
            'deputize_thought_seconds_count{by="model",name="large"} 0.0',
            'deputize_tokens_total{by="agent",direction="in",name="reader"} 30.0',
            'deputize_tokens_total{by="automation",direction="out",name="reads"} 5.0',
            'deputize_thinking_usd_total{by="model",name="small"} 5e-05',
        ):
            assert line in metrics, line
    done = deputize(root, "health")
    assert done.code == 0
    [row] = [line for line in done.out.splitlines() if line.split()[:2] == ["model", "small"]]
    assert row.split()[-4:] == ["30", "5", "0.0001", "USD"]

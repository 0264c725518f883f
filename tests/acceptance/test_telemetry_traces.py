"""Traces: what a collector is told is what the ledger says, and nobody waits for it."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from deputize.testing.thinker import Thinker
from tests.support.collector import Collector, Seen, collecting
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import running
from tests.support.serving import PEOPLE
from tests.support.thinkers import RULES, SMALL
from tests.support.thinkers import thinker as thinker

CODE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    if event.data.n == 1:
        await attempt(desk.plain(item=event.data.item))
        return done("first")
    if event.data.n == 3:
        await desk.write(item=event.data.item)
        return done("keyed")
    await desk.read(item=event.data.item)
    if event.data.n == 2:
        await together(desk.write(item="a"), desk.write(item="b"))
        await send(Word(item=event.data.item))
    return done("written")

@automation(on=Word, agent=worker)
async def two(event: Event[Word]) -> Outcome:
    await attempt(desk.keyed(item=event.data.item).because("as " + event.data.text))
    return done(event.data.text)
"""
CEILING = '[[budget]]\nlimit = "1.00 USD cost"\n'
ASK = """
[[rule]]
title = "All may be done"
operation = "desk.*"
permit = true
[[rule]]
title = "A person looks at keyed ones"
operation = "desk.keyed"
ask_always = true
"""


def toml(collector: Collector, more: str = "") -> str:
    return f'[telemetry]\nendpoint = "{collector.address}"\n{more}\n'


async def told(collector: Collector, run: str, spans: int) -> dict[str, Seen]:
    """Wait for so many spans of a run; by name, or by path where there are more of a name."""
    await asyncio.to_thread(collector.until, lambda c: len(c.of(run)) >= spans)
    return {one.attributes.get("deputize.path", "run"): one for one in collector.of(run)}


async def test_a_run_is_a_trace_with_a_span_for_each_action(tmp_path: Path, desk: Desk) -> None:
    with collecting() as collector:
        root = write_project(tmp_path, desk.base, CODE, toml=toml(collector))
        desk.pages["/items/x"] = {"item": "x", "key": ""}
        async with running(root) as world:
            run = await world.send(n=2, item="x")
            await world.ended(run)
            spans = await told(collector, run, 4)
            entries = {
                (e.body or {}).get("path", "run"): e for e in world.entries(run, "read", "receipt", "ended")
            }
            intents = {(e.body or {})["path"]: e for e in world.entries(run, "intent")}
            began = world.entries(run, "began")[0]
            other = await world.until(
                lambda view: next((r for r in view.runs() if r.automation == "two"), None)
            )
            assert other is not None
            await world.ended(other.id)
            sent = (await told(collector, other.id, 2))["run"]
    assert set(spans) == {"run", "1", "2.0", "2.1"} and len(collector.of(run)) == 4
    whole = spans["run"]
    assert whole.name == "invoke_agent worker" and whole.parent == "" and whole.kind == 1
    assert whole.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "worker",
        "deputize.run": run,
        "deputize.automation": "one",
        "deputize.event": 1,
        "deputize.entry": entries["run"].seq,
        "deputize.outcome": "done",
    }
    assert (whole.began_ns, whole.ended_ns) == (began.at_us * 1000, entries["run"].at_us * 1000)
    assert whole.resource["service.name"] == "test"
    assert whole.scope[0] == "deputize" and whole.scope[2].endswith("/1.41.0")
    for path in ("2.0", "2.1"):
        span = spans[path]
        assert span.name == "execute_tool desk.write" and span.parent == whole.id
        assert span.trace == whole.trace and span.status == 0
        assert (span.began_ns, span.ended_ns) == (
            intents[path].at_us * 1000,
            entries[path].at_us * 1000,
        )
        assert span.attributes == {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.agent.name": "worker",
            "gen_ai.tool.name": "desk.write",
            "gen_ai.tool.call.id": f"{run}/{path}",
            "deputize.run": run,
            "deputize.automation": "one",
            "deputize.entry": entries[path].seq,
            "deputize.operation": "desk.write",
            "deputize.path": path,
            "deputize.outcome": "settled",
            "deputize.rules": (intents[path].body or {})["rules"],
            "deputize.attempts": 1,
            "deputize.doubted": False,
        }
        assert span.attributes["deputize.rules"]
    assert spans["1"].name == "execute_tool desk.read"
    # A run that another has sent points to that one.
    assert sent.links == ((whole.trace, whole.id),)
    assert set(collector.paths) == {"/v1/traces"}


async def test_what_people_were_asked_is_beside_what_came_of_it(tmp_path: Path, desk: Desk) -> None:
    with collecting() as collector:
        root = write_project(tmp_path, desk.base, CODE, rules=ASK, toml=PEOPLE + toml(collector))
        async with running(root) as world:
            run = await world.send(type="test.word", item="x", text="t")
            card = await world.card()
            await world.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
            await world.ended(run)
            other = await world.send(type="test.word", item="y", text="t")
            card = await world.until(lambda view: next((c for c in view.cards() if c.run_id == other), None))
            assert card is not None
            await world.kernel.approving.refuse(
                card.id, binding=card.body["binding"], reason="no", person="maya"
            )
            await world.ended(other)
            await told(collector, run, 3)
            await told(collector, other, 3)
            asked, intent = (world.entries(run, type)[0] for type in ("asked", "intent"))
    approved, refused = collector.of(run), collector.of(other)
    assert [one.name for one in approved] == [
        "ask_people desk.keyed",
        "execute_tool desk.keyed",
        "invoke_agent worker",
    ]
    asking, done, whole = approved
    assert (asking.began_ns, asking.ended_ns) == (asked.at_us * 1000, intent.at_us * 1000)
    assert done.began_ns == asking.ended_ns
    assert asking.parent == done.parent == whole.id
    assert asking.attributes["deputize.outcome"] == "approved"
    assert refused[0].attributes["deputize.outcome"] == "not approved"
    assert refused[1].attributes["deputize.outcome"] == "refused"
    assert refused[1].attributes["error.type"] == "refused" and refused[1].status == 2
    assert refused[1].attributes["deputize.operation"] == "desk.keyed"


async def test_a_thought_is_a_chat_with_its_tokens_and_its_cost(tmp_path: Path, thinker: Thinker) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await think(event.data.item)
    return done("thought")
"""
    with collecting() as collector:
        settings = SMALL.format(base=thinker.base) + CEILING + toml(collector)
        agents = 'worker = agent("worker", model="small")'
        root = write_project(
            tmp_path / "p", "http://127.0.0.1:9", code, agents=agents, rules=RULES, toml=settings
        )
        thinker.say({"text": "canary-answer"})
        async with running(root) as world:
            run = await world.send(item="canary-question")
            await world.ended(run)
            spans = await told(collector, run, 2)
            used = (world.entries(run, "receipt")[0].body or {})["used"]
            model = world.system.project.settings.models["small"].model.partition(":")[2]
    span = spans["1"]
    assert (span.name, span.kind) == (f"chat {model}", 3)
    assert (
        span.attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": model,
            "gen_ai.usage.input_tokens": used["in"],
            "gen_ai.usage.output_tokens": used["out"],
            "deputize.cost_usd_micros": used["usd_micros"],
        }.items()
    )
    assert not [raw for raw in collector.raw if b"canary" in raw]


async def test_no_content_and_no_secret_is_in_a_span(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Canaries in events, arguments, reasons, answers, labels and errors; and a secret that the collector is
    to know, which is nowhere but in its header."""
    code = (
        CODE
        + """
@automation(on=Told, agent=worker)
async def three(event: Event[Told]) -> Outcome:
    raise ValueError("canary: " + event.data.item)
"""
    )
    monkeypatch.setenv("OTEL_HEADERS", "x-api-key=canary%2Dheader%2Dvalue,x-other=b")
    with collecting() as collector:
        settings = toml(collector, 'headers = "env:OTEL_HEADERS"\n')
        root = write_project(tmp_path, desk.base, code.replace("@automation", TOLD, 1), toml=settings)
        async with running(root) as world:
            desk.faults.append(fault("status", 422, {"error": "canary"}))
            runs = [
                await world.send(type="test.word", item="canary-a", text="canary-label"),
                await world.send(id="canary-id", type="test.told", item="canary"),
                await world.send(n=1, item="canary-b"),
            ]
            await world.ended(*runs)
            for run in runs:
                await asyncio.to_thread(collector.until, partial(_has_whole, run))
            failed = next(one for one in collector.of(runs[1]) if not one.parent)
    assert (failed.status, failed.attributes["error.type"]) == (2, "failed")
    assert collector.raw
    for raw in collector.raw:
        headers, _, body = raw.partition(b"\n\n")
        assert b"x-api-key: canary-header-value" in headers and b"x-other: b" in headers
        assert b"canary" not in body
    stored = b"".join(path.read_bytes() for path in (root / "data").iterdir())
    assert b"canary-label" in stored and b"canary-header" not in stored and b"canary%2D" not in stored


def _has_whole(run: str, collector: Collector) -> bool:
    return "invoke_agent worker" in collector.names(run)


TOLD = """
class Told(EventData, type="test.told"):
    item: str = "i"
@automation"""

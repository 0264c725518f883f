"""A connector that fails past a rate: its actions wait or take the fallback, everything else goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.ledger import SYSTEM
from deputize.store.protocol import View
from deputize.store.sqlite.offline import OfflineLedger
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, running, so
from tests.support.serving import child, cloudevent, serving

DOWN = fault("status", 503)

WORK = """
@automation(on=Ask, agent=worker)
async def puts(event: Event[Ask]) -> Outcome:
    got = await attempt(desk.put(item=event.data.item))
    return done(type(got).__name__)
@automation(on=Word, agent=worker)
async def other(event: Event[Word]) -> Outcome:
    from connectors import side
    await side.note(item=event.data.item)
    return done("other")
"""

SIDE = """
from pydantic import BaseModel
from deputize import Call, Connector
connector = Connector("side", version="1")
class Item(BaseModel):
    item: str
    key: str
@connector.operation(effect="write", repeatable=True, timeout_s=2)
async def note(call: Call, item: str) -> Item:
    return Item.model_validate((await call.post("/side", json={"item": item})).json())
"""

CIRCUIT = "circuit = {failures_max = 0.5, calls_min = 4, window_s = 60.0, pause_s = 0.2}\nconcurrent_max = 50"
PATIENT = CIRCUIT.replace("pause_s = 0.2", "pause_s = 3600.0")
RULES = PERMIT + '[[rule]]\ntitle = "Notes"\noperation = "side.*"\npermit = true\n'


def project(
    root: Path, desk: Desk, other: str, automations: str = WORK, circuit: str = CIRCUIT, **more: Any
) -> Path:
    """Two connectors, at services of their own."""
    toml = f'[connectors.side]\nbase = "{other}"\n' + more.pop("toml", "")
    made = write_project(root, desk.base, automations, rules=RULES, desk=circuit, toml=toml, **more)
    (made / "connectors" / "side.py").write_text(SIDE)
    return made


@pytest.fixture
async def other() -> Any:
    from tests.support.desk import desk_service

    async with desk_service() as service:
        yield service


def breaker(app: Running) -> Any:
    return app.kernel.parts.circuits.of("desk")


def noted(app: Running) -> list[tuple[str, int, int]]:
    entries = [e for e in app.read(lambda view: view.entries(SYSTEM)) if e.type == "circuit"]
    return [(e.body["state"], e.body["calls"], e.body["failures"]) for e in entries if e.body]


async def break_it(app: Running, desk: Desk, runs: int = 4) -> list[str]:
    """Let the desk fail until its circuit opens; the runs whose actions failed."""
    desk.always = DOWN
    sent = [await app.send(item=f"broken/{n}") for n in range(runs)]
    await so(lambda: breaker(app).circuit.is_open)
    return sent


async def test_past_the_rate_nothing_new_is_sent_and_everything_else_goes_on(
    tmp_path: Path, desk: Desk, other: Desk
) -> None:
    async with running(project(tmp_path, desk, other.base, circuit=PATIENT)) as app:
        await break_it(app, desk)
        await so(lambda: len(desk.writes) >= 4)
        seen = len(desk.writes)
        waiting = [await app.send(item=f"new/{n}") for n in range(5)]
        # More of it than an agent may have under way: none of them holds a place of its lane.
        assert await app.label(await app.send(type="test.word", item="elsewhere")) == "done(other)"
        await so(lambda: all(no not in app.kernel.parts.live for no in _numbers(app, waiting)))
        assert len(desk.writes) == seen
        assert {app.run(run).state for run in waiting} == {"ready"}
        assert app.read(lambda view: [lease for lease in view.leases() if "new" in lease[0]]) == []
        assert noted(app)[0][0] == "open" and noted(app)[0][2] >= 4


async def test_waiting_runs_do_not_use_up_the_agents_places(tmp_path: Path, desk: Desk, other: Desk) -> None:
    agents = 'worker = agent("worker", concurrent_max=2)'
    root = project(tmp_path, desk, other.base, circuit=PATIENT, agents=agents)
    async with running(root) as app:
        await break_it(app, desk)
        for n in range(10):
            await app.send(item=f"new/{n}")
        runs = await app.send_all([("test.word", {"item": str(n)}) for n in range(10)])
        await app.ended(*runs)
        assert len(other.effects) == 10


async def test_it_is_tried_by_one_alone_after_growing_pauses_and_closes_with_a_success(
    tmp_path: Path, desk: Desk, other: Desk
) -> None:
    async with running(project(tmp_path, desk, other.base)) as app:
        broken = await break_it(app, desk)
        waiting = [await app.send(item=f"new/{n}") for n in range(20)]
        seen = len(desk.writes)
        await desk.seen_of(seen + 3)
        times = [sent.at for sent in desk.writes[-3:]]
        assert times[1] - times[0] >= 0.35 and times[2] - times[1] > times[1] - times[0]
        desk.always = None
        ended = await app.ended(*broken, *waiting)
        assert {row.label for row in ended[4:]} == {"done(Item)"}
        assert {f"new/{n}" for n in range(20)} <= {item["item"] for item in desk.effects.values()}
        await app.until(lambda view: view.entries(SYSTEM)[-1].type == "circuit")
        assert [state for state, _, _ in noted(app)] == ["open", "closed"]
        assert not breaker(app).circuit.is_open


async def test_a_fallback_is_told_at_once_and_the_same_on_a_replay(
    tmp_path: Path, desk: Desk, other: Desk
) -> None:
    work = WORK.replace(
        "desk.put(item=event.data.item))", "desk.put(item=event.data.item).unless_down())"
    ).replace(
        "    return done(type(got).__name__)",
        "    if isinstance(got, Unavailable):\n"
        "        await wait_for(Word, matching={'item': event.data.item}, within=hours(1))\n"
        "        return gave_up(got.reason)\n"
        "    return done(type(got).__name__)",
    )
    root = project(tmp_path, desk, other.base, work, circuit=PATIENT)
    async with running(root) as app:
        await break_it(app, desk)
        seen = len(desk.writes)
        run = await app.send(item="new")
        row = await app.action(run, "1", "refused")
        assert (row.attempts, len(desk.writes)) == (0, seen)
        await app.state(run, "waiting")
    async with running(root) as app:
        await app.send(type="test.word", item="new")
        label = await app.label(run)
        assert label.startswith("gave_up(desk is down: 4 of its last 4 calls failed")


async def test_a_plain_await_raises_unavailable(tmp_path: Path, desk: Desk, other: Desk) -> None:
    work = WORK.replace(
        "got = await attempt(desk.put(item=event.data.item))",
        "got = await desk.put(item=event.data.item).unless_down()",
    )
    async with running(project(tmp_path, desk, other.base, work, circuit=PATIENT)) as app:
        await break_it(app, desk)
        (row,) = await app.ended(await app.send(item="new"))
        assert row.label == "failed" and "desk is down: 4 of its last 4 calls failed" in row.reason


async def test_a_fallback_is_told_between_two_attempts_as_well(
    tmp_path: Path, desk: Desk, other: Desk
) -> None:
    """Proved not done, with attempts left: it does not wait for the connection to come back."""
    work = WORK.replace("item=event.data.item))", "item=event.data.item).unless_down())")
    root = project(tmp_path, Desk(base="http://127.0.0.1:9"), other.base, work, circuit=PATIENT)
    async with running(root) as app:
        runs = [await app.send(item=f"a/{n}") for n in range(4)]
        rows = await app.ended(*runs)
        assert {row.label for row in rows} == {"done(Unavailable)"}


async def test_a_read_waits_too(tmp_path: Path, desk: Desk, other: Desk) -> None:
    work = WORK.replace("desk.put(", "desk.read(")
    async with running(project(tmp_path, desk, other.base, work)) as app:
        desk.faults.extend([DOWN] * 4)
        await break_it(app, desk, 2)
        assert noted(app) == [("open", 4, 4)] or breaker(app).figures == (4, 4)
        runs = [await app.send(item=f"new/{n}") for n in range(3)]
        desk.always = None
        assert {row.label for row in await app.ended(*runs)} == {"done(Item)"}


async def test_a_run_that_waits_for_an_open_circuit_is_cancelled_at_once(
    tmp_path: Path, desk: Desk, other: Desk
) -> None:
    async with running(project(tmp_path, desk, other.base, circuit=PATIENT)) as app:
        await break_it(app, desk)
        run = await app.send(item="new")
        await so(lambda: breaker(app)._parked)
        assert await app.kernel.people.cancel(run, "maya") == "is being cancelled"
        assert await app.label(run) == "cancelled"


async def test_a_halt_outlasts_the_circuit(tmp_path: Path, desk: Desk, other: Desk) -> None:
    async with running(project(tmp_path, desk, other.base)) as app:
        broken = await break_it(app, desk)
        run = await app.send(item="new")
        await app.kernel.people.stop("connector:desk", "", "maya")
        desk.always = None
        await app.kernel.people.lift("connector:desk", "maya")
        assert {row.label for row in await app.ended(*broken, run)} <= {"done(Item)", "done(Refused)"}


async def test_an_open_circuit_survives_a_restart_and_is_tried_before_anything_else(
    tmp_path: Path, desk: Desk, other: Desk
) -> None:
    root = project(tmp_path, desk, other.base, circuit=PATIENT)
    async with running(root) as app:
        await break_it(app, desk)
        run = await app.send(item="new")
        await so(lambda: breaker(app)._parked)
        await app.until(lambda view: _is_noted(view))
    seen = len(desk.writes)
    async with running(root) as app:
        await so(lambda: breaker(app)._parked)
        assert breaker(app).circuit.is_open and len(desk.writes) == seen
    desk.always = None
    project(tmp_path, desk, other.base)
    async with running(root) as app:
        assert await app.label(run) == "done(Item)"
        await so(lambda: not breaker(app).circuit.is_open)


async def test_answers_that_say_no_and_answers_that_ask_for_patience_open_nothing(
    tmp_path: Path, desk: Desk, other: Desk
) -> None:
    async with running(project(tmp_path, desk, other.base)) as app:
        for status, runs in ((429, 4), (422, 6)):
            desk.always = fault("status", status)
            await app.ended(*[await app.send(item=f"{status}/{n}") for n in range(runs)])
            assert not breaker(app).circuit.is_open
        assert noted(app) == []


async def test_doubts_are_looked_up_under_an_open_circuit(tmp_path: Path, desk: Desk, other: Desk) -> None:
    """It was done though the answer was lost; that is found out while the circuit is open."""
    work = WORK.replace("desk.put(", "desk.write(")
    async with running(project(tmp_path, desk, other.base, work, circuit=PATIENT)) as app:
        desk.always = fault("lost")
        runs = [await app.send(item=f"a/{n}") for n in range(4)]
        await so(lambda: breaker(app).circuit.is_open)
        assert {row.label for row in await app.ended(*runs)} == {"done(Item)"}
        assert breaker(app).circuit.is_open


async def test_it_is_seen_over_http_and_by_metrics(tmp_path: Path, desk: Desk, other: Desk) -> None:
    root = project(tmp_path, desk, other.base, circuit=PATIENT, toml="[server]\nport = 0\n")
    async with serving(root) as served:
        before = (await served.http.get("/v1/connectors")).json()["connectors"]
        assert {one["circuit"]["state"] for one in before} == {"closed"}
        await break_it(served.app, desk)
        found = {
            c["name"]: c["circuit"] for c in (await served.http.get("/v1/connectors")).json()["connectors"]
        }
        assert found["desk"]["state"] == "open" and found["desk"]["failures"] >= 4
        assert found["side"]["state"] == "closed"
        metrics = (await served.http.get("/metrics")).text
        assert 'deputize_circuit_open{connector="desk"} 1.0' in metrics
        assert 'deputize_circuit_open{connector="side"} 0.0' in metrics


async def test_a_killed_process_finds_its_circuit_open(tmp_path: Path, desk: Desk, other: Desk) -> None:
    root = project(tmp_path, desk, other.base, circuit=PATIENT, toml="[server]\nport = 0\n")
    desk.always = DOWN
    async with child(root) as first, httpx2.AsyncClient(trust_env=False) as http:
        for n in range(4):
            await http.post(f"{first.url}/v1/events", json=cloudevent(f"e{n}", item=f"broken/{n}"))
        await so(lambda: OfflineLedger(root / "data" / "ledger.db").settings("circuit:"))
        first.process.kill()
        await first.wait()
    async with child(root) as second, httpx2.AsyncClient(trust_env=False) as http:
        found = await _circuit(http, second.url)
        assert (found["state"], found["calls"]) == ("open", 4)


async def _circuit(http: httpx2.AsyncClient, url: str) -> dict[str, Any]:
    connectors = (await http.get(f"{url}/v1/connectors")).json()["connectors"]
    found: dict[str, Any] = next(one["circuit"] for one in connectors if one["name"] == "desk")
    return found


def _is_noted(view: View) -> bool:
    return any(entry.type == "circuit" for entry in view.entries(SYSTEM))


def _numbers(app: Running, runs: list[str]) -> list[int]:
    return [app.run(run).no for run in runs]

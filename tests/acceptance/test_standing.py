"""Who waits for whom is seen: in the runs and in the story of each, over HTTP and by the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.support.command import deputize, login, new_project, served
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, so
from tests.support.serving import PEOPLE, SERVER, Served, serving

CODE = """
@automation(on=Ask, agent=worker, key="item:{item}")
async def keyed(event: Event[Ask]) -> Outcome:
    await desk.plain(item=event.data.item)
    return done()

@automation(on=Word, agent=worker)
async def writes(event: Event[Word]) -> Outcome:
    if event.data.text == "put":
        await desk.put(item=event.data.item)
    elif event.data.text == "pay":
        await desk.pay(account=event.data.item, amount=Money(9000, "EUR"))
    elif event.data.text == "later":
        await sleep(hours(2))
    elif event.data.text == "hear":
        await wait_for(Ask, matching={"item": "never"}, within=hours(2))
    elif event.data.text == "question":
        await ask("finance", "Shall we?")
    else:
        await desk.write(item=event.data.item)
    return done()
"""
RULES = (
    PERMIT
    + """
[[rule]]
title = "Nothing is put while the same is under way"
operation = "desk.put"
not_while = { operation = "desk.plain", same = "item" }

[[rule]]
title = "Much money waits for a person"
operation = "desk.pay"
ask_above = { amount = "50.00 EUR" }
ask = "finance"
"""
)


def project(root: Path, desk: Desk, connection: str = "concurrent_max = 200") -> Path:
    toml = SERVER + PEOPLE
    return write_project(root, desk.base, CODE, toml=toml, rules=RULES, desk=connection)


async def waits(served: Served, run: str) -> list[dict[str, Any]]:
    """What a run waits for, as every face tells it."""
    listed = (await served.http.get("/v1/runs", params={"limit": 1000})).json()["runs"]
    one = (await served.http.get(f"/v1/runs/{run}")).json()["run"]
    told = (await served.http.get(f"/v1/why/{run}")).json()
    found: list[dict[str, Any]] = next(row["waits_for"] for row in listed if row["id"] == run)
    assert one["waits_for"] == told["facts"]["waits_for"] == found
    assert [f"It {wait['said']}." for wait in found] == [s for s in told["sentences"] if "It waits for" in s]
    return found


async def say(app: Running, text: str, item: str = "a") -> str:
    return (await app.send_all([("test.word", {"item": item, "text": text})]))[0]


async def in_line(app: Running, *runs: str) -> None:
    stops = app.kernel.parts.stops
    await so(lambda: all(stops.standing(f"run:{run}") for run in runs))


async def test_a_run_says_who_holds_its_resource_since_when_and_the_next_who_came_first(
    tmp_path: Path, desk: Desk
) -> None:
    desk.hold = asyncio.Event()
    async with serving(project(tmp_path, desk)) as served:
        first = await say(served.app, "write")
        await desk.seen_of(1)
        second = await say(served.app, "write")
        await in_line(served.app, second)
        (answer,) = await waits(served, first)
        assert (answer["kind"], answer["by"]) == ("answer", f"{first}/1")
        (lease,) = await waits(served, second)
        assert (lease["kind"], lease["what"], lease["by"]) == ("lease", "item:a", f"{first}/1")
        assert lease["since"] == answer["since"]
        assert lease["said"].startswith(f"waits for item:a, which action {first}/1 (desk.write) holds since ")
        desk.hold.set()
        await served.app.ended(first, second)
        assert await waits(served, second) == []


async def test_a_run_says_which_run_with_its_key_it_follows(tmp_path: Path, desk: Desk) -> None:
    desk.hold = asyncio.Event()
    async with serving(project(tmp_path, desk)) as served:
        for _ in range(3):
            await served.app.send(item="a")
        first, second, third = (row.id for row in served.app.read(lambda view: view.runs()))
        (behind,) = await waits(served, second)
        assert (behind["kind"], behind["by"], behind["what"]) == ("key", first, "item:a")
        assert (await waits(served, third))[0]["by"] == second
        desk.hold.set()
        await served.app.ended(first, second, third)


async def test_a_run_says_what_is_under_way_that_it_must_not_start_beside(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    async with serving(project(tmp_path, desk)) as served:
        plain = await served.app.send(item="a")
        card = await served.app.card()
        put = await say(served.app, "put")
        await in_line(served.app, put)
        (wait,) = await waits(served, put)
        assert (wait["kind"], wait["by"], wait["operation"]) == ("under_way", f"{plain}/1", "desk.plain")
        (doubt,) = await waits(served, plain)
        assert doubt["kind"] == "doubt" and "what became of desk.plain" in doubt["said"]
        await served.app.answer(card.id, "did_not")
        await served.app.ended(put, plain)


async def test_a_run_says_that_a_lane_is_full_or_that_it_is_halted(tmp_path: Path, desk: Desk) -> None:
    desk.hold = asyncio.Event()
    async with serving(project(tmp_path, desk, "concurrent_max = 1")) as served:
        first = await say(served.app, "write")
        await desk.seen_of(1)
        second = await say(served.app, "write", "b")
        await in_line(served.app, second)
        (turn,) = await waits(served, second)
        assert (turn["kind"], turn["what"]) == ("turn", "connector:desk")
        desk.hold.set()
        await served.app.ended(first, second)
        await served.app.kernel.people.stop("connector:desk", "", "maya")
        third = await say(served.app, "write")
        await so(lambda: served.app.kernel.parts.stops.parked)
        (stop,) = await waits(served, third)
        assert (stop["kind"], stop["what"]) == ("stop", "connector:desk")
        await served.app.kernel.people.lift("connector:desk", "maya")
        await served.app.ended(third)


async def test_a_run_says_that_it_waits_for_an_open_circuit_and_so_does_what_it_has_started(
    tmp_path: Path, desk: Desk
) -> None:
    desk.always = fault("status", 503)
    terms = "circuit = {failures_max = 0.5, calls_min = 4, window_s = 60.0, pause_s = 3600.0}"
    async with serving(project(tmp_path, desk, terms)) as served:
        breaker = served.app.kernel.parts.circuits.of("desk")
        started = [await say(served.app, "put", str(n)) for n in range(4)]
        await so(lambda: breaker.circuit.is_open and breaker.waiting == 4)
        new = await say(served.app, "put", "new")
        await so(lambda: breaker.waiting == 5)
        for run in (new, *started):
            found = (await served.http.get(f"/v1/runs/{run}")).json()["run"]["waits_for"]
            (circuit,) = (wait for wait in found if wait["kind"] == "circuit")
            assert circuit["what"] == "desk" and circuit["until"], found
            begins = "waits for desk, which is down: 4 of its last 4 calls failed; it is tried again at "
            assert circuit["said"].startswith(begins), circuit
        listed = (await served.http.get("/v1/runs")).json()["runs"]
        assert all("which is down" in row["waits_for"][0]["said"] for row in listed)
        story = (await served.http.get(f"/v1/why/{new}")).json()["sentences"]
        assert any(one.startswith("It waits for desk, which is down: 4 of its last 4") for one in story)


async def test_the_command_line_and_the_doctor_say_that_a_circuit_is_open(tmp_path: Path, desk: Desk) -> None:
    desk.always = fault("status", 503)
    terms = "circuit = {failures_max = 0.5, calls_min = 4, window_s = 60.0, pause_s = 3600.0}"
    root = project(tmp_path / "own", desk, terms)

    def told() -> tuple[str, str]:
        with served(root):
            for n in range(5):
                deputize(root, "send", "test.word", "--data", f'{{"item": "{n}", "text": "put"}}')
            assert any("which is down" in deputize(root, "runs", "--limit", "1").out for _ in range(60))
            return deputize(root, "runs", "--limit", "1").out, deputize(root, "doctor").out

    runs, doctor = await asyncio.to_thread(told)
    assert "waits for desk, which is down: 4 of its last 4 calls failed; it is tried again at " in runs
    assert "warn  desk is down: 4 of its last 4 calls failed; " in doctor and " wait for it" in doctor


async def test_a_run_says_that_it_waits_for_people_for_time_or_for_an_event(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk)) as served:
        for text, kind in (
            ("pay", "approval"),
            ("later", "timer"),
            ("hear", "event"),
            ("question", "question"),
        ):
            run = await say(served.app, text)
            await served.app.state(run, "waiting")
            (wait,) = await waits(served, run)
            assert (wait["kind"], wait["by"]) == (kind, f"{run}/1") and wait["until"], wait
            await served.app.kernel.people.cancel(run, "maya")


def test_the_command_line_says_it_beside_the_process_and_without_one(tmp_path: Path) -> None:
    own = new_project(tmp_path)
    selling = own / "automations" / "selling.py"
    selling.write_text(selling.read_text().replace("Asked, agent=clerk", 'Asked, agent=clerk, key="{item}"'))
    with served(own):
        login(own)
        sent = [deputize(own, "send", "item.asked", "--data", '{"item": "a"}', "--json") for _ in range(2)]
        first, second = (done.json()["runs"][0] for done in sent)
        assert any(deputize(own, "inbox", "--json").json()["cards"] for _ in range(60))
        live = deputize(own, "runs").out
        story = deputize(own, "why", second).out
    for out in (live, deputize(own, "runs").out, story, deputize(own, "why", second).out):
        assert f"waits for run {first}, which came before it for a" in out, out
    assert "waits for what became of desk.sell" in live

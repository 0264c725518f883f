"""Traces when something fails: the collector, this process, the one that tells. Nothing waits for any of it,
and what is told again is told under the same ids."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx2
import psutil
import pytest

from deputize.kernel.people import NotAnswerable
from deputize.span import Trace
from deputize.store.erasure import erase_run
from deputize.store.sqlite.offline import OfflineLedger
from deputize.telemetry import following, telemetry
from deputize.telemetry.following import Cursor, Spans
from tests.acceptance.test_telemetry_traces import ASK, CODE, toml
from tests.support.collector import Collector, Seen, collecting
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import Running, running, so
from tests.support.serving import PEOPLE, SERVER, child, cloudevent


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def by_id(seen: list[Seen]) -> dict[tuple[str, str], Seen]:
    """Every span once; told twice, it is the same."""
    found: dict[tuple[str, str], Seen] = {}
    for one in seen:
        assert found.setdefault((one.trace, one.id), one) == one
    return found


async def test_while_the_collector_is_down_runs_go_on_and_once_it_is_up_it_is_told_all(
    tmp_path: Path, desk: Desk
) -> None:
    port = free_port()
    settings = f'[telemetry]\nendpoint = "http://127.0.0.1:{port}"\n'
    async with running(write_project(tmp_path, desk.base, CODE, toml=settings)) as world:
        troubles: list[str] = []
        world.system.telemetry.on_trouble = troubles.append
        runs = [await world.send(n=1) for _ in range(20)]
        await world.ended(*runs)
        await so(lambda: world.system.telemetry.figures.failing)
        assert troubles == ["the collector of traces takes nothing"]
        assert world.system.telemetry.figures.sent == 0
        with collecting(port) as collector:
            await asyncio.to_thread(collector.until, lambda c: len(by_id(c.seen)) >= 40)
            await so(lambda: world.system.telemetry.figures.sent == 40)
            assert not world.system.telemetry.figures.failing
            assert len(collector.seen) == 40 and len(by_id(collector.seen)) == 40


async def test_a_collector_that_never_answers_holds_nobody_up_and_the_end_for_two_seconds(
    tmp_path: Path, desk: Desk
) -> None:
    with collecting() as collector:
        collector.answers = 0
        root = write_project(tmp_path, desk.base, CODE, toml=toml(collector))
        async with running(root) as world:
            await world.ended(await world.send(n=1))
            await asyncio.to_thread(collector.until, lambda c: c.raw)
            began = time.monotonic()
            runs = [await world.send(n=1) for _ in range(20)]
            await world.ended(*runs)
            assert time.monotonic() - began < 4
            pid = world.system.telemetry.pid
            assert pid is not None
            began = time.monotonic()
        # The end of a System takes what it takes without; the flush is at most these two seconds of it.
        assert time.monotonic() - began < telemetry.STOP_S + 2
        assert not psutil.pid_exists(pid)
        assert collector.seen == []
        collector.answers = 200
        async with running(root) as world:
            await asyncio.to_thread(collector.until, lambda c: len(by_id(c.seen)) >= 42)


async def test_the_end_of_the_process_flushes_what_was_done_last(tmp_path: Path, desk: Desk) -> None:
    with collecting() as collector:
        root = write_project(tmp_path, desk.base, CODE, toml=toml(collector))
        async with running(root) as world:
            # A process that has just begun reads its libraries first.
            await world.ended(await world.send(n=1))
            await so(lambda: world.system.telemetry.figures.sent == 2)
            runs = [await world.send(n=1) for _ in range(30)]
            await world.ended(*runs)
        assert len(by_id(collector.seen)) == 62
        async with running(root) as world:
            last = await world.send(n=1)
            await world.ended(last)
            await so(lambda: world.system.telemetry.figures.sent == 2)
        assert len(collector.seen) == 64, "what was told is not told again"


async def test_after_kill_9_all_is_told_and_what_is_told_twice_has_the_same_ids(
    tmp_path: Path, desk: Desk
) -> None:
    with collecting() as collector:
        root = write_project(tmp_path, desk.base, CODE, toml=SERVER + toml(collector))
        for turn in range(3):
            async with child(root) as server:
                assert server.url, await server.wait()
                async with httpx2.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as http:
                    for n in range(15):
                        event = cloudevent(f"{turn}-{n}", n=3, item=f"i{n}")
                        assert (await http.post("/v1/events", json=event)).status_code == 202
                telling = [one.pid for one in psutil.Process(server.process.pid).children()]
                if turn < 2:
                    server.process.kill()
                else:
                    await asyncio.to_thread(collector.until, lambda c: len(_whole(c)) == 45)
                await asyncio.to_thread(_gone, telling if turn < 2 else [])
        found = by_id(collector.seen)
        assert len(found) == 90
        with_ledger(root, lambda spans: {(s.trace, s.id) for s in spans} == found.keys())


def _whole(collector: Collector) -> list[Seen]:
    return [one for one in by_id(collector.seen).values() if one.parent == ""]


def _gone(pids: list[int]) -> None:
    """The process that tells ends when its parent is killed."""
    deadline = time.monotonic() + 20
    while any(psutil.pid_exists(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def with_ledger(root: Path, holds: object) -> None:
    """What a follower that begins anew makes of the whole ledger."""
    ledger = OfflineLedger(root / "data" / "ledger.db")
    try:
        entries = ledger.read(lambda view: view.entries_after(0, 100_000))
        made = ledger.read(lambda view: Spans(Trace(ledger.ledger_id, {})).of(view, entries))
        assert holds(made)  # type: ignore[operator]
    finally:
        ledger.close()


async def test_where_the_process_that_tells_is_killed_another_goes_on(tmp_path: Path, desk: Desk) -> None:
    with collecting() as collector:
        root = write_project(tmp_path, desk.base, CODE, toml=toml(collector))
        async with running(root) as world:
            await world.ended(await world.send(n=1))
            await so(lambda: world.system.telemetry.figures.sent == 2)
            pid = world.system.telemetry.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await world.ended(await world.send(n=1))
            await asyncio.to_thread(collector.until, lambda c: len(by_id(c.seen)) == 4)
            await so(lambda: world.system.telemetry.figures.sent == 4)


async def test_whoever_remembers_nothing_tells_the_same(tmp_path: Path, desk: Desk) -> None:
    """Every entry by a follower of its own makes the same spans as all by one."""
    root = write_project(tmp_path, desk.base, CODE, rules=ASK, toml=PEOPLE, settle_s=5)
    async with running(root) as world:
        desk.pages["/items/x"] = {"item": "x", "key": ""}
        await world.ended(await world.send(n=2, item="x"))
        card = await world.card()
        await world.kernel.approving.change(
            card.id, binding=card.body["binding"], args={"item": "z"}, reason="so", person="maya"
        )
        card = await world.until(lambda view: next((c for c in view.cards() if "~" in c.path), None))
        assert card is not None
        with pytest.raises(NotAnswerable, match="nobody approves their own request"):
            await world.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
        desk.faults.append(fault("lost"))
        await world.send(n=1, item="d")
        doubt = await world.until(lambda view: next((c for c in view.cards() if c.kind == "doubt"), None))
        assert doubt is not None
        await world.answer(doubt.id, "did_not_happen")
        desk.faults.append(fault("body", 200, {"not": "as expected"}))
        drifted = await world.send(n=1, item="w")
        card = await world.until(lambda view: next((c for c in view.cards() if c.kind == "drift"), None))
        assert card is not None
        await world.answer(card.id, "happened", result={"item": "w", "key": "k"})
        await world.ended(drifted)
        await world.until(lambda view: view.open_cards() == 1)
        read = world.read(lambda view: view.entries_after(0, 10_000))
        ledger_id = world.system.store.ledger_id
        together = world.read(lambda view: Spans(Trace(ledger_id, {})).of(view, read))
        alone = [
            span
            for one in read
            for span in world.read(lambda view, one=one: Spans(Trace(ledger_id, {})).of(view, [one]))  # type: ignore[misc]
        ]
    assert together == alone and len({one.id for one in together}) == len(together)
    outcomes = {one.attributes["deputize.outcome"] for one in together}
    assert outcomes >= {"done", "settled", "refused", "not approved", "drifted"}
    doubtful = [one for one in together if one.attributes.get("deputize.doubted")]
    assert doubtful and [one.name for one in together if one.name.startswith("resolve ")] == [
        "resolve desk.plain"
    ]


async def test_of_what_is_erased_nothing_is_told(tmp_path: Path, desk: Desk) -> None:
    with collecting() as collector:
        port_is_down = f'[telemetry]\nendpoint = "http://127.0.0.1:{free_port()}"\n'
        root = write_project(tmp_path, desk.base, CODE, toml=port_is_down)
        async with running(root) as world:
            erased, kept = await world.send(n=1), await world.send(n=1)
            await world.ended(erased, kept)
            no = world.run(erased).no
            await world.system.store.write(lambda tx: erase_run(tx, no, tx.version(0)))
        write_project(tmp_path, desk.base, CODE, toml=toml(collector))
        async with running(root) as world:
            await asyncio.to_thread(collector.until, lambda c: len(c.of(kept)) == 2)
            await world.ended(await world.send(n=1))
            await asyncio.to_thread(collector.until, lambda c: len(c.seen) == 4)
        assert collector.of(erased) == []
        assert not [raw for raw in collector.raw if erased.encode() in raw]


async def test_a_collector_cannot_send_it_elsewhere(tmp_path: Path, desk: Desk) -> None:
    with collecting() as other, collecting() as collector:
        collector.answers, collector.location = 307, other.address + "/v1/traces"
        async with running(write_project(tmp_path, desk.base, CODE, toml=toml(collector))) as world:
            await world.ended(await world.send(n=1))
            await so(lambda: world.system.telemetry.figures.failing)
        assert other.raw == []


async def test_who_is_too_far_behind_goes_on_from_nearer_and_counts_it(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "BEHIND_MAX", 3)
    async with running(write_project(tmp_path, desk.base, CODE)) as world:
        await world.ended(await world.send(n=1))
        last = world.read(lambda view: view.last_seq())
        cursor = Cursor(0)
        read = world.read(cursor.read)
        assert [entry.seq for _, entry in read] == [last - 2, last - 1, last]
        assert cursor.passed == last - 3 and last > 3


@pytest.mark.parametrize("settings", ["", '[telemetry]\nendpoint = "env:NOT_SET_HERE"\n'])
async def test_without_an_endpoint_nothing_is_begun_and_nothing_imported(
    tmp_path: Path, desk: Desk, settings: str
) -> None:
    root = write_project(tmp_path, desk.base, CODE, toml=settings)
    program = f"""
import asyncio, sys, threading
from pathlib import Path
from tests.support.running import running

async def main():
    async with running(Path({str(root)!r})) as world:
        await world.ended(await world.send(n=1))
        assert world.system.telemetry.pid is None
        assert not [t for t in threading.enumerate() if "telemetry" in t.name]
        told = [m for m in sys.modules if m.startswith(("opentelemetry", "structlog", "google.protobuf"))]
        assert told == [], told
        assert "deputize.telemetry.exporting" not in sys.modules
        assert "deputize.telemetry.child" not in sys.modules

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stderr=-1)
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


async def test_without_the_sdk_a_system_starts_and_says_what_to_install(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "has_sdk", lambda: False)
    with collecting() as collector:
        app = Running()
        troubles: list[str] = []
        from deputize.system import System

        root = write_project(tmp_path, desk.base, CODE, toml=toml(collector))
        app.system = System.open(root, boundary=app.boundary)
        app.system.telemetry.on_trouble = troubles.append
        await app.system.start()
        try:
            await app.ended(await app.send(n=1))
        finally:
            await app.system.stop()
    assert troubles == [telemetry.NEEDED] and "pip install 'deputize[telemetry]'" in troubles[0]
    assert collector.raw == []


async def test_what_a_collector_does_not_take_in_time_is_dropped_and_counted(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower of its own, in this process, with no patience."""
    from deputize.telemetry import child as telling

    monkeypatch.setattr(telling, "TRY_S", 0.0)
    monkeypatch.setattr(telling, "PAUSE_S_MIN", 0.01)
    with collecting() as collector:
        collector.answers = 400
        root = write_project(tmp_path, desk.base, CODE)
        async with running(root) as world:
            await world.ended(await world.send(n=1))
            ending = threading.Event()
            tracing = telling.Tracing(_given(root, world, collector), ending)
            tracing.start()
            await so(lambda: tracing.told()["dropped"] == 2)
            assert tracing.told()["failing"]
            collector.answers = 200
            await world.ended(await world.send(n=1))
            await so(lambda: tracing.told()["sent"] == 2)
            ending.set()
            await asyncio.to_thread(tracing.join)
            last = world.read(lambda view: view.last_seq())
            assert tracing.told() == {
                "traces": last,
                "sent": 2,
                "dropped": 2,
                "passed": 0,
                "failing": False,
            }


async def test_an_entry_that_says_too_little_is_passed_over_and_counted(tmp_path: Path, desk: Desk) -> None:
    async with running(write_project(tmp_path, desk.base, CODE)) as world:
        await world.ended(await world.send(n=1))
        read = list(world.read(lambda view: view.entries_after(0, 100)))
        index = next(i for i, (_, entry) in enumerate(read) if entry.type == "receipt")
        name, entry = read[index]
        read[index] = (name, replace(entry, body={}))
        spans = Spans(Trace("l", {}))
        made = world.read(lambda view: spans.of(view, read))
    assert [one.name for one in made] == ["invoke_agent worker"] and spans.untold == 1


def _given(root: Path, world: Running, collector: Collector) -> dict[str, object]:
    return {
        "ledger": str(root / "data" / "ledger.db"),
        "ledger_id": world.system.store.ledger_id,
        "traces": 0,
        "address": collector.address + "/v1/traces",
        "headers": {},
        "service": "test",
        "version": "1",
        "models": {},
    }


async def test_the_process_that_tells_ends_with_a_parent_that_is_killed_while_nothing_happens(
    tmp_path: Path, desk: Desk
) -> None:
    with collecting() as collector:
        root = write_project(tmp_path, desk.base, CODE, toml=SERVER + toml(collector))
        async with child(root) as server:
            assert server.url, await server.wait()
            async with httpx2.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as http:
                assert (await http.post("/v1/events", json=cloudevent("1", n=1))).status_code == 202
                async with asyncio.timeout(30):
                    while "deputize_trace_spans_sent_total 2.0" not in (await http.get("/metrics")).text:
                        pass  # each look is a round trip, and gives the process its turn
            telling = [one.pid for one in psutil.Process(server.process.pid).children()]
            assert len(telling) == 1
            server.process.kill()
            await asyncio.to_thread(_gone, telling)

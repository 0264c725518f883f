"""Many clients at once and a killed process: every accepted event is there once, and answered."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path

import httpx2

from deputize.store.sqlite.offline import OfflineLedger
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.serving import SERVER, Child, child, cloudevent

CLIENTS, EVENTS, DUPLICATES, KILL_AFTER = 20, 2_000, 400, 700
ONE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    got = await desk.write(item=event.data.item)
    return done(got.item)
"""
BATCH = {"content-type": "application/cloudevents-batch+json"}


async def test_every_accepted_event_is_there_once_and_answered_after_a_kill(
    tmp_path: Path, desk: Desk
) -> None:
    agents = 'worker = agent("worker", concurrent_max=200)'
    root = write_project(tmp_path, desk.base, ONE, toml=SERVER, agents=agents)
    chance = random.Random(7)
    ids = [f"e{i}" for i in range(EVENTS)]
    to_send = ids + chance.sample(ids, DUPLICATES)
    chance.shuffle(to_send)
    accepted: Counter[str] = Counter()
    async with child(root) as first:
        left = await flood(first, list(to_send), accepted, kill_after=KILL_AFTER)
        assert first.process.returncode is None or first.process.returncode == -9
        await first.process.wait()
    assert sum(accepted.values()) >= KILL_AFTER and len(accepted) < EVENTS and left
    before = set(accepted)
    async with child(root) as second:
        # Everything again: the clients do not know what of the unanswered was kept.
        assert not await flood(second, list(to_send), accepted)
        await answered(second, EVENTS)
    ledger = OfflineLedger(root / "data" / "ledger.db")
    try:
        rows = ledger.read(lambda view: view.events(after=0, limit=3_000))
        assert sorted(row.occurrence.id for row in rows) == sorted(ids)
        assert before <= {row.occurrence.id for row in rows}
        runs = ledger.read(lambda view: view.runs(limit=3_000))
        assert sorted(run.event for run in runs) == sorted(row.seq for row in rows)
        assert Counter(run.label for run in runs) == Counter(f"done({id})" for id in ids)
        assert list(ledger.verify()) == [] and ledger.compare() == []
    finally:
        ledger.close()
    assert Counter(item["item"] for item in desk.effects.values()) == Counter(ids)


async def flood(server: Child, ids: list[str], accepted: Counter[str], *, kill_after: int = 0) -> list[str]:
    """Post all of them from many clients. Returns what got no answer; kills the server after so many."""
    unanswered: list[str] = []

    async def client(http: httpx2.AsyncClient, number: int) -> None:
        while ids:
            some = [ids.pop() for _ in range(min(len(ids), 1 + number % 4))]
            events = [cloudevent(id, item=id) for id in some]
            try:
                answer = await http.post("/v1/events", content=json.dumps(events), headers=BATCH)
            except httpx2.TransportError:
                unanswered.extend(some)
                continue
            assert answer.status_code == 202, answer.text
            accepted.update(some)
            if kill_after and sum(accepted.values()) >= kill_after and server.process.returncode is None:
                server.process.kill()
                await server.process.wait()

    async with httpx2.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as http:
        await asyncio.gather(*(client(http, number) for number in range(CLIENTS)))
    return unanswered


async def answered(server: Child, count: int) -> None:
    """Wait until so many runs have ended, following the ledger's entries as they come."""
    ended, after = 0, 0
    async with httpx2.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as http:
        async with asyncio.timeout(120):
            while ended < count:
                page = (await http.get("/v1/entries", params={"after": after, "limit": 1_000})).json()[
                    "entries"
                ]
                ended += sum(entry["type"] == "ended" for entry in page)
                after = page[-1]["seq"] if page else after

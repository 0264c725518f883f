"""Writes with an idempotency key are carried out once, whatever is sent again, by whom, and what dies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import deputize.api.once_kept
from deputize.api.once import _name
from deputize.api.once_kept import SETTING, Once
from deputize.api.who import Speaker
from deputize.ledger import SYSTEM
from tests.support.conforming import conforms
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import ShiftedClock
from tests.support.serving import PEOPLE, SERVER, Served, child, cloudevent, serving

CODE = """
@automation(on=Ask, agent=worker)
async def asks(event: Event[Ask]) -> Outcome:
    return done((await desk.write(item=event.data.item)).item)
"""
STOP = {"scope": "agent:worker", "reason": "stock-taking"}
DAY_S = 24 * 3_600


@pytest.fixture
async def served(tmp_path: Path, desk: Desk) -> AsyncIterator[Served]:
    root = write_project(tmp_path, desk.base, CODE, toml=SERVER + PEOPLE)
    async with serving(root, clock=ShiftedClock()) as found:
        await found.speak_as("maya")
        yield found


async def stop(served: Served, key: str | None, body: dict[str, Any] = STOP, **headers: str) -> Any:
    keyed = {"idempotency-key": key} if key is not None else {}
    return await served.http.post("/v1/stops", json=body, headers=keyed | headers)


def halts(served: Served) -> int:
    return sum(e.type == "halted" for e in served.app.read(lambda view: view.entries(SYSTEM)))


def shift(served: Served, seconds: float) -> None:
    clock: Any = served.app.system.time.clock
    clock._clock.shift_s += seconds


async def test_the_same_request_with_the_same_key_is_done_once_and_answered_alike(served: Served) -> None:
    first = await stop(served, "a")
    assert first.status_code == 200 and "idempotency-replayed" not in first.headers
    assert (await served.http.delete("/v1/stops/agent:worker")).status_code == 200
    again = await stop(served, "a")
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotency-replayed"] == "true" and halts(served) == 1
    assert (await served.http.get("/v1/stops")).json()["stops"] == []
    assert (await stop(served, "b")).status_code == 200 and halts(served) == 2
    event = cloudevent("1", item="a")
    keyed = {"idempotency-key": "event"}
    sent = [await served.http.post("/v1/events", json=event, headers=keyed) for _ in range(2)]
    assert sent[0].status_code == 202 and sent[0].content == sent[1].content


async def test_the_same_key_with_another_request_is_refused(served: Served) -> None:
    assert (await stop(served, "a")).status_code == 200
    for other in (
        await stop(served, "a", STOP | {"reason": "else"}),
        await served.http.delete("/v1/stops/agent:worker", headers={"idempotency-key": "a"}),
        await served.http.post("/v1/stops?x=1", json=STOP, headers={"idempotency-key": "a"}),
    ):
        assert other.status_code == 422 and "take a new one" in other.json()["detail"], other.text
    assert halts(served) == 1 and len((await served.http.get("/v1/stops")).json()["stops"]) == 1


async def test_of_many_at_once_with_one_key_one_is_carried_out(served: Served) -> None:
    answers = await asyncio.gather(*(stop(served, "a") for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {200, 409} and halts(served) == 1
    assert all("in a moment" in one.json()["detail"] for one in answers if one.status_code == 409)
    assert any(one.status_code == 409 for one in answers)
    assert sum(one.status_code == 200 and len(one.headers.get("idempotency-replayed", "")) == 0
               for one in answers) == 1  # fmt: skip


async def test_the_keys_of_one_person_are_not_anothers(served: Served) -> None:
    assert (await stop(served, "a")).status_code == 200
    kim = {"authorization": f"Bearer {await served.token('kim')}"}
    other = await stop(served, "a", {"scope": "connector:desk"}, **kim)
    assert other.status_code == 200 and "idempotency-replayed" not in other.headers
    own = await stop(served, "a", authorization=f"Bearer {await served.token('maya')}")
    assert own.headers["idempotency-replayed"] == "true", "a person's, whichever token they speak by"


async def test_what_was_refused_leaves_its_key_free(served: Served) -> None:
    assert (await stop(served, "a", {"scope": "agent:nobody"})).status_code == 422
    assert (await stop(served, "a")).status_code == 200 and halts(served) == 1


async def test_a_token_is_given_once_and_its_answer_is_not_kept(served: Served, tmp_path: Path) -> None:
    keyed = {"idempotency-key": "a"}
    given = await served.http.post("/v1/people/kim/tokens", headers=keyed)
    again = await served.http.post("/v1/people/kim/tokens", headers=keyed)
    assert given.status_code == 201 and again.status_code == 409, again.text
    assert len(served.app.kernel.tokens.of("kim")) == 1
    token = given.json()["token"]
    assert not [path for path in (tmp_path / "data").iterdir() if token.encode() in path.read_bytes()]


@pytest.mark.parametrize("key", ["", "x" * 201, "é", "a\tb"])
async def test_what_is_no_key_is_explained(served: Served, key: str) -> None:
    raw: Any = [("idempotency-key", key.encode())]
    answer = await served.http.post("/v1/stops", json=STOP, headers=raw)
    assert answer.status_code == 400 and "1 to 200 ASCII" in answer.json()["detail"], answer.text
    twice: Any = [("idempotency-key", "a"), ("idempotency-key", "a")]
    assert (await served.http.post("/v1/stops", json=STOP, headers=twice)).status_code == 400
    assert halts(served) == 0


async def test_keys_are_kept_for_a_day_and_no_more_than_may_be(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deputize.api.once_kept, "KEYS_MAX", 2)
    for key in ("a", "b"):
        assert (await stop(served, key)).status_code == 200
    full = await stop(served, "c")
    assert full.status_code == 429 and int(full.headers["retry-after"]) > 0
    assert (await stop(served, "a")).headers["idempotency-replayed"] == "true"
    assert (await stop(served, None)).status_code == 200
    shift(served, DAY_S + 1)
    assert (await stop(served, "a", STOP | {"reason": "another day"})).status_code == 200
    names = await served.app.system.store.write(lambda tx: tx.settings(SETTING))
    assert len(names) == 1


async def test_what_was_cut_short_is_not_done_again_unless_that_harms_nobody(served: Served) -> None:
    """What a process leaves that dies between carrying a request out and keeping its answer."""
    person = served.app.kernel.parts.force.directory.people["maya"]
    body = served.http.build_request("POST", "/v1/stops", json=STOP).content
    event = cloudevent("1", item="a")
    for path, content in (("/v1/stops", body), ("/v1/events", json.dumps(event).encode())):
        headers = {"idempotency-key": path, "content-type": "application/json"}
        sent = await served.http.post(path, content=content, headers=headers)
        assert sent.status_code in (200, 202)
        name = SETTING + _name(Speaker("person", person), path)
        kept = await served.app.system.store.write(lambda tx, name=name: tx.setting(name))  # type: ignore[misc]
        asked, at_us, *_ = json.loads(str(kept))
        begun = Once(asked, at_us).written()
        await served.app.system.store.write(lambda tx, n=name, b=begun: tx.set_setting(n, b))  # type: ignore[misc]
        again = await served.http.post(path, content=content, headers=headers)
        if path == "/v1/stops":
            assert again.status_code == 409 and "cut short" in again.json()["detail"]
        else:
            assert again.status_code == 202 and again.json()["accepted"][0]["duplicate"]
    assert halts(served) == 1


async def test_what_was_answered_is_answered_alike_after_a_kill(tmp_path: Path, desk: Desk) -> None:
    root = write_project(tmp_path, desk.base, CODE, toml=SERVER + PEOPLE)
    keyed = {"idempotency-key": "a"}
    answers = []
    for _ in range(2):
        async with child(root) as server:
            async with httpx2.AsyncClient(
                base_url=server.url, trust_env=False, timeout=30, event_hooks={"response": [conforms]}
            ) as http:
                answers.append(await http.post("/v1/events", json=cloudevent("1"), headers=keyed))
            server.process.kill()
            await server.process.wait()
    assert [one.status_code for one in answers] == [202, 202]
    assert answers[0].content == answers[1].content and not answers[1].json()["accepted"][0]["duplicate"]
    assert answers[1].headers["idempotency-replayed"] == "true"

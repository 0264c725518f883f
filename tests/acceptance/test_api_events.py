"""`POST /v1/events`: what is accepted is durable, and what is not accepted is explained and not kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

import deputize.kernel.intake
import deputize.store.sqlite.file
from deputize.api.body import read_body
from deputize.api.problem import Problem
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.serving import PEOPLE, SERVER, Served, cloudevent, serving

ONE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    got = await desk.write(item=event.data.item).because("asked")
    return done(got.item)
"""
DEEP = json.loads("[" * 80 + "]" * 80)
STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json; charset=utf-8"}


@pytest.fixture
async def served(tmp_path: Path, desk: Desk) -> AsyncIterator[Served]:
    async with serving(write_project(tmp_path, desk.base, ONE, toml=SERVER + PEOPLE)) as found:
        await found.speak_as("maya")
        yield found


async def post(served: Served, body: Any, headers: dict[str, str] = STRUCTURED) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await served.http.post("/v1/events", content=content, headers=headers)


def kept(served: Served) -> int:
    return served.app.read(lambda view: view.counts())["events"]


def refused(answer: Any, status: int, *words: str) -> dict[str, Any]:
    """It is a problem of this status, and says these words."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem.keys() >= {"type", "title", "status", "detail"} and problem["status"] == status
    for word in words:
        assert word in problem["detail"], problem
    return problem


async def test_an_accepted_event_names_its_run_and_a_duplicate_names_the_same(served: Served) -> None:
    first = await post(served, cloudevent("1", item="a"))
    again = await post(served, cloudevent("1", item="a"))
    assert (first.status_code, again.status_code) == (202, 202)
    new, old = first.json()["accepted"][0], again.json()["accepted"][0]
    assert new["seq"] == 1 and not new["duplicate"] and len(new["runs"]) == 1
    assert old["duplicate"] and old["seq"] is None and old["runs"] == new["runs"]
    assert await served.app.label(new["runs"][0]) == "done(a)"
    assert kept(served) == 1


async def test_what_is_answered_202_is_in_the_ledger_already(served: Served) -> None:
    served.app.kernel.parts.stops.stop("automation:one", "held for this test")
    run = (await post(served, cloudevent("1", item="a"))).json()["accepted"][0]["runs"][0]
    assert served.app.run(run).state == "ready"


async def test_a_batch_is_accepted_in_order_and_plain_json_is_one_event(served: Served) -> None:
    events = [cloudevent(str(i), item=f"i{i}") for i in range(1_000)]
    answer = await post(served, events, BATCH)
    assert answer.status_code == 202
    accepted = answer.json()["accepted"]
    assert [one["id"] for one in accepted] == [str(i) for i in range(1_000)]
    assert [one["seq"] for one in accepted] == list(range(1, 1_001))
    plain = await served.http.post("/v1/events", json=cloudevent("plain", item="p"))
    assert plain.status_code == 202
    await served.app.ended(*(one["runs"][0] for one in accepted))


async def test_a_batch_with_one_bad_event_is_refused_whole(served: Served) -> None:
    bad = cloudevent("2", item="b") | {"specversion": "0.3"}
    refused(await post(served, [cloudevent("1"), bad], BATCH), 400, "event 1 of the batch", "specversion")
    refused(await post(served, [cloudevent("1"), cloudevent("2", n="many")], BATCH), 422, "data.n")
    assert kept(served) == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"{", "not JSON"),
        (b'{"specversion": "1.0", "id": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b"NaN", "not JSON"),
        (b"null", "a CloudEvent is a JSON object"),
        (b"[]", "application/cloudevents-batch+json"),
        (json.dumps(cloudevent("1") | {"data": DEEP}).encode(), "nested deeper"),
        (json.dumps(cloudevent("1") | {"source": ""}).encode(), "source must be text"),
        (json.dumps(cloudevent("1") | {"id": "a\nb"}).encode(), "control characters"),
        (json.dumps(cloudevent("1") | {"time": "tomorrow"}).encode(), "ISO 8601"),
        (json.dumps(cloudevent("1") | {"time": "2026-01-01T00:00:00"}).encode(), "ISO 8601"),
        (json.dumps(cloudevent("1") | {"time": "0001-01-01T00:00:00Z"}).encode(), "ISO 8601"),
        (json.dumps(cloudevent("1") | {"data_base64": "AAAA"}).encode(), "send JSON in data"),
        (json.dumps(cloudevent("1", item="x" * 1_000_001)).encode(), "at most 1,000,000"),
    ],
)
async def test_what_is_no_event_is_explained_and_not_kept(served: Served, body: bytes, words: str) -> None:
    refused(await post(served, body), 400, words)
    assert kept(served) == 0


async def test_batches_are_arrays_of_one_to_a_thousand_events(served: Served) -> None:
    refused(await post(served, cloudevent("1"), BATCH), 400, "JSON array")
    refused(await post(served, [], BATCH), 400, "1 to 1,000")
    refused(await post(served, [cloudevent(str(i)) for i in range(1_001)], BATCH), 400, "1,001", "split")
    assert kept(served) == 0


async def test_other_kinds_of_body_are_refused_by_their_type(served: Served) -> None:
    refused(await post(served, cloudevent("1"), {"content-type": "text/plain"}), 415, "cloudevents+json")


BINARY = {
    "content-type": "application/json",
    "ce-specversion": "1.0",
    "ce-source": "/tests",
    "ce-id": "1",
    "ce-type": "test.ask",
}


async def test_in_binary_mode_the_headers_are_the_event_and_the_body_its_data(served: Served) -> None:
    headers = BINARY | {"ce-subject": "caf%C3%A9", "ce-time": "2026-01-01T00:00:00Z"}
    first = await post(served, {"item": "a"}, headers)
    assert first.status_code == 202, first.text
    again = await post(served, cloudevent("1", item="a"))
    assert again.json()["accepted"][0]["duplicate"]
    event = served.app.read(lambda view: view.event(1))
    assert event is not None
    about = event.occurrence
    assert (about.source, about.subject, json.loads(about.data)) == ("/tests", "café", {"item": "a"})
    assert about.time_us == 1_767_225_600_000_000
    bare = {name: value for name, value in BINARY.items() if name != "content-type"} | {"ce-id": "2"}
    answer = await served.http.post("/v1/events", headers=bare)
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize(
    ("without", "more", "body", "status", "words"),
    [
        ("ce-specversion", {}, b"{}", 400, "specversion must be '1.0'"),
        ("ce-id", {}, b"{}", 400, "id must be text"),
        ("", {"ce-specversion": "0.3"}, b"{}", 400, "'0.3'"),
        ("", {"ce-source": "/runs/x"}, b"{}", 400, "Deputize's own"),
        ("", {"ce-id": "%FF"}, b"{}", 400, "ce-id is not UTF-8"),
        ("", {"ce-id": "a%0Ab"}, b"{}", 400, "control characters"),
        ("", {"ce-time": "tomorrow"}, b"{}", 400, "ISO 8601"),
        ("", {}, b"{", 400, "not JSON"),
        ("", {}, b'{"n": "many"}', 422, "data.n"),
        ("", {"content-type": "text/plain"}, b"hello", 415, "application/json"),
    ],
)
async def test_what_is_no_event_in_binary_mode_is_explained_alike(
    served: Served, without: str, more: dict[str, str], body: bytes, status: int, words: str
) -> None:
    headers = {name: value for name, value in (BINARY | more).items() if name != without}
    refused(await post(served, body, headers), status, words)
    assert kept(served) == 0


async def test_an_attribute_in_binary_mode_is_sent_once(served: Served) -> None:
    headers = [*BINARY.items(), ("ce-id", "2")]
    answer = await served.http.post("/v1/events", content=b"{}", headers=headers)
    refused(answer, 400, "ce-id is there 2 times")


async def test_a_structured_event_keeps_its_own_attributes_whatever_the_headers_say(served: Served) -> None:
    answer = await post(served, cloudevent("own"), STRUCTURED | {"ce-id": "other", "ce-specversion": "1.0"})
    assert answer.json()["accepted"][0]["id"] == "own"


async def test_a_body_over_ten_megabytes_is_refused_with_and_without_its_length(served: Served) -> None:
    refused(await post(served, b" " * 10_000_001), 413, "10,000,000")

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(120):
            yield b" " * 100_000

    refused(await served.http.post("/v1/events", content=endless(), headers=STRUCTURED), 413)


async def test_no_more_of_a_body_is_read_than_the_bound() -> None:
    pulled = 0

    async def receive() -> dict[str, Any]:
        nonlocal pulled
        pulled += 1
        return {"type": "http.request", "body": b" " * 100_000, "more_body": True}

    with pytest.raises(Problem) as told:
        await read_body(Request({"type": "http", "method": "POST", "headers": []}, receive))
    assert told.value.status == 413 and pulled == 101


async def test_data_that_does_not_fit_is_refused_with_its_field(served: Served) -> None:
    answer = refused(await post(served, cloudevent("1", n="many")), 422, "data.n", "integer")
    assert answer["field"] == "data.n"
    assert kept(served) == 0


async def test_events_out_of_order_and_without_an_answer_are_kept_and_shown(served: Served) -> None:
    late = cloudevent("2", item="b") | {"time": "2026-01-02T00:00:00Z"}
    early = cloudevent("1", item="a") | {"time": "2026-01-01T01:00:00+02:00", "subject": "order 7"}
    nobodys = cloudevent("3", "test.nobody", anything=[1, {"deep": None}])
    accepted = (await post(served, [late, early, nobodys], BATCH)).json()["accepted"]
    assert accepted[2]["runs"] == []
    await served.app.ended(accepted[0]["runs"][0], accepted[1]["runs"][0])
    first = (await served.http.get("/v1/events", params={"limit": 2})).json()
    assert [event["id"] for event in first["events"]] == ["2", "1"] and first["next"] == 2
    assert first["events"][1]["time"] == "2025-12-31T23:00:00.000000Z"
    rest = (await served.http.get("/v1/events", params={"after": 2, "limit": 2})).json()
    assert [event["id"] for event in rest["events"]] == ["3"] and rest["next"] is None
    unanswered = (await served.http.get("/v1/events", params={"state": "unanswered"})).json()["events"]
    assert [(e["id"], e["data"]) for e in unanswered] == [("3", {"anything": [1, {"deep": None}]})]
    assert (await served.http.get("/v1/events/2")).json()["subject"] == "order 7"
    refused(await served.http.get("/v1/events/99"), 404, "no event 99")
    refused(await served.http.get("/v1/events/x"), 422)


async def test_past_the_bound_events_are_turned_away_and_the_accepted_are_all_answered(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deputize.kernel.intake, "BACKLOG_MAX", 10)
    await served.http.post("/v1/stops", json={"scope": "automation:one", "reason": "held"})
    runs = [await served.send(str(i), item=f"i{i}") for i in range(10)]
    answer = await post(served, cloudevent("10", item="x"))
    refused(answer, 429, "later")
    assert int(answer.headers["retry-after"]) >= 1
    refused(await post(served, [cloudevent("11"), cloudevent("12")], BATCH), 429)
    assert kept(served) == 10
    assert (await served.http.delete("/v1/stops/automation:one")).status_code == 200
    await served.app.ended(*runs)
    assert await served.app.label(await served.send("10", item="x")) == "done(x)"


async def test_a_full_disk_is_503_and_nothing_is_kept_until_there_is_room(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(deputize.store.sqlite.file, "FREE_BYTES_MIN", 2**62)
        answer = await post(served, cloudevent("1", item="a"))
        refused(answer, 503, "make room")
        assert int(answer.headers["retry-after"]) >= 1
        refused(await served.http.get("/readyz"), 503, "make room")
        assert (await served.http.get("/healthz")).status_code == 200
    assert kept(served) == 0
    assert (await served.http.get("/readyz")).status_code == 200
    assert await served.app.label(await served.send("1", item="a")) == "done(a)"


async def test_runs_behind_another_with_their_key_are_named_too(tmp_path: Path, desk: Desk) -> None:
    keyed = ONE.replace("agent=worker", 'agent=worker, key="{item}"')
    async with serving(write_project(tmp_path, desk.base, keyed, toml=SERVER + PEOPLE)) as served:
        await served.speak_as("maya")
        await served.http.post("/v1/stops", json={"scope": "all"})
        first, second = await served.send("1", item="a"), await served.send("2", item="a")
        assert served.app.run(second).state == "behind"
        await served.http.delete("/v1/stops/all")
        assert await served.app.label(first) == await served.app.label(second) == "done(a)"


async def test_the_bound_holds_for_events_that_come_at_the_same_moment(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deputize.kernel.intake, "BACKLOG_MAX", 10)
    await served.http.post("/v1/stops", json={"scope": "automation:one"})
    batches = [[cloudevent(f"{i}-{j}", item=f"{i}-{j}") for j in range(3)] for i in range(12)]
    answers = await asyncio.gather(*(post(served, batch, BATCH) for batch in batches))
    accepted = [one for a in answers if a.status_code == 202 for one in a.json()["accepted"]]
    assert {a.status_code for a in answers} == {202, 429} and len(accepted) == kept(served) <= 10
    await served.http.delete("/v1/stops/automation:one")
    await served.app.ended(*(one["runs"][0] for one in accepted))


@pytest.mark.parametrize("source", ["/runs/abc", "/polls/feed", "/schedules/often", "/webhooks/orders"])
async def test_nobody_outside_speaks_for_our_own_sources(served: Served, source: str) -> None:
    forged = cloudevent("2", item="a") | {"source": source}
    refused(await post(served, forged), 400, source.rpartition("/")[0] + "/", "another source")
    refused(await post(served, [cloudevent("1"), forged], BATCH), 400, "event 1 of the batch")
    assert kept(served) == 0


async def test_nobody_outside_sends_events_of_our_own_types(served: Served) -> None:
    forged = cloudevent("1", type="deputize.run.ended", run_id="r", event_id="2", label="forged")
    refused(await post(served, forged), 422, "deputize.", "another type")
    assert kept(served) == 0

"""Lists over HTTP: what they are chosen by, and how they go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import deputize.api.runs
from deputize.clock import iso
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.serving import PEOPLE, SERVER, Served, serving

CODE = """
@automation(on=Ask, agent=worker)
async def asks(event: Event[Ask]) -> Outcome:
    return done((await desk.write(item=event.data.item)).item)

@automation(on=Word, agent=clerk)
async def words(event: Event[Word]) -> Outcome:
    return done(await ask("maya", "Which?", choices=["a", "b"], within=hours(1)))
"""
AGENTS = 'worker = agent("worker")\nclerk = agent("clerk")'
ASKING = f"""
{PERMIT}
[[rule]]
title = "Somebody looks at c"
operation = "desk.write"
ask_always = true
ask = "finance"
"""


@pytest.fixture
async def served(tmp_path: Path, desk: Desk) -> AsyncIterator[Served]:
    root = write_project(tmp_path, desk.base, CODE, toml=SERVER + PEOPLE, agents=AGENTS, rules=ASKING)
    async with serving(root) as found:
        yield found


async def get(served: Served, path: str, **params: Any) -> dict[str, Any]:
    answer = await served.http.get(f"/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_runs_and_events_and_cards_are_chosen_by_what_they_are(served: Served) -> None:
    asked, worded = await served.send("1"), await served.send("2", "test.word")
    await served.app.until(lambda view: len(view.cards()) == 2)
    third = await served.send("3", "test.nobody")
    assert third == ""

    async def runs(**params: Any) -> list[str]:
        return [run["id"] for run in (await get(served, "runs", **params))["runs"]]

    assert await runs(agent="worker") == [asked] and await runs(agent="clerk") == [worded]
    assert await runs(automation="words") == [worded] and await runs(agent="nobody") == []
    began = iso(served.app.run(worded).began_at)
    assert await runs(since=began) == [worded]
    assert await runs(since=began, agent="worker") == []
    events = (await get(served, "events", type="test.word"))["events"]
    assert [event["id"] for event in events] == ["2"]
    assert (await get(served, "events", type="test.word", state="unanswered"))["events"] == []
    cards = (await get(served, "inbox", kind="question"))["cards"]
    assert [card["run"] for card in cards] == [worded]
    assert [c["run"] for c in (await get(served, "inbox", automation="asks"))["cards"]] == [asked]
    assert len((await get(served, "inbox", kind=["question", "approval"]))["cards"]) == 2


async def test_entries_of_a_type_go_on_past_those_of_others(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deputize.api.runs, "LOOKED_AT_MAX", 2)
    run = await served.send("1", "test.word")
    await served.app.until(lambda view: view.cards())
    found: list[dict[str, Any]] = []
    pages, after = 0, 0
    while True:
        page = await get(served, "entries", after=after, type="waiting")
        found += page["entries"]
        pages += 1
        if page["next"] is None:
            break
        assert page["next"] > after
        after = page["next"]
    assert [entry["type"] for entry in found] == ["waiting"] and pages > 1
    own = await get(served, "entries", run=run, type=["began", "waiting"])
    assert [entry["type"] for entry in own["entries"]] == ["began", "waiting"] and own["next"] is None
    system = await get(served, "entries", run="system", limit=1)
    assert system["entries"][0]["run"] == "system" and system["next"] == system["entries"][0]["seq"]


@pytest.mark.parametrize(
    ("path", "params", "status", "words"),
    [
        ("runs", {"state": "redy"}, 422, "'ready'"),
        ("runs", {"since": "yesterday"}, 422, "since must be a time such as"),
        ("events", {"state": "lost"}, 422, "'unanswered'"),
        ("entries", {"type": "recipt"}, 422, "did you mean 'receipt'"),
        ("entries", {"run": "nothing"}, 404, "GET /v1/runs"),
        ("inbox", {"kind": "aproval"}, 422, "'approval'"),
        ("runs", {"limit": "0"}, 422, "limit"),
    ],
)
async def test_what_no_list_is_chosen_by_is_explained(
    served: Served, path: str, params: dict[str, str], status: int, words: str
) -> None:
    answer = await served.http.get(f"/v1/{path}", params=params)
    assert answer.status_code == status and words in answer.json()["detail"], answer.text

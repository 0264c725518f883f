"""The history over HTTP: searched within a bound of work, told whole as a stream, and the runs there were."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import time
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from deputize import canonical
from deputize.api import exporting, run_list, searching
from deputize.ledger import SYSTEM, Draft
from deputize.store.protocol import Tx
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.serving import PEOPLE, SERVER, Served, serving

CODE = """
@automation(on=Ask, agent=worker)
async def puts(event: Event[Ask]) -> Outcome:
    if event.data.item == "bad":
        raise RuntimeError("=cmd|' /C calc'!A0")
    await desk.put(item="p").because(f"for {event.data.item}")
    return done("put")

@automation(on=Word, agent=other)
async def pays(event: Event[Word]) -> Outcome:
    if event.data.text == "ask":
        await ask("finance", "May it?", choices=["yes", "no"])
    await desk.pay(account=event.data.item, amount=Money(100, "EUR"))
    return done()
"""
AGENTS = 'worker = agent("worker")\nother = agent("other")'
PAGE = {"accept": "text/html"}


def project(root: Path, desk: Desk, zone: str = "Europe/Berlin") -> Path:
    return write_project(root, desk.base, CODE, agents=AGENTS, toml=SERVER + PEOPLE, zone=zone)


async def found(served: Served, **query: Any) -> list[dict[str, Any]]:
    """All that is found, going on as long as there is more."""
    lines: list[dict[str, Any]] = []
    before = None
    for _ in range(1_000):
        more = {} if before is None else {"before": before}
        answer = await served.http.get("/v1/history", params={**query, **more})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        lines += told["entries"]
        before = told["next"]
        if before is None:
            return lines
    raise AssertionError("it comes to no end")


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


async def test_what_was_recorded_is_found_by_whose_it_is_and_what_it_says(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        first = await served.send("1", item="Ann O'Brien")
        second = await served.send("2", "test.word", item="Bob", text="ask")
        third = await served.send("3", "test.word", item="acc-9")
        await served.app.ended(first, third)
        card = await served.app.card()
        await served.speak_as("kim")
        await served.http.post(f"/v1/inbox/{card.id}/answer", json={"kind": "answer", "answer": "yes"})
        await served.app.ended(second)
        everything = await found(served)
        seqs = [one["seq"] for one in everything]
        assert seqs == list(range(seqs[0], 0, -1))
        assert {one["run"] for one in await found(served, run=first[:8])} == {first}
        assert {one["automation"] for one in await found(served, automation="puts")} == {"puts"}
        assert {one["run"] for one in await found(served, agent="other")} == {second, third}
        told = await found(served, operation="desk.put")
        assert [one["type"] for one in told] == ["receipt", "intent"] and told[0]["operation"] == "desk.put"
        assert {one["operation"] for one in await found(served, operation="desk")} == {"desk.put", "desk.pay"}
        acted = await found(served, resource="account:acc-9")
        assert [(one["run"], one["type"]) for one in acted] == [(third, "receipt"), (third, "intent")]
        by_kim = await found(served, person="kim", run=second)
        assert [one["said"] for one in by_kim] == ['Kim answered "yes".']
        assert [one["type"] for one in await found(served, text="ann o'brien")] == ["intent"]
        assert await found(served, text="ann o'brien", automation="pays") == []
        assert {one["run"] for one in await found(served, run="system")} == {"system"}
        assert any("kim was given a token" in one["said"] for one in await found(served, run="system"))
        html = (await served.http.get("/history", params={"text": "O'Brien"}, headers=PAGE)).text
        assert f'href="/runs/{first}?action=1#1"' in html and "for Ann O'Brien" in unescape(html)
        nothing = words((await served.http.get("/history?automation=putz", headers=PAGE)).text)
        assert "Nothing was found, from the beginning until now." in nothing
        assert "The project has no automation 'putz'; did you mean 'puts'?" in nothing


async def test_times_are_those_of_the_projects_zone(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        run = await served.send("1")
        await served.app.ended(run)
        at = served.app.entries(run)[0].at_us
        everything = await found(served)
        from zoneinfo import ZoneInfo

        from deputize.clock import to_datetime

        here = to_datetime(at).astimezone(ZoneInfo("Europe/Berlin"))
        minute, day = f"{here:%Y-%m-%dT%H:%M}", f"{here:%Y-%m-%d}"
        assert await found(served, **{"from": day, "to": day}) == everything
        in_it = await found(served, **{"from": minute, "to": minute})
        assert any(one["type"] == "began" for one in in_it)
        assert await found(served, to="2001-01-01") == []
        assert await found(served, **{"from": "2999-01-01T00:00:00Z"}) == []
        utc = f"{to_datetime(at):%Y-%m-%dT%H:%M:%S.%f}Z"
        exactly = await found(served, **{"from": utc, "to": utc})
        assert {one["at"] for one in exactly} == {utc} and exactly
        for wrong in ("yesterday", "2026-13-01", "9999-12-31T23:59", "0001-01-01", "x" * 300):
            answer = await served.http.get("/v1/history", params={"from": wrong})
            assert answer.status_code == 422, wrong
            page = await served.http.get("/history", params={"from": wrong}, headers=PAGE)
            assert page.status_code == 422 and "Not done" in page.text
        page = await served.http.get("/history?run=feedfeed", headers=PAGE)
        assert "there is no run" in unescape(page.text).lower()


async def test_a_search_looks_back_for_a_moment_and_says_how_far(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        run = await served.send("1", item="needle")
        await served.app.ended(run)
        await many_entries(served, 6_000)
        monkeypatch.setattr(searching, "WITHIN_S", 0.0)
        told = (await served.http.get("/v1/history?text=needle")).json()
        last = served.app.read(lambda view: view.counts()["entries"])
        assert told["entries"] == [] and told["next"] == last + 1 - searching.STRETCH
        reached = served.app.read(lambda view: view.entry(told["next"]))
        assert reached is not None
        html = (await served.http.get("/history?text=needle", headers=PAGE)).text
        assert "Nothing was found so far. Searched back to" in words(html) and "there is more before" in html
        assert f'href="/history?text=needle&amp;before={told["next"]}"' in html
        assert [one["type"] for one in await found(served, text="needle")] == ["intent"]
        monkeypatch.undo()
        assert len((await served.http.get("/v1/history?limit=7")).json()["entries"]) == 7
        # Within one run its own stream is looked through, however much came after it.
        monkeypatch.setattr(searching, "WITHIN_S", 0.0)
        told = (await served.http.get("/v1/history", params={"text": "needle", "run": run})).json()
        assert [one["type"] for one in told["entries"]] == ["intent"] and told["next"] is None


async def test_all_that_is_found_is_told_as_a_stream_within_bounds(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        run = await served.send("1", item="=1+1")
        bad = await served.send("2", item="bad")
        await served.app.ended(run, bad)
        await many_entries(served, 2_500)
        last = served.app.read(lambda view: view.counts()["entries"])
        answer = await served.http.get("/v1/history?format=ndjson")
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.headers["content-disposition"] == 'attachment; filename="history.ndjson"'
        lines = [canonical.decode(line) for line in answer.text.splitlines()]
        assert [one["seq"] for one in lines] == list(range(last, 0, -1))
        assert lines[-1]["body"]["ruleset"], "with every detail"
        table = (await served.http.get("/v1/history?format=csv&automation=puts")).text
        rows = list(csv.reader(io.StringIO(table)))
        assert rows[0] == list(exporting.COLUMNS) and len(rows) > 4
        assert not any(cell.startswith(("=", "+", "@", "-")) for row in rows for cell in row)
        page = (await served.http.get("/history?automation=puts", headers=PAGE)).text
        assert 'href="/v1/history?automation=puts&amp;format=csv"' in page
        wrong = await served.http.get("/v1/history?format=xml")
        assert wrong.status_code == 422


def test_no_cell_is_a_formula() -> None:
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"):
        assert exporting._cell(text) == f"'{text}"
    assert exporting._cell("It ended") == "It ended"


async def test_there_are_so_many_exports_at_once_and_whoever_goes_away_ends_theirs(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        await many_entries(served, 30_000)
        async with (
            served.http.stream("GET", "/v1/history?format=ndjson") as one,
            served.http.stream("GET", "/v1/history?format=ndjson") as two,
        ):
            assert (one.status_code, two.status_code) == (200, 200)
            third = await served.http.get("/v1/history?format=csv")
            assert third.status_code == 429 and "exports are under way" in third.json()["detail"]
            assert third.headers["retry-after"]
            # Nobody reads the two, and the process does other things meanwhile.
            run = await served.send("while", item="x")
            assert await served.app.label(run) == "done(put)"
        for _ in range(2_000):
            answer = await served.http.get("/v1/history?format=csv&run=system&text=nothing")
            if answer.status_code == 200:
                break
            await asyncio.sleep(0.005)
        assert answer.status_code == 200


async def test_a_large_history_is_searched_in_time(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        await many_entries(served, 30_000)
        for query in ("text=nowhere", "person=nobody", "operation=desk.nothing", "resource=item:no", ""):
            began = time.monotonic()
            answer = await served.http.get(f"/history?{query}", headers=PAGE)
            took = time.monotonic() - began
            assert answer.status_code == 200 and took < 2.0, (query, took)
            assert query == "" or "Searched back to" in answer.text or "Nothing was found" in answer.text


async def test_the_runs_there_were_are_listed_by_how_they_are(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        puts = [await served.send(str(n)) for n in range(3)]
        bad = await served.send("bad", item="bad")
        asking = await served.send("asking", "test.word", text="ask")
        await served.app.ended(*puts, bad)
        await served.app.card()

        async def ids(**query: Any) -> list[str]:
            answer = await served.http.get("/v1/runs", params=query)
            assert answer.status_code == 200, answer.text
            return [run["id"] for run in answer.json()["runs"]]

        assert await ids(show="done") == puts[::-1]
        assert await ids(show="failed") == [bad]
        assert await ids(show="open") == [asking] == await ids(show="waiting")
        assert await ids(show="stuck") == []
        assert await ids(show="done", automation="pays") == []
        assert await ids(since="2001-01-01") == [asking, bad, *puts[::-1]]
        assert await ids(since="2999-01-01") == []
        first = (await served.http.get("/v1/runs?show=done&limit=2")).json()
        assert [run["id"] for run in first["runs"]] == puts[:0:-1] and first["searched_to"] is None
        assert await ids(show="done", limit=2, before=first["next"]) == [puts[0]]
        html = (await served.http.get("/runs?show=open", headers=PAGE)).text
        assert f'href="/runs/{asking}"' in html and "people's answer to the card" in unescape(html)
        assert bad not in html
        wrong = await served.http.get("/runs?show=faild", headers=PAGE)
        assert wrong.status_code == 422 and "did you mean 'failed'?" in unescape(wrong.text)
        monkeypatch.setattr(run_list, "WITHIN_S", 0.0)
        monkeypatch.setattr(run_list, "STRETCH", 1)
        html = (await served.http.get("/runs?show=failed", headers=PAGE)).text
        assert "None was found so far. Looked back to" in words(html) and "Go on" in html


async def many_entries(served: Served, many: int) -> None:
    """So many entries of the system's stream, as after years."""

    def work(tx: Tx) -> None:
        for _ in range(many // 500):
            version = tx.version(SYSTEM)
            drafts = [Draft("resumed", {"scope": f"agent:a{n}", "person": "maya"}) for n in range(500)]
            tx.append(SYSTEM, version, drafts)

    await served.app.system.store.write(work)

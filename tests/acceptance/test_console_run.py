"""The page of a run over HTTP: its story, its causes both ways, its entries, and what a person may do."""

from __future__ import annotations

import asyncio
import re
from html import escape, unescape
from pathlib import Path

import pytest

from deputize.api import rehearsing
from deputize.api import story as api_story
from deputize.ledger import SYSTEM
from deputize.store.erasure import erase_run
from tests.acceptance.test_actions_undo import UNDOABLE
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.serving import PEOPLE, SERVER, Served, serving

CODE = """
@automation(on=Ask, agent=worker)
async def begins(event: Event[Ask]) -> Outcome:
    n = 0
    while n < event.data.n:
        await desk.read(item="seen")
        n += 1
    await desk.put(item="p").because(f"it was asked for by {event.data.item}").expecting(item="p")
    await send(Word(item=event.data.item, text="next"))
    return done("begun")

@automation(on=Word, agent=worker)
async def answers(event: Event[Word]) -> Outcome:
    if event.data.text == "hold":
        await ask("finance", f"May {event.data.item}?", choices=["yes", "no"])
    if event.data.text == "make":
        await desk.make(item="a")
        await desk.put(item="p")
    if event.data.text == "fail":
        await desk.put(item="p").because(event.data.item)
        raise RuntimeError(event.data.item)
    paid = await attempt(desk.pay(account=event.data.item, amount=Money(8000, "EUR"))
                         .because(f"for {event.data.item}"))
    return done(type(paid).__name__)
"""
RULES = (
    PERMIT
    + """
[[rule]]
title = "More than 50 euros <b>waits</b>"
operation = "desk.pay"
ask_above = { amount = "50.00 EUR" }
ask = "finance"
within = "2 hours"
"""
)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
PAGE = {"accept": "text/html"}


def project(root: Path, desk: Desk) -> Path:
    desk.pages["/items/seen"] = {"item": "seen", "key": "k"}
    return write_project(root, desk.base, CODE, toml=SERVER + PEOPLE, rules=RULES, connector=UNDOABLE)


async def page(served: Served, path: str, status: int = 200) -> str:
    """A page, as its text with its markup."""
    answer = await served.http.get(path, headers=PAGE)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    return answer.text


def words(html: str) -> str:
    """What is read on a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


async def follower(served: Served, run: str) -> str:
    """The run that the event of another began."""
    found = await served.app.until(
        lambda view: [row.id for row in view.runs(automation="answers", limit=9) if row.id != run]
    )
    return str(found[0])


async def test_a_run_is_told_action_by_action_with_rules_source_cost_and_what_was_expected(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        run = await served.send("1", item="ann", n=1)
        await served.app.ended(run)
        html = await page(served, f"/runs/{run}")
        text = words(html)
        assert 'id="1"' in html and 'id="2"' in html and 'id="3"' in html
        assert 'It asked for desk.put with item "p", because "it was asked for by ann".' in text
        assert 'The rules allowed it by "All may be done".' in text
        assert "What it asked for may come from desk.read and test.ask." in text
        assert 'What it expected (item "p") is what it got.' in text
        assert "It ended as done (begun)." in text
        order = [text.index(part) for part in ("began, for the event", "desk.read with", "desk.put with")]
        assert order == sorted(order)
        told = (await served.http.get(f"/v1/runs/{run}/story")).json()
        assert [one.get("path", one["kind"]) for one in told["story"]] == ["run", "1", "2", "3", "run"]
        assert [step["type"] for step in told["story"][2]["steps"]] == ["wanted", "intent", "receipt"]
        assert told["story"][2]["state"] == "settled" and told["next"] is None


async def test_causes_are_followed_both_ways(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        run = await served.send("1", item="ann", n=0)
        next = await follower(served, run)
        card = await served.app.card()
        there = await page(served, f"/runs/{run}")
        assert f'href="/runs/{next}"' in there
        back = await page(served, f"/runs/{next}")
        assert f'href="/runs/{run}?action=2#2"' in back
        assert f'href="/inbox/{card.seq}"' in back and "The card" in back
        assert f'href="/cards/{next}/1"' in back, "what it waits for leads to the card"
        led = await served.http.get(f"/cards/{next}/1", headers=PAGE)
        assert led.headers["location"] == f"/inbox/{card.seq}"
        await served.speak_as("kim")
        form = {"binding": card.body["binding"], "seen": "whole", "reason": ""}
        await served.http.post(f"/inbox/{card.seq}/approve", data=form)
        await served.app.ended(next)
        html = await page(served, f"/runs/{next}")
        assert f'href="/inbox/{card.seq}">The card' in html
        text = words(html)
        assert "It was approved by kim, recorded, and then sent." in text
        led = await served.http.get(f"/cards/{next}/1", headers=PAGE)
        assert led.headers["location"] == f"/runs/{next}?action=1#1"


async def test_what_comes_from_outside_is_text_and_nothing_else(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        run = await served.send("1", item=HOSTILE, n=0)
        next = await follower(served, run)
        await served.app.card()
        failed = await served.send("2", "test.word", item=HOSTILE, text="fail")
        asking = await served.send("3", "test.word", item=HOSTILE, text="hold")
        await served.app.ended(run, failed)
        await served.app.state(asking, "waiting")
        seen = 0
        for path in (
            *(f"/runs/{id}{tab}" for id in (run, next, failed, asking) for tab in ("", "?tab=entries")),
            f"/runs/{next}/undo",
            f"/history?text={escape('alert(1)')}",
            "/history",
            "/runs",
            "/runs?show=failed",
            f"/history?run={HOSTILE}",
            f"/runs/{'<script>'}",
        ):
            answer = await served.http.get(path, headers=PAGE)
            assert "<script>alert" not in answer.text and "<img src=x" not in answer.text, path
            assert "<b>waits</b>" not in answer.text, path
            seen += answer.text.count("&lt;script&gt;")
        assert seen > 10


async def test_a_run_is_found_by_the_beginning_of_its_id_and_an_unknown_one_is_a_page_that_says_so(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        run = await served.send("1", n=0)
        await served.app.ended(run)
        short = await served.http.get(f"/runs/{run[:8]}?tab=entries", headers=PAGE)
        assert (short.status_code, short.headers["location"]) == (303, f"/runs/{run}?tab=entries")
        for path in ("/runs/abc", "/runs/feedfeedfeed", "/runs/feedfeedfeed/undo", f"/runs/{'x' * 5_000}"):
            text = words(await page(served, path, 404))
            assert "There is no such page" in text and "the history lists the runs" in text
        assert (await served.http.get("/v1/runs/feedfeedfeed/story")).status_code == 404
        # An action that is not there is no reason not to show the run.
        assert "desk.put" in await page(served, f"/runs/{run}?action=99")
        assert (await served.http.get(f"/runs/{run}?after=-1", headers=PAGE)).status_code == 422


async def test_an_erased_run_says_what_it_cannot_tell(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        run = await served.send("1", "test.word", item="Ann Secret", text="fail")
        await served.app.ended(run)
        assert "Ann Secret" in await page(served, f"/runs/{run}")
        no = served.app.run(run).no
        await served.app.system.store.write(lambda tx: erase_run(tx, no, tx.version(SYSTEM)))
        for path in (f"/runs/{run}", f"/runs/{run}?tab=entries", "/history", "/runs", "/runs?show=failed"):
            assert "Ann Secret" not in await page(served, path)
        text = words(await page(served, f"/runs/{run}"))
        assert "entries of this run have been erased" in text
        assert "What it held has been erased." in text
        assert (
            words(await page(served, f"/runs/{run}?tab=entries")).count("What it held has been erased.") > 3
        )
        await served.speak_as("maya")
        again = await served.http.post(f"/runs/{run}/rehearse", data={}, headers=PAGE)
        assert "cannot be rehearsed: it was erased" in unescape(again.text)


async def test_a_long_run_is_told_a_page_at_a_time_and_an_action_is_found_on_its_page(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        run = await served.send("1", n=300)
        await served.app.ended(run)
        version = served.app.run(run).version
        paths: list[str] = []
        after, pages = 0, 0
        while after is not None:
            told = (await served.http.get(f"/v1/runs/{run}/story", params={"after": after})).json()
            paths += [one["path"] for one in told["story"] if "path" in one]
            after, pages = told["next"], pages + 1
        assert paths == [str(n) for n in range(1, 303)]
        assert pages == -(-version // api_story.ENTRIES_A_PAGE)
        first = await page(served, f"/runs/{run}")
        assert 'rel="next"' in first and 'rel="prev"' not in first and 'id="250"' not in first
        there = await page(served, f"/runs/{run}?action=250")
        assert 'id="250"' in there and 'id="1"' not in there and 'rel="prev"' in there
        assert len(there) < 150_000
        entries = await page(served, f"/runs/{run}?tab=entries&after=200")
        assert 'id="e201"' in entries and 'id="e200"' not in entries and "after=225" in entries


async def test_an_action_whose_end_is_on_the_next_page_is_told_to_its_end(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        # The intent is the last entry of the first page, and its receipt the first of the second.
        run = await served.send("1", n=api_story.ENTRIES_A_PAGE - 2)
        await served.app.ended(run)
        last = str(api_story.ENTRIES_A_PAGE - 1)
        told = (await served.http.get(f"/v1/runs/{run}/story")).json()
        (one,) = (one for one in told["story"] if one.get("path") == last)
        assert [step["type"] for step in one["steps"]] == ["wanted", "intent", "receipt"]
        told = (await served.http.get(f"/v1/runs/{run}/story", params={"after": told["next"]})).json()
        (one,) = (one for one in told["story"] if one.get("path") == last)
        assert one["began_before"] and one["operation"] == "desk.put"
        assert "It began on an earlier page" in await page(served, f"/runs/{run}?after=100")


async def test_a_page_tells_no_place_on_this_machine(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        run = await served.send("1", "test.word", text="hold")
        await served.app.card()
        for path in ("/", f"/runs/{run}", f"/runs/{run}?tab=entries", "/workshop", "/rules", "/history"):
            assert str(tmp_path) not in await page(served, path), path


async def test_a_person_cancels_a_run_and_nobody_else_does(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        run = await served.send("1", "test.word", text="hold")
        await served.app.card()
        assert "Cancel" not in await page(served, f"/runs/{run}")
        refused = await served.http.post(f"/runs/{run}/cancel", headers=PAGE)
        assert refused.status_code == 403 and "nes is an approver" in refused.text
        assert served.app.run(run).state == "waiting"
        await served.speak_as("kim")
        assert "Cancel this run" in await page(served, f"/runs/{run}")
        sent = await served.http.post(f"/runs/{run}/cancel", headers=PAGE)
        assert sent.headers["location"] == f"/runs/{run}?did=cancel"
        assert await served.app.label(run) == "cancelled"
        assert "Cancelled" in await page(served, f"/runs/{run}")


async def test_what_would_be_undone_is_said_before_it_is(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        run = await served.send("1", "test.word", text="make", item="a")
        await served.app.card()
        assert "cancel it first" in unescape(await page(served, f"/runs/{run}/undo"))
        await served.app.kernel.people.cancel(run, "maya")
        await served.app.ended(run)
        anybody = await page(served, f"/runs/{run}/undo")
        assert "Your role does not undo" in anybody and "<textarea" not in anybody
        assert (await served.http.post(f"/runs/{run}/undo", data={}, headers=PAGE)).status_code == 403
        await served.speak_as("maya")
        html = await page(served, f"/runs/{run}/undo")
        text = words(html)
        assert "which undoes desk.make (1)" in text and "desk.put (2): there is no undo for it" in text
        plan = (await served.http.get(f"/v1/runs/{run}/undo")).json()
        assert [step["undoes"] for step in plan["steps"]] == ["1"] and plan["left"][0]["path"] == "2"
        assert "undo/1" not in served.app.actions(run), "it is only said"
        long = await served.http.post(f"/runs/{run}/undo", data={"reason": "x" * 10_000}, headers=PAGE)
        assert long.status_code == 422 and "500 characters" in long.text
        sent = await served.http.post(f"/runs/{run}/undo", data={"reason": "a mistake"}, headers=PAGE)
        assert sent.headers["location"] == f"/runs/{run}?did=undo"
        await served.app.action(run, "undo/1", "settled")
        html = await page(served, f"/runs/{run}")
        assert "maya began to undo 1 of its actions: a mistake." in words(html).replace("Maya", "maya")
        assert 'id="undo/1"' in html and 'href="?action=1#1"' in html
        assert 'href="?action=undo/1#undo/1"' in html, "what was undone leads to what undid it"


async def test_a_run_is_rehearsed_again_one_at_a_time_and_only_for_a_person(
    tmp_path: Path, desk: Desk
) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served:
        run = await served.send("1", item="ann", n=1)
        await served.app.ended(run)
        effects = len(desk.writes)
        assert (await served.http.post(f"/v1/runs/{run}/rehearse")).status_code == 401
        stranger = await served.http.post(f"/runs/{run}/rehearse", data={}, headers=PAGE)
        assert stranger.headers["location"].startswith("/login")
        await served.speak_as("kim")
        told = await served.http.post(f"/runs/{run}/rehearse", data={}, headers=PAGE)
        assert told.status_code == 200 and "It would come to just what it did. Done: begun." in words(
            told.text
        )
        code = root / "automations" / "work.py"
        code.write_text(code.read_text().replace('return done("begun")', 'return done("other")'))
        changed = (await served.http.post(f"/v1/runs/{run}/rehearse")).json()
        assert not changed["same"] and changed["end"] == "done(other)"
        (difference,) = changed["differences"]
        assert (difference["now"], difference["then"]) == ("done(other)", "done(begun)")
        html = words((await served.http.post(f"/runs/{run}/rehearse", data={}, headers=PAGE)).text)
        assert "It would not come to just what it did" in html and "Done: other Done: begun" in html
        assert len(desk.writes) == effects, "nothing is done"


async def test_a_rehearsal_that_takes_too_long_is_ended_and_there_is_one_at_a_time(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(tmp_path, desk)
    async with serving(root, speaks="ines") as served:
        run = await served.send("1", n=0)
        await served.app.ended(run)
        await served.speak_as("kim")
        code = root / "automations" / "work.py"
        code.write_text("import time\ntime.sleep(600)\n" + code.read_text())
        monkeypatch.setattr(rehearsing, "WITHIN_S", 3.0)
        answers = await asyncio.gather(*[served.http.post(f"/v1/runs/{run}/rehearse") for _ in range(2)])
        assert [one.status_code for one in answers] == [409, 409]
        told = sorted(one.json()["detail"] for one in answers)
        assert told[0] == "another run is being rehearsed; send it again in a moment"
        assert "still importing the project after 3 s, so it was ended" in told[1]
        assert "work.py:2" in told[1], told
        monkeypatch.undo()
        code.write_text(code.read_text().replace("time.sleep(600)", "pass"))
        assert (await served.http.post(f"/v1/runs/{run}/rehearse")).json()["same"]

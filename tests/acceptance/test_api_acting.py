"""Reading and acting over HTTP: runs and their story, the inbox, stops, budgets, the ledger's care."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.serving import PEOPLE, SERVER, Served, serving

CODE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    if event.data.n == 1:
        await wait_for(Word, matching={"item": event.data.item}, within=days(30))
    operation = {2: desk.plain, 3: desk.read}.get(event.data.n, desk.write)
    got = await operation(item=event.data.item).because("it was asked for").expecting(item=event.data.item)
    return done(got.item)
"""
RULES = (
    PERMIT
    + """
[[rule]]
title = "At most three a day"
operation = "desk.write"
at_most = { times = 3, per = "day" }
"""
)
BUDGET = '[[budget]]\nlimit = "100 actions"\nname = "Ours"\n'


def project(tmp_path: Path, desk: Desk) -> Path:
    return write_project(tmp_path, desk.base, CODE, toml=SERVER + PEOPLE + BUDGET, rules=RULES)


async def get(served: Served, path: str, **params: Any) -> Any:
    answer = await served.http.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def post(served: Served, path: str, status: int = 200, **body: Any) -> Any:
    answer = await served.http.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_runs_are_listed_by_state_and_automation_page_by_page(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        ids = [await served.send(f"w{i}", n=1, item=f"i{i}") for i in range(5)]
        for id in ids:
            await served.app.state(id, "waiting")
        newest = await get(served, "/v1/runs", limit=2)
        assert [run["id"] for run in newest["runs"]] == [ids[4], ids[3]]
        older = await get(served, "/v1/runs", limit=2, before=newest["next"])
        assert [run["id"] for run in older["runs"]] == [ids[2], ids[1]]
        last = await get(served, "/v1/runs", limit=2, before=older["next"])
        assert [run["id"] for run in last["runs"]] == [ids[0]] and last["next"] is None
        upwards = await get(served, "/v1/runs", limit=2, after=1)
        assert [run["id"] for run in upwards["runs"]] == [ids[1], ids[2]]
        assert (await get(served, "/v1/runs", state="ended"))["runs"] == []
        both = await served.http.get("/v1/runs?state=ended&state=waiting&automation=one")
        assert len(both.json()["runs"]) == 5
        assert (await get(served, "/v1/runs", automation="none"))["runs"] == []
        shown = await get(served, f"/v1/runs/{ids[0][:10]}")
        assert shown["run"]["id"] == ids[0] and shown["waits"][0]["kind"] == "event"
        assert shown["event"]["data"] == {"n": 1, "item": "i0"}


async def test_a_run_and_its_action_are_told_in_sentences(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("lost"))
    async with serving(project(tmp_path, desk)) as served:
        run = await served.send("1", item="a")
        assert await served.app.label(run) == "done(a)"
        told = " ".join((await get(served, f"/v1/why/{run}/1"))["sentences"])
        for words in (
            'the agent worker asked for desk.write with item "a", because "it was asked for"',
            f"in run {run} of the automation one, for the event 1 from /tests (test.ask)",
            'The rules allowed it by "All may be done"',
            '"At most three a day" had counted 0 until then, and this adds 1',
            "nothing else could act on item:a",
            'Set aside for it before it was sent: 1 action of the budget "Ours"',
            "nobody knew whether it had happened",
            "the service, when asked, said that it was done",
            'What it expected (item "a") is what it got',
            'It used 1 action of "Ours"',
        ):
            assert words in told, (words, told)
        facts = (await get(served, f"/v1/why/{run}/1"))["facts"]
        assert facts["rules"] == [{"id": "all-may-be-done", "title": "All may be done"}]
        assert [step["type"] for step in facts["steps"]] == ["intent", "doubt", "receipt"]
        story = (await get(served, f"/v1/why/{run}"))["sentences"]
        assert "the automation one began" in story[0] and "it ended as done (a)" in story[-1]
        for id in ("2", "3"):
            await served.app.ended(await served.send(id, item=id))
        fourth = await served.send("4", item="4")
        await served.app.ended(fourth)
        refused = " ".join((await get(served, f"/v1/why/{fourth}/1"))["sentences"])
        assert "it was refused" in refused and 'Decided by "At most three a day"' in refused
        assert '"At most three a day" had counted 3' in refused
        assert (await served.http.get(f"/v1/why/{run}/9")).status_code == 404


async def test_a_read_names_the_rules_that_permitted_it(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        ids = [await served.send("1", n=3, item="a"), await served.send("2", n=3, item="b")]
        desk.always = fault("status", 404)
        ids.append(await served.send("3", n=3, item="c"))
        await served.app.ended(*ids)
        for id in ids:
            [action] = (await get(served, f"/v1/actions/{id}/1"))["entries"]
            assert action["body"]["rules"] == ["all-may-be-done"] and len(action["body"]["ruleset"]) == 16
            told = await get(served, f"/v1/why/{id}/1")
            assert 'The rules allowed it by "All may be done"; it only reads' in " ".join(told["sentences"])
            assert told["facts"]["rules"] == [{"id": "all-may-be-done", "title": "All may be done"}]


async def test_entries_of_all_streams_are_followed_by_their_seq(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        run = await served.send("1", item="a")
        await served.app.ended(run)
        seen: list[dict[str, Any]] = []
        while True:
            page = await get(served, "/v1/entries", after=seen[-1]["seq"] if seen else 0, limit=2)
            seen += page["entries"]
            if page["next"] is None:
                break
        assert [e["seq"] for e in seen] == list(range(1, len(seen) + 1))
        assert [e["type"] for e in seen if e["run"] == run] == ["began", "intent", "receipt", "ended"]
        own = (await get(served, f"/v1/runs/{run}/entries", after=2))["entries"]
        assert [e["type"] for e in own] == ["receipt", "ended"]
        [action] = (await get(served, f"/v1/runs/{run}/actions"))["actions"]
        assert (action["id"], action["state"]) == (f"{run}/1", "settled")
        assert len((await get(served, f"/v1/actions/{run}/1"))["entries"]) == 2


async def test_a_card_is_answered_once_and_with_a_result_that_fits(tmp_path: Path, desk: Desk) -> None:
    desk.faults.append(fault("cut_before"))
    async with serving(project(tmp_path, desk)) as served:
        run = await served.send("1", n=2, item="a")
        await served.speak_as("maya")
        await served.app.card()
        [card] = (await get(served, "/v1/inbox"))["cards"]
        assert card["kind"] == "doubt" and card["id"] == f"{run}/1" and card["body"]["op"] == "desk.plain"
        assert card["about"] == 'desk.plain with item "a", because "it was asked for"'
        assert card["of"] == "the automation one, for the event 1 from /tests (test.ask)"
        assert card["first_sent_at"].endswith("Z") and card["evidence"] in card["title"]
        ways = {way["command"].partition(card["id"] + " ")[2]: way["causes"] for way in card["answers"]}
        form = """happened --result '{"item": <"text">, "key": <"text">}'"""
        assert list(ways) == [form, "did-not", "did-not --again", "abandon"]
        assert "the run goes on" in ways[form] and "happens twice" in ways["did-not --again"]
        told = "\n".join((await get(served, f"/v1/why/{run}/1"))["sentences"])
        assert (await get(served, f"/v1/why/{run}/1"))["facts"]["answers"] == card["answers"]
        for way in card["answers"]:
            assert way["command"] in told and way["causes"] in told
        assert f"deputize why {run}/1" in (await get(served, f"/v1/why/{run}"))["sentences"][-1]
        path = f"/v1/inbox/{card['id']}/answer"
        assert "kind must be" in (await post(served, path, 422, kind="perhaps"))["detail"]
        assert "result" in (await post(served, path, 422, kind="happened"))["detail"]
        unfit = await post(served, path, 409, kind="happened", result={"item": 1})
        assert "does not fit" in unfit["detail"]
        assert (await post(served, "/v1/inbox/zzzz/1/answer", 404, kind="did_not"))["detail"]
        result = {"item": "a", "key": ""}
        await post(served, path, kind="happened", result=result, reason="seen in the shop")
        assert await served.app.label(run) == "done(a)"
        assert "nothing to answer" in (await post(served, path, 409, kind="did_not"))["detail"]
        assert (await get(served, "/v1/inbox"))["cards"] == []
        [closed] = (await get(served, "/v1/inbox", state="closed"))["cards"]
        assert closed["answers"] == []
        told = " ".join((await get(served, f"/v1/why/{run}/1"))["sentences"])
        assert "maya (seen in the shop) said that it had happened" in told and "deputize resolve" not in told


async def test_a_waiting_run_is_cancelled_and_an_ended_one_is_not(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        await served.speak_as("maya")
        run = await served.send("1", n=1, item="a")
        await served.app.state(run, "waiting")
        assert (await post(served, f"/v1/runs/{run}/cancel", 202))["said"]
        assert (await served.app.ended(run))[0].label == "cancelled"
        assert "ended already" in (await post(served, f"/v1/runs/{run}/cancel", 409))["detail"]


async def test_stops_hold_over_a_restart_and_name_what_there_is(tmp_path: Path, desk: Desk) -> None:
    root = project(tmp_path, desk)
    async with serving(root) as served:
        await served.speak_as("maya")
        wrong = await post(served, "/v1/stops", 422, scope="agent:worke")
        assert "did you mean 'worker'" in wrong["detail"]
        assert "scope must be" in (await post(served, "/v1/stops", 422, scope="everything"))["detail"]
        await post(served, "/v1/stops", scope="connector:desk", reason="maintenance")
        run = await served.send("1", item="a")
    async with serving(root) as served:
        stops = (await get(served, "/v1/stops"))["stops"]
        assert stops == [{"scope": "connector:desk", "reason": "maintenance"}]
        assert desk.writes == []
        await served.speak_as("maya")
        assert (await served.http.delete("/v1/stops/connector:desk")).status_code == 200
        assert await served.app.label(run) == "done(a)"


async def test_what_is_in_force_is_shown_without_logins(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        await served.app.ended(await served.send("1", item="a"))
        [budget] = (await get(served, "/v1/budgets"))["budgets"]
        assert (budget["name"], budget["held"], budget["spent"], budget["left"]) == ("Ours", 0, 1, 99)
        assert budget["said"] == "99 actions left of 100 actions this day"
        rules = (await get(served, "/v1/rules"))["rules"]
        assert [(r["title"], r["file"]) for r in rules] == [
            ("All may be done", "rules/rules.toml"),
            ("At most three a day", "rules/rules.toml"),
        ]
        [connector] = (await get(served, "/v1/connectors"))["connectors"]
        assert connector["base"] == desk.base and connector["concurrent_max"] == 200
        write = next(o for o in connector["operations"] if o["name"] == "desk.write")
        assert write["lookup_conclusive"] and "item" in write["input"]["properties"]


async def test_metrics_count_runs_actions_and_answers(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        await served.app.ended(await served.send("1", item="a"))
        await served.app.gone()
        text = (await served.http.get("/metrics")).text
        for line in (
            'deputize_runs{state="ended"} 1.0',
            'deputize_actions{state="settled"} 1.0',
            'deputize_runs_in_memory{automation="one"} 0.0',
            "deputize_events_total 1.0",
            "deputize_backlog 0.0",
            "deputize_doubts 0.0",
            "deputize_cards 0.0",
            'deputize_answer_seconds_count{connector="desk"} 1.0',
            'deputize_answer_seconds_bucket{connector="desk",le="+Inf"} 1.0',
        ):
            assert line in text.splitlines(), line
        assert "deputize_commits_total" in text and "deputize_works_total" in text


async def test_the_ledger_is_copied_checked_rebuilt_and_erased_through_its_owner(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk)) as served:
        run = await served.send("1", item="to-be-erased")
        await served.app.ended(run)
        target = tmp_path / "copy.db"
        assert (await post(served, "/v1/backup", target=str(target)))["bytes"] == target.stat().st_size
        with sqlite3.connect(target) as copy:
            assert copy.execute("SELECT count(*) FROM run").fetchone() == (1,)
        assert "there already" in (await post(served, "/v1/backup", 409, target=str(target)))["detail"]
        assert "absolute" in (await post(served, "/v1/backup", 422, target="copy.db"))["detail"]
        verified = await post(served, "/v1/ledger/verify")
        assert verified["ok"] and verified["flaws"] == [] and verified["checked"] > 0
        assert await post(served, "/v1/ledger/rebuild") == {"ok": True, "replaced": False, "differences": []}
        waiting = await served.send("2", n=1, item="b")
        await served.app.state(waiting, "waiting")
        assert "cancel it first" in (await post(served, "/v1/erase", 409, run=waiting))["detail"]
        assert (await post(served, "/v1/erase", run=run))["erased"]
        assert not (await post(served, "/v1/erase", run=run))["erased"]
        for path in ("/v1/events/1", f"/v1/runs/{run}/entries", f"/v1/why/{run}"):
            assert "to-be-erased" not in (await served.http.get(path)).text
        assert (await post(served, "/v1/ledger/verify"))["ok"]


async def test_entries_and_actions_of_a_run_come_page_by_page(tmp_path: Path, desk: Desk) -> None:
    code = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    await together(*[desk.write(item=str(n)) for n in range(12)])
    return done()
"""
    async with serving(write_project(tmp_path, desk.base, code, toml=SERVER)) as served:
        run = await served.send("1")
        await served.app.ended(run)
        whole = (await get(served, f"/v1/runs/{run}"))["actions"]
        for kind, key, all_of_it in (
            ("actions", "path", [action["path"] for action in whole]),
            ("entries", "version", list(range(1, served.app.run(run).version + 1))),
        ):
            seen: list[Any] = []
            query: dict[str, Any] = {"limit": 5}
            while query:
                page = await get(served, f"/v1/runs/{run}/{kind}", **query)
                assert len(page[kind]) <= 5
                seen += [row[key] for row in page[kind]]
                query = {"limit": 5, "after": page["next"]} if page["next"] is not None else {}
            assert seen == all_of_it and len(seen) >= 12, kind
        unknown = await served.http.get(f"/v1/runs/{run}/actions", params={"after": "9.9"})
        assert unknown.status_code == 422 and "9.9" in unknown.json()["detail"]

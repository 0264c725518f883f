"""Agents that live elsewhere call by MCP, in both revisions: each call is an action like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.desk import Desk, fault
from tests.support.elsewhere import (
    REVISIONS,
    RULES,
    approved,
    euros,
    meta,
    peer,
    project,
    text_of,
    token_of,
)
from tests.support.fixtures import desk as desk
from tests.support.serving import serving

RESULT = "deputize-result"


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_call_is_an_action_of_a_run_of_its_own_and_its_result_comes_back(
    tmp_path: Path, desk: Desk, revision: str
) -> None:
    async with (
        serving(project(tmp_path, desk)) as served,
        peer(served.http.base_url, await token_of(served), revision) as client,
    ):
        args = {"account": "a", "amount": euros(20)}
        got = await client.call_tool("desk-pay", args, meta=meta("c-1", "it is owed"))
        assert not got.is_error, text_of(got)
        assert got.structured_content["item"] == "a" and got.meta is not None
        assert got.meta["deputize/call"] == "c-1"
        run = got.meta["deputize/run"]
        assert await served.app.label(run) == "done(done)"
        (intent,) = served.app.entries(run, "intent")
        assert intent.body is not None and intent.body["agent"] == "partner"
        assert intent.body["why"] == "it is owed" and intent.body["origins"] == ["deputize.mcp.partner"]
        assert [entry.type for entry in served.app.entries(run)] == ["began", "intent", "receipt", "ended"]
        again = await client.call_tool("desk-pay", args, meta=meta("c-1"))
        assert again.structured_content == got.structured_content and len(desk.writes) == 1
        assert (await client.call_tool("desk-many", {"item": "x"})).structured_content == {
            "result": ["x", "x"]
        }


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_call_that_waits_for_people_says_so_and_its_result_comes_once_they_have_decided(
    tmp_path: Path, desk: Desk, revision: str
) -> None:
    async with (
        serving(project(tmp_path, desk)) as served,
        peer(served.http.base_url, await token_of(served), revision) as client,
    ):
        args = {"account": "a", "amount": euros(80)}
        waits = await client.call_tool("desk-pay", args)
        assert not waits.is_error and waits.structured_content["state"] == "waiting"
        assert text_of(waits).startswith("Waiting for approval until ")
        assert '"More than 50 euros waits for a person" asks finance' in text_of(waits)
        call, run = waits.structured_content["call"], waits.structured_content["run"]
        # Called again without an id, as a model does: it is the same call, and nobody is asked twice.
        same = await client.call_tool("desk-pay", args)
        assert same.structured_content["run"] == run and len(served.app.cards()) == 1
        assert (await client.call_tool(RESULT, {"call": call})).structured_content["state"] == "waiting"
        assert desk.writes == []
        await approved(served, run)
        done = await client.call_tool(RESULT, {"call": call})
        assert not done.is_error and done.structured_content["item"] == "a", text_of(done)
        assert (await client.call_tool("desk-pay", args, meta=meta(call))).structured_content == (
            done.structured_content
        )
        assert len(desk.writes) == 1
        # Once its answer was had, the same again is another call.
        anew = await client.call_tool("desk-pay", args)
        assert anew.structured_content["state"] == "waiting" and anew.structured_content["run"] != run


async def test_whoever_asked_cannot_approve_and_a_persons_no_comes_back_in_words(
    tmp_path: Path, desk: Desk
) -> None:
    async with (
        serving(project(tmp_path, desk)) as served,
        peer(served.http.base_url, await token_of(served)) as client,
    ):
        waits = await client.call_tool("desk-pay", {"account": "a", "amount": euros(80)}, meta=meta("c"))
        run = waits.structured_content["run"]
        speaks = {"authorization": f"Bearer {await token_of(served)}"}
        (card,) = (await served.http.get("/v1/inbox")).json()["cards"]
        own = await served.http.post(
            f"/v1/inbox/{card['id']}/answer",
            json={"kind": "approve", "binding": card["binding"]},
            headers=speaks,
        )
        assert own.status_code == 401 and "does nothing else" in own.json()["detail"]
        await approved(served, run, kind="refuse")
        no = await client.call_tool(RESULT, {"call": "c"})
        assert no.is_error and "kim" in text_of(no) and "too much" in text_of(no)
        assert "Nothing was done" in text_of(no) and desk.writes == []


async def test_what_a_person_made_of_a_call_is_what_comes_back(tmp_path: Path, desk: Desk) -> None:
    async with (
        serving(project(tmp_path, desk)) as served,
        peer(served.http.base_url, await token_of(served)) as client,
    ):
        waits = await client.call_tool("desk-pay", {"account": "a", "amount": euros(80)}, meta=meta("c"))
        run, other = waits.structured_content["run"], {"account": "b", "amount": "60.00 EUR"}
        await approved(served, run, kind="change", args=other)
        still = await client.call_tool(RESULT, {"call": "c"})
        assert still.structured_content["state"] == "waiting" and f"{run}/1~1" in text_of(still)
        await approved(served, run, "maya")
        done = await client.call_tool(RESULT, {"call": "c"})
        assert done.structured_content["item"] == "b", text_of(done)
        # It is still the call that it was.
        args = {"account": "a", "amount": euros(80)}
        again = await client.call_tool("desk-pay", args, meta=meta("c"))
        assert again.structured_content == done.structured_content and len(desk.writes) == 1


async def test_what_rules_refuse_and_services_decline_is_an_error_in_words(
    tmp_path: Path, desk: Desk
) -> None:
    async with (
        serving(project(tmp_path, desk)) as served,
        peer(served.http.base_url, await token_of(served)) as client,
    ):
        no = await client.call_tool("desk-write", {"item": "gold"})
        assert no.is_error and '"Nothing is ever written about gold"' in text_of(no), text_of(no)
        assert no.structured_content["state"] == "refused" and desk.writes == []
        desk.faults.append(fault("status", 422, {"error": "no such account"}))
        no = await client.call_tool("desk-pay", {"account": "a", "amount": euros(1)})
        assert no.is_error and no.structured_content["state"] == "declined"
        assert "The service said no, for good" in text_of(no)


async def test_a_doubt_says_so_and_is_not_repeated_by_calling_again(tmp_path: Path, desk: Desk) -> None:
    async with (
        serving(project(tmp_path, desk)) as served,
        peer(served.http.base_url, await token_of(served)) as client,
    ):
        desk.faults.append(fault("lost"))
        unsure = await client.call_tool("desk-plain", {"item": "a"})
        assert not unsure.is_error and unsure.structured_content["state"] == "not_sure"
        assert "Nobody knows whether it happened. A person looks at it" in text_of(unsure)
        for _ in range(2):
            again = await client.call_tool("desk-plain", {"item": "a"})
            assert again.structured_content == unsure.structured_content
        assert len(desk.writes) == 1 and len(desk.unkeyed) == 1
        run = unsure.structured_content["run"]
        await served.app.answer(f"{run}/1", "happened", {"item": "a", "key": ""})
        done = await client.call_tool(RESULT, {"call": unsure.structured_content["call"]})
        assert done.structured_content == {"item": "a", "key": ""} and len(desk.writes) == 1


async def test_an_answer_that_nobody_can_rely_on_is_an_error_and_is_not_asked_for_again(
    tmp_path: Path, desk: Desk
) -> None:
    async with (
        serving(project(tmp_path, desk)) as served,
        peer(served.http.base_url, await token_of(served)) as client,
    ):
        desk.faults.append(fault("body", 200, {"something": "else"}))
        drift = await client.call_tool("desk-plain", {"item": "a"})
        assert drift.is_error and drift.structured_content["state"] == "drift"
        assert "It was done, but" in text_of(drift) and "Do not call for it again" in text_of(drift)
        await client.call_tool("desk-plain", {"item": "a"})
        assert len(desk.writes) == 1


async def test_the_silence_of_people_expires(tmp_path: Path, desk: Desk) -> None:
    rules = RULES.replace('within = "2 hours"', 'within = "1 second"')
    async with (
        serving(project(tmp_path, desk, rules)) as served,
        peer(served.http.base_url, await token_of(served)) as client,
    ):
        waits = await client.call_tool("desk-pay", {"account": "a", "amount": euros(80)}, meta=meta("c"))
        await served.app.ended(waits.structured_content["run"])
        late = await client.call_tool(RESULT, {"call": "c"})
        assert late.is_error and late.structured_content["state"] == "expired", text_of(late)
        assert desk.writes == []


async def test_budgets_and_rules_on_origins_hold_for_whoever_calls_from_elsewhere(
    tmp_path: Path, desk: Desk
) -> None:
    rules = (
        RULES
        + """
[[rule]]
title = "What comes from elsewhere is not put"
operation = "desk.put"
never_if_from = "deputize.mcp.*"
"""
    )
    agents = """
limit = budget("30.00 EUR", name="Payments", operations="desk.pay")
partner = agent("partner", may=["desk.pay", "desk.put"], elsewhere=True, budgets=[limit])
"""
    async with (
        serving(project(tmp_path, desk, rules, agents)) as served,
        peer(served.http.base_url, await token_of(served)) as client,
    ):
        assert not (await client.call_tool("desk-pay", {"account": "a", "amount": euros(20)})).is_error
        over = await client.call_tool("desk-pay", {"account": "b", "amount": euros(20)})
        assert over.is_error and "partner: Payments" in text_of(over), text_of(over)
        put = await client.call_tool("desk-put", {"item": "a"})
        assert put.is_error and '"What comes from elsewhere is not put"' in text_of(put)
        assert len(desk.writes) == 1

"""Approving, refusing, changing and answering over HTTP: by people, of what they have read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.serving import PEOPLE, SERVER, Served, serving

CODE = """
@automation(on=Ask, agent=worker)
async def pays(event: Event[Ask]) -> Outcome:
    paid = await attempt(desk.pay(account=event.data.item, amount=Money(100 * event.data.n, "EUR"))
                         .because("it is owed"))
    return done(type(paid).__name__)

@automation(on=Word, agent=worker)
async def asks(event: Event[Word]) -> Outcome:
    return done(str(await ask("finance", event.data.text, choices=["yes", "no"])))
"""
RULES = (
    PERMIT
    + """
[[rule]]
title = "More than 50 euros waits for a person"
operation = "desk.pay"
ask_above = { amount = "50.00 EUR" }
ask = "finance"
within = "2 hours"
"""
)


def project(tmp_path: Path, desk: Desk, rules: str = RULES) -> Path:
    return write_project(tmp_path, desk.base, CODE, toml=SERVER + PEOPLE, rules=rules)


async def card_of(served: Served) -> dict[str, Any]:
    """The one card, once it waits."""
    await served.app.card()
    (card,) = (await served.http.get("/v1/inbox")).json()["cards"]
    return dict(card)


async def say(served: Served, card: dict[str, Any], kind: str, status: int = 200, **more: Any) -> Any:
    body = {"kind": kind, "binding": card.get("binding", "")} | more
    answer = await served.http.post(f"/v1/inbox/{card['id']}/answer", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_person_approves_the_card_that_they_have_read(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        run = await served.send("1", item="a", n=80)
        card = await card_of(served)
        assert len(card["binding"]) == 24 and card["due"].endswith("Z")
        await served.speak_as("kim")
        assert await say(served, card, "approve") == {
            "card": card["id"],
            "kind": "approve",
            "said": "approved",
        }
        assert await served.app.label(run) == "done(Item)"
        (intent,) = served.app.entries(run, "intent")
        assert intent.body is not None and intent.body["approvals"][0]["person"] == "kim"
        assert "nobody is asked for it" in (await say(served, card, "approve", 409))["detail"]
        assert len(desk.effects) == 1


async def test_a_person_refuses_with_a_reason(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        run = await served.send("1", item="a", n=80)
        card = await card_of(served)
        await served.speak_as("maya")
        assert (await say(served, card, "refuse", reason="too much"))["said"] == "refused"
        assert await served.app.label(run) == "done(Refused)"
        (refused,) = served.app.entries(run, "refused")
        assert refused.body is not None and refused.body["by"] == {"person": "maya", "reason": "too much"}
        assert desk.seen == []


async def test_whoever_changes_the_arguments_needs_another_to_approve_them(
    tmp_path: Path, desk: Desk
) -> None:
    async with serving(project(tmp_path, desk)) as served:
        run = await served.send("1", item="a", n=80)
        card = await card_of(served)
        await served.speak_as("maya")
        args = {"account": "a", "amount": "70.00 EUR"}
        assert (await say(served, card, "change", 422))["field"] == "args"
        assert "amount" in (await say(served, card, "change", 409, args={"account": "a"}))["detail"]
        changed = await say(served, card, "change", args=args, reason="as agreed")
        assert changed["said"] == f"changed; it goes on as {run}/1~1"
        await served.app.action(run, "1~1", "asking")
        card = await card_of(served)
        assert card["id"] == f"{run}/1~1"
        assert "nobody approves their own request" in (await say(served, card, "approve", 409))["detail"]
        await served.speak_as("kim")
        await say(served, card, "approve")
        assert await served.app.label(run) == "done(Item)"


async def test_nobody_approves_the_event_that_they_have_sent(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        await served.speak_as("maya")
        run = await served.send("1", item="a", n=80)
        card = await card_of(served)
        for kind, more in (("approve", {}), ("change", {"args": {"account": "a", "amount": "60.00 EUR"}})):
            own = await say(served, card, kind, 409, **more)
            assert "maya asked for it; nobody approves their own request" in own["detail"]
        assert served.app.actions(run)["1"].state == "asking" and desk.seen == []
        await served.speak_as("kim")
        await say(served, card, "approve")
        assert await served.app.label(run) == "done(Item)"


async def test_nor_do_they_in_a_batch(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        await served.speak_as("maya")
        batch = [
            {"specversion": "1.0", "source": "/t", "id": f"{n}", "type": "test.ask", "data": {"n": 80 * n}}
            for n in range(2)
        ]
        kind = {"content-type": "application/cloudevents-batch+json"}
        assert (await served.http.post("/v1/events", json=batch, headers=kind)).status_code == 202
        own = await say(served, await card_of(served), "approve", 409)
        assert "nobody approves their own request" in own["detail"]


async def test_a_card_that_has_changed_since_it_was_read_is_read_again(tmp_path: Path, desk: Desk) -> None:
    second = '[[rule]]\ntitle = "All is seen"\noperation = "desk.pay"\nask_always = true\nask = "finance"\n'
    root = project(tmp_path, desk)
    async with serving(root) as served:
        run = await served.send("1", item="a", n=80)
        read = await card_of(served)
    project(tmp_path, desk, RULES + second)
    async with serving(root) as served:
        await served.speak_as("kim")
        await say(served, read, "approve")
        # A rule that newly asks: what was approved before it is not enough, and the card is another.
        await served.app.until(lambda view: [c for c in view.cards() if c.body["binding"] != read["binding"]])
        for kind in ("approve", "refuse"):
            assert "has changed since it was read" in (await say(served, read, kind, 409))["detail"]
        card = await card_of(served)
        await say(served, card, "approve")
        assert await served.app.label(run) == "done(Item)"
        assert len(desk.effects) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "approve"}, "binding"),
        ({"kind": "refuse", "binding": ""}, "binding"),
        ({"kind": "approve", "binding": 7}, "binding"),
        ({"kind": "approve", "binding": "x" * 201}, "binding"),
        ({"kind": "perhaps", "binding": "x"}, "kind"),
        ({"kind": ["approve"]}, "kind"),
        ({"kind": {"approve": 1}}, "kind"),
        ({"kind": "refuse", "binding": "x", "reason": "r" * 2_001}, "reason"),
        ({"kind": "answer"}, "answer"),
        ({"kind": "approve", "binding": "x", "person": "kim"}, "person"),
    ],
)
async def test_an_answer_that_is_none_names_its_field(
    tmp_path: Path, desk: Desk, body: dict[str, Any], field: str
) -> None:
    async with serving(project(tmp_path, desk)) as served:
        await served.send("1", item="a", n=80)
        card = await card_of(served)
        await served.speak_as("kim")
        answer = await served.http.post(f"/v1/inbox/{card['id']}/answer", json=body)
        assert answer.status_code == 422 and answer.json()["field"] == field, answer.text
        assert (await card_of(served))["id"] == card["id"] and desk.seen == []


async def test_only_whom_the_rule_asks_may_approve(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        await served.send("1", item="a", n=80)
        card = await card_of(served)
        await say(served, card, "approve", 401)
        await served.speak_as("ines")
        assert "ines is not asked for this" in (await say(served, card, "approve", 409))["detail"]
        wrong = await say(served, card | {"binding": "0" * 24}, "approve", 409)
        assert "has changed since it was read" in wrong["detail"]
        assert desk.seen == []


async def test_a_question_is_answered_by_one_of_those_it_asks(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk)) as served:
        run = await served.send("1", "test.word", text="Shall we?")
        card = await card_of(served)
        await say(served, card, "answer", 401, answer="yes")
        await served.speak_as("ines")
        assert "ines is not asked this" in (await say(served, card, "answer", 409, answer="yes"))["detail"]
        await served.speak_as("kim")
        assert "none of the choices" in (await say(served, card, "answer", 409, answer="perhaps"))["detail"]
        assert (await say(served, card, "answer", answer="yes"))["said"] == "answered"
        assert await served.app.label(run) == "done(yes)"

"""A change of a rule that somebody else has to approve."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deputize.cli.here import Here
from deputize.cli.process import need_process
from deputize.config import read_settings
from deputize.errors import ProjectError
from deputize.ledger import SYSTEM
from tests.acceptance.test_console_rules import CODE, MANY, OVER, RULES, change, digest, pay, rules_of
from tests.support.command import deputize, new_project
from tests.support.command import served as served_by
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.serving import ADMINS, SERVER, Served, serving

ASK = '[rules]\nask = "finance"\n'


def project(tmp_path: Path, desk: Desk, ask: str = ASK) -> Path:
    return write_project(tmp_path, desk.base, CODE, toml=SERVER + ADMINS + ask, rules=RULES)


async def asked(served: Served) -> dict[str, Any]:
    """Kim asks for 40; the card that it becomes."""
    await served.speak_as("kim")
    told = await change(served, OVER, "40", await digest(served))
    assert told["said"] == "it waits for maya"
    (card,) = (await served.http.get("/v1/inbox")).json()["cards"]
    assert card["id"] == told["waits"] and card["kind"] == "rule"
    return dict(card)


async def say(served: Served, card: dict[str, Any], kind: str, status: int = 200, **more: Any) -> str:
    body = {"kind": kind, "binding": card["binding"]} | more
    answer = await served.http.post(f"/v1/inbox/{card['id']}/answer", json=body)
    assert answer.status_code == status, answer.text
    return str(answer.json().get("said") or answer.json()["detail"])


def last(served: Served, type: str) -> Any:
    found = [e.body for e in served.app.read(lambda view: view.entries(SYSTEM)) if e.type == type]
    return found[-1] if found else None


async def test_it_waits_until_somebody_else_says_yes(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        card = await asked(served)
        assert "it asks finance; kim asked for it, and cannot approve it" in card["asks"]
        assert rules_of(tmp_path) == RULES
        await pay(served, 45)
        assert [one.kind for one in served.app.cards()] == ["rule"], "nothing is changed yet"
        assert "nobody approves their own request" in await say(served, card, "approve", 409)
        await served.speak_as("ines")
        assert "ines is not asked for this" in await say(served, card, "approve", 409)
        await served.speak_as("maya")
        assert await say(served, card, "approve") == "changed: 40.00 EUR instead of 50.00 EUR"
        assert 'amount = "40.00 EUR"' in rules_of(tmp_path)
        told = last(served, "rules")
        assert told["by"]["person"] == "kim" and told["approved_by"] == "maya"
        await pay(served, 45, item="later")
        assert [one.kind for one in served.app.cards()] == ["approval"]
        assert "answered it" in await say(served, card, "approve", 409)


async def test_who_says_no_leaves_the_rule_as_it_is(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        card = await asked(served)
        await served.speak_as("maya")
        assert await say(served, card, "refuse", reason="too little") == "refused"
        assert rules_of(tmp_path) == RULES and not served.app.cards()
        assert last(served, "noted")["by"] == {"person": "maya", "reason": "too little"}
        card = await asked(served)
        assert await say(served, card, "refuse") == "refused", "who has asked may take it back"


async def test_what_was_asked_for_is_bound_to_the_rules_of_then(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        card = await asked(served)
        await change(served, OVER, "30", await digest(served), 409)
        second = await change(served, MANY, "5", await digest(served))
        await served.speak_as("maya")
        cards = {one["id"]: one for one in (await served.http.get("/v1/inbox")).json()["cards"]}
        await say(served, card | {"binding": "0" * 24}, "approve", 409)
        await say(served, cards[second["waits"]], "approve")
        assert "the rules are others" in await say(served, card, "approve", 409)
        assert await say(served, card, "refuse") == "refused"


async def test_two_who_approve_it_at_once_change_it_once(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        card = await asked(served)
        await served.speak_as("maya")
        path, body = f"/v1/inbox/{card['id']}/answer", {"kind": "approve", "binding": card["binding"]}
        answers = await asyncio.gather(*(served.http.post(path, json=body) for _ in range(3)))
        assert sorted(one.status_code for one in answers) == [200, 409, 409]
        entries = served.app.read(lambda view: view.entries(SYSTEM))
        assert [e.type for e in entries].count("rules") == 2, "one of the start, and one of this"


async def test_a_card_outlives_a_restart_and_a_rebuild(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        card = await asked(served)
        assert "rule/" not in (await served.http.get("/v1/today")).text, "it is no automation"
    async with serving(tmp_path, speaks="ines") as again:
        assert again.app.system.store.rebuild(replace=False) == []
        await again.speak_as("maya")
        await say(again, card, "approve")
        assert again.app.system.store.rebuild(replace=False) == []


async def test_the_card_is_answered_on_its_page(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk), speaks="ines") as served:
        await served.speak_as("kim")
        form = {**OVER, "value": "40", "ruleset": await digest(served)}
        page = (await served.http.get("/rules/change", params=form)).text
        assert "Ask for 40.00 EUR" in page and "somebody else than you has to approve it" in page
        sent = await served.http.post("/rules/change", data=form)
        assert "waits for somebody else" in (await served.http.get(sent.headers["location"])).text
        (card,) = (await served.http.get("/v1/inbox")).json()["cards"]
        await served.speak_as("maya")
        page = (await served.http.get(f"/inbox/{card['seq']}")).text
        assert "A rule is to change" in page and "<script>alert" not in page
        assert "then 40.00 EUR" in page and "Change…" not in page
        answer = {"binding": card["binding"], "seen": "whole"}
        sent = await served.http.post(f"/inbox/{card['seq']}/approve", data=answer)
        assert sent.status_code == 303 and 'amount = "40.00 EUR"' in rules_of(tmp_path)
        assert (await served.http.get(f"/inbox/{card['seq']}")).status_code == 200


async def test_who_alone_could_approve_it_cannot_ask_for_it(tmp_path: Path, desk: Desk) -> None:
    async with serving(project(tmp_path, desk, '[rules]\nask = ["owner"]\n'), speaks="ines") as served:
        await served.speak_as("maya")
        told = await change(served, OVER, "40", await digest(served), 409)
        assert "nobody approves their own request" in told["detail"] and not served.app.cards()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ('[rules]\nask = "ownr"\n', "there is no person, role or group 'ownr'; did you mean 'owner'"),
        ("[rules]\nask = 3\n", "names people, roles or groups"),
        ("[rules]\nasks = []\n", "asks is no setting; did you mean 'ask'"),
    ],
)
def test_a_setting_that_means_nobody_is_refused(tmp_path: Path, desk: Desk, ask: str, said: str) -> None:
    with pytest.raises(ProjectError, match=r"^deputize\.toml") as told:
        read_settings(project(tmp_path, desk, ask))
    assert said in str(told.value)


def test_commands_answer_it_as_the_inbox_says(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    toml = project / "deputize.toml"
    one, other = list(read_settings(project).directory.people)[:2]
    toml.write_text(f'{toml.read_text()}\n[rules]\nask = ["{one}", "{other}"]\n')
    limit = '\n[[rule]]\ntitle = "Few"\noperation = "notebook.write"\nat_most = { times = 9, per = "day" }\n'
    rules = project / "rules" / "few.toml"
    rules.write_text(limit)
    with served_by(project):
        assert deputize(project, "login", one).code == 0
        process = need_process(Here(root=project))
        seen = process.get("v1", "rules")["digest"]
        told = process.post(
            "v1", "rules", "few", "change", body={"place": "at_most.times", "value": "8", "ruleset": seen}
        )
        own = deputize(project, "approve", told["waits"])
        assert own.code != 0 and "nobody approves their own request" in own.err
        assert deputize(project, "login", other).code == 0
        done = deputize(project, "approve", told["waits"])
        assert done.code == 0 and "Changed: 8 instead of 9." in done.out
        assert "times = 8" in rules.read_text()

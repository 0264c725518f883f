"""The tier `rehearse`: the service says what would come of an action, and else a person decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.errors import RuleError
from deputize.project import load_project
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.inquiries import REHEARSED, SETTLING, inquired_project
from tests.support.project import PERMIT
from tests.support.running import Running, running

ASKED = (
    PERMIT
    + """
[[rule]]
title = "What is settled waits for a person"
operation = "desk.settle"
ask_always = true
ask = "finance"
"""
)
FORETOLD = "/foretold/a?minor=8000"


def project(root: Path, desk: Desk, rules: str = REHEARSED) -> Path:
    desk.pages.setdefault("/accounts/a", {"item": "a", "status": "open"})
    desk.pages.setdefault(FORETOLD, {"item": "a", "status": "paid"})
    return inquired_project(root, desk, rules, automations=SETTLING)


async def card_of(app: Running) -> dict[str, object]:
    return dict((await app.card()).body)


async def test_what_would_come_of_it_as_expected_starts_without_a_person(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        assert await app.label(run) == "done(Paid)"
        paths = [(sent.method, sent.path) for sent in desk.seen]
        assert paths == [("GET", "/accounts/a"), ("GET", FORETOLD), ("POST", "/items")]
        rows = {path: (row.operation, row.state) for path, row in app.actions(run).items()}
        assert rows == {
            "1": ("desk.settle", "settled"),
            "1/1": ("desk.account", "settled"),
            "1/2": ("desk.settle", "rehearsed"),
        }
        (intent,) = app.entries(run, "intent")
        assert intent.body is not None
        (finding,) = intent.body["findings"]
        assert (finding["says"], finding["path"]) == ("agree", "1/2")
        assert finding["shown"] == {
            "before": {"item": "a", "status": "open"},
            "after": {"item": "a", "status": "paid"},
        }


async def test_what_would_differ_from_what_is_expected_is_put_before_a_person(
    tmp_path: Path, desk: Desk
) -> None:
    desk.pages[FORETOLD] = {"item": "a", "status": "pending"}
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        (finding,) = card.body["findings"]
        assert finding["says"] == "disagree"
        assert finding["reason"] == "status was expected to be 'paid' and is 'pending'"
        assert desk.writes == []
        await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
        assert await app.label(run) == "done(Paid)"


async def test_that_the_service_would_say_no_is_put_before_a_person(tmp_path: Path, desk: Desk) -> None:
    desk.pages[FORETOLD] = 422
    async with running(project(tmp_path, desk)) as app:
        await app.send(item="a", n=80)
        (finding,) = (await app.card()).body["findings"]
        assert finding["says"] == "disagree" and finding["reason"].startswith("the service would say no: ")
        assert desk.writes == []


@pytest.mark.parametrize("page", [500, {"strange": True}, ["nothing"]])
async def test_a_service_that_cannot_tell_leaves_it_to_a_person(
    tmp_path: Path, desk: Desk, page: object
) -> None:
    desk.pages[FORETOLD] = page
    async with running(project(tmp_path, desk)) as app:
        run = await app.send(item="a", n=80)
        (finding,) = (await app.card()).body["findings"]
        assert (finding["says"], finding["shown"]) == (
            "cannot_tell",
            {"before": {"item": "a", "status": "open"}},
        )
        assert desk.writes == [] and app.run(run).state == "waiting"


async def test_a_card_of_an_approval_shows_what_there_is_and_what_there_would_be(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(project(tmp_path, desk, ASKED)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        (finding,) = card.body["findings"]
        assert (
            finding["shown"]["before"]["status"] == "open" and finding["shown"]["after"]["status"] == "paid"
        )
        await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
        assert await app.label(run) == "done(Paid)"


async def test_a_card_whose_service_cannot_tell_asks_all_the_same(tmp_path: Path, desk: Desk) -> None:
    desk.pages |= {FORETOLD: 500, "/accounts/a": 500}
    async with running(project(tmp_path, desk, ASKED)) as app:
        run = await app.send(item="a", n=80)
        card = await app.card()
        assert card.body["findings"][0]["says"] == "cannot_tell" and "marks" not in card.body
        assert len(desk.seen) == 2, "nobody waits for what a card could show besides: it is tried once"
        await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
        assert await app.label(run) == "done(Paid)"


def test_a_rule_that_rehearses_what_cannot_be_is_told_with_its_line(tmp_path: Path, desk: Desk) -> None:
    rules = REHEARSED.replace("desk.settle", "desk.pay")
    with pytest.raises(RuleError) as caught:
        load_project(project(tmp_path, desk, rules))
    assert str(caught.value) == (
        "rules/rules.toml:7: 'What is settled is rehearsed' rehearses desk.pay, whose contract does not say "
        "how: add rehearse=…"
    )

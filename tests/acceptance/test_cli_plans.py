"""A plan approved whole from the command line, in a real `deputize up`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import deputize, login, new_project, served
from tests.town.calling import eventually

PLAN = """\
on: guest.came
agent: host
event: {name: text, dish: text}
approve: {by: finance, within: 2 hours}
goal: Write down who came
steps:
  - id: came
    operation: notebook.write
    arguments: {page: guests, text: $event.name}
  - id: ate
    operation: notebook.write
    arguments: {page: guests, text: $event.dish}
end: written down
"""
ASKS = """
[[rule]]
title = "What is written is read by somebody first"
operation = "notebook.write"
ask_always = true
ask = "finance"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = new_project(tmp_path_factory.mktemp("cli"))
    (made / "rules" / "approvals.toml").write_text(ASKS)
    (made / "automations" / "guests.plan.yaml").write_text(PLAN)
    with served(made):
        yield made


def sent(project: Path, name: str) -> str:
    """The run of an event that nobody sent; after that it is Maya who speaks."""
    deputize(project, "logout")
    data = json.dumps({"name": name, "dish": "soup"})
    run: str = deputize(project, "send", "guest.came", "--data", data, "--json").json()["runs"][0]
    login(project)
    return run


def card_of(project: Path, run: str) -> str:
    def found() -> list[str]:
        cards = deputize(project, "inbox", "--json").json()["cards"]
        return [str(card["id"]) for card in cards if card["run"] == run]

    eventually(found, f"a card of {run}")
    return found()[0]


def test_the_inbox_says_the_plan_and_one_approval_carries_it_out(project: Path) -> None:
    run = sent(project, "Ada")
    card = card_of(project, run)
    said = deputize(project, "inbox").out
    assert "A plan waits for a person: Write down who came" in said
    assert 'plan:  1. notebook.write with page "guests", text the event\'s name.' in said
    assert 'foreseen: notebook.write with page "guests", text "Ada"; what comes of it cannot be told' in said
    assert 'rule:  "the plan as a whole" asks finance' in said
    assert f"deputize change {card}" not in said
    changed = deputize(project, "change", card, "--args", "{}")
    assert changed.code == 1 and "a plan is granted or refused whole, as it is" in changed.err
    assert deputize(project, "approve", card).code == 0
    eventually(lambda: "done(written down)" in deputize(project, "show", run).out, "its end")
    why = deputize(project, "why", f"{run}/3").out
    assert "which maya gave with that of the whole plan (action 1)" in why


def test_it_is_refused_with_a_reason(project: Path) -> None:
    run = sent(project, "Bob")
    card = card_of(project, run)
    assert deputize(project, "refuse", card, "--reason", "Bob never came").code == 0
    eventually(lambda: "gave_up(refused)" in deputize(project, "show", run).out, "its end")
    assert "refused by maya: Bob never came" in deputize(project, "why", run).out

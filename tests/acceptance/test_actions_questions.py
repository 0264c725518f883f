"""Questions: an automation asks people, holds nothing meanwhile, and gets a typed answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from deputize.card import told_card
from deputize.kernel.people import NotAnswerable
from deputize.store.telling import read_telling, read_waiting
from deputize.why import why_run
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import Running, ShiftedClock, running

PEOPLE = """
[people.maya]
roles = ["editor"]
[people.kim]
roles = ["editor"]
[people.ines]
"""

ASKS = """
from datetime import timedelta

@automation(on=Ask, agent=worker)
async def asks(event: Event[Ask]) -> Outcome:
    got = await ask(ARGUMENTS)
    await desk.put(item="after")
    return done(f"{type(got).__name__} {got}")
"""

CHOICES = '"editor", "Which headline?", choices=["A", "B"], show={"draft": event.data.item}'


def project(root: Path, desk: Desk, arguments: str, people: str = PEOPLE) -> Path:
    return write_project(root, desk.base, ASKS.replace("ARGUMENTS", arguments), toml=people)


async def answer(app: Running, card: str, value: Any, person: str = "maya") -> str:
    said: str = await app.kernel.answering.answer(card, value, person=person)
    return said


async def test_a_question_waits_for_the_first_answer(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, CHOICES)) as app:
        run = await app.send(item="text")
        card = await app.card()
        await app.gone()
        assert (card.kind, card.title, app.run(run).state) == ("question", "Which headline?", "waiting")
        assert card.body["show"] == {"draft": "text"} and card.body["choices"] == ["A", "B"]
        assert await answer(app, card.id, "B", "kim") == "answered"
        assert await app.label(run) == "done(str B)"
        assert app.cards() == []
        with pytest.raises(NotAnswerable, match="asks nobody"):
            await answer(app, card.id, "A")
        (woke,) = app.entries(run, "woke")
        assert woke.body is not None and woke.body["by"] == "kim"


@pytest.mark.parametrize(
    ("arguments", "given", "label"),
    [
        ('"maya", "How many?", answer=int', 3, "done(int 3)"),
        ('"maya", "Really?", answer=bool', "yes", "done(bool True)"),
        ('"maya", "Really?", answer=bool', False, "done(bool False)"),
        ('["ines", "editor"], "How much?", answer=Money', "12.50 EUR", "done(Money 12.50 EUR)"),
        ('"keeper", "What then?"', "as you like", "done(str as you like)"),
    ],
)
async def test_an_answer_has_the_type_that_was_asked_for(
    tmp_path: Path, desk: Desk, arguments: str, given: Any, label: str
) -> None:
    async with running(project(tmp_path, desk, arguments)) as app:
        run = await app.send()
        await answer(app, (await app.card()).id, given)
        assert await app.label(run) == label


@pytest.mark.parametrize(
    ("arguments", "given", "why"),
    [
        (CHOICES, "C", "none of the choices; there is 'A', 'B'"),
        (CHOICES, ["A"], "none of the choices"),
        ('"maya", "How many?", answer=int', "3", "it takes a whole number"),
        ('"maya", "How many?", answer=int', True, "it takes a whole number"),
        ('"maya", "How many?", answer=int', 2**60, "it takes a whole number"),
        ('"maya", "Really?", answer=bool', "maybe", "it takes yes or no"),
        ('"maya", "How much?", answer=Money', 5, "it takes an amount"),
        ('"maya", "How much?", answer=Money', "5 euros", "it takes an amount"),
        ('"maya", "What?"', "", "it takes text"),
        ('"maya", "What?"', {"a": 1}, "it takes text"),
    ],
)
async def test_what_is_no_answer_changes_nothing(
    tmp_path: Path, desk: Desk, arguments: str, given: Any, why: str
) -> None:
    async with running(project(tmp_path, desk, arguments)) as app:
        run = await app.send()
        card = await app.card()
        with pytest.raises(NotAnswerable, match=why):
            await answer(app, card.id, given)
        assert [c.id for c in app.cards()] == [card.id]
        assert app.run(run).state == "waiting"


@pytest.mark.parametrize(
    ("person", "why"), [("ines", "it asks kim and maya"), ("otto", "nobody called 'otto'")]
)
async def test_only_those_who_are_asked_answer(tmp_path: Path, desk: Desk, person: str, why: str) -> None:
    async with running(project(tmp_path, desk, CHOICES)) as app:
        await app.send()
        with pytest.raises(NotAnswerable, match=why):
            await answer(app, (await app.card()).id, "A", person)


@pytest.mark.parametrize(("otherwise", "label"), [("", "failed"), (', otherwise="A"', "done(str A)")])
async def test_silence_is_what_was_said_it_is(tmp_path: Path, desk: Desk, otherwise: str, label: str) -> None:
    clock = ShiftedClock()
    arguments = CHOICES + ", within=timedelta(hours=1)" + otherwise
    async with running(project(tmp_path, desk, arguments), clock=clock) as app:
        run = await app.send()
        card = await app.card()
        clock.shift_s = 3600
        app.kernel._wake_soon()
        assert await app.label(run) == label
        assert app.cards() == []
        if not otherwise:
            assert "nobody answered in time" in app.run(run).reason
        with pytest.raises(NotAnswerable, match="asks nobody"):
            await answer(app, card.id, "A")


async def test_an_answer_is_kept_over_a_restart(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, CHOICES)) as app:
        run = await app.send()
        card = await app.card()
        await app.gone()
    async with running(tmp_path) as app:
        await answer(app, card.id, "A")
        assert await app.label(run) == "done(str A)"


async def test_a_cancelled_run_asks_nobody_any_more(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, CHOICES)) as app:
        run = await app.send()
        await app.card()
        await app.gone()
        await app.kernel.people.cancel(run, "maya")
        assert await app.label(run) == "cancelled"
        assert app.cards() == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ('"editr", "What?"', "no person, role or group 'editr'; did you mean 'editor'?"),
        ('[], "What?"', "takes a person, a role or a group first"),
        ('"maya", " "', "a question is text"),
        ('"maya", "x" * 3000', "a question is text of 1 to 2,000"),
        ('"maya", "What?", answer=float', "an answer is str, int, bool or Money"),
        (
            '"maya", "What?", answer=int, otherwise="x"',
            "otherwise: 'x' is no answer; it takes a whole number",
        ),
        ('"maya", "What?", choices=["A"], otherwise="B"', "otherwise: 'B' is none of the choices"),
        ('"maya", "What?", show={"a": object()}', "ask\\(\\): show"),
        ('"maya", "What?", show={"a": "x" * 60000}', "show is 60,"),
        ('"maya", "What?", within=3', "a wait is a timedelta"),
    ],
)
async def test_a_question_that_cannot_be_put_ends_its_run_and_says_why(
    tmp_path: Path, desk: Desk, arguments: str, why: str
) -> None:
    async with running(project(tmp_path, desk, arguments)) as app:
        run = await app.send()
        assert await app.label(run) == "failed"

        assert re.search(why, app.run(run).reason), app.run(run).reason
        assert app.cards() == [] and desk.seen == []


async def test_a_question_with_nobody_there_says_so(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, '"keeper", "What?"', people="")) as app:
        run = await app.send()
        assert await app.label(run) == "failed"
        assert "add [people.NAME] to deputize.toml" in app.run(run).reason


async def test_the_card_and_the_story_tell_what_was_asked_and_answered(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk, CHOICES)) as app:
        run = await app.send(item="text")
        row = await app.card()
        card = told_card(app.read(lambda view: read_waiting(view, row)), {})
        assert card["evidence"] == 'draft "text"'
        assert (card["asks"], card["answer"]) == (["it asks editor"], '"A" or "B"')
        assert card["silence"] == "the automation is told that nobody answered in time"
        assert [way["command"] for way in card["answers"]] == [f"deputize answer {run}/1 '…'"]
        await answer(app, row.id, "A", "kim")
        await app.ended(run)
        found, zone = app.run(run), app.system.project.settings.zone
        story = why_run(app.read(lambda view: read_telling(view, found, zone, {})))["sentences"]
        assert any('it asked editor: "Which headline?"' in line for line in story)
        assert any('kim answered "A".' in line for line in story)

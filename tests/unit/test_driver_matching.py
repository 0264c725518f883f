"""Code that no longer matches its run: nothing is done again or forgotten, and both sides are shown."""

from __future__ import annotations

import random as chance
import time
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from deputize import (
    Call,
    Connector,
    Event,
    EventData,
    Outcome,
    attempt,
    automation,
    days,
    done,
    new_id,
    now,
    random,
    seconds,
    send,
    sleep,
    together,
    wait_for,
)
from tests.support.living import living
from tests.support.running import Running
from tests.unit.driver_desk import Ask, connector, file, read, worker, write

Handler = Callable[[Event[Ask]], Coroutine[Any, Any, Outcome]]


class Word(EventData, type="test.word"):
    item: str = "i"


class Told(EventData, type="test.told"):
    text: str = ""


async def first(event: Event[Ask]) -> Outcome:
    """What every run below did before its code changed: 1, 2.0 and 2.1, 3, and a wait at 4."""
    await write(item="a", text="one")
    await together(write(item="b"), file(item="c"))
    await send(Told(text="x"))
    await wait_for(Word, matching={"item": "i"}, within=days(1))
    await write(item="z")
    return done("as before")


async def same_with_other_words(event: Event[Ask]) -> Outcome:
    one = write(item="a", text="one")
    await one.because("said otherwise")
    pair = together(attempt(write(item="b")), file(item="c"))
    await pair
    await send(Told(text="x"))
    await wait_for(Word, matching={"item": "i"}, within=days(1))
    return done("new code")


async def other_operation(event: Event[Ask]) -> Outcome:
    await file(item="a", text="one")
    return done()


async def other_arguments(event: Event[Ask]) -> Outcome:
    await write(item="a", text="two")
    return done()


async def other_kind(event: Event[Ask]) -> Outcome:
    await sleep(seconds(1))
    return done()


async def fewer_awaits(event: Event[Ask]) -> Outcome:
    await write(item="a", text="one")
    return done("early")


async def no_awaits(event: Event[Ask]) -> Outcome:
    return done("at once")


async def fails_early(event: Event[Ask]) -> Outcome:
    await write(item="a", text="one")
    raise ValueError("new and broken")


async def more_awaits(event: Event[Ask]) -> Outcome:
    await write(item="a", text="one")
    await read(item="more")
    await together(write(item="b"), file(item="c"))
    return done()


async def other_order_inside(event: Event[Ask]) -> Outcome:
    await write(item="a", text="one")
    await together(file(item="c"), write(item="b"))
    return done()


async def fewer_inside(event: Event[Ask]) -> Outcome:
    await write(item="a", text="one")
    await together(write(item="b"))
    return done()


async def more_inside(event: Event[Ask]) -> Outcome:
    await write(item="a", text="one")
    await together(write(item="b"), file(item="c"), write(item="d"))
    return done()


async def not_together(event: Event[Ask]) -> Outcome:
    await write(item="a", text="one")
    await write(item="b")
    return done()


async def newly_together(event: Event[Ask]) -> Outcome:
    await together(write(item="a", text="one"), write(item="b"))
    return done()


async def sends_otherwise(event: Event[Ask]) -> Outcome:
    await write(item="a", text="one")
    await together(write(item="b"), file(item="c"))
    await send(Told(text="y"))
    return done()


async def waits_otherwise(event: Event[Ask]) -> Outcome:
    await write(item="a", text="one")
    await together(write(item="b"), file(item="c"))
    await send(Told(text="x"))
    await wait_for(Word, matching={"item": "other"}, within=days(1))
    return done()


CHANGED: list[tuple[Handler, str, str]] = [
    (other_operation, "at 1 the code now asks for desk.file, and the record has desk.write", "desk.write"),
    (other_arguments, "at 1 the code now calls desk.write with other arguments", '"text":"one"'),
    (other_kind, "at 1 the code now asks for sleep, and the record has desk.write", "desk.write"),
    (fewer_awaits, "the code now ends after 1, and the record goes on with desk.write at 2.0", "at 2.1"),
    (no_awaits, "the code now ends before its first await, and the record goes on with", "desk.write at 1"),
    (fails_early, "the code now fails (ValueError: new and broken", "desk.write at 2.0"),
    (
        more_awaits,
        "at 2 the code now asks for desk.read at 2, and the record goes on with",
        "desk.write at 2.0",
    ),
    (other_order_inside, "at 2.0 the code now asks for desk.file, and the record has desk.write", ""),
    (fewer_inside, "at 2 the code now asks for desk.write at 2.0, and the record has", "desk.file at 2.1"),
    (more_inside, "desk.write at 2.2, and the record goes on with send test.told at 3", "desk.file at 2.1"),
    (
        not_together,
        "at 2 the code now asks for desk.write at 2, and the record goes on with",
        "desk.write at 2.0",
    ),
    (newly_together, "at 1 the code now asks for desk.write at 1.0", "desk.write at 1"),
    (sends_otherwise, "at 3 the code now calls send test.told with other arguments", ""),
    (waits_otherwise, "at 4 the code now calls wait_for test.word with other arguments", ""),
]


async def begun(root: Path, handler: Handler = first) -> str:
    """A run of the first code, left waiting by a process that has gone."""
    async with living(
        root, [automation(on=Ask, agent=worker, name="work")(handler)], [connector], sound=False
    ) as at:
        run = await at.send()
        await at.state(run, "waiting")
        return run


async def woken(at: Running) -> None:
    await at.send(type="test.word", item="i")


def changed(handler: Handler) -> Any:
    return automation(on=Ask, agent=worker, name="work")(handler)


@pytest.mark.parametrize(("handler", "says", "theirs"), CHANGED, ids=lambda v: getattr(v, "__name__", ""))
async def test_changed_code_makes_its_open_run_stuck_and_touches_nothing(
    tmp_path: Path, handler: Handler, says: str, theirs: str
) -> None:
    run = await begun(tmp_path)
    async with living(tmp_path, [changed(handler)], [connector]) as at:
        before = at.actions(run)
        await woken(at)
        row = await at.state(run, "stuck")
        assert says in row.reason
        (stuck,) = [entry.body for entry in at.entries(run, "stuck")]
        assert stuck is not None
        assert theirs in stuck["theirs"]
        assert at.actions(run) == before
        (card,) = at.cards()
        assert card.kind == "stuck"
        other = await at.send(item="other", id="other")
        assert (await at.state(other, "waiting" if handler in (waits_otherwise,) else "ended")).id == other
    async with living(tmp_path, [changed(first)], [connector]) as at:
        assert await at.label(run) == "done(as before)"
        assert [entry.type for entry in at.entries(run, "unstuck")] == ["unstuck"]


async def test_code_that_still_matches_goes_on_whatever_else_changed(tmp_path: Path) -> None:
    run = await begun(tmp_path)
    async with living(tmp_path, [changed(same_with_other_words)], [connector]) as at:
        await woken(at)
        assert await at.label(run) == "done(new code)"


async def test_an_automation_that_is_gone_leaves_its_runs_stuck_until_it_is_back(tmp_path: Path) -> None:
    run = await begun(tmp_path)
    async with living(tmp_path, [], [connector]) as at:
        await woken(at)
        assert "there is no automation 'work' in this project" in (await at.state(run, "stuck")).reason


async def test_a_recorded_result_that_no_longer_fits_makes_the_run_stuck(tmp_path: Path) -> None:
    run = await begun(tmp_path)
    desk = Connector("desk", version="2")

    class Longer(BaseModel):
        item: str
        colour: str

    async def narrow(call: Call, item: str, text: str = "") -> Longer:
        return Longer(item=item, colour="red")

    narrow.__name__ = "write"
    narrow.__annotations__ = {"call": Call, "item": str, "text": str, "return": Longer}
    write_2 = desk.operation(effect="write", repeatable=True)(narrow)

    async def handler(event: Event[Ask]) -> Outcome:
        await write_2(item="a", text="one")
        return done()

    handler.__annotations__ = {"event": Event[Ask], "return": Outcome}
    async with living(tmp_path, [changed(handler)], [desk]) as at:
        await woken(at)
        row = await at.state(run, "stuck")
        assert (
            "the recorded result of desk.write no longer fits its return type (Field required)" in row.reason
        )


async def test_an_awaited_event_that_does_not_fit_makes_the_run_stuck_and_no_other(tmp_path: Path) -> None:
    async with living(tmp_path, [changed(wants_number)], [connector]) as at:
        run = await at.send()
        await at.state(run, "waiting")
        await at.send(type="test.number", item="i", number="many")
        row = await at.state(run, "stuck")
        assert "the event that came at 1 does not fit Number: " in row.reason
        other = await at.send(item="other")
        await at.state(other, "waiting")


class Number(EventData, type="test.number"):
    item: str
    number: int


async def wants_number(event: Event[Ask]) -> Outcome:
    await wait_for(Number, matching={"item": event.data.item}, within=days(1))
    return done()


# -- time, ids and chance --------------------------------------------------------------------------------


async def own_time(event: Event[Ask]) -> Outcome:
    for _ in range(3):
        said = f"{now().isoformat()} {new_id()} {random().random()}"
        await write(item="a", text=said)
        await together(write(item=new_id()), file(item=str(random().randrange(100))))
    await wait_for(Word, matching={"item": "i"}, within=days(1))
    await write(item="last", text=f"{now().isoformat()} {new_id()}")
    return done("repeated")


async def foreign_time(event: Event[Ask]) -> Outcome:
    await write(item="a", text=str(time.time()))
    await wait_for(Word, matching={"item": "i"}, within=days(1))
    return done()


async def foreign_date(event: Event[Ask]) -> Outcome:
    await write(item="a", text=datetime.now(UTC).isoformat())
    await wait_for(Word, matching={"item": "i"}, within=days(1))
    return done()


async def foreign_chance(event: Event[Ask]) -> Outcome:
    await write(item="a", text=str(chance.random()))
    await wait_for(Word, matching={"item": "i"}, within=days(1))
    return done()


async def foreign_id(event: Event[Ask]) -> Outcome:
    await write(item="a", text=str(uuid.uuid4()))
    await wait_for(Word, matching={"item": "i"}, within=days(1))
    return done()


async def test_the_runs_own_time_ids_and_chance_are_the_same_after_a_restart(tmp_path: Path) -> None:
    run = await begun(tmp_path, own_time)
    async with living(tmp_path, [changed(own_time)], [connector]) as at:
        await woken(at)
        assert await at.label(run) == "done(repeated)"
        texts = [entry.body["args"]["text"] for entry in at.entries(run, "intent") if entry.body]
        assert len({text for text in texts if text}) == 4


@pytest.mark.parametrize("handler", [foreign_time, foreign_date, foreign_chance, foreign_id])
async def test_the_machines_time_or_chance_is_shown_as_a_mismatch_with_what_to_use_instead(
    tmp_path: Path, handler: Handler
) -> None:
    run = await begun(tmp_path, handler)
    async with living(tmp_path, [changed(handler)], [connector]) as at:
        await woken(at)
        row = await at.state(run, "stuck")
        assert (
            "at 1 the code now calls desk.write with other arguments than the record has (text)" in row.reason
        )
        assert "take it from now(), new_id() or random() of deputize" in row.reason

"""People are told what waits for them: by real SMTP and a real webhook, in batches, once, and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize.store.protocol import Tx
from deputize.town import Town
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT
from tests.support.running import Running, ShiftedClock, running
from tests.support.telling import ASKS, MAYA, ask_for, standing, subjects, telling_project

FIVE_MINUTES_S = 301.0
HOUR_S = 3_600.0
SLACK = '[people.maya]\nroles = ["finance"]\nslack = "U024BE7LH"\n'


@pytest.fixture
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with Town.start(tmp_path_factory.mktemp("town"), customers=1) as started:
        yield started


async def later(app: Running, clock: ShiftedClock, seconds: float = FIVE_MINUTES_S) -> None:
    """Let time pass, and have what is due then told."""
    clock.shift_s += seconds
    await app.system.notifier.turn()


def fail(town: Town, operation: str, kind: str, **options: object) -> None:
    service = "chat" if operation == "post" else "smtp"
    town.set_faults({"service": service, "operation": operation, "kind": kind, "rate": 1.0, **options})


async def test_fifty_cards_are_one_message(tmp_path: Path, desk: Desk, town: Town) -> None:
    clock = ShiftedClock()
    async with running(telling_project(tmp_path, desk, town), clock=clock) as app:
        runs = await ask_for(app, 50)
        await app.system.notifier.turn()
        assert town.letters() == []
        await later(app, clock)
        (letter,) = town.letters()
        assert letter["reader"] == "maya@example.test"
        assert letter["subject"].startswith(
            "50 things wait for you: desk.pay waits for a person: More than 50"
        )
        assert all(f"deputize approve {run}/1\n" in letter["text"] for run in runs)
        assert "it is not done, and the automation is told" in letter["text"]
        await later(app, clock)
        assert len(town.letters()) == 1


async def test_it_tells_by_itself(tmp_path: Path, desk: Desk, town: Town) -> None:
    async with running(telling_project(tmp_path, desk, town, notify='every = "1 second"')) as app:
        turned = asyncio.Event()
        app.system.notifier.on_turn = turned.set
        await ask_for(app, 3)
        async with asyncio.timeout(30):
            while standing(app).sent == 0:
                turned.clear()
                await turned.wait()
        assert subjects(town) == ["3 things wait for you"]
        assert standing(app).trouble == ""


async def test_what_was_told_is_not_told_again_after_a_restart(
    tmp_path: Path, desk: Desk, town: Town
) -> None:
    clock = ShiftedClock()
    project = telling_project(tmp_path, desk, town)
    async with running(project, clock=clock) as app:
        await ask_for(app, 2)
        await later(app, clock)
    async with running(project, clock=clock) as app:
        await later(app, clock)
        await ask_for(app, 1, first=2)
        await later(app, clock)
    assert subjects(town) == ["2 things wait for you", "1 thing waits for you"]
    assert town.summary()["repeated_key"] == 0


async def test_a_message_that_was_sent_and_not_written_down_comes_again_under_its_id(
    tmp_path: Path, desk: Desk, town: Town
) -> None:
    clock = ShiftedClock()
    project = telling_project(tmp_path, desk, town)

    async with running(project, clock=clock) as app:
        await ask_for(app, 2)
        await later(app, clock)

        def forgotten(tx: Tx) -> None:
            for name in tx.settings("told:"):
                tx.set_setting(name, None)

        await app.system.store.write(forgotten)
    async with running(project, clock=clock) as app:
        await app.system.notifier.turn()
    first, second = town.letters()
    assert first["message_id"] == second["message_id"]
    assert town.summary()["repeated_key"] == 1


async def test_what_was_told_of_cards_that_are_closed_is_forgotten(
    tmp_path: Path, desk: Desk, town: Town
) -> None:
    clock = ShiftedClock()
    project = telling_project(tmp_path, desk, town)
    async with running(project, clock=clock) as app:
        (run,) = await ask_for(app, 1)
        await later(app, clock)
        card = await app.card()
        await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
        await app.label(run)
        assert await app.system.store.write(lambda tx: len(tx.settings("told:"))) == 1
    async with running(project, clock=clock) as app:
        await app.system.notifier.turn()
        assert await app.system.store.write(lambda tx: tx.settings("told:")) == {}


async def test_what_was_told_is_forgotten_from_time_to_time_while_it_runs(
    tmp_path: Path, desk: Desk, town: Town
) -> None:
    clock = ShiftedClock()
    async with running(telling_project(tmp_path, desk, town), clock=clock) as app:
        runs = await ask_for(app, 2)
        await later(app, clock)
        card = await app.card()
        await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
        await app.label(runs[0])
        app.system.notifier._sweep_at = 0
        await later(app, clock)
        assert await app.system.store.write(lambda tx: len(tx.settings("told:"))) == 1
        await later(app, clock)
        assert subjects(town) == ["2 things wait for you"]


async def test_a_card_that_was_closed_in_the_meantime_is_not_told(
    tmp_path: Path, desk: Desk, town: Town
) -> None:
    clock = ShiftedClock()
    async with running(telling_project(tmp_path, desk, town), clock=clock) as app:
        (run,) = await ask_for(app, 1)
        await app.system.notifier.turn()
        card = await app.card()
        await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
        await app.label(run)
        await later(app, clock)
        assert town.letters() == []
        await ask_for(app, 1, first=1)
        await later(app, clock)
        assert subjects(town) == ["1 thing waits for you"]


THEN = (
    '[people.maya]\nroles = ["finance"]\nemail = "maya@example.test"\n'
    '[people.kim]\nroles = ["boss"]\nemail = "kim@example.test"\n'
    '[people.ines]\nemail = "ines@example.test"\n'
)


async def test_the_next_in_line_is_told_when_their_time_has_come(
    tmp_path: Path, desk: Desk, town: Town
) -> None:
    clock = ShiftedClock()
    rules = ASKS + 'then_ask = "boss"\nthen_after = "2 hours"\n'
    async with running(telling_project(tmp_path, desk, town, rules=rules, people=THEN), clock=clock) as app:
        await ask_for(app, 1)
        await later(app, clock, HOUR_S)
        assert [letter["reader"] for letter in town.letters()] == ["maya@example.test"]
        await later(app, clock, 2 * HOUR_S)
        assert [letter["reader"] for letter in town.letters()] == ["maya@example.test", "kim@example.test"]
        await later(app, clock, HOUR_S)
        assert len(town.letters()) == 2


async def test_nobody_is_told_of_their_own_request(tmp_path: Path, desk: Desk, town: Town) -> None:
    clock = ShiftedClock()
    people = MAYA + '[people.kim]\nroles = ["finance"]\nemail = "kim@example.test"\n'
    async with running(telling_project(tmp_path, desk, town, people=people), clock=clock) as app:
        app.sender = "maya"
        await ask_for(app, 1)
        await later(app, clock)
        assert [letter["reader"] for letter in town.letters()] == ["kim@example.test"]


DOUBTS = """
@automation(on=Ask, agent=worker)
async def writes(event: Event[Ask]) -> Outcome:
    return done((await desk.plain(item=event.data.item)).item)
"""


async def test_a_doubt_is_told_to_the_keeper_of_its_automation(
    tmp_path: Path, desk: Desk, town: Town
) -> None:
    clock = ShiftedClock()
    people = THEN + '[keepers]\nwrites = "ines"\n'
    desk.faults.append(fault("lost"))
    project = telling_project(tmp_path, desk, town, rules=PERMIT, people=people, automations=DOUBTS)
    async with running(project, clock=clock) as app:
        await app.send(item="a")
        card = await app.card()
        await later(app, clock)
        (letter,) = town.letters()
        assert letter["reader"] == "ines@example.test"
        assert f"deputize resolve {card.id} did-not" in letter["text"]


# -- quiet hours ----------------------------------------------------------------------------------------


def until_hour(clock: ShiftedClock, hour: float) -> float:
    """Seconds until the next time that it is so late, in UTC."""
    return (hour * HOUR_S - clock.now_us() / 1e6) % (24 * HOUR_S)


async def test_in_quiet_hours_only_what_would_be_too_late_after_them_is_told(
    tmp_path: Path, desk: Desk, town: Town
) -> None:
    clock = ShiftedClock()
    clock.shift_s += until_hour(clock, 23.0)
    rules = ASKS.replace("20 hours", "3 days")
    project = telling_project(
        tmp_path, desk, town, rules=rules, notify='every = "5 minutes"\nquiet = "22:00-07:00"'
    )
    async with running(project, clock=clock) as app:
        await ask_for(app, 2)
        await later(app, clock)
        assert town.letters() == []
        await later(app, clock, 6 * HOUR_S)
        assert town.letters() == []
        await later(app, clock, 2 * HOUR_S)
        assert subjects(town) == ["2 things wait for you"]


async def test_what_is_due_in_the_quiet_hours_is_told_in_them(tmp_path: Path, desk: Desk, town: Town) -> None:
    clock = ShiftedClock()
    clock.shift_s += until_hour(clock, 23.0)
    project = telling_project(
        tmp_path,
        desk,
        town,
        rules=ASKS.replace("20 hours", "2 hours"),
        notify='every = "5 minutes"\nquiet = "22:00-07:00"',
    )
    async with running(project, clock=clock) as app:
        await ask_for(app, 1)
        await later(app, clock)
        assert subjects(town) == ["1 thing waits for you"]


# -- trouble ----------------------------------------------------------------------------------------------


async def test_a_server_that_is_down_is_tried_again_and_nothing_waits_for_it(
    tmp_path: Path, desk: Desk, town: Town
) -> None:
    clock = ShiftedClock()
    async with running(telling_project(tmp_path, desk, town), clock=clock) as app:
        told: list[tuple[str, str]] = []
        app.system.notifier.on_trouble = lambda channel, what: told.append((channel, what))
        town.kill()
        (run,) = await ask_for(app, 1)
        await later(app, clock)
        first = standing(app)
        assert first.failures == 1 and first.next_at is not None and "127.0.0.1:" in first.trouble
        # It is left alone for a while, longer each time, and never for longer than the longest.
        await app.system.notifier.turn()
        assert standing(app).failures == 1 and len(told) == 1
        waits = []
        for _ in range(12):
            before = clock.now_us()
            await later(app, clock, (standing(app).next_at - before) / 1e6 + 0.001)
            waits.append(round((standing(app).next_at - clock.now_us()) / 1e6, -1))
        assert waits[:4] == [10.0, 20.0, 40.0, 80.0] and set(waits[8:]) == {900.0}
        # Meanwhile work goes on.
        card = await app.card()
        await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
        assert await app.label(run) == "done(Item)"
        await ask_for(app, 2, first=1)
        await asyncio.to_thread(town.again)
        await later(app, clock, 901.0)
        assert subjects(town) == ["2 things wait for you"]
        assert (standing(app).failures, standing(app).trouble, standing(app).next_at) == (0, "", None)


@pytest.mark.parametrize(
    ("operation", "kind", "says"),
    [
        ("connect", "cut_before", "127.0.0.1"),
        ("connect", "too_many", "451"),
        ("deliver", "too_many", "451 4.3.2 try again later"),
        ("deliver", "error_500", "554"),
        ("deliver", "error_502", "421"),
        ("deliver", "malformed", "127.0.0.1"),
        ("deliver", "cut_before", "127.0.0.1"),
    ],
)
async def test_whatever_the_server_does_it_is_told_in_the_end(
    tmp_path: Path, desk: Desk, town: Town, operation: str, kind: str, says: str
) -> None:
    clock = ShiftedClock()
    fail(town, operation, kind)
    async with running(telling_project(tmp_path, desk, town), clock=clock) as app:
        await ask_for(app, 1)
        await later(app, clock)
        assert says in standing(app).trouble and town.letters() == []
        town.set_faults()
        await later(app, clock, 6.0)
        assert subjects(town) == ["1 thing waits for you"] and standing(app).trouble == ""


async def test_who_has_no_mailbox_keeps_nobody_else_from_being_told(
    tmp_path: Path, desk: Desk, town: Town
) -> None:
    clock = ShiftedClock()
    people = '[people.adam]\nroles = ["finance"]\nemail = "nobody@example.test"\n' + MAYA
    async with running(telling_project(tmp_path, desk, town, people=people), clock=clock) as app:
        await ask_for(app, 1)
        await later(app, clock)
        assert [letter["reader"] for letter in town.letters()] == ["maya@example.test"]
        assert standing(app).trouble.startswith("adam: ") and "550" in standing(app).trouble
        await later(app, clock, 6.0)
        assert len(town.letters()) == 1 and standing(app).failures == 2


async def test_trouble_with_what_needs_no_telling_any_more_is_over(
    tmp_path: Path, desk: Desk, town: Town
) -> None:
    clock = ShiftedClock()
    fail(town, "connect", "cut_before")
    async with running(telling_project(tmp_path, desk, town), clock=clock) as app:
        (run,) = await ask_for(app, 1)
        await later(app, clock)
        card = await app.card()
        await app.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
        await app.label(run)
        assert standing(app).trouble
        await later(app, clock, 6.0)
        assert standing(app).trouble == ""


async def test_a_process_that_stops_writes_down_the_message_that_is_under_way(
    tmp_path: Path, desk: Desk, town: Town
) -> None:
    clock = ShiftedClock()
    project = telling_project(tmp_path, desk, town)
    async with running(project, clock=clock) as app:
        await ask_for(app, 1)
        clock.shift_s += FIVE_MINUTES_S
        taken, answered = asyncio.Event(), asyncio.Event()
        email = app.system.notifier._given.channels["email"]
        send = email.send

        async def slowly(*given: Any) -> None:
            await send(*given)
            taken.set()
            await answered.wait()

        email.send = slowly  # type: ignore[method-assign]
        app.system.notifier.wake()
        await asyncio.wait_for(taken.wait(), 30)
        # The server answers only once the process is stopping.
        asyncio.get_running_loop().call_later(0.2, answered.set)
    async with running(project, clock=clock) as app:
        await app.system.notifier.turn()
    assert subjects(town) == ["1 thing waits for you"]


# -- secrets and the chat ---------------------------------------------------------------------------------


async def test_a_password_is_sent_to_the_server_and_shown_to_nobody(
    tmp_path: Path, desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clock = ShiftedClock()
    tokens = {"smtp": "right-password"}
    with Town.start(tmp_path_factory.mktemp("guarded"), customers=1, tokens=tokens) as town:
        login = ', user = "deputize", password = "env:MAIL_PASSWORD"'
        project = telling_project(tmp_path, desk, town, smtp=login)
        (project / ".env").write_text("MAIL_PASSWORD=wrong-password\n")
        async with running(project, clock=clock) as app:
            await ask_for(app, 1)
            await later(app, clock)
            assert "535" in standing(app).trouble and "wrong-password" not in standing(app).trouble
        (project / ".env").write_text("MAIL_PASSWORD=right-password\n")
        async with running(project, clock=clock) as app:
            await app.system.notifier.turn()
        (letter,) = town.letters()
        assert "password" not in letter["raw"]


async def test_the_chat_gets_one_post_with_a_mention(tmp_path: Path, desk: Desk, town: Town) -> None:
    clock = ShiftedClock()
    project = telling_project(tmp_path, desk, town, people=SLACK, slack="B7")
    async with running(project, clock=clock) as app:
        await ask_for(app, 50)
        await later(app, clock)
        (post,) = town.posts()
        assert post["hook"] == "B7" and post["text"].startswith("<@U024BE7LH> 50 things wait for you.")
        assert town.letters() == [] and standing(app, "slack").sent == 1


async def test_a_chat_that_is_down_keeps_no_letter_back_and_its_address_is_shown_to_nobody(
    tmp_path: Path, desk: Desk, town: Town
) -> None:
    clock = ShiftedClock()
    project = telling_project(tmp_path, desk, town, people=MAYA + 'slack = "U024BE7LH"\n', slack="B8")
    fail(town, "post", "too_many", retry_after_s=120.0)
    async with running(project, clock=clock) as app:
        await ask_for(app, 1)
        await later(app, clock)
        assert subjects(town) == ["1 thing waits for you"] and town.posts() == []
        trouble = standing(app, "slack")
        assert "429" in trouble.trouble and (trouble.next_at - clock.now_us()) / 1e6 > 100
        fail(town, "post", "cut_before")
        await later(app, clock, 121.0)
        assert standing(app, "slack").failures == 2
        assert (
            "very-secret" not in standing(app, "slack").trouble and "B8" not in standing(app, "slack").trouble
        )
        town.set_faults()
        await later(app, clock, 121.0)
        assert len(town.posts()) == 1 and subjects(town) == ["1 thing waits for you"]
        assert town.summary()["repeated_key"] == 0

"""Lines 9, 11 and 13 together: what an answer to a repeat says of the attempt before it.

A repeat that is told "not done", or declined, speaks for itself alone: the first may have been done.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.test_actions_doubts import BUDGET, body, project
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.running import ShiftedClock, running


@pytest.mark.parametrize("status", [429, 404])
async def test_a_repeat_that_is_told_no_leaves_the_doubt_about_the_first(
    tmp_path: Path, desk: Desk, status: int
) -> None:
    desk.faults.append(fault("lost"))
    desk.faults.extend([fault("status", status)] * 5)
    async with running(project(tmp_path, desk, "keyed", toml=BUDGET)) as app:
        run = await app.send(item="a")
        card = await app.card()
        assert card.id == f"{run}/1" and len(desk.effects) == 1
        assert not app.entries(run, "refused") and not app.entries(run, "declined")
        ((_, _, held, _),) = app.system.store.read(lambda view: view.budgets())
        assert held == 1


async def test_a_put_that_was_lost_and_then_declined_is_in_doubt(tmp_path: Path, desk: Desk) -> None:
    desk.faults.extend([fault("lost"), *[fault("status", 404)] * 5])
    async with running(project(tmp_path, desk, "put")) as app:
        run = await app.send(item="a")
        assert (await app.card()).id == f"{run}/1"
        assert not app.entries(run, "declined")


async def test_a_repeat_told_to_wait_is_made_again_and_done(tmp_path: Path, desk: Desk) -> None:
    desk.faults.extend([fault("lost"), fault("status", 429)])
    async with running(project(tmp_path, desk, "keyed")) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "done(a)"
        assert len(desk.effects) == 1 and len({sent.key for sent in desk.writes}) == 1


async def test_absence_that_is_proved_lets_a_decline_be_final(tmp_path: Path, desk: Desk) -> None:
    desk.faults.extend([fault("cut_before"), fault("status", 404)])
    async with running(project(tmp_path, desk, "write")) as app:
        run = await app.send(item="a")
        assert await app.label(run) == "gave_up(Declined)"
        assert body(app.entries(run, "declined")[0])["was"] == "open"


async def test_no_attempt_after_a_doubt_is_sent_with_a_key_that_is_no_longer_good(
    tmp_path: Path, desk: Desk
) -> None:
    clock = ShiftedClock()
    desk.faults.extend([fault("lost"), fault("status", 429)])
    async with running(project(tmp_path, desk, "keyed"), clock=clock) as app:
        run = await app.send(item="a")
        await desk.seen_of(2)
        await app.system.kernel.people.stop("connector:desk", "a long night", "test")
        clock.shift_s = 10 * 86_400
        await app.system.kernel.people.lift("connector:desk", "test")
        assert (await app.card()).id == f"{run}/1"
        assert len(desk.writes) == 2

"""Line 21: on a restored copy, what was unsettled is answered before anything new starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM, Draft
from deputize.store.protocol import Tx
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import running

CODE = """
@automation(on=Ask, agent=worker)
async def one(event: Event[Ask]) -> Outcome:
    return done((await desk.{action}(item=event.data.item)).item)
"""


def restored(tx: Tx) -> None:
    tx.append(SYSTEM, tx.version(SYSTEM), [Draft("restored", {"epoch": 1, "reason": "a copy"})])


async def test_what_would_repeat_by_itself_is_put_before_a_person_first(tmp_path: Path, desk: Desk) -> None:
    root = write_project(tmp_path, desk.base, CODE.format(action="keyed"), settle_s=0.6)
    async with running(root) as app:
        desk.faults.append(fault("lost"))
        run = await app.send(item="a")
        await app.state(run, "doubtful")
        await app.kernel.people.stop("all", "restored", "maya")
        await app.system.store.write(restored)
        assert not app.cards()
        for _ in range(2):
            with pytest.raises(NotAnswerable, match="1 write is in doubt from before"):
                await app.kernel.people.lift("all", "maya")
        assert [card.id for card in app.cards()] == [f"{run}/1"]
        assert "all" in app.kernel.parts.stops.scopes and not app.entries(run, "attempt")
        await app.answer(f"{run}/1", "happened", {"item": "a", "key": ""})
        await app.kernel.people.lift("all", "maya")
        assert await app.label(run) == "done(a)" and not app.cards()
    assert len(desk.seen) == 1


async def test_a_read_and_what_began_after_the_restore_hold_nothing_up(tmp_path: Path, desk: Desk) -> None:
    async with running(write_project(tmp_path, desk.base, CODE.format(action="think"))) as app:
        desk.faults.append(fault("lost"))
        run = await app.send(item="a")
        await app.state(run, "doubtful")
        await app.kernel.people.stop("all", "restored", "maya")
        await app.system.store.write(restored)
        await app.kernel.people.lift("all", "maya")
        assert await app.label(run) == "done(a)"
    root = write_project(tmp_path, desk.base, CODE.format(action="plain"), settle_s=60)
    async with running(root) as app:
        desk.faults.append(fault("lost"))
        run = await app.send(item="b")
        await app.state(run, "doubtful")
        await app.kernel.people.stop("all", "for now", "maya")
        await app.kernel.people.lift("all", "maya")
        await app.answer(f"{run}/1", "did_not")
        await app.ended(run)

"""Line 21: on a restored copy, what was unsettled is answered before anything new starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM, Draft
from deputize.moving.copies import mark_copy
from deputize.store.protocol import Tx
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import running, so
from tests.support.serving import PEOPLE, SERVER, serving

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


async def restored_copy(root: Path) -> None:
    """What `deputize restore` makes of a ledger."""
    await mark_copy(root / "data" / "ledger.db", "restored", "a test", void=True)


async def test_what_the_service_says_did_not_happen_holds_nothing_up_and_is_sent_again_after_that(
    tmp_path: Path, desk: Desk
) -> None:
    root = write_project(tmp_path, desk.base, CODE.format(action="write"), settle_s=0.2)
    desk.look_faults.extend([fault("cut_before")] * 100)
    async with running(root) as app:
        desk.faults.append(fault("cut_before"))
        run = await app.send(item="a")
        await app.state(run, "doubtful")
    await restored_copy(root)
    async with running(root) as app:
        (left,) = app.kernel.unfinished()
        assert (left.id, left.how) == (f"{run}/1", "its service is asked, and what that says settles it")
        with pytest.raises(NotAnswerable, match="1 write is in doubt from before"):
            await app.kernel.people.lift("all", "maya")
        # The service answers again, and knows nothing of it.
        desk.look_faults.clear()
        await so(lambda: app.kernel.doubts.absent)
        assert len(desk.writes) == 1
        await app.kernel.people.lift("all", "maya")
        assert await app.label(run) == "done(a)"
        assert len(desk.writes) == 2 and desk.writes[0].key == desk.writes[1].key
        assert app.kernel.unfinished() == []


async def test_what_the_service_says_has_happened_is_settled_while_all_is_halted(
    tmp_path: Path, desk: Desk
) -> None:
    root = write_project(tmp_path, desk.base, CODE.format(action="write"), settle_s=0.2)
    desk.look_faults.extend([fault("cut_before")] * 100)
    async with running(root) as app:
        desk.faults.append(fault("lost"))
        run = await app.send(item="a")
        await app.state(run, "doubtful")
    await restored_copy(root)
    desk.look_faults.clear()
    async with running(root) as app:
        await app.action(run, "1", "settled")
        assert app.kernel.unfinished() == [] and app.kernel.parts.stops.in_way() == "all"
        await app.kernel.people.lift("all", "maya")
        assert await app.label(run) == "done(a)"
    assert len(desk.writes) == 1


async def test_a_key_that_is_good_still_is_not_used_again_before_a_person_said_so(
    tmp_path: Path, desk: Desk
) -> None:
    root = write_project(tmp_path, desk.base, CODE.format(action="keyed"), settle_s=0.2)
    async with running(root) as app:
        desk.faults.append(fault("lost"))
        run = await app.send(item="a")
        await app.state(run, "doubtful")
    await restored_copy(root)
    async with running(root) as app:
        # By itself, and before anybody has tried to go on.
        card = await app.card()
        assert card.id == f"{run}/1"
        (left,) = app.kernel.unfinished()
        assert left.how == "a person says whether it happened: its card is in the inbox"
        assert len(desk.writes) == 1
        await app.answer(card.id, "happened", {"item": "a", "key": ""})
        await app.kernel.people.lift("all", "maya")
        assert await app.label(run) == "done(a)"
    assert len(desk.writes) == 1


async def test_a_restored_copy_shows_its_unfinished_writes_over_http(tmp_path: Path, desk: Desk) -> None:
    root = write_project(tmp_path, desk.base, CODE.format(action="hint"), toml=SERVER + PEOPLE)
    desk.look_faults.extend([fault("cut_before")] * 100)
    async with running(root) as app:
        desk.faults.append(fault("lost"))
        run = await app.send(item="a")
        await app.state(run, "doubtful")
        key = app.actions(run)["1"].key
    await restored_copy(root)
    async with serving(root) as served:
        assert (await served.http.get("/readyz")).json() == {"ready": True, "unfinished": 1}
        (left,) = (await served.http.get("/v1/inbox")).json()["unfinished"]
        assert left["id"] == f"{run}/1" and left["about"] == 'desk.hint with item "a"' and left["key"] == key
        assert left["how"].startswith("its service is asked; where that knows nothing of it, a person")
        held = await served.send("later", item="b")
        await so(lambda: served.app.kernel.parts.stops.parked)
        assert served.app.actions(held) == {}
        desk.look_faults.clear()
        await served.app.action(run, "1", "settled")
        assert (await served.http.get("/readyz")).json() == {"ready": True, "unfinished": 0}
        await served.speak_as("maya")
        assert (await served.http.delete("/v1/stops/all")).status_code == 200
        await served.app.ended(run, held)

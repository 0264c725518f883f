"""What fails, waits or is lowered, and the corners in which that could be got round or go on for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.kernel import intake
from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM
from deputize.store.erasure import erase_run
from deputize.store.protocol import Tx
from tests.acceptance.test_actions_circuit import break_it, breaker
from tests.acceptance.test_actions_circuit import other as other
from tests.acceptance.test_actions_circuit import project as with_circuit
from tests.acceptance.test_actions_lowered import WORK, approval, approve, fail, lowered
from tests.acceptance.test_actions_lowered import project as with_keeper
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.running import Running, running, so

PLAIN = WORK.replace(
    'await desk.put(item=event.data.item)\n    return done("put")',
    'await desk.plain(item=event.data.item)\n    return done("put")',
)

DRIFTS = WORK.replace(
    "@automation(on=Ask, agent=worker)", "@automation(on=Ask, agent=worker, failures_max=1)"
)

TWO_PLAIN = """
@automation(on=Ask, agent=worker)
async def puts(event: Event[Ask]) -> Outcome:
    await together(desk.plain(item="a"), desk.plain(item="b"))
    return done("put")
"""


async def failures(app: Running) -> list[int]:
    """The runs of `puts` that count as failed."""

    def work(tx: Tx) -> list[int]:
        return tx.failures("puts", 100)[0]

    found: list[int] = await app.kernel.parts.store.write(work)
    return found


async def test_runs_that_are_stuck_by_then_do_not_count_after_a_lift(tmp_path: Path, desk: Desk) -> None:
    async with running(with_keeper(tmp_path, desk)) as app:
        desk.always = fault("body", 200, b"no")
        for run in [await app.send(item=f"drift/{n}") for n in range(4)]:
            await app.state(run, "stuck")
        await so(lambda: lowered(app))
        await app.kernel.lifting.lift("system/puts", reason="", person="maya")
        assert await failures(app) == []
        await fail(app, 1)
        assert lowered(app) == []


async def test_a_lowered_automation_is_lifted_by_its_keeper_alone(tmp_path: Path, desk: Desk) -> None:
    async with running(with_keeper(tmp_path, desk)) as app:
        await fail(app, 4)
        await app.send(item="a")
        card = await approval(app)
        with pytest.raises(NotAnswerable):
            await approve(app, card, "ines")
        with pytest.raises(NotAnswerable, match="ines is not asked for this; it asks maya"):
            await app.kernel.lifting.lift("system/puts", reason="", person="ines")
        assert desk.writes == []


async def test_what_is_done_again_for_a_lowered_automation_is_for_its_keeper(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(with_keeper(tmp_path, desk, PLAIN)) as app:
        desk.lost_once.add("/plain")
        run = await app.send(item="x")
        doubt = await app.card()
        await fail(app, 4)
        before = len(desk.writes)
        await app.answer(doubt.id, "do_again", person="ines")
        await app.ended(run)
        assert len(desk.writes) == before


async def test_runs_that_are_cancelled_do_not_wait_to_try_a_circuit(
    tmp_path: Path, desk: Desk, other: Desk
) -> None:
    async with running(with_circuit(tmp_path, desk, other.base)) as app:
        await break_it(app, desk)
        await so(lambda: breaker(app).circuit.pause_s >= 1.6)
        runs = [await app.send(item=f"p/{n}") for n in range(8)]
        await so(lambda: breaker(app).waiting >= 8)
        waiting = [run for run in runs if not app.actions(run)]
        for run in waiting:
            await app.kernel.people.cancel(run, "maya")
        await app.ended(*waiting)
        gone = {app.run(run).no for run in waiting}
        assert gone and gone.isdisjoint(breaker(app)._parked)


async def test_nothing_is_done_again_while_its_connection_is_down(
    tmp_path: Path, desk: Desk, other: Desk
) -> None:
    work = PLAIN.partition("@automation(on=Word")[0]
    async with running(with_circuit(tmp_path, desk, other.base, work), sound=False) as app:
        desk.lost_once.add("/plain")
        await app.send(item="x")
        doubt = await app.card()
        breaker(app).reopen((10, 9))
        with pytest.raises(NotAnswerable, match="desk is down: 9 of its last 10 calls failed"):
            await app.answer(doubt.id, "do_again")


async def test_events_of_others_are_taken_in_while_an_automation_is_slowed(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BACKLOG_MAX", 20)
    root = with_keeper(tmp_path, desk, DRIFTS, toml="[inbox]\nfull_at = 3\n")
    async with running(root, sound=False) as app:
        desk.always = fault("body", 200, b"no")
        for run in [await app.send(item="drifts", n=n) for n in range(4)][:3]:
            await app.state(run, "stuck")
        desk.always = None
        slowing = app.kernel.scheduler.slowing
        slowing._looked_s = float("-inf")
        for n in range(30):
            await app.send(item="more", n=n)
        assert len(slowing) > 20
        assert await app.label(await app.send(type="test.word", item="c")) == "done(other)"


async def test_a_doubt_that_is_answered_after_an_erasure_counts_the_same_in_a_rebuild(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(with_keeper(tmp_path, desk, TWO_PLAIN)) as app:
        desk.lost_once.add("/plain")
        desk.faults.extend([fault("lost"), fault("lost")])
        run = await app.send(item="x")
        await app.until(lambda view: len([card for card in view.cards() if card.kind == "doubt"]) == 2)
        await app.answer(f"{run}/1.0", "abandon")
        await app.ended(run)
        no = app.run(run).no
        await app.kernel.parts.store.write(lambda tx: erase_run(tx, no, tx.version(SYSTEM)))
        await app.answer(f"{run}/1.1", "did_not")
        assert app.system.store.rebuild(replace=False) == []

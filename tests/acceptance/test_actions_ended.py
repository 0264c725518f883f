"""A run that a person ends at the last moment: between the decision to send once more and its commit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deputize.store.protocol import Tx
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import Running, running, so

BOTH = """
@automation(on=Ask, agent=worker)
async def both(event: Event[Ask]) -> Outcome:
    await together(desk.plain(item="a"), desk.{operation}(item="b"))
    return done()
"""


def project(tmp_path: Path, desk: Desk, operation: str) -> Path:
    return write_project(tmp_path, desk.base, BOTH.format(operation=operation), settle_s=0.4)


def abandon_before_the_next_work(app: Running, run: str) -> None:
    """A person abandons what is in doubt, and with it the run, just before what the kernel writes next."""
    store, write = app.system.store, app.system.store.write
    path = min(row.path for row in app.actions(run).values() if row.state == "doubtful")
    app.hooks.clear()

    def overtaking(work: Callable[[Tx], Any], **more: Any) -> Any:
        def both(tx: Tx) -> Any:
            row = tx.run(run)
            assert row is not None and row.state != "ended"
            tx.answer(row.no, path, "abandon", {"result": None, "reason": ""}, "maya")
            app.kernel.people._take_all(tx)
            return work(tx)

        store.write = write  # type: ignore[method-assign]
        return write(both, **more)

    store.write = overtaking  # type: ignore[method-assign]


async def held_back(app: Running, desk: Desk) -> str:
    """A run whose two actions were asked for once, and a halt that holds back whatever would follow."""
    run = await app.send()
    while asked(desk) < 2:
        desk.changed.clear()
        await desk.changed.wait()
    await app.kernel.people.stop("connector:desk", "", "maya")
    await app.until(lambda view: view.actions_in(["doubtful"], (0, ""), 2))
    await so(lambda: app.kernel.parts.stops._changed)
    return run


def asked(desk: Desk) -> int:
    return len([sent for sent in desk.seen if not sent.path.startswith("/keys/")])


@pytest.mark.parametrize(
    ("operation", "then"), [("keyed", "doubtful"), ("put", "doubtful"), ("write", "refused")]
)
async def test_a_doubt_is_not_repeated_where_its_run_ends_before_that_is_durable(
    tmp_path: Path, desk: Desk, operation: str, then: str
) -> None:
    desk.always = fault("cut_before")
    async with running(project(tmp_path, desk, operation)) as app:
        run = await held_back(app, desk)
        app.hooks["attempt.before"] = lambda: abandon_before_the_next_work(app, run)
        await app.kernel.people.lift("connector:desk", "maya")
        await app.state(run, "ended")
        if then == "doubtful":
            await app.until(lambda view: [card.id for card in view.cards()] == [f"{run}/1.1"])
        await app.action(run, "1.1", then)
        assert asked(desk) == 2 and not app.entries(run, "attempt")


async def test_what_was_not_done_is_not_sent_again_where_its_run_ends_before_that_is_durable(
    tmp_path: Path, desk: Desk
) -> None:
    desk.faults.extend([fault("cut_before"), fault("status", 429, b"{}", "Retry-After: 1")])
    async with running(project(tmp_path, desk, "plain")) as app:
        run = await held_back(app, desk)
        app.hooks["attempt.before"] = lambda: abandon_before_the_next_work(app, run)
        await app.kernel.people.lift("connector:desk", "maya")
        await app.until(lambda view: view.actions_in(["refused"], (0, ""), 1))
        (refused,) = app.entries(run, "refused")
        assert refused.body is not None and "its run has ended" in refused.body["reason"]
        assert asked(desk) == 2 and not app.entries(run, "attempt") and not app.cards()


async def test_a_priced_read_is_not_asked_anew_where_its_run_ends_before_that_is_durable(
    tmp_path: Path, desk: Desk
) -> None:
    desk.always = fault("cut_before")
    async with running(project(tmp_path, desk, "think")) as app:
        run = await held_back(app, desk)
        assert (await app.card()).id == f"{run}/1.0"
        await app.kernel.people.lift("connector:desk", "maya")
        abandon_before_the_next_work(app, run)
        await app.until(lambda view: [card.id for card in view.cards()] == [f"{run}/1.1"])
        assert app.actions(run)["1.1"].round == 1 and asked(desk) == 2

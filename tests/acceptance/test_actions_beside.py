"""Actions side by side, of which one waits for people: the others go on, over crashes and answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.acceptance.test_actions_approvals import ASKS, PEOPLE, approve, change
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.project import PERMIT, write_project
from tests.support.running import running, so

BESIDE = """
@automation(on=Ask, agent=worker)
async def pays(event: Event[Ask]) -> Outcome:
    both = await together(
        attempt(desk.pay(account="a", amount=Money(8000, "EUR"))),
        attempt(desk.pay(account="b", amount=Money(8000, "EUR"))),
        desk.put(item="c"),
    )
    return done(" ".join(type(one).__name__ for one in both))
"""


def project(root: Path, desk: Desk) -> Path:
    return write_project(root, desk.base, BESIDE, rules=ASKS, toml=PEOPLE)


async def test_what_stood_beside_what_waits_for_people_starts_after_a_crash(
    tmp_path: Path, desk: Desk
) -> None:
    """The process ended when people were asked, and what is beside it had not come so far."""
    async with running(project(tmp_path, desk)) as app:
        # Nothing starts from that moment on.
        app.hooks["t1.in"] = lambda: app.kernel.parts.stops.stop("all", "")
        run = await app.send()
        await app.card()
        await so(lambda: app.kernel.parts.stops.parked)
        assert sorted(app.actions(run)) == ["1.0"]
    async with running(tmp_path) as app:
        await app.action(run, "1.1", "asking")
        await app.action(run, "1.2", "settled")
        await app.gone()
        assert (app.run(run).state, len(app.cards()), len(desk.writes)) == ("waiting", 2, 1)


async def test_a_run_waits_as_long_as_one_of_its_actions_waits_for_people(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run = await app.send()
        cards = await app.until(lambda v: (c := v.cards()) and len(c) == 2 and c)
        cards.sort(key=lambda card: card.path)
        await app.gone()
        await app.kernel.approving.refuse(
            cards[0].id, binding=cards[0].body["binding"], reason="", person="kim"
        )
        await app.gone()
        assert app.run(run).state == "waiting"
        await change(app, cards[1], cards[1].body["args"] | {"amount": {"minor": 7000, "currency": "EUR"}})
        again = await app.card()
        await app.gone()
        assert (app.run(run).state, again.path) == ("waiting", "1.1~1")
        await approve(app, again, "kim")
        assert await app.label(run) == "done(Refused Item Item)"


PUTS = """
@automation(on=Ask, agent=worker)
async def puts(event: Event[Ask]) -> Outcome:
    both = await together(desk.put(item="a"), desk.put(item="b"))
    return done(" ".join(one.item for one in both))
"""
ASKED_PUTS = (
    PERMIT
    + """
[[rule]]
title = "Every put is asked for"
operation = "desk.put"
ask_always = true
ask = "finance"
"""
)


async def test_a_change_that_comes_while_the_run_is_stepped_is_taken_up_once(
    tmp_path: Path, desk: Desk
) -> None:
    async with running(write_project(tmp_path, desk.base, PUTS, rules=ASKED_PUTS, toml=PEOPLE)) as app:
        run = await app.send()
        first, second = await app.until(lambda v: (c := v.cards()) and len(c) == 2 and c)
        await app.gone()
        lost: list[object] = []
        app.kernel.gate._on_lost = lost.append
        take, changing = app.kernel.runner.take, []

        async def later(steps: list[Any]) -> None:
            await change(app, first, {"item": "z"})
            take(steps)

        def change_first(steps: list[Any]) -> None:
            if steps:
                app.kernel.runner.take = take
                changing.append(asyncio.ensure_future(later(steps)))

        app.kernel.runner.take = change_first
        await approve(app, second)
        await app.action(run, f"{first.path}~1", "asking")
        await asyncio.gather(*changing)
        await app.gone()
        await approve(app, await app.card(), "kim")
        assert await app.label(run) == ("done(z b)" if first.path == "1.0" else "done(a z)")
        assert [entry.type for entry in app.entries(run)].count("asked") == 3
        assert not lost, "what a person put in its place came to the gate twice"

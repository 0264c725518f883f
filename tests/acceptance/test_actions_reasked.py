"""A rule that asks others than it did: those whom it asks now are asked."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.test_actions_approvals import ASKS, approve, approved_under_halt, project
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.running import running


async def test_whom_a_rule_asks_now_may_answer_though_others_were_asked(tmp_path: Path, desk: Desk) -> None:
    async with running(project(tmp_path, desk)) as app:
        run, card = await approved_under_halt(app, 80)
    project(tmp_path, desk, rules=ASKS.replace('ask = "finance"', 'ask = "ines"'))
    async with running(tmp_path) as app:
        await app.kernel.people.lift("all", "maya")
        again = await app.until(lambda view: [c for c in view.cards() if c.seq != card.seq])
        assert desk.seen == []
        assert [one["whom"] for one in again[0].body["demands"]] == [["ines"]]
        await approve(app, again[0], "ines")
        assert await app.label(run) == "done(Item)"

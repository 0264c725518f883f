"""What rules bar in principle is in no plan that is carried out: a model is told, and the record says what
was barred when it was asked, so that a replay under other rules goes the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.testing.thinker import Thinker
from tests.acceptance.test_plans import CODE, MINE, OWN, details, planning, step, written
from tests.support.desk import Desk
from tests.support.fixtures import desk as desk
from tests.support.running import Running, so
from tests.support.serving import SERVER, child, cloudevent
from tests.support.thinkers import RULES, ended
from tests.support.thinkers import thinker as thinker

NEVER = '[[rule]]\ntitle = "Nobody {word}"\noperation = "desk.{operation}"\nnever = true\n'
NO_WRITING = RULES + NEVER.format(word="writes", operation="write")
NO_PUTTING = RULES + NEVER.format(word="puts", operation="put")
PUT, WRITE = step("a", "desk.put", item="put"), step("b", "desk.write", item="written")
ELSE = {"when": 'context.event.text == "x"', "else": {"operation": "desk.write", "arguments": {"item": "y"}}}
FORBIDDEN = '"Nobody writes" forbids desk.write always'


def told(thinker: Thinker, number: int) -> str:
    """The last message of a question."""
    said: str = thinker.asked()[number]["messages"][-1]["content"]
    return said


def done_with(desk: Desk) -> list[str]:
    return [one["item"] for one in desk.effects.values()]


def operations(world: Running, run: str) -> list[str]:
    rows = world.actions(run)
    return [rows[path].operation for path in sorted(rows)]


@pytest.mark.parametrize(
    ("rules", "bad", "why"),
    [
        (NO_WRITING, WRITE, FORBIDDEN),
        (NO_WRITING, step("b", "desk.put", item="z", more=ELSE), f"else: {FORBIDDEN}"),
        (NO_WRITING, WRITE | {"when": 'context.event.text == "x"'}, FORBIDDEN),
        (RULES.replace('"desk.*"', '["desk.put"]'), WRITE, "no rule permits desk.write"),
        (RULES.replace('"desk.*"\n', '"desk.*"\nagent = "worker"\n'), None, ""),
    ],
    ids=["never", "never, otherwise", "never, if so", "not permitted", "permitted"],
)
async def test_a_model_is_told_what_rules_bar_and_nothing_of_its_plan_is_done(
    tmp_path: Path, desk: Desk, thinker: Thinker, rules: str, bad: dict[str, Any] | None, why: str
) -> None:
    thinker.say(written(PUT, bad or WRITE), written(step("only", "desk.put", item="x"), end="well"))
    async with planning(tmp_path, desk, thinker, rules=rules) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("done", "well" if bad else "done")
        if bad is None:
            assert done_with(desk) == ["put", "written"]
            return
        assert operations(world, run) == ["small.think", "small.think", "desk.put"]
        [intent, _, _] = world.entries(run, "intent")
        [receipt, again, _] = world.entries(run, "receipt")
        assert intent.body and "desk.write" in intent.body["weighs"] and receipt.body and again.body
        # The same is barred for the second plan, which has none of it.
        assert receipt.body["barred"]["desk.write"] in why and again.body["barred"] == receipt.body["barred"]
    assert f"step b: {why}" in told(thinker, 1)
    assert done_with(desk) == ["x"]


async def test_a_model_that_insists_is_asked_three_times_and_no_more(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    thinker.usually(**written(PUT, WRITE))
    async with planning(tmp_path, desk, thinker, rules=NO_WRITING) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("gave_up", "no plan")
        assert FORBIDDEN in details(world, run)["reason"]
    assert len(thinker.asked()) == 3 and done_with(desk) == []


async def test_other_rules_after_kill_9_do_not_lead_another_way(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    """The first thought is judged by the rules of then, though they would permit it now; the second, whose
    answer was lost, by those of now, though they would have permitted it then."""
    thinker.say(
        written(PUT, WRITE),
        written(PUT) | {"held": True},
        written(PUT),
        written(WRITE, end="well"),
    )
    async with planning(tmp_path, desk, thinker, rules=NO_WRITING, toml=SERVER):
        pass
    root = tmp_path / "project"
    async with child(root) as first, httpx2.AsyncClient(trust_env=False) as http:
        event = cloudevent("one", type="test.word", text="tidy up")
        answer = await http.post(f"{first.url}/v1/events", json=event)
        [run] = answer.json()["accepted"][0]["runs"]
        await so(lambda: len(thinker.asked()) == 2)
        first.process.kill()
        await first.wait()
    async with planning(tmp_path, desk, thinker, rules=NO_PUTTING, toml=SERVER) as world:
        assert await ended(world, run) == ("done", "well")
        assert operations(world, run) == ["small.think", "small.think", "small.think", "desk.write"]
        barred = [entry.body["barred"] for entry in world.entries(run, "receipt")[:3] if entry.body]
        assert [list(one) for one in barred] == [["desk.write"], ["desk.put"], ["desk.put"]]
    assert FORBIDDEN in told(thinker, 1) and told(thinker, 2) == told(thinker, 1)
    assert '"Nobody puts" forbids desk.put always' in told(thinker, 3)
    assert done_with(desk) == ["written"]
    async with planning(tmp_path, desk, thinker, rules=RULES, toml=SERVER) as world:
        assert await ended(world, run) == ("done", "well")
    assert len(thinker.asked()) == 4


WAITS = CODE.replace(
    "    came = await attempt(made.carry_out())\n",
    '    await ask("maya", "Go on?", choices=["yes", "no"])\n    came = await attempt(made.carry_out())\n',
)


@pytest.mark.parametrize("then", [NO_WRITING, RULES.replace('"desk.*"', '["desk.put"]')])
async def test_a_plan_that_was_fit_goes_on_under_other_rules_and_each_step_is_judged_when_it_starts(
    tmp_path: Path, desk: Desk, thinker: Thinker, then: str
) -> None:
    people = "[people.maya]\n"
    thinker.say(written(PUT, WRITE))
    async with planning(tmp_path, desk, thinker, code=WAITS, toml=people) as world:
        run = await world.send(type="test.word", text="tidy up")
        await world.card()
    async with planning(tmp_path, desk, thinker, code=WAITS, rules=then, toml=people) as world:
        card = await world.card()
        await world.kernel.answering.answer(card.id, "yes", person="maya")
        assert await ended(world, run) == ("gave_up", "stopped")
        assert details(world, run)["step"] == "b"
    assert done_with(desk) == ["put"] and len(thinker.asked()) == 1


async def test_a_plan_of_before_that_is_answered_from_the_ledger_is_judged_by_the_rules_of_now(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    thinker.say(written(WRITE), written(PUT, end="well"))
    for rules, how in ((RULES, "done"), (NO_WRITING, "well")):
        async with planning(tmp_path, desk, thinker, rules=rules, cache="1 day") as world:
            run = await world.send(type="test.word", text="tidy up")
            assert await ended(world, run) == ("done", how)
            assert await ended(world, await world.send(type="test.word", text="tidy up")) == ("done", how)
    # Asked anew is only what the plan of before was told.
    assert len(thinker.asked()) == 2 and FORBIDDEN in told(thinker, 1)
    assert done_with(desk) == ["written", "written", "put", "put"]


READS_FIRST = """
goal: g
steps:
  - {id: a, operation: desk.read, arguments: {item: x}}
  - {id: b, operation: desk.write, arguments: {item: y}}
"""


@pytest.mark.parametrize("plan", [MINE % "y", READS_FIRST])
async def test_nothing_of_a_plan_of_ones_own_is_done_where_rules_bar_a_step(
    tmp_path: Path, desk: Desk, thinker: Thinker, plan: str
) -> None:
    desk.pages["/items/x"] = {"item": "x", "key": "k"}
    code = OWN.replace(
        "return done((await carry_out(Plan.from_yaml(event.data.text))).label)",
        "came = await attempt(carry_out(Plan.from_yaml(event.data.text)))\n"
        "    return done(getattr(came, 'label', '') or came.reason)",
    )
    plan = plan.replace("desk.put, arguments: {item: y}", "desk.write, arguments: {item: y}")
    stopped = f"the plan stopped at the step a: nothing of its plan is done: step b: {FORBIDDEN}"
    async with planning(tmp_path, desk, thinker, code=code, rules=NO_WRITING) as world:
        run = await world.send(type="test.word", text=plan)
        assert await ended(world, run) == ("done", stopped)
        assert [entry.type for entry in world.entries(run)] == ["began", "refused", "ended"]
    assert desk.seen == []
    async with planning(tmp_path, desk, thinker, code=code) as world:
        assert await ended(world, run) == ("done", stopped)
        again = await world.send(type="test.word", text=plan)
        assert (await ended(world, again))[0] == "done"
    assert "y" in done_with(desk)

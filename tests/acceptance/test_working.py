"""`agent.work`: a model in a bounded loop, in which everything that it calls is an action of the run."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deputize.testing.thinker import Thinker
from tests.support.desk import Desk, fault
from tests.support.fixtures import desk as desk
from tests.support.project import write_project
from tests.support.running import Running, running
from tests.support.thinkers import RULES, SMALL, ended, why
from tests.support.thinkers import thinker as thinker

CODE = """
@automation(on=Word, agent=worker)
async def works(event: Event[Word]) -> Outcome:
    found = await attempt(worker.work(event.data.text, returns=int, about="they asked for it"))
    if isinstance(found, GaveUp):
        return gave_up("no answer", reason=found.reason)
    return done("answered", found=found)
"""
AGENTS = (
    'worker = agent("worker", model="small", goal="You keep the desk tidy.", steps_max=12,'
    ' may=["desk.read", "desk.write", "desk.put", "desk.pay"])'
)


def call(name: str, **args: Any) -> dict[str, Any]:
    return {"name": name.replace(".", "-"), "args": args}


def answer(value: Any) -> dict[str, Any]:
    return {"calls": [call("answer", value=value)]}


@asynccontextmanager
async def works(
    tmp_path: Path, desk: Desk, thinker: Thinker, *, agents: str = AGENTS, toml: str = "", **more: Any
) -> AsyncIterator[Running]:
    root = write_project(
        tmp_path / "project",
        desk.base,
        more.pop("code", CODE),
        agents=agents,
        toml=SMALL.format(base=thinker.base) + toml,
        **{"rules": RULES} | more,
    )
    async with running(root) as world:
        yield world


async def test_what_it_calls_becomes_actions_and_what_came_of_them_is_put_before_it(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    thinker.say(
        {"text": "I look at both.", "calls": [call("desk.put", item="a"), call("desk.write", item="b")]},
        answer(41),
    )
    async with works(tmp_path, desk, thinker) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("done", "answered")
        rows = world.actions(run)
        assert [rows[path].operation for path in sorted(rows)] == [
            "small.think", "desk.put", "desk.write", "small.think",
        ]  # fmt: skip
        put = next(e.body for e in world.entries(run, "intent") if e.body and e.body["op"] == "desk.put")
        assert put and put["why"] == "I look at both."
        assert world.entries(run, "ended")[0].body["details"] == {"found": 41}  # type: ignore[index]
    assert len(desk.effects) == 2
    first, second = thinker.asked()
    system, given = (one["content"] for one in first["messages"])
    assert system.startswith("You keep the desk tidy.") and given == "<given>\ntidy up\n</given>"
    assert [tool["function"]["name"] for tool in first["tools"]] == [
        "desk-pay", "desk-put", "desk-read", "desk-write", "give_up", "recall", "answer",
    ]  # fmt: skip
    came = [json.loads(one["content"])["item"] for one in second["messages"] if one["role"] == "tool"]
    assert came == ["a", "b"]


async def test_a_replay_calls_nobody(tmp_path: Path, desk: Desk, thinker: Thinker) -> None:
    thinker.say({"calls": [call("desk.write", item="b")]}, answer(41))
    async with works(tmp_path, desk, thinker) as world:
        run = await world.send(type="test.word", text="tidy up")
        await ended(world, run)
    async with works(tmp_path, desk, thinker) as world:
        assert await ended(world, run) == ("done", "answered")
        assert world.kernel.idle()
    assert (len(thinker.asked()), len(desk.effects)) == (2, 1)


async def test_it_is_told_in_words_what_was_refused_and_what_failed(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    never = RULES + '[[rule]]\ntitle = "Nothing is put"\noperation = "desk.put"\nnever = true\n'
    desk.faults.append(fault("status", 422))
    thinker.say(
        {"calls": [call("desk.write", item="b"), call("desk.put", item="a")]},
        answer(1),
    )
    async with works(tmp_path, desk, thinker, rules=never) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("done", "answered")
    told = [one["content"] for one in thinker.asked()[1]["messages"] if one["role"] == "tool"]
    assert told[0].startswith("Not done (declined): POST /items: the service answered 422")
    assert told[1].startswith("Not done (refused): ") and "Nothing is put" in told[1]


BAD = {
    "an operation that is none": (call("desk.writ", item="b"), "There is no tool 'desk.writ'; did you mean"),
    "one that it may not use": (call("desk.hint", item="b"), "There is no tool 'desk.hint'"),
    "itself": (call("small.think", messages=[]), "There is no tool 'small.think'"),
    "an argument too many": (call("desk.write", item="b", to="me"), "it has no argument 'to'"),
    "an argument of another type": (call("desk.write", item=5), "item: Input should be a valid string"),
    "no JSON": ({"name": "desk-write", "args": '{"item": "b"'}, "are no JSON object"),
    "a list": ({"name": "desk-write", "args": "[1]"}, "are no JSON object"),
    "a number beyond all": (call("desk.write", item=10**26), "item: Input should be a valid string"),
    "half a character": ({"name": "desk-write", "args": '{"item": "\\ud800"}'}, "no JSON object"),
    "nested deeply": (call("desk.write", item=json.loads("[" * 300 + "]" * 300)), "do not fit"),
    "an answer of another type": (call("answer", value="many"), "Your answer does not fit"),
}


@pytest.mark.parametrize("bad", BAD)
async def test_a_call_that_cannot_be_made_is_not_made_and_it_is_told_why(
    tmp_path: Path, desk: Desk, thinker: Thinker, bad: str
) -> None:
    called, told = BAD[bad]
    thinker.say({"calls": [called]}, answer(1))
    async with works(tmp_path, desk, thinker) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("done", "answered")
    assert desk.effects == {}
    assert told in thinker.asked()[1]["messages"][-1]["content"]


async def test_no_answer_and_no_call_three_times_is_the_end(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    thinker.usually(text="Let me think about it.")
    async with works(tmp_path, desk, thinker) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("gave_up", "no answer")
    assert len(thinker.asked()) == 3


async def test_giving_up_is_an_answer(tmp_path: Path, desk: Desk, thinker: Thinker) -> None:
    thinker.say({"calls": [call("give_up", reason="there is no desk")]})
    async with works(tmp_path, desk, thinker) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("gave_up", "no answer")
        assert world.entries(run, "ended")[0].body["details"]["reason"] == "there is no desk"  # type: ignore[index]


async def test_the_same_call_for_ever_is_done_three_times_and_then_the_end(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    thinker.usually(calls=[call("desk.put", item="a")])
    async with works(tmp_path, desk, thinker) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("gave_up", "no answer")
        assert sum(row.operation == "desk.put" for row in world.actions(run).values()) == 3
    assert len(thinker.asked()) == 7


async def test_a_loop_without_an_end_ends_with_its_steps(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    thinker.say(*({"calls": [call("desk.put", item=str(n))]} for n in range(20)))
    async with works(tmp_path, desk, thinker) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("gave_up", "no answer")
        reason = world.entries(run, "ended")[0].body["details"]["reason"]  # type: ignore[index]
        assert reason == "its 12 steps are used up"
    assert len(thinker.asked()) == 12


async def test_a_budget_ends_it(tmp_path: Path, desk: Desk, thinker: Thinker) -> None:
    thinker.say(*({"calls": [call("desk.put", item=str(n))]} for n in range(20)))
    agents = AGENTS.replace("steps_max=12", 'steps_max=12, budgets=[budget("0.01 USD cost", per="run")]')
    code = CODE.replace("GaveUp", "ActionError").replace("no answer", "ended")
    async with works(tmp_path, desk, thinker, agents=agents, code=code) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("gave_up", "ended")
        assert "left of 0.0100 USD this run" in world.entries(run, "refused")[-1].body["reason"]  # type: ignore[index]
    assert 1 <= len(thinker.asked()) < 12


async def test_more_calls_at_once_than_ten_are_not_made(tmp_path: Path, desk: Desk, thinker: Thinker) -> None:
    thinker.say({"calls": [call("desk.put", item=str(n)) for n in range(12)]}, answer(1))
    async with works(tmp_path, desk, thinker) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("done", "answered")
    *_, told = thinker.asked()[1]["messages"]
    assert told["content"] == "Of your 12 calls the first 10 were looked at, and no others."
    assert len(desk.effects) == 10


async def test_what_it_is_shown_stays_small_and_what_is_folded_up_can_be_recalled(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    for n in range(60):
        desk.pages[f"/items/{n}"] = {"item": f"number {n} " + "x" * 300, "key": ""}
    steps: list[dict[str, Any]] = [{"calls": [call("desk.read", item=str(n))]} for n in range(52)]
    thinker.say(*steps, {"calls": [call("recall", number=3)]}, answer(1))
    agents = AGENTS.replace("steps_max=12", "steps_max=60")
    async with works(tmp_path, desk, thinker, agents=agents) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("done", "answered")
    asked = thinker.asked()
    sizes = [len(json.dumps(one["messages"])) for one in asked]
    assert max(sizes[45:53]) <= 1.5 * sizes[9]
    assert "number 2 " in asked[-1]["messages"][-1]["content"]
    tasks = {json.dumps(one["messages"][:2]) + json.dumps(one["tools"]) for one in asked}
    assert len(tasks) == 1
    kept = [_begins_with(before, after) for before, after in pairwise(asked)]
    assert sum(kept) >= 0.7 * len(kept)


def _begins_with(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether all that was sent before is the beginning of what is sent now, as a provider's cache wants
    it."""
    found: bool = after["messages"][: len(before["messages"])] == before["messages"]
    return found


async def test_an_action_that_waits_for_a_person_is_told_when_it_is_decided(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    ask = RULES + '[[rule]]\ntitle = "Puts are asked for"\noperation = "desk.put"\nask_always = true\n'
    people = '[people.maya]\nname = "Maya"\n'
    thinker.say({"calls": [call("desk.put", item="a")]}, answer(1))
    async with works(tmp_path, desk, thinker, rules=ask, toml=people) as world:
        run = await world.send(type="test.word", text="tidy up")
        card = await world.card()
        await world.kernel.approving.refuse(
            card.id, binding=card.body["binding"], reason="not today", person="maya"
        )
        assert await ended(world, run) == ("done", "answered")
    told = thinker.asked()[1]["messages"][-1]["content"]
    assert told.startswith("Not done (refused): ") and "not today" in told


async def test_why_tells_what_was_shown_what_was_said_and_what_it_called_for(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    thinker.say({"text": "I put it down.", "calls": [call("desk.put", item="a")]}, answer(41))
    budget = '[[budget]]\nname = "thinking"\nlimit = "1.00 USD cost"\n'
    async with works(tmp_path, desk, thinker, toml=budget) as world:
        run = await world.send(type="test.word", text="tidy\nup")
        await ended(world, run)
        thought, put = (why(world, run, path) for path in ("1", "2.0"))
    assert 'asked for small.think a thought on "<given> tidy up </given>" (2 messages)' in thought
    assert 'it said "I put it down." and it called desk.put with {"item": "a"}' in thought
    assert 'of "thinking".\nWhat the model was shown:\n  system: You keep the desk tidy.' in thought
    assert "  user: <given>\n    tidy\n    up\n    </given>" in thought
    assert 'What it said:\n  I put it down. calls desk.put {"item": "a"}' in thought
    assert f"The model called for it in {run}/1." in put
    assert "What it asked for may come from small.think and test.word." in put


TEXT = CODE.replace("returns=int, ", "")


@pytest.mark.parametrize("args", [{}, {"text": 42}, {"txt": "x"}])
async def test_an_answer_without_its_text_is_told_so(
    tmp_path: Path, desk: Desk, thinker: Thinker, args: dict[str, Any]
) -> None:
    thinker.say({"calls": [call("answer", **args)]}, {"calls": [call("answer", text="well")]})
    async with works(tmp_path, desk, thinker, code=TEXT) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("done", "answered")
    assert thinker.asked()[1]["messages"][-1]["content"] == "Your answer needs a text."


async def test_an_answer_beside_other_calls_is_none_and_nothing_is_done(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    thinker.say({"calls": [call("desk.write", item="promised"), *answer(7)["calls"]]}, answer(8))
    async with works(tmp_path, desk, thinker) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("done", "answered")
        assert world.entries(run, "ended")[0].body["details"] == {"found": 8}  # type: ignore[index]
    assert desk.effects == {}
    told = [one["content"] for one in thinker.asked()[1]["messages"] if one["role"] == "tool"]
    assert told == ["Not done: call `answer` alone, once everything else is done."] * 2


async def test_thousands_of_calls_in_one_answer_break_nothing(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    thinker.say({"calls": [{"name": "n" * 3_000, "args": {}}] * 2_000}, answer(1))
    async with works(tmp_path, desk, thinker) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("done", "answered")
    assert len(json.dumps(thinker.asked()[1])) < 40_000


async def test_calls_of_one_id_are_each_done_and_answered(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    one, two = (call("desk.put", item=item) | {"id": "same"} for item in ("one", "two"))
    thinker.say({"calls": [one, two]}, answer(1))
    async with works(tmp_path, desk, thinker) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("done", "answered")
    assert len(desk.effects) == 2
    ids = [one["tool_call_id"] for one in thinker.asked()[1]["messages"] if one["role"] == "tool"]
    assert ids == ["call_1", "call_2"]


async def test_giving_up_in_no_words_at_all_ends_the_run_all_the_same(
    tmp_path: Path, desk: Desk, thinker: Thinker
) -> None:
    thinker.say({"calls": [{"name": "give_up", "args": '{"reason": 5}'}]})
    code = CODE.replace("await attempt(worker.work(", "await (worker.work(")
    async with works(tmp_path, desk, thinker, code=code) as world:
        run = await world.send(type="test.word", text="tidy up")
        assert await ended(world, run) == ("gave_up", "gave up")

"""A model's cache: the very same question is answered from the ledger, for a time, to the same agent."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest

from deputize import canonical
from deputize.errors import ProjectError, StoreError
from deputize.ledger import SYSTEM, Entry
from deputize.models.settings import read_models
from deputize.store.erasure import erase_run
from deputize.store.telling import read_health, read_telling
from deputize.system import System
from deputize.testing.thinker import Thinker
from deputize.why import why_action, why_run
from tests.support.project import PERMIT, write_project
from tests.support.running import Running, ShiftedClock, running, so
from tests.support.serving import PEOPLE, SERVER, child, cloudevent
from tests.support.thinkers import RULES, SMALL, ended
from tests.support.thinkers import thinker as thinker

HEAD = """
from typing import Literal
from pydantic import BaseModel, field_validator
class Sort(BaseModel):
    kind: Literal["refund", "other"]
"""
SORT = (
    HEAD
    + """
@automation(on=Word, agent=worker)
async def sorts(event: Event[Word]) -> Outcome:
    found = await attempt(think(event.data.text, returns=Sort))
    return gave_up(type(found).__name__) if isinstance(found, ActionError) else done(found.kind)
"""
)
SAYS = """
@automation(on=Word, agent=worker)
async def says(event: Event[Word]) -> Outcome:
    return done(await think(event.data.text))
"""
BOTH = SAYS + SAYS.replace("Word", "Ask").replace("says", "other").replace("agent=worker", "agent=second")
BOTH = BOTH.replace("event.data.text", '"hello"')
TWO = 'worker = agent("worker", model="small")\nsecond = agent("second", model="small")'
DAY = 'cache = "1 day"\n'
DAY_S = 86_400.0
REFUND = {"text": '{"kind": "refund"}'}
BUDGET = '[[budget]]\nname = "b"\nlimit = "1.00 USD cost"\n'


def project(root: Path, thinker: Thinker, code: str = SAYS, cache: str = DAY, **more: Any) -> Path:
    small = more.pop("small", SMALL.format(base=thinker.base))
    toml = small + cache + more.pop("toml", "")
    more = {"agents": 'worker = agent("worker", model="small")', "rules": RULES} | more
    return write_project(root / "project", "http://127.0.0.1:9", code, toml=toml, **more)


async def ask(world: Running, text: str = "hello", **more: Any) -> tuple[str, str]:
    """The run, and how it ended."""
    run = await world.send(type="test.word", text=text, **more)
    return run, (await ended(world, run))[1]


def receipt(world: Running, run: str, path: str = "1") -> dict[str, Any]:
    found: list[Entry] = [e for e in world.entries(run, "receipt") if e.body and e.body["path"] == path]
    assert found[-1].body
    return dict(found[-1].body)


def story(world: Running, run: str, path: str = "") -> str:
    row = world.run(run)
    telling = world.read(lambda view: read_telling(view, row, ZoneInfo("UTC"), {}))
    return " ".join((why_action(telling, path) if path else why_run(telling))["sentences"])


# -- hits ---------------------------------------------------------------------------------------------


async def test_the_same_question_is_answered_from_the_ledger_for_nothing(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say({"text": "one"}, {"text": "two"})
    async with running(project(tmp_path, thinker, toml=BUDGET)) as world:
        first, said = await ask(world)
        spent = world.budget("b")
        second, again = await ask(world)
        assert (said, again) == ("one", "one") and len(thinker.asked()) == 1
        assert world.budget("b") == spent and spent[0] == 0
        [intent], got = world.entries(second, "intent"), receipt(world, second)
        assert (
            intent.body
            and intent.body["holds"] == intent.body["leases"] == []
            and not intent.body["first_sent"]
        )
        [answered] = world.entries(first, "receipt")
        assert got["from"] == {"action": f"{first}/1", "entry": answered.seq, "at": answered.at_us}
        assert (got["by"], got["cost_usd_micros"]) == ("cache", 0)
        assert answered.body and got["result"] == answered.body["result"]
        # What was itself answered from the ledger answers nothing.
        third, _ = await ask(world)
        assert receipt(world, third)["from"]["action"] == f"{first}/1"
        assert world.read(lambda view: view.leases()) == []


async def test_what_was_not_sent_says_nothing_of_the_connection(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say({"text": "one"}, {"status": 400})
    async with running(project(tmp_path, thinker)) as world:
        await ask(world)
        failed = await world.send(type="test.word", text="another")
        await world.ended(failed)
        before = connection(world)
        run, _ = await ask(world)
        assert "from" in receipt(world, run) and connection(world) == before


def connection(world: Running) -> dict[str, Any]:
    health = world.read(lambda view: read_health(view, 0))
    [found] = [one for one in health["connectors"] if one["name"] == "small"]
    return dict(found)


async def test_it_is_off_unless_it_is_said(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say({"text": "one"}, {"text": "two"})
    async with running(project(tmp_path, thinker, cache="")) as world:
        first, _ = await ask(world)
        second, said = await ask(world)
        assert said == "two"
        assert not any("settings" in (e.body or {}) for e in world.entries(second, "intent"))
        assert not any((e.body or {})["leases"] for e in world.entries(first, "intent"))


async def test_why_says_from_where_an_answer_is(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say({"text": "one"})
    async with running(project(tmp_path, thinker)) as world:
        first, _ = await ask(world)
        second, _ = await ask(world)
        assert "nothing else could act" not in story(world, first, "1")
        told = story(world, second, "1")
        assert "it was recorded, and not sent." in told and "Set aside" not in told
        assert f"it was answered from what {first}/1 was answered at " in told
        assert 'it said "one" (' in told and "It cost nothing." in told
        assert f"it was answered from what {first}/1" in story(world, second)
        assert "and then sent" in story(world, first, "1")


async def test_a_typed_answer_serves_again_after_a_restart(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say(REFUND)
    root = project(tmp_path, thinker, SORT)
    async with running(root) as world:
        await ask(world)
    async with running(root) as world:
        assert (await ask(world))[1] == "refund"
    assert len(thinker.asked()) == 1


async def test_a_run_that_goes_on_after_a_restart_is_told_the_same(tmp_path: Path, thinker: Thinker) -> None:
    code = """
@automation(on=Word, agent=worker)
async def says(event: Event[Word]) -> Outcome:
    first = await think("hello")
    if event.data.item == "waits":
        await wait_for(Ask, matching={}, within=hours(1))
    return done(first, second=await think(f"after {first}"))
"""
    thinker.say({"text": "one"}, {"text": "two"})
    root = project(tmp_path, thinker, code)
    async with running(root) as world:
        source, _ = await ask(world)
        run = await world.send(type="test.word", item="waits")
        await world.state(run, "waiting")
    async with running(root) as world:
        no = world.run(source).no
        # What it was told it was told, though nobody else is told so any more.
        await world.system.store.write(lambda tx: erase_run(tx, no, tx.version(SYSTEM)))
        thinker.say({"text": "three"})
        await world.send(type="test.ask")
        assert await ended(world, run) == ("done", "one")
    asked = [one["messages"][-1]["content"] for one in thinker.asked()]
    assert asked == ["hello", "after one", "after one"]


async def test_an_answer_that_could_not_be_written_is_looked_for_once_more(
    tmp_path: Path, thinker: Thinker
) -> None:
    """Intent and receipt are one transaction: both are there, or neither."""
    thinker.say({"text": "one"}, {"text": "two"})
    async with running(project(tmp_path, thinker)) as world:
        await ask(world)
        written: list[int] = []

        def fails() -> None:
            written.append(len(world.read(lambda view: view.entries_after(0, 1_000))))
            if len(written) == 2:
                raise StoreError("as if this work could not be written")

        world.hooks["t2.in"] = fails
        run, said = await ask(world)
        world.hooks.clear()
        assert said == "one" and len(written) == 4, "looked for, failed, looked for, written"
        assert [entry.type for entry in world.entries(run)] == ["began", "intent", "receipt", "ended"]
    assert len(thinker.asked()) == 1


async def test_what_an_agent_that_works_calls_and_answers_serves_again(
    tmp_path: Path, thinker: Thinker
) -> None:
    code = """
@automation(on=Word, agent=worker)
async def works(event: Event[Word]) -> Outcome:
    return done(str(await worker.work("tidy", returns=int)))
"""
    connector = """
@connector.operation(effect="write")
async def tidied(call: Call, page: str) -> str:
    return page
"""
    thinker.say(
        {"calls": [{"name": "desk-tidied", "args": {"page": "a"}}]},
        {"calls": [{"name": "nonsense", "args": {}}]},
        {"calls": [{"name": "answer", "args": {"value": 7}}]},
        {"calls": [{"name": "answer", "args": {"value": 8}}]},
    )
    agents = 'worker = agent("worker", model="small", may=["desk.tidied"])'
    root = project(tmp_path, thinker, code, agents=agents, connector=connector)
    async with running(root) as world:
        first, said = await ask(world)
        second, again = await ask(world)
        # The call that came to nothing was asked anew, and was now answered at once.
        assert (said, again) == ("7", "8") and len(thinker.asked()) == 4
        done = [row for row in world.actions(second).values() if row.operation == "desk.tidied"]
        assert [row.state for row in done] == ["settled"], "what it calls is done, each time"
        assert receipt(world, second)["from"]["action"] == f"{first}/1"


async def test_a_plan_serves_again_where_it_can_be_carried_out(tmp_path: Path, thinker: Thinker) -> None:
    code = """
@automation(on=Word, agent=worker)
async def plans(event: Event[Word]) -> Outcome:
    return done((await plan("nothing", may=["desk.put"])).digest[:8])
"""
    step = '{"id": "a", "operation": "desk.put", "arguments": {"item": "a"}}'
    thinker.say({"text": f'{{"goal": "nothing", "steps": [{step}]}}'})
    async with running(project(tmp_path, thinker, code)) as world:
        first, made = await ask(world)
        second, again = await ask(world)
        assert made == again and receipt(world, second)["from"]["action"] == f"{first}/1"
    assert len(thinker.asked()) == 1


# -- misses -------------------------------------------------------------------------------------------

OTHERS = {
    "model": ("openai-chat:tiny", "openai-chat:other"),
    "output_tokens_max": ("output_tokens_max = 100", "output_tokens_max = 101"),
    "temperature": ("timeout_s = 5", "timeout_s = 5\ntemperature = 0.5"),
    "structured": ("timeout_s = 5", 'timeout_s = 5\nstructured = "prompted"'),
    "tools": ("timeout_s = 5", "timeout_s = 5\ntools = false"),
}
SAME = {
    "time-out": ("timeout_s = 5", "timeout_s = 6"),
    "price": ("output = 4.0", "output = 5.0"),
    "overhead": ("overhead_tokens = 50", "overhead_tokens = 60"),
}


@pytest.mark.parametrize("part", OTHERS | SAME)
async def test_other_settings_are_another_question_and_what_changes_no_request_is_not(
    tmp_path: Path, thinker: Thinker, part: str
) -> None:
    thinker.say({"text": "one"}, {"text": "two"})
    small = SMALL.format(base=thinker.base)
    async with running(project(tmp_path, thinker, small=small)) as world:
        await ask(world)
    there, instead = (OTHERS | SAME)[part]
    assert there in small
    async with running(project(tmp_path, thinker, small=small.replace(there, instead))) as world:
        assert (await ask(world))[1] == ("two" if part in OTHERS else "one")


async def test_another_server_is_another_question_and_another_login_is_not(
    tmp_path: Path, thinker: Thinker, monkeypatch: pytest.MonkeyPatch
) -> None:
    thinker.say({"text": "one"})
    root = project(tmp_path, thinker)
    async with running(root) as world:
        await ask(world)
    monkeypatch.setenv("SMALL_KEY", "sk-another-1234567890")
    async with running(root) as world:
        assert (await ask(world))[1] == "one"
    (tmp_path / "other").mkdir()
    with Thinker.start(tmp_path / "other") as other:
        other.say({"text": "three"})
        async with running(project(tmp_path, other)) as world:
            assert (await ask(world))[1] == "three"


async def test_other_words_another_schema_and_other_choices_are_other_questions(
    tmp_path: Path, thinker: Thinker
) -> None:
    code = (
        HEAD
        + """
@automation(on=Word, agent=worker)
async def asks(event: Event[Word]) -> Outcome:
    if event.data.item == "text":
        return done(await think(event.data.text))
    if event.data.item == "sort":
        return done((await think(event.data.text, returns=Sort)).kind)
    if event.data.item == "list":
        return done(str(await think(event.data.text, returns=list[str])))
    return done(str(await worker.work(event.data.text, returns=str)))
"""
    )
    agents = 'worker = agent("worker", model="small", may=[])'
    answers = {"calls": [{"name": "answer", "args": {"text": "worked"}}]}
    thinker.say(*[{"text": "one"}] * 2, REFUND, {"text": '{"value": []}'}, answers)
    async with running(project(tmp_path, thinker, code, agents=agents)) as world:
        for text, item in [("a", "text"), ("a ", "text"), ("a", "sort"), ("a", "list"), ("a", "works")]:
            await ask(world, text, item=item)
        assert len(thinker.asked()) == 5
        for text, item in [("a", "text"), ("a ", "text"), ("a", "sort"), ("a", "list"), ("a", "works")]:
            await ask(world, text, item=item)
        assert len(thinker.asked()) == 5


async def test_another_name_for_a_model_is_another_question(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say({"text": "one"}, {"text": "two"})
    code = SAYS.replace("think(event.data.text)", 'think("hello", model=event.data.item)')
    small = SMALL.format(base=thinker.base)
    other = small.replace("[models.small]", "[models.large]") + DAY
    async with running(project(tmp_path, thinker, code, toml=other)) as world:
        assert (await ask(world, item="small"))[1] == "one"
        assert (await ask(world, item="large"))[1] == "two"


async def test_an_answer_serves_for_its_time_by_the_ledgers_clock(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say({"text": "one"}, {"text": "two"})
    clock = ShiftedClock()
    async with running(project(tmp_path, thinker), clock=clock) as world:
        await ask(world)
        clock.shift_s += DAY_S - 60
        assert (await ask(world))[1] == "one"
        # Counted from when it was given, and not from when it served last.
        clock.shift_s += 60
        assert (await ask(world))[1] == "two"
        clock.shift_s += DAY_S - 60
        assert (await ask(world))[1] == "two"


# -- whose ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cache", "said"), [(DAY, "two"), (DAY + "cache_shared = true\n", "one")])
async def test_another_agent_is_told_so_only_where_it_is_shared(
    tmp_path: Path, thinker: Thinker, cache: str, said: str
) -> None:
    thinker.say({"text": "one"}, {"text": "two"})
    async with running(project(tmp_path, thinker, BOTH, cache, agents=TWO)) as world:
        assert (await ask(world))[1] == "one"
        run = await world.send(type="test.ask")
        assert (await ended(world, run))[1] == said
        assert (await ask(world))[1] == "one"


async def test_rules_decide_first_and_count_it_like_any_other(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say({"text": "one"}, {"text": "two"})
    twice = '\n[[rule]]\ntitle = "Twice"\noperation = "small.think"\nat_most = { times = 2, per = "day" }\n'
    root = project(tmp_path, thinker, SORT.replace(", returns=Sort", "").replace(".kind", ""))
    async with running(root) as world:
        await ask(world)
    root = project(
        tmp_path,
        thinker,
        SORT.replace(", returns=Sort", "").replace(".kind", ""),
        rules=RULES + twice,
    )
    async with running(root) as world:
        assert [(await ask(world))[1] for _ in range(3)] == ["one", "one", "Refused"]
    root = project(tmp_path, thinker, SORT.replace(", returns=Sort", "").replace(".kind", ""), rules=PERMIT)
    async with running(root) as world:
        assert (await ask(world))[1] == "Refused"
    assert len(thinker.asked()) == 1


async def test_what_waits_for_people_waits_for_them_and_is_then_answered_so(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say({"text": "one"}, {"text": "two"})
    asks = '\n[[rule]]\ntitle = "Asked"\noperation = "small.think"\nask_always = true\nask = "maya"\n'
    async with running(project(tmp_path, thinker)) as world:
        await ask(world)
    async with running(project(tmp_path, thinker, rules=RULES + asks, toml=PEOPLE)) as world:
        run = await world.send(type="test.word", text="hello")
        card = await world.card()
        await world.kernel.approving.approve(card.id, binding=card.body["binding"], person="maya")
        assert (await ended(world, run))[1] == "one"
        assert "approved by maya, recorded, and not sent" in story(world, run, "1")
    assert len(thinker.asked()) == 1


async def test_a_budget_that_is_used_up_keeps_nobody_from_an_answer_of_before(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say({"text": "one"})
    code = SORT.replace(", returns=Sort", "").replace(".kind", "")
    async with running(project(tmp_path, thinker, code)) as world:
        await ask(world)
    nothing = '[[budget]]\nname = "b"\nlimit = "0.000001 USD cost"\n'
    async with running(project(tmp_path, thinker, code, toml=nothing)) as world:
        assert (await ask(world))[1] == "one"
        assert (await ask(world, "another"))[1] == "Refused"
        assert world.budget("b") == (0, 0)


# -- what fits ----------------------------------------------------------------------------------------


async def test_an_answer_that_did_not_fit_serves_nobody_and_its_better_one_does(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say({"text": "no idea"}, REFUND, {"text": '{"kind": "other"}'})
    async with running(project(tmp_path, thinker, SORT)) as world:
        assert (await ask(world))[1] == "refund"
        assert (await ask(world))[1] == "other" and len(thinker.asked()) == 3
        assert (await ask(world))[1] == "other" and len(thinker.asked()) == 3


async def test_where_nothing_fitted_it_is_asked_anew(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say(*[{"text": "no idea"}] * 3, REFUND)
    async with running(project(tmp_path, thinker, SORT)) as world:
        assert (await ask(world))[1] == "GaveUp"
        assert (await ask(world))[1] == "refund" and len(thinker.asked()) == 4


async def test_an_answer_that_was_cut_off_serves_nobody(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say({"text": "half", "finish": "length"}, {"text": "whole"}, {"text": "one"})
    async with running(project(tmp_path, thinker)) as world:
        assert (await ask(world))[1] == "whole"
        assert (await ask(world))[1] == "one"


@pytest.mark.parametrize("raises", ["ValueError", "KeyError"])
async def test_an_answer_must_fit_the_code_of_today_though_its_schema_be_the_same(
    tmp_path: Path, thinker: Thinker, raises: str
) -> None:
    thinker.say(REFUND, {"text": '{"kind": "other"}'})
    async with running(project(tmp_path, thinker, SORT)) as world:
        assert (await ask(world))[1] == "refund"
    stricter = f"""
    @field_validator("kind")
    @classmethod
    def checked(cls, kind: str) -> str:
        if kind == "refund":
            raise {raises}("not any more")
        return kind
"""
    code = SORT.replace("@automation", stricter + "@automation", 1)
    async with running(project(tmp_path, thinker, code)) as world:
        assert (await ask(world))[1] == "other"
    assert len(thinker.asked()) == 2


async def test_an_answer_of_a_run_that_was_tampered_with_serves_nobody(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say(REFUND, {"text": '{"kind": "other"}'})
    root = project(tmp_path, thinker, SORT)
    async with running(root) as world:
        run, _ = await ask(world)
        seq = world.entries(run, "receipt")[0].seq
    with closing(sqlite3.connect(root / "data" / "ledger.db", isolation_level=None)) as db:
        (body,) = db.execute("SELECT body FROM body WHERE seq=?", (seq,)).fetchone()
        forged = canonical.decode(body)
        forged["result"]["text"] = '{"kind":"refund"} '
        db.execute("UPDATE body SET body=? WHERE seq=?", (canonical.encode(forged), seq))
    async with running(root, sound=False) as world:
        assert (await ask(world))[1] == "other"


async def test_what_a_person_said_in_a_models_place_serves_nobody_else(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say({"cut": True, "delay_s": 0.5}, {"text": "two"})
    async with running(project(tmp_path, thinker)) as world:
        run = await world.send(type="test.word", text="hello")
        await so(thinker.asked)
        await world.kernel.people.stop("connector:small", "a look", "maya")
        await world.action(run, "1", "doubtful")
        await world.answer(f"{run}/1", "happened", {"text": "by hand"})
        await world.kernel.people.lift("connector:small", "maya")
        assert (await ended(world, run))[1] == "by hand"
        assert (await ask(world))[1] == "two"


# -- erasure -------------------------------------------------------------------------------------------


async def test_an_answer_that_was_erased_serves_nobody_not_even_by_who_was_told_it(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say({"text": "one"}, {"text": "two"})
    root = project(tmp_path, thinker)
    async with running(root) as world:
        first, _ = await ask(world)
        second, _ = await ask(world)
        no = world.run(first).no
        await world.system.store.write(lambda tx: erase_run(tx, no, tx.version(SYSTEM)))
        assert receipt(world, second)["result"]["text"] == "one"
        assert (await ask(world))[1] == "two"
        assert (await ask(world))[1] == "two"
        assert world.actions(first)["1"].digest == ""
    assert len(thinker.asked()) == 2


async def test_an_erasure_between_the_finding_and_the_answer_is_seen(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say({"text": "one"}, {"text": "two"})
    async with running(project(tmp_path, thinker)) as world:
        first, _ = await ask(world)
        no = world.run(first).no
        erased: list[asyncio.Future[Any]] = []

        def erase() -> None:
            if not erased:
                store = world.system.store
                erased.append(store.write(lambda tx: erase_run(tx, no, tx.version(SYSTEM))))

        # The writer is given it after the first look of the start, and before the second.
        before = world.kernel.gate._start

        def start(tx: Any, request: Any, turn: Any) -> Any:
            started = before(tx, request, turn)
            world.loop.call_soon_threadsafe(erase)
            return started

        world.kernel.gate._start = start
        assert (await ask(world))[1] == "two"
        await erased[0]
        assert (await ask(world))[1] == "two"


# -- one at a time ------------------------------------------------------------------------------------


async def all_ended(world: Running, runs: list[str]) -> list[str]:
    return [row.label for row in await world.ended(*runs)]


async def test_twenty_at_once_are_one_question(tmp_path: Path, thinker: Thinker) -> None:
    thinker.usually(text="one", delay_s=0.3)
    async with running(project(tmp_path, thinker, toml=BUDGET)) as world:
        runs = await world.send_all([("test.word", {"text": "hello"})] * 20)
        other = await world.send(type="test.word", text="another")
        assert await all_ended(world, [*runs, other]) == ["done(one)"] * 21
        asked = [one["messages"][-1]["content"] for one in thinker.asked()]
        assert sorted(asked) == ["another", "hello"]
        hits = [run for run in runs if "from" in receipt(world, run)]
        assert len(hits) == 19
        costs = sum(receipt(world, run)["cost_usd_micros"] for run in [*runs, other])
        assert world.budget("b") == (0, costs)
        assert world.read(lambda view: view.leases()) == []


async def test_nobody_is_asked_for_more_than_a_budget_has_while_the_same_is_being_asked(
    tmp_path: Path, thinker: Thinker
) -> None:
    """The worst of one question fits, and not of two: the second waits for what comes of the first."""
    thinker.usually(text="one", delay_s=0.3)
    budget = '[[budget]]\nname = "b"\nlimit = "0.0008 USD cost"\nask = "maya"\n'
    async with running(project(tmp_path, thinker, toml=budget + PEOPLE)) as world:
        runs = await world.send_all([("test.word", {"text": "hello"})] * 3)
        assert await all_ended(world, runs) == ["done(one)"] * 3
        assert [len(world.entries(run, "asked")) for run in runs] == [0, 0, 0]


async def test_who_waits_for_the_same_question_is_seen(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say({"text": "one", "delay_s": 1.0})
    async with running(project(tmp_path, thinker)) as world:
        first = await world.send(type="test.word", text="hello")
        await world.action(first, "1", "open")
        second = await world.send(type="test.word", text="hello")
        await so(lambda: world.kernel.standing.of(world.run(second)))
        (stand,) = world.kernel.standing.of(world.run(second))
        assert stand.name.startswith("question ") and stand.name.endswith(" to small.think")
        await all_ended(world, [first, second])
    assert len(thinker.asked()) == 1


async def test_the_same_question_side_by_side_in_one_run_is_one(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say({"text": "one"}, {"text": "two"})
    code = """
@automation(on=Word, agent=worker)
async def says(event: Event[Word]) -> Outcome:
    a, b = await together(think("hello"), think("hello"))
    return done(f"{a} {b}")
"""
    async with running(project(tmp_path, thinker, code)) as world:
        assert (await ask(world))[1] == "one one"


async def test_where_the_one_that_asks_gets_no_answer_the_next_one_asks(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say({"status": 400, "delay_s": 0.3})
    thinker.usually(text="one")
    code = SORT.replace(", returns=Sort", "").replace(".kind", "")
    async with running(project(tmp_path, thinker, code)) as world:
        runs = await world.send_all([("test.word", {"text": "hello"})] * 20)
        labels = await all_ended(world, runs)
        assert sorted(labels) == ["done(one)"] * 19 + ["gave_up(Declined)"]
    assert len(thinker.asked()) == 2


async def test_where_its_answer_does_not_fit_the_next_one_asks_too(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say({"text": "no idea", "delay_s": 0.3}, *[REFUND] * 2)
    async with running(project(tmp_path, thinker, SORT)) as world:
        runs = await world.send_all([("test.word", {"text": "hello"})] * 5)
        assert await all_ended(world, runs) == ["done(refund)"] * 5
    # The first question, once more by the next in line, and what the first was told of its answer.
    assert len(thinker.asked()) == 3


async def test_two_agents_do_not_wait_for_each_other(tmp_path: Path, thinker: Thinker) -> None:
    thinker.usually(text="one", delay_s=0.5)
    async with running(project(tmp_path, thinker, BOTH, agents=TWO)) as world:
        first = await world.send(type="test.word")
        second = await world.send(type="test.ask")
        await all_ended(world, [first, second])
    assert len(thinker.asked()) == thinker.open_max() == 2


async def test_kill_9_while_one_asks_leaves_one_question_to_be_asked_anew(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say({"text": "lost", "delay_s": 60.0})
    thinker.usually(text="one", delay_s=0.3)
    root = project(tmp_path, thinker, toml=SERVER + BUDGET)
    async with child(root) as first, httpx2.AsyncClient(trust_env=False) as http:
        for n in range(10):
            event = cloudevent(f"e{n}", text="hello") | {"type": "test.word"}
            assert (await http.post(f"{first.url}/v1/events", json=event)).status_code == 202
        await so(thinker.asked)
        first.process.kill()
        await first.wait()
    async with running(root) as world:
        await world.until(lambda view: view.counts().get("runs.ended") == 10)
        await world.gone()
        runs = world.read(lambda view: view.runs())
        assert [row.label for row in runs] == ["done(one)"] * 10
        assert len(thinker.asked()) == 2
        # The one that was lost is paid for whole, and of the others one.
        rounds = sum(len(world.entries(row.id, "intent")) for row in runs)
        assert rounds == 11 and world.budget("b")[0] == 0


# -- settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"cache": "soon"}, "cache: write a time like '90 minutes'"),
        ({"cache": 60}, "cache: Input should be a valid string"),
        ({"cache": "0 days"}, "cache: write a time like"),
        ({"cache_shared": True}, 'cache_shared goes with cache = "1 day"'),
        ({"cash": "1 day"}, "cash is no setting; did you mean 'cache'"),
    ],
)
def test_what_is_wrong_with_it_is_said(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ProjectError) as error:
        read_models({"small": {"model": "openai:gpt-5-mini"} | more}, "deputize.toml")
    assert said in str(error.value)


def test_a_system_knows_how_long_answers_serve(tmp_path: Path, thinker: Thinker) -> None:
    system = System.open(project(tmp_path, thinker))
    caching = system.project.models["small"].operation.caching
    assert caching is not None and caching.for_us == 86_400_000_000 and not caching.shared

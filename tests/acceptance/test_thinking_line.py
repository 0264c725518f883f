"""The line before a model: who is asked next, how many at once, and by when; as its server sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deputize.kernel.lanes import Lane
from deputize.testing.thinker import Thinker
from tests.support.project import write_project
from tests.support.running import Running, running, so
from tests.support.thinkers import RULES, SMALL, ended
from tests.support.thinkers import thinker as thinker

AGENTS = """
many = agent("many", model="small", service_level="LEVEL")
few = agent("few", model="small", service_level="batch")
quick = agent("quick", model="small", service_level="interactive")
"""

CODE = """
class Few(EventData, type="test.few"):
    text: str
class Quick(EventData, type="test.quick"):
    text: str
    within_s: float = 0
@automation(on=Word, agent=many)
async def floods(event: Event[Word]) -> Outcome:
    return done(await think(event.data.text))
@automation(on=Ask, agent=many)
async def floods_too(event: Event[Ask]) -> Outcome:
    return done(await think(event.data.item))
@automation(on=Few, agent=few)
async def trickles(event: Event[Few]) -> Outcome:
    return done(await think(event.data.text))
@automation(on=Quick, agent=quick)
async def answers(event: Event[Quick]) -> Outcome:
    within = seconds(event.data.within_s) if event.data.within_s else None
    got = await attempt(think(event.data.text, within=within))
    return done(got if isinstance(got, str) else type(got).__name__, reason=getattr(got, "reason", ""))
"""
OTHER = SMALL.replace("[models.small]", "[models.other]")
CEILING = '[[budget]]\nname = "thinking"\nlimit = "1.00 USD cost"\n'


def project(root: Path, thinker: Thinker, *, at_once: int, level: str = "batch", toml: str = "") -> Path:
    small = SMALL.format(base=thinker.base).replace("timeout_s = 5", "timeout_s = 60")
    return write_project(
        root / "project",
        "http://127.0.0.1:9",
        CODE,
        agents=AGENTS.replace("LEVEL", level),
        rules=RULES,
        toml=f"{small}concurrent_max = {at_once}\n{toml}",
    )


def asked(thinker: Thinker) -> list[str]:
    """What it was asked so far, in order."""
    return [one["messages"][-1]["content"] for one in thinker.asked()]


def line(app: Running) -> Lane:
    found: Lane = app.kernel.parts.lane_of("connector:small")
    return found


async def flood(app: Running, count: int, type: str = "test.word", said: str = "many") -> list[str]:
    field = "item" if type == "test.ask" else "text"
    return await app.send_all([(type, {field: said}) for _ in range(count)])


async def test_a_batch_leaves_a_place_and_interactive_thoughts_are_next(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.usually(text="well", held=True)
    async with running(project(tmp_path, thinker, at_once=8)) as app:
        runs = await flood(app, 90)
        await so(lambda: line(app).waiting == 83 and len(asked(thinker)) == 7)
        # None of the batch is answered, and still the first of the others is asked at once.
        runs += await flood(app, 1, "test.quick", "quick")
        await so(lambda: asked(thinker) == ["many"] * 7 + ["quick"])
        runs += await flood(app, 5, "test.quick", "quick")
        await so(lambda: line(app).waiting == 88)
        thinker.let_go()
        await app.ended(*runs)
    assert thinker.open_max() == 8
    # All of them before the batch goes on, whichever two requests arrived the other way round.
    assert asked(thinker)[8:15].count("quick") == 5


async def test_of_agents_of_one_level_one_with_many_does_not_starve_one_with_few(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say({"text": "well", "held": True})
    thinker.usually(text="well")
    async with running(project(tmp_path, thinker, at_once=1)) as app:
        # Of two automations each with as many, so that turns by automation would not do.
        runs = await flood(app, 40) + await flood(app, 40, "test.ask")
        await so(lambda: len(asked(thinker)) == 1 and line(app).waiting == 79)
        runs += await flood(app, 5, "test.few", "few")
        await so(lambda: line(app).waiting == 84)
        thinker.let_go()
        await app.ended(*runs)
    order = asked(thinker)
    assert len(order) == 85 and [text for text in order[:12] if text == "few"] == ["few"] * 5


async def test_a_thought_that_stands_in_line_past_its_time_ends_and_holds_nothing(
    tmp_path: Path, thinker: Thinker
) -> None:
    toml = 'fallback = ["other"]\n' + OTHER.format(base=thinker.base) + CEILING
    thinker.usually(text="well", held=True)
    async with running(project(tmp_path, thinker, at_once=1, level="normal", toml=toml)) as app:
        first, second = await flood(app, 2)
        await so(lambda: len(asked(thinker)) == 1 and line(app).waiting == 1)
        held, _ = app.budget("thinking")
        [late] = await app.send_all([("test.quick", {"text": "quick", "within_s": 0.3})])
        assert await ended(app, late) == ("done", "Expired")
        [refused] = app.entries(late, "refused")
        assert (refused.body or {})["reason"] == "the time in which it was to start was up"
        # Its fallback is not asked either: its time is up there, too. Only what is asked holds anything.
        assert app.budget("thinking") == (held, 0) and line(app).waiting == 1
        thinker.let_go()
        await app.ended(first, second)
    assert asked(thinker) == ["many", "many"]


@pytest.mark.parametrize(
    "busy", [{"status": 429}, {"status": 429, "retry_after_s": 1}, {"status": 503, "retry_after_s": 1}]
)
async def test_a_provider_that_asks_for_patience_is_sent_nothing_else_meanwhile(
    tmp_path: Path, thinker: Thinker, busy: dict[str, Any]
) -> None:
    thinker.say(busy | {"held": True})
    thinker.usually(text="well")
    starts: list[tuple[int, bool]] = []
    async with running(project(tmp_path, thinker, at_once=1)) as app:
        runs = await flood(app, 3)
        await so(lambda: len(asked(thinker)) == 1 and line(app).waiting == 2)
        lane, now = line(app), app.kernel.parts.time.monotonic

        def start() -> None:
            starts.append((len(starts), now() >= lane._next_start))

        app.hooks["send.before"] = start
        thinker.let_go()
        await so(lambda: lane._next_start > now())
        await app.ended(*runs)
    assert [well for _, well in starts] == [True] * 3
    assert len(asked(thinker)) == 4


@pytest.mark.parametrize("status", [429, 500, 529])
async def test_the_patience_that_a_provider_asks_for_is_an_hour_at_most(
    tmp_path: Path, thinker: Thinker, status: int
) -> None:
    thinker.say({"status": status, "retry_after_s": 10**9})
    async with running(project(tmp_path, thinker, at_once=1)) as app:
        await flood(app, 1)
        lane, now = line(app), app.kernel.parts.time.monotonic
        await so(lambda: lane._next_start > now())
        assert 3_500 < lane._next_start - now() <= 3_600


@pytest.mark.parametrize("status", [429, 503])
async def test_a_thought_whose_provider_asks_for_more_patience_than_it_has_goes_to_its_fallback_at_once(
    tmp_path: Path, thinker: Thinker, status: int
) -> None:
    """What was lost of it counts as spent, and nothing is held."""
    toml = 'fallback = ["other"]\n' + OTHER.format(base=thinker.base) + CEILING
    thinker.say({"status": status, "retry_after_s": 3_600}, {"text": "well"})
    async with running(project(tmp_path, thinker, at_once=1, level="normal", toml=toml)) as app:
        [run] = await app.send_all([("test.quick", {"text": "quick", "within_s": 20})])
        assert await ended(app, run) == ("done", "well")
        intent = app.entries(run, "intent")[0].body
        [refused], [receipt] = app.entries(run, "refused"), app.entries(run, "receipt")
        assert intent and refused.body and refused.body["expired"] and receipt.body
        assert refused.body["reason"].startswith("the time in which it was to start was up; ")
        assert refused.at_us < intent["due"]
        [[_, _, most]] = intent["holds"]
        lost = most if status == 503 else 0
        assert app.budget("thinking") == (0, lost + receipt.body["cost_usd_micros"])
    assert asked(thinker) == ["quick", "quick"]


async def test_a_thought_whose_answer_was_lost_is_not_asked_anew_past_its_time(
    tmp_path: Path, thinker: Thinker
) -> None:
    toml = 'fallback = ["other"]\n' + OTHER.format(base=thinker.base) + CEILING
    thinker.say({"status": 500, "held": True})
    async with running(project(tmp_path, thinker, at_once=1, level="normal", toml=toml)) as app:
        [run] = await app.send_all([("test.quick", {"text": "quick", "within_s": 1})])
        await so(lambda: asked(thinker) == ["quick"])
        app.kernel.parts.stops.stop("all", "to look")
        thinker.let_go()
        assert await ended(app, run) == ("done", "Expired")
        assert app.budget("thinking")[0] == 0
    assert asked(thinker) == ["quick"]


async def test_work_ends_with_its_time_and_tells_the_model_of_what_came_too_late(
    tmp_path: Path, thinker: Thinker
) -> None:
    code = """
@automation(on=Word, agent=worker)
async def works(event: Event[Word]) -> Outcome:
    got = await attempt(worker.work("Write it.", within=seconds(2)))
    return done(got if isinstance(got, str) else type(got).__name__)
"""
    thinker.usually(calls=[{"name": "desk-put", "args": {"item": "a"}}])
    root = write_project(
        tmp_path / "project",
        "http://127.0.0.1:9",
        code,
        agents='from connectors import desk\nworker = agent("worker", model="small", may=[desk.put])',
        rules=RULES,
        toml=SMALL.format(base=thinker.base),
    )
    async with running(root) as app:
        app.kernel.parts.lane_of("connector:desk").hold_off(3_600)
        run = await app.send(type="test.word", text="go")
        assert await ended(app, run) == ("done", "Expired")
        paths = [(entry.body or {})["path"] for entry in app.entries(run, "refused")]
        assert paths == ["2.0", "3"]

"""`think`: a model call is an action like any other; a real server of the OpenAI protocol answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from deputize.errors import ProjectError
from deputize.project import load_project
from deputize.system import System
from deputize.testing.thinker import Thinker
from tests.support.command import deputize
from tests.support.project import PERMIT, write_project
from tests.support.running import running
from tests.support.thinkers import RULES, SMALL, ended
from tests.support.thinkers import thinker as thinker

HEAD = """
from pydantic import BaseModel
class Sort(BaseModel):
    kind: Literal["refund", "other"]
    order: str
"""
SORT = (
    "from typing import Literal\n"
    + HEAD
    + """
@automation(on=Word, agent=worker)
async def sorts(event: Event[Word]) -> Outcome:
    found = await think(f"Which is it? {event.data.text}", returns=Sort, about="what the message is about")
    return done(found.kind, order=found.order)
"""
)
CEILING = '[[budget]]\nname = "thinking"\nlimit = "1.00 USD cost"\n'
REFUND = {"text": '{"kind": "refund", "order": "o1"}'}


def thinking_project(root: Path, thinker: Thinker, code: str = SORT, toml: str = "", **more: Any) -> Path:
    more = {"agents": 'worker = agent("worker", model="small")', "rules": RULES} | more
    return write_project(
        root / "project", "http://127.0.0.1:9", code, toml=SMALL.format(base=thinker.base) + toml, **more
    )


async def test_an_answer_is_typed_priced_recorded_and_asked_once(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say(REFUND)
    root = thinking_project(
        tmp_path, thinker, toml='[[budget]]\nname = "thinking"\nlimit = "1.00 USD cost"\n'
    )
    async with running(root) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("done", "refund")
        [intent] = world.entries(run, "intent")
        [receipt] = world.entries(run, "receipt")
        assert intent.body and receipt.body
        assert (intent.body["op"], intent.body["why"]) == ("small.think", "what the message is about")
        held = intent.body["holds"][0][2]
        spent = receipt.body["cost_usd_micros"]
        thought = receipt.body["result"]
        assert spent == thought["input_tokens"] + 4 * thought["output_tokens"]
        assert 0 < spent < held
        assert world.budget() == (0, spent)
    [asked] = thinker.asked()
    assert asked["model"] == "tiny" and asked["max_completion_tokens"] == 100
    assert thinker.keys() == ["Bearer sk-canary-1234567890"]
    async with running(root) as world:
        assert await ended(world, run) == ("done", "refund")
    assert len(thinker.asked()) == 1


TOLD = """
@automation(on=Word, agent=worker)
async def sorts(event: Event[Word]) -> Outcome:
    found = await attempt(think(event.data.text, returns=Sort))
    if isinstance(found, ActionError):
        return gave_up(type(found).__name__, reason=found.reason)
    return done(found.kind, order=found.order)
"""
TOLD = "from typing import Literal\n" + HEAD + TOLD

UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({"text": ""}, "not the JSON|does not fit"),
    "no JSON": ({"text": "It is a refund, I think."}, "does not fit: answer: Invalid JSON"),
    "half a JSON": ({"text": '{"kind": "refund", "ord'}, "does not fit: answer: Invalid JSON"),
    "cut off": ({"text": '{"kind": "re', "finish": "length"}, "cut off, because it was too long"),
    "wrong shape": ({"text": '{"kind": "gift", "order": 5}'}, "kind: Input should be 'refund' or 'other'"),
    "another tool": ({"calls": [{"name": "shop-refund", "args": {}}]}, "does not fit|not the JSON"),
    "far too long": ({"text": "y", "padded": 2_000_000}, "cut off, because it was too long"),
    "held back": ({"text": "", "finish": "content_filter"}, r"could not be used \(content_filter\)"),
}


@pytest.mark.parametrize("unfit", UNFIT)
async def test_an_answer_that_does_not_fit_is_told_so_and_asked_again(
    tmp_path: Path, thinker: Thinker, unfit: str
) -> None:
    answer, told = UNFIT[unfit]
    thinker.say(answer, REFUND)
    async with running(thinking_project(tmp_path, thinker, TOLD)) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("done", "refund")
        assert [entry.body["path"] for entry in world.entries(run, "receipt") if entry.body] == ["1", "2"]
    first, second = thinker.asked()
    assert re.search(told, second["messages"][-1]["content"])
    assert second["messages"][: len(first["messages"])] == first["messages"]


async def test_after_three_answers_that_do_not_fit_it_gives_up(tmp_path: Path, thinker: Thinker) -> None:
    thinker.usually(text="no idea")
    async with running(thinking_project(tmp_path, thinker, TOLD)) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("gave_up", "GaveUp")
    assert len(thinker.asked()) == 3


async def test_giving_up_ends_a_run_that_does_not_catch_it(tmp_path: Path, thinker: Thinker) -> None:
    thinker.usually(text="no idea")
    async with running(thinking_project(tmp_path, thinker)) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("gave_up", "gave up")


async def test_a_body_that_is_no_answer_costs_what_was_held_and_is_asked_again(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say({"raw": '{"hello": 1}'}, REFUND)
    async with running(thinking_project(tmp_path, thinker, TOLD, CEILING)) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("done", "refund")
        first, second = (entry.body for entry in world.entries(run, "receipt"))
        assert first and second
        [intent, _] = world.entries(run, "intent")
        assert intent.body
        held, spent = world.budget()
        assert (held, spent) == (0, intent.body["holds"][0][2] + second["cost_usd_micros"])


REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "wrong key": ({"status": 401, "text": "bad key"}, "Declined", "does not accept the key: bad key"),
    "used up": (
        {"status": 429, "text": "over quota", "code": "insufficient_quota"},
        "Declined",
        "the account is used up: over quota",
    ),
    "no such model": ({"status": 404, "text": "no tiny"}, "Declined", "answered 404: no tiny"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_provider_that_says_no_is_asked_once_and_what_was_held_is_returned(
    tmp_path: Path, thinker: Thinker, refusal: str
) -> None:
    answer, kind, reason = REFUSALS[refusal]
    thinker.say(answer)
    async with running(thinking_project(tmp_path, thinker, TOLD, CEILING)) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("gave_up", kind)
        [declined] = world.entries(run, "declined")
        assert declined.body and reason in declined.body["reason"]
        assert world.budget() == (0, 0)
    assert len(thinker.asked()) == 1


async def test_a_full_provider_is_asked_again_after_as_long_as_it_says(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say({"status": 429, "retry_after_s": 1, "text": "slow down"}, REFUND)
    async with running(thinking_project(tmp_path, thinker, TOLD)) as world:
        began = world.loop.time()
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("done", "refund")
        assert world.loop.time() - began >= 1.0
        [again] = world.entries(run, "attempt")
        assert again.body and again.body["because"].startswith("answered 429: slow down")


LOST: dict[str, dict[str, Any]] = {
    "an error of its own": {"status": 500, "text": "oops"},
    "a cut connection": {"cut": True},
    "a page that is no JSON": {"raw": "<html>it works</html>"},
    "no answer in time": {"delay_s": 20},
}


@pytest.mark.parametrize("lost", LOST)
async def test_an_answer_that_is_lost_counts_as_spent_and_is_asked_for_anew(
    tmp_path: Path, thinker: Thinker, lost: str
) -> None:
    thinker.say(LOST[lost], REFUND)
    root = thinking_project(tmp_path, thinker, TOLD, CEILING)
    settings = (root / "deputize.toml").read_text().replace("timeout_s = 5", "timeout_s = 1")
    (root / "deputize.toml").write_text(settings)
    async with running(root) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("done", "refund")
        first, second = (entry.body for entry in world.entries(run, "intent"))
        [receipt] = world.entries(run, "receipt")
        assert first and second and receipt.body
        assert (second["round"], second["released"]["spend"]) == (2, True)
        assert world.budget() == (0, first["holds"][0][2] + receipt.body["cost_usd_micros"])


async def test_a_provider_that_is_down_ends_the_asking_and_the_next_model_is_asked(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say(REFUND)
    down = (
        '[models.down]\nmodel = "openai-chat:none"\nbase = "http://127.0.0.1:9/v1"\nattempts_max = 2\n'
        'price = {input = 1.0, output = 1.0}\nfallback = ["small"]\n'
    )
    root = thinking_project(tmp_path, thinker, TOLD, down, agents='worker = agent("worker", model="down")')
    async with running(root) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("done", "refund")
        [refused] = world.entries(run, "refused")
        assert refused.body and "not connected" in refused.body["reason"]
        assert {row.operation for row in world.actions(run).values()} == {"down.think", "small.think"}


async def test_a_model_without_a_price_is_refused_and_says_what_to_add(
    tmp_path: Path, thinker: Thinker
) -> None:
    root = thinking_project(tmp_path, thinker, TOLD)
    text = (root / "deputize.toml").read_text().replace("price = {input = 1.0, output = 4.0}\n", "")
    (root / "deputize.toml").write_text(text)
    async with running(root) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("gave_up", "Refused")
        [refused] = world.entries(run, "refused")
        assert refused.body and refused.body["reason"] == (
            "nobody knows what small.think costs: add price = {input = …, output = …} "
            "(US dollars for a million tokens) to [models.small]"
        )
    assert thinker.asked() == []


OFTEN = """
@automation(on=Word, agent=worker)
async def sorts(event: Event[Word]) -> Outcome:
    for n in range(50):
        found = await attempt(think(event.data.text))
        if isinstance(found, ActionError):
            return gave_up(type(found).__name__, reason=found.reason, times=n)
    return done()
"""


@pytest.mark.parametrize("per", ["call", "run", "day"])
async def test_a_ceiling_refuses_before_more_is_asked_than_it_allows(
    tmp_path: Path, thinker: Thinker, per: str
) -> None:
    thinker.usually(text="well " * 30)
    limit = "0.0001" if per == "call" else "0.0016"
    toml = f'[[budget]]\nname = "few"\nlimit = "{limit} USD cost"\nper = "{per}"\n'
    async with running(thinking_project(tmp_path, thinker, OFTEN, toml)) as world:
        times = []
        for _ in range(2):
            run = await world.send(type="test.word", text="my chair broke")
            assert await ended(world, run) == ("gave_up", "Refused")
            reason = world.entries(run, "refused")[-1].body["reason"]  # type: ignore[index]
            costs = [entry.body["cost_usd_micros"] for entry in world.entries(run, "receipt") if entry.body]
            times.append(len(costs))
            if per == "call":
                assert "allows 0.0001 USD per call, and this may take 0.000" in reason
            else:
                assert f"left of 0.0016 USD this {per}, and this may take 0.000" in reason
                assert sum(costs) <= 1_600
    first, second = times
    assert (first == 0) == (per == "call")
    assert second == (first if per != "day" else 0)
    assert len(thinker.asked()) == first + second


async def test_rules_judge_a_model_call_like_any_other(tmp_path: Path, thinker: Thinker) -> None:
    root = thinking_project(tmp_path, thinker, TOLD, rules=PERMIT)
    async with running(root) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("gave_up", "Refused")
    assert thinker.asked() == []


BESIDE = TOLD.replace(
    "    found = await attempt(think(event.data.text, returns=Sort))\n",
    "    found, told, item = await together(\n"
    "        attempt(think(event.data.text, returns=Sort)), think('beside'), attempt(desk.read(item='i')))\n"
    "    assert told == 'well' and isinstance(item, ActionError)\n",
)


async def test_thoughts_beside_each_other_are_asked_at_once_and_each_until_it_fits(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.say(
        {"when": "my chair", "text": "no idea", "delay_s": 0.3},
        {"when": "beside", "text": "well", "delay_s": 0.3},
        REFUND,
    )
    root = thinking_project(tmp_path, thinker, BESIDE)
    async with running(root) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("done", "refund")
        assert sorted(world.actions(run)) == ["1.0", "1.1", "1.2", "2.0"]
    assert thinker.open_max() == 2
    async with running(root) as world:
        assert await ended(world, run) == ("done", "refund")


async def test_the_key_is_found_nowhere(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say({"status": 401, "text": "no such key: sk-canary-1234567890"})
    thinker.say({"text": '{"kind": "refund", "order": "sk-canary-1234567890"}'})
    root = thinking_project(tmp_path, thinker, TOLD)
    async with running(root) as world:
        for _ in range(2):
            await ended(world, await world.send(type="test.word", text="my chair broke"))
    found = [path for path in root.rglob("*") if path.is_file() and b"sk-canary" in path.read_bytes()]
    assert found == []


async def test_a_provider_that_never_answers_is_left_and_its_tries_count_as_spent(
    tmp_path: Path, thinker: Thinker
) -> None:
    thinker.usually(status=500, text="oops")
    async with running(thinking_project(tmp_path, thinker, TOLD, CEILING)) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("gave_up", "Refused")
        [refused] = world.entries(run, "refused")
        assert (
            refused.body and refused.body["reason"] == "no answer in 3 attempts; the last: answered 500: oops"
        )
        held = [entry.body["holds"][0][2] for entry in world.entries(run, "intent") if entry.body]
        assert len(held) == 3 and world.budget() == (0, sum(held))
        assert world.cards() == []


ASKED = '[people.maya]\n[[budget]]\nname = "few"\nlimit = "0.0008 USD cost"\nper = "run"\nask = "maya"\n'


@pytest.mark.parametrize("says", ["approve", "refuse"])
async def test_beyond_a_budget_that_asks_a_person_decides_each_time(
    tmp_path: Path, thinker: Thinker, says: str
) -> None:
    thinker.usually(text="well " * 60)
    twice = OFTEN.replace("range(50)", "range(2)")
    async with running(thinking_project(tmp_path, thinker, twice, ASKED)) as world:
        run = await world.send(type="test.word", text="my chair broke")
        card = await world.card()
        [demand] = card.body["demands"]
        assert demand["title"].startswith('the budget "few" has ')
        assert len(thinker.asked()) == 1 and world.budget("few")[0] == 0, "what waits holds nothing"
        binding = card.body["binding"]
        if says == "approve":
            await world.kernel.approving.approve(card.id, binding=binding, person="maya")
            assert await ended(world, run) == ("done", "")
            assert world.budget("few")[0] == 0
        else:
            await world.kernel.approving.refuse(card.id, binding=binding, reason="no", person="maya")
            assert await ended(world, run) == ("gave_up", "Refused")
    assert len(thinker.asked()) == (2 if says == "approve" else 1)


async def test_a_budget_that_asks_nobody_that_there_is_is_told(tmp_path: Path, thinker: Thinker) -> None:
    root = thinking_project(tmp_path, thinker, OFTEN, ASKED.replace('ask = "maya"', 'ask = "mia"'))
    with pytest.raises(
        ProjectError, match="ask: there is no person, role or group 'mia'; there is 'keeper', 'maya'"
    ):
        load_project(root)


LIES: dict[str, dict[str, int]] = {
    "more than there is": {"prompt_tokens": 9 * 10**18, "completion_tokens": 9 * 10**18, "total_tokens": 1},
    "less than nothing": {"prompt_tokens": -5, "completion_tokens": -7, "total_tokens": -12},
    "nothing": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_provider_that_counts_wrongly_is_paid_what_was_held_and_no_more(
    tmp_path: Path, thinker: Thinker, lie: str
) -> None:
    thinker.say(REFUND | {"usage": LIES[lie]})
    async with running(thinking_project(tmp_path, thinker, TOLD, CEILING)) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("done", "refund")
        [intent] = world.entries(run, "intent")
        assert intent.body
        assert world.budget() == (0, intent.body["holds"][0][2])


async def test_half_a_character_in_an_answer_is_no_drift(tmp_path: Path, thinker: Thinker) -> None:
    thinker.say({"raw": BODY % '"refund \\ud800"'}, REFUND)
    async with running(thinking_project(tmp_path, thinker, TOLD)) as world:
        run = await world.send(type="test.word", text="my chair broke")
        assert await ended(world, run) == ("done", "refund")
        assert world.cards() == []


BODY = (
    '{"id": "x", "object": "chat.completion", "created": 1, "model": "tiny", "choices": [{"index": 0, '
    '"finish_reason": "stop", "message": {"role": "assistant", "content": %s}}], '
    '"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}'
)


async def test_a_rehearsal_asks_no_model(tmp_path: Path, thinker: Thinker) -> None:
    root = thinking_project(tmp_path, thinker, TOLD, CEILING)
    thinker.say(REFUND)
    async with running(root) as world:
        await ended(world, await world.send(type="test.word", text="my chair broke"))
    event = tmp_path / "event.json"
    event.write_text(
        '{"specversion": "1.0", "source": "/x", "id": "e2", "type": "test.word", "data": {"text": "another"}}'
    )
    new = deputize(root, "rehearse", "sorts", "--event", str(event))
    assert "it costs something, and nothing is spent on a rehearsal" in new.out + new.err
    past = deputize(root, "rehearse", "sorts", "--last", "1")
    assert "refund" in past.out
    assert len(thinker.asked()) == 1


async def test_a_key_of_the_environment_alone_is_never_used(
    tmp_path: Path, thinker: Thinker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    root = thinking_project(tmp_path, thinker, TOLD)
    settings = (root / "deputize.toml").read_text().replace('key = "env:SMALL_KEY"\n', "")
    (root / "deputize.toml").write_text(settings)
    thinker.say(REFUND)
    async with running(root) as world:
        await ended(world, await world.send(type="test.word", text="my chair broke"))
    assert thinker.keys() == ["Bearer none"]
    (root / "deputize.toml").write_text(settings.replace(f'base = "{thinker.base}"\n', ""))
    with pytest.raises(ProjectError, match=r'\[models.small\]: add key = "env:NAME"'):
        System.open(root)


WRONG_MODELS = {
    'model = "openai-chat:gpt-5-mini"': 'add key = "env:NAME" with the variable',
    'model = "openai-chat:gpt-5-mini"\nkey = "env:NOT_THERE"': "the secret env:NOT_THERE is not set",
    'model = "lokal:smollm2"\nkey = "env:SMALL_KEY"': "pydantic-ai knows no provider 'lokal'",
    'model = "local:other"': "'local:other' is no model that runs here; there is local:smollm2",
    'model = "gpt-5-mini"': "'gpt-5-mini' is no model; write PROVIDER:MODEL",
    'model = "openai-chat:gtp"\nkey = "env:SMALL_KEY"': "nobody knows what it costs",
    'model = "openai-chat:gpt-5-mini"\nprise = 1': "prise is no setting; did you mean 'price'?",
    'model = "openai-chat:gpt-5-mini"\nfallback = ["smal"]': "fallback 'smal' is no other model",
    'model = "openai-chat:gpt-5-mini"\nbase = "ftp://x"': "'ftp://x' is not an address",
}


@pytest.mark.parametrize("wrong", WRONG_MODELS)
def test_check_tells_what_is_wrong_with_a_model(tmp_path: Path, thinker: Thinker, wrong: str) -> None:
    root = thinking_project(tmp_path, thinker, TOLD, f"[models.wrong]\n{wrong}\n")
    done = deputize(root, "check")
    assert done.code == 1
    assert "[models.wrong]: " in done.out + done.err and WRONG_MODELS[wrong] in done.out + done.err

"""A line asks each question with its own choices and shape, however many it keeps ready."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from deputize.call import Call
from deputize.connectors.secret import Secrets
from deputize.models import line
from deputize.models.line import Line
from deputize.models.settings import ModelSettings
from deputize.thought import Choice, Message
from tests.unit.http_raw_server import Server, http, serving

WELL = http(
    200,
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "well"}, "finish_reason": "stop"}
        ],
    },
)
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TEXT = {"type": "object", "properties": {"n": {"type": "string"}}, "required": ["n"]}


def choice(name: str, about: str = "Do it.", takes: dict[str, Any] | None = None) -> Choice:
    return Choice(name=name, about=about, takes=takes or NUMBER)


QUESTIONS = [
    ([choice("shop.look")], NUMBER),
    ([choice("shop.look")], TEXT),
    ([choice("shop.look")], None),
    ([choice("shop.find")], NUMBER),
    ([choice("shop.look", about="Look.")], NUMBER),
    ([choice("shop.look", takes=TEXT)], NUMBER),
    ([choice("shop.look"), choice("shop.find")], NUMBER),
    ([], NUMBER),
]


def connected(server: Server, root: Path) -> Line:
    found = Line("small", ModelSettings(model="openai-chat:tiny", base=f"{server.base}/v1"))
    found.connect(Secrets(root, {}), {})
    return found


async def ask(asked: Line, choices: list[Choice], answer: dict[str, Any] | None) -> None:
    await asked.think(cast("Call", None), [Message(role="user", text="?")], choices, answer)


def shaped(server: Server, first: int = 0) -> list[Any]:
    """What was sent but the conversation."""
    bodies = [json.loads(seen.body) for seen in server.seen[first:]]
    return [{name: part for name, part in body.items() if name != "messages"} for body in bodies]


@pytest.mark.parametrize("kept", [1, 2, 32])
async def test_each_question_is_asked_with_its_own_choices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(line, "ASKED_MAX", kept)
    async with serving(WELL) as server:
        for choices, answer in QUESTIONS:
            await ask(connected(server, tmp_path), choices, answer)
        apart = shaped(server)
        one = connected(server, tmp_path)
        for _ in range(2):
            for choices, answer in QUESTIONS:
                await ask(one, choices, answer)
    assert shaped(server, len(QUESTIONS)) == apart * 2
    assert len({json.dumps(sent) for sent in apart}) == len(QUESTIONS)


async def test_another_model_is_asked_in_its_own_way(tmp_path: Path) -> None:
    from pydantic_ai.models.test import TestModel

    async with serving(WELL) as server:
        asked = connected(server, tmp_path)
        await ask(asked, [], NUMBER)
        other = TestModel(
            profile={"default_structured_output_mode": "native", "supports_json_schema_output": True}
        )
        asked.use(other)
        await ask(asked, [], NUMBER)
    assert other.last_model_request_parameters is not None
    assert other.last_model_request_parameters.output_mode == "native"
    assert "tools" in shaped(server)[0]

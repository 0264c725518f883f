"""The shorter way to a provider of the OpenAI protocol sends the same and hears the same answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic_ai import exceptions
from pydantic_ai.direct import model_request
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

from deputize.models import wire
from deputize.models.quick import QuickChatModel
from deputize.testing.thinker import Thinker
from deputize.thought import Called, Choice, Message, Thought
from tests.support.thinkers import thinker as thinker

ASKED = (Message(role="system", text="Be brief."), Message(role="user", text="Wie viel? ¿Cuánto? 💶"))
WORKED = (
    *ASKED,
    Message(role="model", text="I look.", calls=(Called(id="1", name="shop.look", args='{"item": "a"}'),)),
    Message(role="result", text='{"found": true}', to="1"),
    Message(role="model", calls=(Called(id="2", name="shop.look", args="{}"),)),
    Message(role="result", text="Not done.", to="2"),
)
SHAPE = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
LOOK = Choice(name="shop.look", about="Look it up.", takes={"type": "object", "properties": {}})

Case = tuple[Sequence[Message], Sequence[Choice], dict[str, Any] | None, ModelSettings]
CASES: dict[str, Case] = {
    "a question": (ASKED, (), None, ModelSettings(max_tokens=100, timeout=7.5, max_retries=0)),
    "a shape": (ASKED, (), SHAPE, ModelSettings(max_tokens=100, temperature=0.5, max_retries=0)),
    "work": (WORKED, (LOOK,), SHAPE, ModelSettings(max_tokens=100, timeout=60.0, max_retries=0)),
    "more": (
        ASKED, (), None, ModelSettings(seed=1, extra_body={"top_k": 3}, extra_headers={"X-Its": "own"})
    ),
}  # fmt: skip


class Wire:
    """A client that takes down what it sends."""

    def __init__(self, base: str) -> None:
        self.sent: list[tuple[str, Any, dict[str, str]]] = []
        self.client = httpx2.AsyncClient(event_hooks={"request": [self._send]})
        provider = OpenAIProvider(base_url=base, api_key="sk-test", http_client=self.client)
        self.plain = infer_model("openai-chat:tiny", provider_factory=lambda name: provider)
        self.quick = wire.quickened(self.plain)

    async def _send(self, request: httpx2.Request) -> None:
        self.sent.append((str(request.url), json.loads(request.content), dict(request.headers)))


async def said(model: Model, case: Case) -> Thought:
    messages, choices, answer, settings = case
    asked = wire.parameters(choices, answer, model, None)
    response = await model_request(
        model, wire.conversation(messages), model_settings=settings, model_request_parameters=asked
    )
    return wire.thought_of(response, 10_000)


@pytest.mark.parametrize("case", CASES)
async def test_the_same_is_sent_and_the_same_answer_is_heard(thinker: Thinker, case: str) -> None:
    thinker.usually(text="well", calls=[{"name": "shop-look", "args": {"item": "ü"}, "id": "x"}])
    on = Wire(thinker.base)
    async with on.client:
        assert type(on.plain) is OpenAIChatModel and type(on.quick) is QuickChatModel
        assert await said(on.quick, CASES[case]) == await said(on.plain, CASES[case])
    quick, plain = on.sent
    assert quick == plain


@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_what_the_provider_refuses_is_told_alike(thinker: Thinker, status: int) -> None:
    thinker.usually(status=status, text="no", retry_after_s=3)
    on = Wire(thinker.base)
    told = []
    async with on.client:
        for model in (on.quick, on.plain):
            with pytest.raises(exceptions.ModelHTTPError) as raised:
                await said(model, CASES["a question"])
            error = raised.value
            told.append((type(error), error.status_code, error.retry_after, str(error.body)))
    assert told[0] == told[1]


def test_a_model_of_another_kind_is_left_as_it_is(tmp_path: Path) -> None:
    from pydantic_ai.models.test import TestModel

    model = TestModel()
    assert wire.quickened(model) is model

"""The shorter way to a provider of the OpenAI protocol sends the same and hears the same answer.

Each thing is done twice: by pydantic-ai's own model over openai's client, and by the shorter way.
"""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI
from pydantic_ai.direct import model_request
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

from deputize.models import wire
from deputize.models.quick import QuickChatModel
from deputize.thought import Called, Choice, Message, Thought
from tests.unit.http_raw_server import Seen, http, serving

TLS = Path(__file__).parents[1] / "support" / "tls"
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
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
ONCE = ModelSettings(max_tokens=100, timeout=7.5, max_retries=0)

Case = tuple[Sequence[Message], Sequence[Choice], dict[str, Any] | None, ModelSettings]
QUESTION: Case = (ASKED, (), None, ONCE)
CASES: dict[str, Case] = {
    "a question": QUESTION,
    "a shape": (ASKED, (), SHAPE, ModelSettings(max_tokens=100, temperature=0.5, max_retries=0)),
    "work": (WORKED, (LOOK,), SHAPE, ModelSettings(max_tokens=100, timeout=60.0, max_retries=0)),
    "more": (ASKED, (), None, ModelSettings(seed=1, extra_body={"top_k": 3}, extra_headers={"X-Its": "own"})),
}

CALL = {"id": "x", "type": "function", "function": {"name": "shop-look", "arguments": '{"item": "ü"}'}}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "well"}, "finish_reason": "stop"}
WHOLE = {
    "id": "x",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "tiny-2026",
    "choices": [CHOICE],
    "usage": {
        "prompt_tokens": 20,
        "completion_tokens": 5,
        "total_tokens": 25,
        "prompt_tokens_details": {"cached_tokens": 7},
    },
}


def saying(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    return WHOLE | {"choices": [CHOICE | {"message": {"role": "assistant", **message}} | more]}


ANSWERS: dict[str, bytes | dict[str, Any]] = {
    "a text": WHOLE,
    "a call": saying({"content": None, "tool_calls": [CALL]}, finish_reason="tool_calls"),
    "a text in parts": saying({"content": [{"type": "text", "text": "we"}, {"type": "text", "text": "ll"}]}),
    "a thought beside it": saying({"content": "well", "reasoning_content": "hm"}),
    "a refusal": saying({"content": None, "refusal": "I would rather not."}),
    "cut off": saying({"content": "wel"}, finish_reason="length"),
    "an end of its own": saying({"content": "well"}, finish_reason="guardrail"),
    "no end": saying({"content": "well"}, finish_reason=None),
    "an empty end": saying({"content": "well"}, finish_reason=""),
    "no time": WHOLE | {"created": None},
    "no usage": {name: value for name, value in WHOLE.items() if name != "usage"},
    "a usage that is text": WHOLE | {"usage": "much"},
    "more than is known": WHOLE | {"its_own": {"a": [1]}, "service_tier": "standard"},
    "no choice": WHOLE | {"choices": []},
    "a call without a name": saying({"tool_calls": [{"id": "x", "type": "function", "function": {}}]}),
    "an error all the same": {"error": {"message": "overloaded", "code": 502}},
    "a list": b"[1, 2]",
    "no JSON": b"<html>Well.</html>",
    "half of it": json.dumps(WHOLE).encode()[:-20],
    "nothing": b"",
    "half a character": json.dumps(saying({"content": "\ud83d well"})).encode(),
    "no Unicode": json.dumps(WHOLE).replace("well", "wäll").encode("latin-1"),
}


class Both:
    """pydantic-ai's own model, and the shorter way to the same."""

    def __init__(self, base: str) -> None:
        provider = OpenAIProvider(base_url=base, api_key="sk-test")
        self.plain = infer_model("openai-chat:tiny", provider_factory=lambda name: provider)
        self.quick = wire.quickened(self.plain)
        assert type(self.plain) is OpenAIChatModel and type(self.quick) is QuickChatModel

    async def ask(self, case: Case = QUESTION) -> tuple[Any, Any]:
        """What comes of a question to each."""
        return await outcome(self.quick, case), await outcome(self.plain, case)


async def heard(model: Model, case: Case = QUESTION) -> ModelResponse:
    messages, choices, answer, settings = case
    return await model_request(
        model,
        wire.conversation(messages),
        model_settings=settings,
        model_request_parameters=wire.parameters(choices, answer, model, None),
    )


async def outcome(model: Model, case: Case) -> Any:
    try:
        response = await heard(model, case)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the same for both
        found = wire.failure_of(error)
        if isinstance(found, Thought):
            return type(error), found
        return type(error), type(found), str(found), found.status, found.retry_after_s
    # Its time is the moment at which it was read.
    return replace(response, timestamp=NEVER), wire.thought_of(response, 10_000)


@pytest.mark.parametrize("case", CASES)
async def test_the_same_is_sent(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    real = httpx2.AsyncHTTPTransport.handle_async_request

    async def noted(self: httpx2.AsyncHTTPTransport, request: httpx2.Request) -> httpx2.Response:
        waits.append(request.extensions["timeout"])
        return await real(self, request)

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", noted)
    async with serving(http(200, WHOLE, "content-type: application/json")) as server:
        quick, plain = await Both(server.base).ask(CASES[case])
    assert quick == plain
    assert waits[0] == waits[1]
    first, second = server.seen
    # In another order, which is no difference to JSON; so as many bytes, as the headers say too.
    assert json.loads(first.body) == json.loads(second.body)
    assert replace(first, body=b"") == replace(second, body=b"")
    assert json.loads(first.body)["messages"][1]["content"] == ASKED[1].text


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_the_same_answer_is_heard(answer: str, kind: str) -> None:
    async with serving(http(200, ANSWERS[answer], f"content-type: {kind}")) as server:
        quick, plain = await Both(server.base).ask()
    assert quick == plain
    assert len(server.seen) == 2  # nothing is asked again


async def test_a_packed_answer_is_unpacked() -> None:
    packed = http(200, gzip.compress(json.dumps(WHOLE).encode()), "content-encoding: gzip")
    async with serving(packed) as server:
        response = await heard(Both(server.base).quick)
    assert response.text == "well"


@pytest.mark.parametrize("status", [307, 400, 401, 404, 408, 409, 429, 500, 503])
async def test_what_the_provider_refuses_is_told_alike(status: int) -> None:
    said = {"error": {"message": "no", "code": "its_code"}}
    async with serving(http(status, said, "retry-after: 3", "location: /elsewhere")) as server:
        quick, plain = await Both(server.base).ask()
    assert quick == plain
    assert len(server.seen) == 2


async def test_what_never_comes_is_told_alike() -> None:
    async with serving([]) as server:
        cut = await Both(server.base).ask()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        closed = await Both(f"http://127.0.0.1:{nobody.getsockname()[1]}/v1").ask()

    async def silent(_: Seen, __: object) -> None:
        """Nothing."""

    async with serving(silent) as server:
        late = await Both(server.base).ask((ASKED, (), None, ModelSettings(timeout=0.05, max_retries=0)))
    for quick, plain in (cut, closed, late):
        assert quick == plain
    kinds = [told[0][1].__name__ for told in (cut, closed, late)]
    assert kinds == ["CallUnknown", "CallNotDone", "CallUnknown"]


async def test_it_does_go_round_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(http(200, WHOLE)) as server:
        model = Both(server.base).quick

        async def never(*_: object, **__: object) -> None:
            raise AssertionError("openai's client was asked")

        monkeypatch.setattr(AsyncOpenAI, "request", never)
        monkeypatch.setattr(httpx2.AsyncClient, "send", never)
        for case in ("a question", "a shape", "work"):
            assert (await heard(model, CASES[case])).text == "well"


async def test_what_may_be_tried_again_is_left_to_the_client() -> None:
    tries = ModelSettings(max_retries=1)
    answers = [http(500, {}, "retry-after-ms: 1"), http(200, WHOLE)]
    async with serving([*answers, *answers]) as server:
        quick, plain = await Both(server.base).ask((ASKED, (), None, tries))
    assert quick == plain
    assert quick[1].text == "well"
    assert len(server.seen) == 4


async def test_a_proxy_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(http(200, WHOLE)) as server:
        monkeypatch.setenv("HTTP_PROXY", server.base)
        monkeypatch.setenv("NO_PROXY", "")
        quick, plain = await Both("http://provider.test/v1").ask()
    assert quick == plain
    assert [seen.target for seen in server.seen] == ["http://provider.test/v1/chat/completions"] * 2


async def test_a_server_is_trusted_by_its_certificate_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(http(200, WHOLE), tls=TLS) as server:
        refused = await Both(server.base).ask()
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "cert.pem"))
        known = await Both(server.base).ask()
    assert refused[0] == refused[1]
    assert refused[0][1].__name__ == "CallNotDone"
    assert known[0] == known[1]
    assert known[0][1].text == "well"


async def test_each_question_has_its_own_choices_and_limits() -> None:
    other = Choice(name="shop.find", about="Find it.", takes={"type": "object", "properties": {}})
    async with serving(http(200, WHOLE)) as server:
        model = Both(server.base).quick
        kept = wire.parameters((LOOK,), None, model, None)
        for limit, asked in (
            (5, kept),
            (6, kept),
            (6, wire.parameters((other,), None, model, None)),
            (5, kept),
        ):
            await model_request(
                model,
                wire.conversation(ASKED),
                model_settings=ModelSettings(max_tokens=limit, max_retries=0),
                model_request_parameters=asked,
            )
    sent = [json.loads(seen.body) for seen in server.seen]
    named = [one["tools"][0]["function"]["name"] for one in sent]
    assert named == ["shop-look", "shop-look", "shop-find", "shop-look"]
    assert [one["max_completion_tokens"] for one in sent] == [5, 6, 6, 5]


def test_a_model_of_another_kind_is_left_as_it_is() -> None:
    from pydantic_ai.models.test import TestModel

    model = TestModel()
    assert wire.quickened(model) is model

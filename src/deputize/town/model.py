"""A stand-in for a model, behind the protocol that OpenAI's has: it goes by words, and is no model.

It sorts a mail where it is asked for a kind, and writes a plan for the example's shop where it is asked for
one. It believes what it reads, so that there is something for rules and verifiers to stop.
"""

import json
from typing import Any

from fastapi import FastAPI, Request

from deputize.town.service import service_app
from deputize.town.standin import plan_for, wish_of
from deputize.town.wire import Problem

NAME = "stand-in"
BYTES_A_TOKEN = 4


def model_app() -> FastAPI:
    """The application behind the model's port."""
    app = service_app("model", "A stand-in for a model: chat completions in OpenAI's format")

    @app.post("/v1/chat/completions", operation_id="think")
    async def think(request: Request) -> dict[str, Any]:
        try:
            body: Any = json.loads(await request.body())
            messages, schema = body["messages"], _schema(body)
            text = _asked(messages)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise Problem(400, "invalid", "send chat completions as OpenAI's API describes them") from None
        said = _said(text, schema)
        return _completion(body.get("model", NAME), json.dumps(messages), said)

    return app


def _schema(body: Any) -> dict[str, Any]:
    found: dict[str, Any] = (body.get("response_format") or {}).get("json_schema", {}).get("schema", {})
    return found


def _asked(messages: list[dict[str, Any]]) -> str:
    """The mail: what the first to have something given was given, else what was said last."""
    texts = [one["content"] for one in messages if one["role"] == "user" and isinstance(one["content"], str)]
    given = [text for text in texts if "<given>" in text]
    return given[0].split("<given>")[1].split("</given>")[0].strip() if given else texts[-1]


def _said(text: str, schema: dict[str, Any]) -> str:
    fields = schema.get("properties", {})
    if "steps" in fields:
        return json.dumps(plan_for(text))
    if "kind" in fields:
        return json.dumps({"kind": wish_of(text)})
    return "I am a stand-in that sorts the mails of a small shop, and no model."


def _completion(model: str, asked: str, said: str) -> dict[str, Any]:
    tokens = (-(-len(asked) // BYTES_A_TOKEN), -(-len(said) // BYTES_A_TOKEN))
    return {
        "id": "chatcmpl-stand-in",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": tokens[0],
            "completion_tokens": tokens[1],
            "total_tokens": sum(tokens),
        },
    }

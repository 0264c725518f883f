"""Our conversations in pydantic-ai's terms, and its answers and errors in ours. No I/O.

pydantic-ai is imported here, in `line.py` and in `quick.py`, and only once a model is asked: it takes most of
a second.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
from pydantic_ai import exceptions
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.tools import ToolDefinition

from deputize.call import CallBroken, CallDeclined, CallFailed, CallNotDone, CallUnknown
from deputize.models.settings import Structured
from deputize.thought import ANSWER, Called, Choice, Message, Thought

NOT_DONE = frozenset({429})
UNKNOWN = frozenset({408, 409})
UNREADABLE_CHARS = 2_000
NAME_CHARS_MAX = 200
CALLS_MAX = 50
"""Of the calls in one answer, so many are looked at."""

CHARS_MAX = 200_000
"""An answer that is longer is taken for one that was cut off."""

TOKENS_MAX = 1_000_000_000
REFERENCES_MAX = 5
"""So many references are followed, one inside another: a type may be made of itself."""

SEPARATOR = "-"
"""Stands for the dot in an operation's name, which the names of tools may not have; nor may ours have
this."""


def prepared() -> None:
    """Nothing is left to import but a provider's own package, which may not be there."""
    with contextlib.suppress(ImportError):
        importlib.import_module("pydantic_ai.models.openai")
    importlib.import_module("pydantic_ai.direct")


def quickened(model: Model) -> Model:
    """The same model by a shorter way, where there is one. See `quick.py`."""
    try:
        quick = importlib.import_module("deputize.models.quick")
    except ImportError:
        # The provider's own package is not there, so the model is none of its.
        return model
    found: Model = quick.quickened(model)
    return found


def conversation(messages: Sequence[Message]) -> list[ModelMessage]:
    """What was said so far, in pydantic-ai's terms."""
    found: list[ModelMessage] = []
    names = {call.id: call.name for message in messages for call in message.calls}
    parts: list[ModelRequestPart] = []
    for message in messages:
        if message.role != "model":
            parts.append(_asked(message, names))
            continue
        if parts:
            found.append(ModelRequest(parts=parts))
            parts = []
        said: list[ModelResponsePart] = [TextPart(message.text)] if message.text else []
        said += [ToolCallPart(_outward(call.name), call.args, call.id) for call in message.calls]
        found.append(ModelResponse(parts=said))
    if parts:
        found.append(ModelRequest(parts=parts))
    return found


def _asked(message: Message, names: Mapping[str, str]) -> ModelRequestPart:
    if message.role == "system":
        return SystemPromptPart(message.text)
    if message.role == "result":
        return ToolReturnPart(_outward(names.get(message.to, "")), message.text, message.to)
    return UserPromptPart(message.text)


def parameters(
    choices: Sequence[Choice],
    answer: Mapping[str, Any] | None,
    model: Model,
    structured: Structured | None,
    *,
    by_answer: bool = False,
) -> ModelRequestParameters:
    """What it may call, and the shape of its answer: as a tool beside others, else as the model does it
    best."""
    if by_answer and choices:
        schema = calling(choices, answer)
        return ModelRequestParameters(
            output_mode="native",
            output_object=OutputObjectDefinition(schema, name=ANSWER),
            allow_text_output=True,
        )
    tools = [
        ToolDefinition(name=_outward(one.name), parameters_json_schema=one.takes, description=one.about)
        for one in choices
    ]
    if answer is None:
        return ModelRequestParameters(function_tools=tools)
    schema = dict(answer)
    mode = structured or model.profile.get("default_structured_output_mode", "tool")
    if mode == "tool" or tools:
        tool = ToolDefinition(
            name=ANSWER,
            parameters_json_schema=schema,
            description="Your answer, once you have it.",
            kind="output",
        )
        return ModelRequestParameters(
            function_tools=tools, output_mode="tool", output_tools=[tool], allow_text_output=False
        )
    return ModelRequestParameters(
        output_mode=mode, output_object=OutputObjectDefinition(schema, name=ANSWER), allow_text_output=True
    )


def calling(choices: Sequence[Choice], answer: Mapping[str, Any] | None) -> dict[str, Any]:
    """The shape of an answer that is a call, for a model without tools: one of the choices, with what that
    takes."""
    takes = {one.name: one.takes for one in choices} | ({ANSWER: answer} if answer is not None else {})
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {"call": {"const": name}, "args": _plain(schema, schema.get("$defs", {}))},
                "required": ["call", "args"],
            }
            for name, schema in takes.items()
        ]
    }


def _plain(schema: Any, defs: Mapping[str, Any], followed: int = 0) -> dict[str, Any]:
    """A JSON Schema as far as any server can hold an answer to it, without references: they would be to
    another root. What is left out is looked at when the call is checked."""
    if not isinstance(schema, Mapping) or followed > REFERENCES_MAX:
        return {}
    if "$ref" in schema:
        return _plain(defs.get(str(schema["$ref"]).rpartition("/")[2]), defs, followed + 1)
    found = {name: schema[name] for name in ("type", "enum", "const", "required") if name in schema}
    if "properties" in schema:
        parts = schema["properties"].items()
        found["properties"] = {name: _plain(part, defs, followed) for name, part in parts}
        found["additionalProperties"] = False
    if "items" in schema:
        found["items"] = _plain(schema["items"], defs, followed)
    if "anyOf" in schema:
        found["anyOf"] = [_plain(part, defs, followed) for part in schema["anyOf"]]
    return found


def described(choices: Sequence[Choice], answer: Mapping[str, Any] | None) -> str:
    """The choices in words, for a model without tools."""
    lines = [f"{one.name}: {one.about} It takes {json.dumps(one.takes)}" for one in choices]
    if answer is not None:
        lines.append(f"{ANSWER}: your answer, once you have it. It takes {json.dumps(answer)}")
    told = 'Answer with JSON: {"call": the name of one of these, "args": what it takes}.'
    return "\n".join([told, *lines])


def called(thought: Thought) -> Thought:
    """The call that is in an answer of that shape; where there is none, what was said."""
    try:
        found = json.loads(thought.text)
        name, args = found["call"], found["args"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return thought
    call = Called(id="1", name=_readable(str(name))[:NAME_CHARS_MAX], args=json.dumps(args))
    return thought.model_copy(update={"text": "", "calls": (call,)})


def spoken(
    messages: Sequence[Message], choices: Sequence[Choice], answer: Mapping[str, Any] | None
) -> list[Message]:
    """A conversation with calls and results as plain text, for a model without tools."""
    told = Message(role="system", text=described(choices, answer))
    found = []
    for message in messages:
        if message.role == "result":
            found.append(Message(role="user", text=message.text))
            continue
        calls = [f'{{"call": "{call.name}", "args": {call.args}}}' for call in message.calls]
        found.append(Message(role=message.role, text="\n".join([message.text, *calls]).strip()))
    return [*found[:1], told, *found[1:]]


def thought_of(response: ModelResponse, chars_max: int) -> Thought:
    """What it said, in a form that can be stored. What is longer than it could be is cut, and says so."""
    text = _readable("".join(part.content for part in response.parts if isinstance(part, TextPart)))
    made = [part for part in response.parts if isinstance(part, ToolCallPart)]
    # Ids of our own: a provider's may be alike, or of any length.
    calls = tuple(
        Called(
            id=f"{number}", name=_inward(_readable(part.tool_name)[:NAME_CHARS_MAX]), args=_text_of(part.args)
        )
        for number, part in enumerate(made[:CALLS_MAX], 1)
    )
    finish = _readable(str(response.finish_reason or "stop"))[:NAME_CHARS_MAX]
    if len(text) + sum(len(call.args) for call in calls) > min(chars_max, CHARS_MAX):
        text, calls, finish = text[:UNREADABLE_CHARS], (), "length"
    usage = response.usage
    return Thought(
        text=text,
        calls=calls,
        finish=finish,
        model=_readable(response.model_name or "")[:NAME_CHARS_MAX],
        input_tokens=_tokens(usage.input_tokens),
        output_tokens=_tokens(usage.output_tokens),
        cached_tokens=_tokens(usage.cache_read_tokens),
    )


def _tokens(counted: int) -> int:
    return max(0, min(counted, TOKENS_MAX))


def _readable(text: str) -> str:
    """Without what is no Unicode text, and can be neither stored nor sent."""
    return text.encode("utf-8", "replace").decode()


def failure_of(error: Exception) -> CallFailed | Thought:
    """What an error of pydantic-ai's proves; an answer that it cannot read is an answer all the same."""
    if isinstance(error, exceptions.UnexpectedModelBehavior):
        return Thought(text=_readable(error.message)[:UNREADABLE_CHARS], finish="unreadable")
    if isinstance(error, exceptions.UserError):
        return CallBroken(str(error))
    if isinstance(error, exceptions.ModelHTTPError):
        return _of_status(error)
    if isinstance(error, exceptions.ModelAPIError):
        if _never_connected(error):
            return CallNotDone(f"not connected: {error.message}")
        return CallUnknown(f"no whole answer came: {error.message}")
    return CallUnknown(f"{type(error).__name__}: {error}")


def _of_status(error: exceptions.ModelHTTPError) -> CallFailed:
    status, said = error.status_code, _said(error)
    if isinstance(error, exceptions.ModelQuotaExceededError):
        return CallDeclined(f"the provider says that the account is used up: {said}", status=status)
    if status in (401, 403):
        return CallDeclined(f"the provider does not accept the key: {said}", status=status)
    if status in NOT_DONE:
        return CallNotDone(f"answered {status}: {said}", status=status, retry_after_s=error.retry_after)
    if status >= 500 or status in UNKNOWN:
        return CallUnknown(f"answered {status}: {said}", status=status, retry_after_s=error.retry_after)
    return CallDeclined(f"answered {status}: {said}", status=status)


def _said(error: exceptions.ModelHTTPError) -> str:
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        body = inner.get("message", inner) if isinstance(inner, dict) else inner
    return str(body)[:UNREADABLE_CHARS]


def _never_connected(error: BaseException) -> bool:
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return False
        if isinstance(seen, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _outward(name: str) -> str:
    return name.replace(".", SEPARATOR)


def _inward(name: str) -> str:
    return name.replace(SEPARATOR, ".")


def _text_of(args: str | Mapping[str, Any] | None) -> str:
    return _readable(args) if isinstance(args, str) else json.dumps(dict(args) if args is not None else {})

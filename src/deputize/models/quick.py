"""A shorter way through openai's client, for what pydantic-ai asks of it.

`chat.completions.create` walks all that it is given, message by message and against each type that it may
have, to rename keys. Not one of them is renamed there, and in a long conversation that walk is most of what a
request costs here. So the same body goes to the client's own `post`, as `create` does with it after that.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from openai import AsyncOpenAI, NotGiven, Omit
from openai.types.chat import ChatCompletion
from pydantic_ai.models.openai import OpenAIChatModel

if TYPE_CHECKING:
    from pydantic_ai.models import Model

_OPTIONS = {
    "extra_headers": "headers",
    "extra_query": "params",
    "extra_body": "extra_json",
    "timeout": "timeout",
}
"""What is no part of the body, and how `post` calls it."""


class QuickChatModel(OpenAIChatModel):
    """pydantic-ai's model, on a client with that way."""

    def __init__(self, model: OpenAIChatModel) -> None:
        # All that a model is, its provider and profile among it.
        self.__dict__.update(model.__dict__)

    @property
    def client(self) -> AsyncOpenAI:
        """Its provider's client."""
        return cast("AsyncOpenAI", _quick(super().client))


def quickened(model: Model) -> Model:
    """The same model by the shorter way, where it has one."""
    plain = type(model) is OpenAIChatModel and type(model.client) is AsyncOpenAI
    return QuickChatModel(cast("OpenAIChatModel", model)) if plain else model


class _Instead:
    """An object with some of its attributes replaced."""

    def __init__(self, real: Any, **replaced: Any) -> None:
        self._real = real
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _quick(client: AsyncOpenAI) -> Any:
    completions = _Instead(client.chat.completions, create=partial(_create, client))
    chat = _Instead(client.chat, completions=completions)
    return _Instead(client, chat=chat, with_options=lambda **given: _quick(client.with_options(**given)))


async def _create(client: AsyncOpenAI, **given: Any) -> Any:
    if given.get("stream"):
        return await client.chat.completions.create(**given)
    known = {name: value for name, value in given.items() if not isinstance(value, Omit | NotGiven)}
    options: Any = {
        option: value for name, option in _OPTIONS.items() if (value := known.pop(name, None)) is not None
    }
    return await client.post("/chat/completions", body=known, options=options, cast_to=ChatCompletion)

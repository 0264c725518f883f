"""A shorter way to a provider of the OpenAI protocol, for what pydantic-ai asks of it.

pydantic-ai makes the request and reads the answer, as ever. Between the two it calls openai's client, which
looks through each message for keys to rename (there are none), makes a client, headers and an address anew
for each request, and reads an answer into objects that pydantic-ai writes out and reads again; and that calls
httpx2's. Here the same bytes go over httpx2's transport at once. Where anything is not as it is with us
(proxies, logins that change, a stream), and for every answer that is not a plain one, it is openai's client
that does it. Decision 026.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import httpcore2
import httpx2
from openai import APIConnectionError, APITimeoutError, AsyncOpenAI, NotGiven, Omit
from openai._models import FinalRequestOptions
from openai._utils._json import openapi_dumps
from openai.types.chat import ChatCompletion
from pydantic import ValidationError
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.openai._chat_completions import LenientChatCompletion
from pydantic_ai.settings import ModelSettings

from deputize.models.pool import Pool

if TYPE_CHECKING:
    from pydantic_ai.models import Model

PREPARED_MAX = 32
_PATH = "/chat/completions"
_OPTIONS = {
    "extra_headers": "headers",
    "extra_query": "params",
    "extra_body": "extra_json",
    "timeout": "timeout",
}
"""What is no part of the body, and how openai's client calls it."""

_UNUSED = ("custom_auth", "_api_key_provider", "_workload_identity_auth", "_provider_runtime")
"""What changes requests or logins on the way; a client that has one of them keeps its own way."""

_USED = ("_build_request", "_make_status_error_from_response", "_process_response")

Prepared = tuple[ModelSettings | None, ModelRequestParameters]


class QuickChatModel(OpenAIChatModel):
    """pydantic-ai's model, on a client with that way."""

    def __init__(self, model: OpenAIChatModel) -> None:
        # All that a model is, its provider and profile among it.
        self.__dict__.update(model.__dict__)
        self._quick = _quick(model.client, _Direct.of(model.client))
        self._prepared: dict[int, tuple[ModelRequestParameters, ModelSettings | None, Prepared]] = {}

    @property
    def client(self) -> AsyncOpenAI:
        """Its provider's client."""
        return cast("AsyncOpenAI", self._quick)

    def prepare_request(
        self, model_settings: ModelSettings | None, model_request_parameters: ModelRequestParameters
    ) -> Prepared:
        """As it is, and once for the very same parameters: the schemas of all tools are gone through."""
        found = self._prepared.get(id(model_request_parameters))
        if found is None or found[1] != model_settings:
            if len(self._prepared) >= PREPARED_MAX:
                self._prepared.clear()
            prepared = super().prepare_request(model_settings, model_request_parameters)
            # With the parameters themselves: nothing else has their id as long as they are here.
            found = (model_request_parameters, model_settings, prepared)
            self._prepared[id(model_request_parameters)] = found
        settings, parameters = found[2]
        return (None if settings is None else settings.copy()), parameters

    def _validate_completion(self, response: ChatCompletion) -> LenientChatCompletion:
        if isinstance(response, LenientChatCompletion):
            return response  # read by `_Direct` into just this
        return super()._validate_completion(response)


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


def _quick(client: AsyncOpenAI, direct: _Direct | None, *, once: bool = False) -> Any:
    """The client, with the shorter way; the direct one is for what is asked once, and not tried again."""

    def with_options(**given: Any) -> Any:
        if direct is not None and given.get("max_retries") == 0:
            return _quick(client, direct, once=True)
        return _quick(client.with_options(**given), None)

    create = partial(_create, client, direct if once else None)
    completions = _Instead(client.chat.completions, create=create)
    chat = _Instead(client.chat, completions=completions)
    return _Instead(client, chat=chat, with_options=with_options)


async def _create(client: AsyncOpenAI, direct: _Direct | None, **given: Any) -> Any:
    if given.get("stream"):
        return await client.chat.completions.create(**given)
    known = {name: value for name, value in given.items() if not isinstance(value, Omit | NotGiven)}
    options: Any = {
        option: value for name, option in _OPTIONS.items() if (value := known.pop(name, None)) is not None
    }
    # As `create` itself has it.
    options["security"] = {"bearer_auth": True}
    if direct is not None and options.keys() <= {"headers", "timeout", "security"}:
        return await direct.ask(known, options)
    return await client.post(_PATH, body=known, options=options, cast_to=ChatCompletion)


class _Direct:
    """A client's requests without the client."""

    def __init__(self, client: AsyncOpenAI, tls: Any) -> None:
        self._client = client
        self._http: httpx2.AsyncClient = client._client
        self._pool = Pool(tls)
        self._pattern: tuple[Any, httpx2.Request] | None = None

    @classmethod
    def of(cls, client: AsyncOpenAI) -> _Direct | None:
        """None where its requests are not plain ones."""
        http = client._client
        if type(http) is not httpx2.AsyncClient or http.follow_redirects or http.auth is not None:
            return None
        if client.base_url.userinfo or any(getattr(client, name, client) is not None for name in _UNUSED):
            return None
        transport = http._transport_for_url(client.base_url)
        pool = getattr(transport, "_pool", None)
        if (
            type(transport) is not httpx2.AsyncHTTPTransport
            or type(pool) is not httpcore2.AsyncConnectionPool
        ):
            return None
        tls = getattr(pool, "_ssl_context", None)
        return cls(client, tls) if tls and all(hasattr(client, name) for name in _USED) else None

    async def ask(self, body: dict[str, Any], options: Any) -> Any:
        """What the client's `post` returns, or raises, for this."""
        if self._pattern is None:
            # The first time it asks the machine what it is, which may start a process.
            await asyncio.to_thread(self._client.platform_headers)
        request = self._request(body, options)
        try:
            for hook in self._http.event_hooks["request"]:
                await hook(request)
            response = await self._pool.send(request)
        except httpx2.TimeoutException as error:
            raise APITimeoutError(request=request) from error
        except httpx2.RequestError as error:
            raise APIConnectionError(request=request) from error
        if not response.is_success:
            raise self._client._make_status_error_from_response(response)
        try:
            # As pydantic-ai does once it has openai's objects.
            return LenientChatCompletion.model_validate_json(response.content)
        except ValidationError:
            return await self._client._process_response(
                cast_to=ChatCompletion,
                options=FinalRequestOptions.construct(method="post", url=_PATH, json_data=body, **options),
                response=response,
                stream=False,
                stream_cls=None,
            )

    def _request(self, body: dict[str, Any], options: Any) -> httpx2.Request:
        """The request that the client would make: as the one before, with this body."""
        if self._pattern is None or self._pattern[0] != options:
            asked = FinalRequestOptions.construct(method="post", url=_PATH, json_data={}, **options)
            pattern = self._client._build_request(asked)
            del pattern.headers["content-length"]
            self._pattern = (options, pattern)
        pattern = self._pattern[1]
        return httpx2.Request(
            pattern.method,
            pattern.url,
            headers=pattern.headers,
            content=openapi_dumps(body),
            extensions=dict(pattern.extensions),
        )

"""The line to one model: its operation `NAME.think`, and the one request that a use of it makes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deputize import canonical
from deputize.call import Call, CallBroken
from deputize.connector import Connector
from deputize.connectors.secret import Secrets
from deputize.errors import ProjectError
from deputize.models.cache import ModelCache
from deputize.models.local import LocalModel, is_local
from deputize.models.price import TokenPricing
from deputize.models.settings import ModelSettings, Structured
from deputize.operation import Operation
from deputize.thought import Choice, Message, Thought

if TYPE_CHECKING:
    from pydantic_ai.models import Model, ModelRequestParameters

NO_KEY = "none"
"""What a server of one's own is told that asks for no key."""

CHARS_A_TOKEN = 16
"""A token of text has no more characters than this by far, but for runs of one character."""

ASKED_MAX = 32
"""Of what it was given to choose from, so much is kept ready."""


class Line:
    """One `[models.NAME]`. `connect` it before it is asked; pydantic-ai is imported with the first question.

    It makes one request a call and repeats none: what is repeated is priced and recorded by the gate.
    """

    def __init__(self, name: str, settings: ModelSettings) -> None:
        self.name = name
        self.settings = settings
        self.connector = Connector(name, version=settings.model)
        self.operation: Operation[..., Thought] = self.connector.operation(
            effect="read",
            risk="low",
            timeout_s=float(settings.timeout_s),
            settle_s=0.0,
            attempts_max=settings.attempts_max,
            pricing=TokenPricing(name, settings),
        )(self.think)
        self._cache = ModelCache(settings) if settings.cache is not None else None
        self.operation.caching = self._cache
        self._connected = False
        self._base: str | None = None
        self._key: str | None = None
        self._model: Model | None = None
        self._local = LocalModel(name) if is_local(settings.model) else None
        self._starting = asyncio.Lock()
        self._asked: dict[bytes, tuple[Model, ModelRequestParameters]] = {}

    def connect(self, secrets: Secrets, environ: Mapping[str, str]) -> None:
        """Find its address and its key. Raises `ProjectError` where one of them is not there.

        A key that only the environment of the process has is never used: nobody would take it out of what is
        stored.
        """
        self._connected = True
        if self._local is not None:
            self._local.check()
        if self.settings.key is None and self.settings.base is None and self._local is None:
            raise ProjectError(
                f'[models.{self.name}]: add key = "env:NAME" with the variable that holds the key to '
                f"{self.settings.model}, or base = the address of a server of your own"
            )
        try:
            self._base = self.settings.address(environ)
            if self._cache is not None:
                self._cache.address = self._base or ""
            if self.settings.key is not None:
                self._key = secrets.resolve(self.settings.key).reveal()
        except (ValueError, ProjectError) as error:
            raise ProjectError(f"[models.{self.name}]: {error}") from None

    def prepare(self) -> None:
        """Import what asking takes (most of a second, so not on a loop), and start what runs here.

        Raises `ProjectError` where that does not start."""
        from deputize.models import wire

        wire.prepared()
        if self._local is not None and self._base is None:
            self._base = self._local.start()

    def close(self) -> None:
        """End what it has started on this machine."""
        if self._local is not None:
            self._local.stop()
            self._base = None

    def use(self, model: Model) -> None:
        """Ask this model of pydantic-ai's instead, as tests do."""
        self._model = model

    async def think(
        self,
        call: Call,
        messages: list[Message],
        choices: list[Choice],
        answer: dict[str, Any] | None,
    ) -> Thought:
        """Ask it once. `answer` is the JSON Schema that its answer is to have."""
        from deputize.models import wire

        try:
            await self._run_again()
            model = self._model or await self._opened()
        except Exception as error:  # noqa: BLE001 - a provider's package may say anything of its settings
            raise CallBroken(f"the model {self.settings.model} cannot be asked: {error}") from None
        from pydantic_ai.direct import model_request
        from pydantic_ai.settings import ModelSettings as Request

        limits = Request(
            max_tokens=self.settings.output_tokens_max,
            timeout=float(self.settings.timeout_s),
            max_retries=0,
        )
        if self.settings.temperature is not None:
            limits["temperature"] = float(self.settings.temperature)
        by_answer = self.settings.calls_by_answer and bool(choices)
        said = wire.spoken(messages, choices, answer) if by_answer else messages
        structured = self.settings.structured or ("native" if self._local is not None else None)
        try:
            response = await model_request(
                model,
                wire.conversation(said),
                model_settings=limits,
                model_request_parameters=self._parameters(choices, answer, model, structured, by_answer),
                instrument=False,
            )
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an outcome
            found = wire.failure_of(error)
            if isinstance(found, Thought):
                return found
            raise found from None
        thought = wire.thought_of(response, CHARS_A_TOKEN * self.settings.output_tokens_max)
        return wire.called(thought) if by_answer else thought

    def _parameters(
        self,
        choices: list[Choice],
        answer: dict[str, Any] | None,
        model: Model,
        structured: Structured | None,
        by_answer: bool,
    ) -> ModelRequestParameters:
        """What it may call, and the shape of its answer: one object for the same, which need not be prepared
        again (`quick.py`)."""
        key = canonical.encode([[[one.name, one.about, one.takes] for one in choices], answer])
        found = self._asked.get(key)
        if found is None or found[0] is not model:
            if len(self._asked) >= ASKED_MAX:
                self._asked.clear()
            from deputize.models import wire

            found = model, wire.parameters(choices, answer, model, structured, by_answer=by_answer)
            self._asked[key] = found
        return found[1]

    async def _run_again(self) -> None:
        """Start what runs here anew where its process has ended, as a crash of it would leave it."""
        if self._local is None or self.settings.base is not None or self._base is None:
            return
        async with self._starting:
            if not self._local.alive:
                self._base, self._model = await asyncio.to_thread(self._local.start), None

    async def _opened(self) -> Model:
        from pydantic_ai.models import infer_model
        from pydantic_ai.providers import infer_provider_class

        from deputize.models import wire

        if not self._connected:
            raise ProjectError("it is not connected")
        if self._local is not None:
            from pydantic_ai.providers.openai import OpenAIProvider

            local = OpenAIProvider(base_url=self._base, api_key=NO_KEY)
            self._model = infer_model("openai-chat:local", provider_factory=lambda name: local)
            return self._model

        def provider(name: str) -> Any:
            given = {"base_url": self._base, "api_key": self._key or NO_KEY}
            return infer_provider_class(name)(**{k: v for k, v in given.items() if v is not None})

        self._model = wire.quickened(infer_model(self.settings.model, provider_factory=provider))
        return self._model


def check_models(lines: Mapping[str, Line], secrets: Secrets, environ: Mapping[str, str]) -> list[str]:
    """What is wrong with each model's address, key, provider and price; nothing is asked."""
    wrong = []
    for name, line in lines.items():
        try:
            line.connect(secrets, environ)
        except ProjectError as error:
            wrong.append(str(error))
        wrong += [f"[models.{name}]: {said}" for said in (_no_provider(line), _no_price(line)) if said]
    return wrong


def _no_provider(line: Line) -> str:
    from pydantic_ai.providers import infer_provider_class

    provider = line.settings.model.partition(":")[0]
    if is_local(line.settings.model):
        return ""
    try:
        infer_provider_class(provider)
    except ValueError:
        return f"pydantic-ai knows no provider {provider!r}; write PROVIDER:MODEL, like 'openai:gpt-5-mini'"
    except ImportError as error:
        return f"the provider {provider!r} needs a package that is not there: {error}"
    return ""


def _no_price(line: Line) -> str:
    if line.operation.worst_usd_micros(b"{}") is not None:
        return ""
    return f"nobody knows what it costs, so nothing will be asked: {line.operation.missing_price}"


def lines_of(models: Mapping[str, ModelSettings]) -> dict[str, Line]:
    """The lines to a project's models, by name."""
    return {name: Line(name, settings) for name, settings in models.items()}

"""Which models a project has: the `[models.NAME]` tables of deputize.toml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from deputize.connectors.secret import check_handle
from deputize.connectors.settings import CircuitSettings, ConnectorSettings
from deputize.duration import duration_s
from deputize.errors import ProjectError
from deputize.models.local import MODELS, PREFIX, is_local
from deputize.suggest import did_you_mean

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MODEL = re.compile(r"[a-z0-9_/-]{1,60}:[^\s:][^\s]{0,199}")
OUTPUT_TOKENS_MAX = 2_000
OVERHEAD_TOKENS = 1_000

Structured = Literal["native", "tool", "prompted"]


def _duration(text: str) -> str:
    duration_s(text)
    return text


def _model_name(name: str) -> str:
    if is_local(name) and name.removeprefix(PREFIX) not in MODELS:
        known = ", ".join(f"{PREFIX}{one}" for one in MODELS)
        raise ValueError(f"{name!r} is no model that runs here; there is {known}")
    if not _MODEL.fullmatch(name):
        raise ValueError(f"{name!r} is no model; write PROVIDER:MODEL, like 'openai:gpt-5-mini'")
    return name


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


Dollars = Annotated[float | int, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class TokenPrice(_Strict):
    """`price = {input = 0.25, output = 2.00}`: US dollars for a million tokens."""

    input: Dollars
    output: Dollars

    def usd_micros(self, input_tokens: int, output_tokens: int) -> Decimal:
        """What so many tokens cost."""
        return Decimal(str(self.input)) * input_tokens + Decimal(str(self.output)) * output_tokens


class ModelSettings(_Strict):
    """One `[models.NAME]` table.

    `model` is a name of pydantic-ai's, `PROVIDER:MODEL`; `base` the address of a server of one's own, or
    `env:NAME`; `key` the handle of the login. An answer has `output_tokens_max` tokens at most;
    `overhead_tokens` is what the provider adds to the input, at most. `fallback` names the models that are
    asked in its place, in this order, where it says no. `structured` says how an answer's shape is asked for,
    where what pydantic-ai knows of the model is not right. Where it has no `tools`, what it wants to call is
    asked for in that way, too. For as long as `cache` says an answer serves again where the same agent asks
    the very same; with `cache_shared` whichever agent does. Times in seconds.
    """

    model: Annotated[str, AfterValidator(_model_name)]
    base: str | None = None
    key: Annotated[str, AfterValidator(check_handle)] | None = None
    price: TokenPrice | None = None
    output_tokens_max: Annotated[int, Field(ge=1, le=200_000)] = OUTPUT_TOKENS_MAX
    overhead_tokens: Annotated[int, Field(ge=0, le=1_000_000)] = OVERHEAD_TOKENS
    temperature: Annotated[float | int, Field(ge=0, le=2)] | None = None
    timeout_s: Annotated[float | int, Field(gt=0, le=3_600)] = 60.0
    attempts_max: Annotated[int, Field(ge=1, le=20)] = 3
    concurrent_max: Annotated[int, Field(ge=1, le=1_000)] = 10
    per_second_max: Annotated[float | int, Field(gt=0, le=100_000)] | None = None
    fallback: list[str] = []
    structured: Structured | None = None
    tools: bool | None = None
    circuit: CircuitSettings = CircuitSettings()
    cache: Annotated[str, AfterValidator(_duration)] | None = None
    cache_shared: bool = False

    @property
    def cache_s(self) -> float:
        """For how long an answer serves again; 0 where none does."""
        return duration_s(self.cache) if self.cache is not None else 0.0

    @property
    def calls_by_answer(self) -> bool:
        """Whether what it wants to call is asked for as an answer of a shape."""
        return self.tools is False or (self.tools is None and is_local(self.model))

    def address(self, environ: Mapping[str, str]) -> str | None:
        """The base address. Raises `ValueError` where the variable with it is not set, or it is none."""
        return ConnectorSettings(base=self.base).address(environ)


def read_models(tables: Mapping[str, Any], where: str) -> dict[str, ModelSettings]:
    """The settings in `[models]`, by name. Raises `ProjectError` naming table, key and remedy."""
    found: dict[str, ModelSettings] = {}
    for name, table in tables.items():
        said = f"{where}: [models.{name}]"
        if not _NAME.fullmatch(name):
            raise ProjectError(f"{said}: use a-z, 0-9 and _ for the name of a model")
        if not isinstance(table, dict):
            raise ProjectError(f"{said} must be a table")
        for key in table:
            if key not in ModelSettings.model_fields:
                raise ProjectError(
                    f"{said}: {key} is no setting{did_you_mean(key, ModelSettings.model_fields)}"
                )
        try:
            found[name] = ModelSettings.model_validate(table)
            ConnectorSettings(base=found[name].base)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ProjectError(f"{said}: {place}: {first['msg'].removeprefix('Value error, ')}") from None
    for name, settings in found.items():
        if settings.cache_shared and settings.cache is None:
            raise ProjectError(f'{where}: [models.{name}]: cache_shared goes with cache = "1 day" or so')
        for other in settings.fallback:
            if other not in found or other == name:
                raise ProjectError(
                    f"{where}: [models.{name}]: fallback {other!r} is no other model of this project"
                    f"{did_you_mean(other, found)}"
                )
    return found

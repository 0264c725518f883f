"""What a call of a model costs: at most, before it is made, and by the tokens that the provider counted,
after.

A token of text is at least one byte of it (the vocabularies in use are made of bytes), so the bytes of the
request and what the provider declares to add are the most that the input can have.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from deputize.models.local import is_local
from deputize.models.settings import ModelSettings
from deputize.thought import Thought

NEEDED = "add price = {{input = …, output = …}} (US dollars for a million tokens) to [models.{name}]"


class TokenPricing:
    """See `deputize.pricing.Pricing`. By the project's own table, else by what genai-prices knows."""

    def __init__(self, name: str, settings: ModelSettings) -> None:
        self._name = name
        self._settings = settings
        self._provider, _, self._model = settings.model.partition(":")

    @property
    def terms(self) -> str:
        own = self._settings.price
        if own is not None:
            return f"{own.input:g} USD in, {own.output:g} USD out, for a million tokens"
        if is_local(self._settings.model):
            return "nothing: it runs on this machine"
        return f"by the price list of {self._settings.model}"

    @property
    def missing(self) -> str:
        return NEEDED.format(name=self._name)

    def worst(self, args: bytes) -> int | None:
        return self._usd_micros(len(args) + self._settings.overhead_tokens, self._settings.output_tokens_max)

    def spent(self, stored: bytes) -> int | None:
        thought = Thought.model_validate_json(stored)
        if thought.output_tokens <= 0 or thought.input_tokens <= 0:
            return None
        return self._usd_micros(thought.input_tokens, thought.output_tokens, thought.cached_tokens)

    def tokens(self, stored: bytes) -> tuple[int, int]:
        thought = Thought.model_validate_json(stored)
        return thought.input_tokens, thought.output_tokens

    def _usd_micros(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int | None:
        own = self._settings.price
        if own is not None:
            return _up(own.usd_micros(input_tokens, output_tokens))
        if is_local(self._settings.model):
            return 0
        # A server of one's own has no price but one's own.
        return (
            None
            if self._settings.base is not None
            else self._listed(input_tokens, output_tokens, cached_tokens)
        )

    def _listed(self, input_tokens: int, output_tokens: int, cached_tokens: int) -> int | None:
        from genai_prices import Usage, calc_price

        try:
            usage = Usage(
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cache_read_tokens=min(cached_tokens, input_tokens) or None,
            )
            price = calc_price(usage, self._model, provider_id=self._provider)
        except (LookupError, ValueError):
            return None
        return _up(price.total_price * 1_000_000)


def _up(usd_micros: Decimal) -> int:
    return int(usd_micros.to_integral_value(ROUND_CEILING))

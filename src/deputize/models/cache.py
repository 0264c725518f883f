"""The cache of one model: which of its answers serve again, and to whom. The answers are in the ledger."""

from __future__ import annotations

from deputize import canonical
from deputize.models.settings import ModelSettings


class ModelCache:
    """See `deputize.caching.Caching`. `address` is the server's, where the project names one."""

    def __init__(self, settings: ModelSettings) -> None:
        self.for_us = int(settings.cache_s * 1_000_000)
        self.shared = settings.cache_shared
        self.address = ""
        self._settings = settings

    @property
    def settings(self) -> str:
        """A digest of what stands in a request beside messages and schemas, and of where it goes.

        Not of the login, nor of how long is waited: they change no answer.
        """
        made = self._settings
        parts = {
            "model": made.model,
            "address": self.address,
            "output_tokens_max": made.output_tokens_max,
            "temperature": made.temperature,
            "structured": made.structured,
            "calls_by_answer": made.calls_by_answer,
        }
        return canonical.digest(canonical.encode(parts))[:32]

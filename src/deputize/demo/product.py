"""The product as the demo sees it: its HTTP API, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2

PAGE = 1_000
PAGES_MAX = 50
TIMEOUT_S = 10.0
PERSON = "Maya, who the demo plays"


class NotThere(Exception):
    """The server did not answer; it may have been killed."""


class Product:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx2.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """Let go of its connections."""
        self._client.close()

    def entries(self, after: int) -> Iterator[dict[str, Any]]:
        """The ledger's entries after a seq; at most some thousands at a time. Raises `NotThere`."""
        for _ in range(PAGES_MAX):
            page = self._get("/v1/entries", {"after": str(after), "limit": str(PAGE)})
            yield from page["entries"]
            if page["next"] is None:
                return
            after = page["next"]

    def cards(self) -> list[dict[str, Any]]:
        """The open cards of the inbox. Raises `NotThere`."""
        cards: list[dict[str, Any]] = self._get("/v1/inbox", {"limit": "100"})["cards"]
        return cards

    def action(self, run: str, path: str) -> dict[str, Any]:
        """One action and its entries. Raises `NotThere`."""
        return self._get(f"/v1/actions/{run}/{path}", {})

    def happened(self, card: str, result: Any, reason: str) -> None:
        """Answer a card as a person does who found out that it happened.

        A result that does not fit is declined, and the card stays. Raises `NotThere`.
        """
        body = {"kind": "happened", "result": result, "reason": reason, "person": PERSON}
        try:
            self._client.post(f"/v1/inbox/{card}/answer", json=body)
        except httpx2.HTTPError as error:
            raise NotThere(str(error)) from None

    def _get(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        try:
            answer = self._client.get(path, params=params)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            return found
        except (httpx2.HTTPError, ValueError) as error:
            raise NotThere(str(error)) from None

"""The product as the demo sees it: its HTTP API, and the key in its folder that makes the demo a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx2

from deputize.api.operator import read_operator_key
from deputize.api.private import write_private
from deputize.cli.login import Login
from deputize.cli.process import LOGIN, login_of
from deputize.demo.home import DemoError

PAGE = 1_000
PAGES_MAX = 50
TIMEOUT_S = 10.0
PERSON, OTHER = "maya", "kim"
"""Whom the demo plays: one person looks things up, and both say yes or no."""


class NotThere(Exception):
    """The server did not answer; it may have been killed."""


class Product:
    """A running server, and the folder where its key is."""

    def __init__(self, url: str, data: Path) -> None:
        self.url = url
        self._data = data
        self._tokens: dict[str, str] = {}
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

        A result that does not fit is declined, and the card stays. Raises `NotThere`, `DemoError`.
        """
        self.answer(PERSON, card, {"kind": "happened", "result": result, "reason": reason})

    def answer(self, person: str, card: str, body: dict[str, Any]) -> None:
        """Answer a card as a person; what is declined (it has changed, its time is over) is left as it is.

        Raises `NotThere`, `DemoError`.
        """
        token = self._tokens.get(person) or self._logged_in(person)
        self._tokens[person] = token
        if self._speak(token, "POST", f"/v1/inbox/{card}/answer", body).status_code == 401:
            del self._tokens[person]  # it was taken back; the next answer has a new one

    def _logged_in(self, person: str) -> str:
        """A token of the person's: for one of them the one that a former turn has kept, else a new one."""
        kept = login_of(self._data) if person == PERSON else None
        if kept is not None and self._speak(kept["token"], "GET", "/v1/me").is_success:
            return kept["token"]
        made = self._speak(read_operator_key(self._data), "POST", f"/v1/people/{person}/tokens")
        if made.status_code != 201:
            raise DemoError(f"the demo's project does not know {person}: start over with --fresh")
        login = Login(*(made.json()[part] for part in ("person", "id", "token")))
        if person == PERSON:
            write_private(self._data / LOGIN, json.dumps(asdict(login)))
        return login.token

    def _speak(self, token: str, method: str, path: str, body: Any = None) -> httpx2.Response:
        try:
            return self._client.request(method, path, json=body, headers={"authorization": f"Bearer {token}"})
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

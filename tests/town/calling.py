"""How the tests call a town, and how they wait for it."""

import time
from collections.abc import Callable

import httpx2

from deputize.town import Town

WAIT_S = 10.0


class Caller:
    """Calls a town's services as the product would: `key` is the Idempotency-Key, euros are cents."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.client = httpx2.Client(timeout=5, trust_env=False)

    def get(self, service: str, path: str, **query: str) -> httpx2.Response:
        return self.client.get(self.town.urls[service] + path, params=query)

    def post(
        self, service: str, path: str, body: object = None, key: str | None = None, timeout: float = 5
    ) -> httpx2.Response:
        headers = {"Idempotency-Key": key} if key else {}
        url = self.town.urls[service] + path
        return self.client.post(url, json=body, headers=headers, timeout=timeout)

    def refund(self, charge: str, minor: int, key: str | None = None, timeout: float = 5) -> httpx2.Response:
        body = {"charge": charge, "amount": {"minor": minor, "currency": "EUR"}}
        return self.post("payments", "/refunds", body, key, timeout)

    def refunded(self, charge: str) -> int:
        """Cents refunded of a charge, as payments says."""
        return int(self.get("payments", f"/charges/{charge}").json()["refunded"]["minor"])


def eventually(holds: Callable[[], object], what: str) -> None:
    """Wait, within bounds, for something that another process does by itself."""
    give_up = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < give_up, f"not within {WAIT_S} s: {what}"
        time.sleep(0.01)

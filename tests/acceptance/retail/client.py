"""Talking to the shop from a test: plain HTTP, with nothing between."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.acceptance.retail.data import Base, Record, data_folder
from tests.acceptance.retail.handle import RetailShop

SERVED_FILES = ("operations.json", "orders.json", "policy.md", "products.json", "users.json")
NOTHING: Record = {"orders": {}, "users": {}}
ADDRESS = {
    "address1": "1 New Street",
    "address2": "",
    "city": "Austin",
    "state": "TX",
    "country": "USA",
    "zip": "78701",
}


class Shops:
    """Starts shops that can see the files a shop is made of and no others, and stops them all at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[RetailShop] = []
        (folder / "data" / "retail").mkdir(parents=True)
        for name in SERVED_FILES:
            (folder / "data" / "retail" / name).symlink_to(data_folder() / name)

    def start(self, **faults: Any) -> RetailShop:
        """A new shop with a file of its own."""
        db = self._folder / f"shop-{len(self._started)}.db"
        shop = RetailShop(db, faults=faults or None, data=self._folder / "data")
        self._started.append(shop)
        return shop.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for shop in self._started:
            shop.stop()


def client_of(shop: RetailShop) -> httpx2.Client:
    """An HTTP client with the shop's address."""
    return httpx2.Client(base_url=shop.url, timeout=10)


def write(
    client: httpx2.Client, world: str, name: str, args: Mapping[str, Any], key: str | None = None
) -> httpx2.Response:
    """Send a write, once."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(f"/worlds/{world}/operations/{name}", json=dict(args), headers=headers)


def read(client: httpx2.Client, world: str, name: str, **args: str) -> httpx2.Response:
    """Send a read, once."""
    return client.get(f"/worlds/{world}/operations/{name}", params=args)


def look_up(client: httpx2.Client, world: str, key: str) -> Any:
    """What became of the write with this key."""
    return client.get(f"/worlds/{world}/writes", params={"key": key}).json()


def log(client: httpx2.Client) -> list[Record]:
    """All writes that the service has performed."""
    writes: list[Record] = []
    after = 0
    while (page := client.get("/log", params={"after": after}).json())["writes"]:
        writes += page["writes"]
        after = page["last_seq"]
    return writes


def changed(client: httpx2.Client, world: str) -> Any:
    """All records of the world that differ from the base."""
    return client.get(f"/worlds/{world}/changed").json()


def first_order(base: Base, status: str) -> Record:
    """The first order of the data in this state."""
    return next(order for order in base.orders.values() if order["status"] == status)


def cancellation(order: Mapping[str, Any]) -> dict[str, str]:
    """The arguments that cancel `order`."""
    return {"order_id": order["order_id"], "reason": "no longer needed"}

"""The work of the retail acceptances: requests as events, the project in a folder, the shop it works on."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deputize.store.sqlite.file import connect
from deputize.store.sqlite.view import SqliteView
from deputize.testing.life import Life
from tests.acceptance import retail
from tests.acceptance.retail.client import Shops, client_of
from tests.acceptance.retail.data import data_folder
from tests.acceptance.retail.oracle import Request, load_requests

DATA = data_folder()
PROJECT = Path(retail.__file__).parent / "project"
REQUESTS = load_requests(DATA) if DATA.is_dir() else []
FAULTY = (
    "cancel_pending_order",
    "exchange_delivered_order_items",
    "get_order_details",
    "look_up",
    "modify_pending_order_address",
    "modify_pending_order_items",
    "modify_pending_order_payment",
    "return_delivered_order_items",
)
SETTLE_WITHIN_S = 200.0
LOG_WAIT_S = 5.0
WRITE_WAITS_MAX = 12
SENT_TOGETHER = 50
PAGE = 1_000


def event_of(request: Request) -> dict[str, Any]:
    """The recorded steps as a plan: what came of them is left out."""
    return {
        "source": "retail/requests",
        "id": str(request.id),
        "type": "retail.requested",
        "data": {
            "world": str(request.id),
            "steps": [{"operation": step.operation, "args": step.args} for step in request.steps],
        },
    }


@dataclass(frozen=True)
class Work:
    """The project in a folder of its own, the shop that it works on, and as what `event` it has a request."""

    project: Path
    shop_url: str
    shop: httpx2.Client
    requests: Sequence[Request]
    event: Callable[[Request], dict[str, Any]] = event_of

    @property
    def writes(self) -> int:
        """How many writes the requests come to in the end."""
        return sum(not step.rejected for request in self.requests for step in request.steps)

    @property
    def ledger(self) -> Path:
        return self.project / "data" / "ledger.db"

    @contextmanager
    def life(
        self,
        *crashes: str,
        after: Sequence[str] = (),
        plants: Sequence[str] = (),
        serve: bool = False,
    ) -> Iterator[Life]:
        """One process of the product, killed at the end if it is still there; or at one of these boundaries,
        or once one of the operations in `after` was answered."""
        environ = {"RETAIL_URL": self.shop_url}
        life = Life(
            self.project,
            crashes=crashes,
            crashes_after=after,
            plants=plants,
            environ=environ,
            serve=serve,
        )
        try:
            yield life
        finally:
            life.kill()


@contextmanager
def working(
    folder: Path,
    *,
    requests: Sequence[Request] = REQUESTS,
    rules: str = "",
    settings: str = "",
    over: Path | None = None,
    event: Callable[[Request], dict[str, Any]] = event_of,
    **faults: Any,
) -> Iterator[Work]:
    """A shop that runs, and the project, without a ledger yet; with these `rules`
    and `settings` besides its own, and the files of the folder `over` in place of its own."""
    if faults:
        faults["operations"] = FAULTY
    project = folder / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__", "data"))
    if over is not None:
        shutil.copytree(over, project, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    (project / "rules" / "more.toml").write_text(rules)
    with (project / "deputize.toml").open("a") as file:
        file.write(settings)
    with Shops(folder / "shop") as shops:
        running = shops.start(**faults)
        with client_of(running) as shop:
            yield Work(project, running.url, shop, requests, event)


def send_all(work: Work, life: Life) -> int:
    """Give it every request, known to it or not. Returns in how many parts."""
    parts = range(0, len(work.requests), SENT_TOGETHER)
    for at in parts:
        life.send([work.event(request) for request in work.requests[at : at + SENT_TOGETHER]])
    return len(parts)


def finish(work: Work, *, within_s: float = SETTLE_WITHIN_S) -> None:
    """One life that takes every request and ends when nothing is left to do."""
    with work.life() as life:
        for _ in range(send_all(work, life)):
            life.wait("accepted")
        life.tell("quiet")
        life.wait("quiet", within_s=within_s)
        life.stop()


def open_writes(ledger: Path) -> set[str]:
    """The keys of writes that have an intent and no outcome, of a ledger whose owner is dead."""
    with closing(connect(ledger, write=False)) as db:
        return {action.key for action in SqliteView(db).actions_in(["open"], (0, ""), PAGE)}


def wait_for_write(shop: httpx2.Client, number: int) -> None:
    """Wait until the shop has logged so many writes."""
    for _ in range(WRITE_WAITS_MAX):
        if shop.get("/log", params={"after": number - 1, "wait_s": LOG_WAIT_S}).json()["writes"]:
            return
    pytest.fail(f"the shop's log did not come to {number} writes")

"""The example shop after some days of work: a real town, and a ledger of what was really done."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deputize.demo.desk import Desk
from deputize.demo.product import Product
from deputize.store.sqlite.offline import OfflineLedger
from deputize.town import Town
from tests.support.command import deputize, edit, served

EXAMPLE = Path(__file__).parents[2] / "examples" / "returns"
WITHIN_S = 120.0
WRITING = {"refund", "send", "release_order", "hold_order", "cancel_order", "open_return", "send_replacement"}
"""The town's operations that have an effect."""


@dataclass
class Lived:
    """A project that has worked, and its town."""

    project: Path
    town: Town

    def copy(self, folder: Path) -> Lived:
        """The project with its ledger once more, to be changed, and the same town."""
        project = folder / "copy"
        shutil.copytree(self.project, project)
        return Lived(project, self.town)

    def rehearse(self, automation: str, *words: str) -> dict[str, Any]:
        """What `deputize rehearse` tells, as data."""
        done = deputize(self.project, "rehearse", automation, *words, "--json")
        assert done.code == 0, done.err
        told: dict[str, Any] = done.json()
        return told

    def runs(self, automation: str, states: tuple[str, ...] = ()) -> list[Any]:
        """Its runs so far."""
        with closing(OfflineLedger(self.project / "data" / "ledger.db")) as ledger:
            return ledger.read(lambda view: view.runs(automation=automation, states=states, limit=10_000))

    def entries(self) -> str:
        """A digest of every row that the ledger has."""
        return _dumped(self.project / "data" / "ledger.db")

    def book(self) -> bytes:
        """The town's book, byte for byte."""
        return json.dumps(self.town.book()).encode()

    def world(self) -> str:
        """A digest of all that the town has, but its log of requests and how often each was seen."""
        return _dumped(self.town.dir / "town.sqlite", without=("access", "seen"))

    def requests(self, after: int) -> list[dict[str, Any]]:
        """Requests to the town since one."""
        return self.town.access_log(after)

    def last_request(self) -> int:
        """The number of the latest request."""
        log = self.town.access_log()
        return int(log[-1]["seq"]) if log else 0


@contextmanager
def only_asked(it: Lived) -> Iterator[list[dict[str, Any]]]:
    """During this, nothing but reads reach the town, and neither its book nor the ledger changes by a byte.
    Yields the requests, which are in it at the end."""
    book, world, entries, last = it.book(), it.world(), it.entries(), it.last_request()
    requests: list[dict[str, Any]] = []
    yield requests
    requests += it.requests(last)
    assert [row for row in requests if row["method"] != "GET" or row["operation"] in WRITING] == []
    assert it.book() == book
    assert it.world() == world
    assert it.entries() == entries


def _dumped(file: Path, without: tuple[str, ...] = ()) -> str:
    found = hashlib.sha256()
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
        for line in db.iterdump():
            if not any(f'"{table}"' in line[:40] or f"'{table}'" in line[:60] for table in without):
                found.update(line.encode())
    return found.hexdigest()


def example(folder: Path, town: Town) -> Path:
    """The example project in a folder of its own, connected to a town."""
    project = folder / "shop"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("data", "tests", ".*", "__pycache__"))
    (project / ".env").write_text(
        "".join(
            f"TOWN_{name.upper()}_URL={town.urls[name]}\n" for name in ("shop", "payments", "mail", "model")
        )
    )
    # The feed plays days in seconds: the people of a rule in two days would not see the end of them.
    edit(project / "rules" / "refunds.toml", 'within = "2 days"', 'within = "2 seconds"')
    edit(project / "rules" / "mails.toml", 'within = "2 days"', 'within = "2 seconds"')
    return project


@contextmanager
def lived(folder: Path, events: int) -> Iterator[Lived]:
    """A town and a project that has answered so many events of its feed, and is stopped now."""
    with Town.start(folder / "town", customers=60, faults="none") as town:
        project = example(folder, town)
        with served(project):
            url = json.loads((project / "data" / "server.json").read_text())["url"]
            town.feed(f"{url}/v1/events", events=events)
            product, desk = Product(url, project / "data"), Desk()
            until = time.monotonic() + WITHIN_S
            while not (town.feed_status()["done"] and _ended(project)):
                assert time.monotonic() < until, "the project has not answered every event"
                desk.work(product, town.urls)
                time.sleep(0.05)
            desk.close()
            product.close()
        yield Lived(project, town)


def _ended(project: Path) -> bool:
    with closing(OfflineLedger(project / "data" / "ledger.db")) as ledger:
        return not ledger.read(
            lambda view: view.runs(states=("ready", "waiting", "doubtful", "stuck", "behind"), limit=1)
        )

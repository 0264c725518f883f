"""The town as the demo sees it: its services' addresses, and its hall, which the product never meets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException

from deputize.demo.balance import Known
from deputize.demo.children import restart_town
from deputize.town import Town, TownError

PREFIX = "demo-"

CERTAIN = [
    *({"service": "payments", "operation": "refund", "kind": kind} for kind in ("lost", "cut_after")),
    *({"service": "mail", "operation": "send", "kind": kind} for kind in ("late", "cut_before", "malformed")),
    *({"service": "shop", "operation": "release_order", "kind": kind} for kind in ("error_502", "too_many")),
    *({"service": "model", "operation": "think", "kind": kind} for kind in ("too_many", "cut_after")),
    *({"service": "shop", "operation": "get_order", "kind": kind} for kind in ("latency", "error_500")),
]
"""Each kind of fault is met once for certain, so that even a short demo shows it."""


class TownGone(Exception):
    """The town did not answer; it was killed."""


class Hall:
    """What is known of a town, read a little at a time. Everything that asks it raises `TownGone`."""

    def __init__(self, town: Town) -> None:
        self.known = Known()
        self._town = town

    @property
    def urls(self) -> Mapping[str, str]:
        """The base addresses of its services."""
        return self._town.urls

    @property
    def pid(self) -> int | None:
        """The id of the town's process, or None when there is none."""
        return self._town.pid

    def read_book(self) -> None:
        """Read the effects that are new in its book."""
        known = self.known
        with _asking():
            known.book += self._town.book(known.book[-1]["seq"] if known.book else 0)

    def look(self) -> None:
        """Read everything else: faults, expectations, the feed."""
        known = self.known
        with _asking():
            # The feed first: what it calls done is wholly in what is read after it.
            known.feed = self._town.feed_status()
            known.faults = self._town.faults_met()
            known.to_strangers = self._town.summary()["to_strangers"]
            known.expected += self._town.expected(known.expected[-1]["seq"] if known.expected else 0)

    def feed(self, url: str, days: int, per_second: float, *, following: bool = False) -> None:
        """Send events to `url`: go on with the days under way, or begin the `following` ones."""
        with _asking():
            name = self._town.feed_status()["name"]
            if name is None:
                self._let_it_fail()
            number = 1 if name is None else int(name.removeprefix(PREFIX)) + following
            self.known.feed = self._town.feed(
                f"{url}/v1/events", days=days, per_second=per_second, name=f"{PREFIX}{number}"
            )

    def quiet(self) -> bool:
        """Whether no effect is still to come."""
        with _asking():
            return bool(self._town.summary()["late_pending"] == 0)

    def restart(self) -> bool:
        """Start it again as it was; whether its addresses are other ones now. Raises `DemoError`."""
        before = dict(self.urls)
        restart_town(self._town)
        return self.urls != before

    def _let_it_fail(self) -> None:
        rules = self._town.hall("POST", "/faults", {"rules": [], "profile": "demo"})["rules"]
        self._town.set_faults(*({**rule, "first_n": 1} for rule in CERTAIN), *rules)


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, HTTPException, TownError) as error:
        raise TownGone(str(error)) from None

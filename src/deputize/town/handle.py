"""A town as tests and demos hold it: started, asked, stopped and killed from Python."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from deputize.child import Child

READY_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
HALL_TIMEOUT_S = 30.0
PAGE = 5_000
PAGES_MAX = 10_000


class TownError(Exception):
    """The town did not start, or its hall declined a request."""


class Town:
    """A practice town in a process of its own, which ends with this handle, its context or this process.

    `urls` has the base addresses of shop, payments, mail, hall, smtp, chat and model.
    """

    def __init__(self, directory: Path, arguments: Sequence[str]) -> None:
        self.dir = directory
        self.urls: dict[str, str] = {}
        self._arguments = list(arguments)
        self._child = Child(STOP_TIMEOUT_S)
        # The hall is on this machine: a proxy from the environment would only be in the way.
        self._opener = build_opener(ProxyHandler({}))

    @classmethod
    def start(
        cls,
        directory: str | Path,
        *,
        seed: int = 7,
        customers: int = 200,
        ports: Sequence[int] | None = None,
        key_ttl_s: float = 86_400.0,
        faults: str | Path | Sequence[Mapping[str, Any]] | None = None,
        tokens: Mapping[str, str] | None = None,
    ) -> "Town":
        """Start a town in `directory` (an existing one goes on) and wait until it listens.

        `faults` is "demo", "none", a JSON file of rules, or rules; None keeps those in force. `tokens`
        are bearer tokens by service. Raises `TownError` when it does not start.
        """
        directory = Path(directory).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        arguments = ["--seed", str(seed), "--customers", str(customers), "--key-ttl-s", repr(key_ttl_s)]
        if ports is not None:
            arguments += ["--ports", ",".join(map(str, ports))]
        for service, token in (tokens or {}).items():
            arguments += ["--token", f"{service}={token}"]
        town = cls(directory, arguments)
        town.again()
        try:
            town._begin_with(faults)
        except (TownError, OSError, ValueError):
            town.kill()
            raise
        return town

    def again(self) -> None:
        """Start it once more after `stop` or `kill`: same directory, same options, same ports if free."""
        if self._child.pid is not None:
            raise TownError("this town is running")
        command = [sys.executable, "-m", "deputize.town", "--dir", str(self.dir), "--leave-on-eof"]
        with (self.dir / "town.log").open("ab") as log_file:
            self._child.start([*command, *self._arguments], stdout=subprocess.PIPE, stderr=log_file)
        line = self._child.first_line(READY_TIMEOUT_S)
        if not line:
            log = (self.dir / "town.log").read_text("utf-8", "replace")
            raise TownError(f"the town did not start: {log[-2000:].strip()}")
        told = json.loads(line)
        self.urls = {name: url for name, url in told.items() if name != "pid"}

    @property
    def pid(self) -> int | None:
        """The id of the town's process, or None when it is not running."""
        return self._child.pid

    def stop(self) -> None:
        """End the town in an orderly way (SIGTERM); it may be started `again`."""
        self._child.stop()

    def kill(self) -> None:
        """End the town at once (SIGKILL); it may be started `again`."""
        self._child.kill()

    def close(self) -> None:
        """The same as `stop`."""
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def book(self, after: int = 0) -> list[dict[str, Any]]:
        """Every real effect, in order: seq, at, service, operation, key, reference, resource, amount, …"""
        return list(self._pages("/book", after))

    def summary(self) -> dict[str, Any]:
        """The book in figures: money refunded, effects by operation, duplicates."""
        return self.hall("GET", "/book/summary")

    def access_log(self, after: int = 0) -> list[dict[str, Any]]:
        """Every request, in order: seq, at, service, method, route, operation, key, status, fault."""
        return list(self._pages("/access", after))

    def expected(self, after: int = 0) -> list[dict[str, Any]]:
        """Every planned event of the feed with the outcome a good shop would reach."""
        return list(self._pages("/expected", after))

    def letters(self, reader: str = "") -> list[dict[str, Any]]:
        """What the post office took in, in order: seq, at, sender, reader, subject, message_id, text, raw."""
        found = list(self._pages("/letters", 0))
        return [letter for letter in found if reader in ("", letter["reader"])]

    def posts(self) -> list[dict[str, Any]]:
        """What was posted to the chat, in order: seq, at, hook, text."""
        return list(self._pages("/posts", 0))

    def set_faults(self, *rules: Mapping[str, Any], profile: str | None = None) -> None:
        """Replace the fault rules: by these, by a profile ("demo", "none"), or by none at all."""
        self.hall("POST", "/faults", {"rules": [dict(rule) for rule in rules], "profile": profile})

    def faults_met(self) -> dict[str, int]:
        """How often each fault was really met, by service.operation.kind."""
        counts: dict[str, int] = self.hall("GET", "/faults")["counts"]
        return counts

    def feed(self, url: str, **options: Any) -> dict[str, Any]:
        """Begin or go on with a feed to `url`: days or events, per_second, per_day, token, name."""
        return self.hall("POST", "/feed", {"url": url, **options})

    def feed_status(self) -> dict[str, Any]:
        """How far the feed is: total, sent, accepted, rejected, duplicates, remaining, done."""
        return self.hall("GET", "/feed")

    def pass_time(self, seconds: float) -> None:
        """Put the town's clock ahead, for good: keys are forgotten, late effects land, days go by."""
        self.hall("POST", "/clock", {"ahead_s": seconds})

    def plant(self, order_id: str, total_minor: int, **options: Any) -> dict[str, Any]:
        """Plant an order: status, days_since_delivery, charge, customer, in_stock, refunded, sent_back, …"""
        return self.hall("POST", "/orders", {"id": order_id, "total_minor": total_minor, **options})

    def hall(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask the hall. Raises `TownError` when it declines, OSError when it is not there."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.urls["hall"] + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with self._opener.open(request, timeout=HALL_TIMEOUT_S) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except HTTPError as error:
            with error:
                raise TownError(f"{error.code}: {error.read().decode('utf-8', 'replace')}") from error

    def _begin_with(self, faults: str | Path | Sequence[Mapping[str, Any]] | None) -> None:
        """By the hall and not by the command line: `again` must not begin each `first_n` anew."""
        if faults in ("demo", "none"):
            self.set_faults(profile=str(faults))
        elif isinstance(faults, (str, Path)):
            self.set_faults(*json.loads(Path(faults).read_text("utf-8")))
        elif faults is not None:
            self.set_faults(*faults)

    def _pages(self, path: str, after: int) -> Iterator[dict[str, Any]]:
        for _ in range(PAGES_MAX):
            page = self.hall("GET", f"{path}?{urlencode({'after': after, 'limit': PAGE})}")
            yield from page["items"]
            if page["next"] is None:
                return
            after = page["next"]
        raise TownError(f"more than {PAGES_MAX} pages of {path}")

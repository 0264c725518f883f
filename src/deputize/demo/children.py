"""The two processes that the demo starts, and starts again when they are killed: the town and the server."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from deputize.child import Child
from deputize.demo.home import DemoError, Home
from deputize.town import Town, TownError

READY_TRIES = 600
READY_EVERY_S = 0.05
STOP_S = 15.0
START_TRIES = 5
START_EVERY_S = 1.0
CUSTOMERS = 2_000
"""So many that even months of the shop's days, played in one of ours, break no rule per customer and day."""

T = TypeVar("T")


class Server:
    """`deputize up` for the demo's project, in a process of its own. `url` is its API's base address."""

    def __init__(self, home: Home) -> None:
        self.url = ""
        self._home = home
        self._child = Child(STOP_S)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._child.alive

    @property
    def pid(self) -> int | None:
        """The id of its process, or None when there is none."""
        return self._child.pid

    def start(self) -> None:
        """Start it, and wait until it has recovered and listens. Raises `DemoError`."""
        self.kill()
        self.url = patiently(self._start, DemoError)

    def stop(self) -> None:
        """End it in an orderly way."""
        self._child.stop()

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()

    def _start(self) -> str:
        announced = self._home.project / "data" / "server.json"
        with self._home.log.open("ab") as log, _without_ctrl_c():
            before = log.tell()
            command = [sys.executable, "-m", "deputize.demo.server", str(self._home.project)]
            process = self._child.start(command, stdout=log, stderr=log)
        for _ in range(READY_TRIES):
            if process.poll() is not None:
                break
            if announced.is_file():
                told = json.loads(announced.read_text("utf-8"))
                if told["pid"] == process.pid:  # else it was left by one that was killed
                    return str(told["url"])
            pause(READY_EVERY_S)
        self.kill()
        said = self._home.log.read_bytes()[before:].decode("utf-8", "replace")[-2_000:].strip()
        raise DemoError(f"the server did not start; {self._home.log} says: {said or 'nothing'}")


def start_town(home: Home, seed: int) -> Town:
    """Found the town, or go on with it. Raises `DemoError`."""

    def start() -> Town:
        with _without_ctrl_c():
            return Town.start(home.town, seed=seed, customers=CUSTOMERS)

    try:
        return patiently(start, TownError)
    except TownError as error:
        raise DemoError(str(error)) from None


def restart_town(town: Town) -> None:
    """Start a town that has ended. Raises `DemoError`."""
    town.kill()

    def start() -> None:
        with _without_ctrl_c():
            town.again()

    try:
        patiently(start, TownError)
    except TownError as error:
        raise DemoError(str(error)) from None


def patiently(start: Callable[[], T], failure: type[Exception]) -> T:
    """Try a few times: what a killed demo left behind takes a moment to be gone."""
    for _ in range(START_TRIES - 1):
        try:
            return start()
        except failure:
            pause(START_EVERY_S)
    return start()


def pause(seconds: float) -> None:
    """Wait, and hear signals meanwhile."""
    threading.Event().wait(seconds)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """What is started inside never hears Ctrl-C: the demo does, and ends its children in order."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

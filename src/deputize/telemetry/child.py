"""The process that tells: it follows the ledger's file beside its owner, exports spans and writes lines.

It is apart so that the owner loses nothing by it, whatever a collector or a pipe does. What it is to do is
the first line of its standard input; when that ends it flushes, and ends, too. How far it is, it says in JSON
lines.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from deputize.clock import SystemClock, iso
from deputize.errors import StoreError
from deputize.lines import Line
from deputize.span import Model, Span, Trace
from deputize.store.protocol import View
from deputize.store.sqlite.offline import OfflineLedger
from deputize.telemetry.following import Cursor, Read, Spans, Told
from deputize.telemetry.settings import LEVELS
from deputize.telemetry.writing import Lines, say

LOOK_EVERY_S = 0.5
FLUSH_S = 1.5
"""After the end of the input so long is left for what is not told yet."""

TRY_S = 300.0
"""Spans that a collector does not take within this time are dropped, and counted."""
PAUSE_S_MIN, PAUSE_S_MAX = 1.0, 30.0
STUCK_S = 90.0
"""A turn that takes longer ends the process; its parent begins another."""

SAY_EVERY_S = 1.0
NICE = 19


class Follower(ABC, threading.Thread):
    """Reads on and tells, until it is to end and has told everything."""

    def __init__(self, name: str, path: Path, after: int, ending: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self.cursor = Cursor(after)
        self.ending = ending
        self.monotonic = SystemClock().monotonic
        self.turned_s = self.monotonic()
        self._path = path

    def run(self) -> None:
        ledger = OfflineLedger(self._path)
        ledger.read(self.begin)
        while True:
            self.turned_s = self.monotonic()
            try:
                read, made = ledger.read(self._look)
            except StoreError:
                # Somebody copies it, or it is gone: the owner says what is wrong.
                read, made = [], []
            if not read and self.ending.wait(LOOK_EVERY_S):
                if not ledger.read(self._look)[0]:
                    return
                continue
            if read:
                if not self.tell(made):
                    return
                self.cursor.after = read[-1][1].seq

    def _look(self, view: View) -> tuple[Read, list[Any]]:
        read = self.cursor.read(view)
        return read, self.made(view, read)

    def begin(self, view: View) -> None:
        """What there is before the first entry."""

    @abstractmethod
    def made(self, view: View, read: Read) -> list[Any]:
        """What these entries tell."""

    @abstractmethod
    def tell(self, made: list[Any]) -> bool:
        """Tell it. False where it was not told and is to be told by whoever comes next."""

    @abstractmethod
    def told(self) -> dict[str, Any]:
        """How far it is."""


class Tracing(Follower):
    """Spans to a collector."""

    def __init__(self, given: Mapping[str, Any], ending: threading.Event) -> None:
        super().__init__("traces", Path(given["ledger"]), given["traces"], ending)
        self._given = given
        models = {name: Model(*model) for name, model in given["models"].items()}
        self._spans = Spans(Trace(given["ledger_id"], models))
        self._sent = self._dropped = 0
        self._failing = False

    def begin(self, view: View) -> None:
        from deputize.telemetry.exporting import Exporter

        given = self._given
        self._exporter = Exporter(
            given["address"], given["headers"], given["service"], given["version"], given["ledger_id"]
        )

    def made(self, view: View, read: Read) -> list[Span]:
        return self._spans.of(view, read)

    def tell(self, made: list[Span]) -> bool:
        began_s, pause_s = self.monotonic(), PAUSE_S_MIN
        while made and not self._exporter.export(made):
            self._failing = True
            self.turned_s = self.monotonic()
            if self.ending.is_set():
                return False
            if self.monotonic() - began_s > TRY_S:
                self._dropped += len(made)
                return True
            if self.ending.wait(pause_s):
                continue
            pause_s = min(2 * pause_s, PAUSE_S_MAX)
        self._failing = self._failing and not made
        self._sent += len(made)
        return True

    def told(self) -> dict[str, Any]:
        return {
            "traces": self.cursor.after,
            "sent": self._sent,
            "dropped": self._dropped,
            "passed": self.cursor.passed + self._spans.untold,
            "failing": self._failing,
        }


class Logging(Follower):
    """Lines to standard error."""

    def __init__(self, given: Mapping[str, Any], ending: threading.Event) -> None:
        super().__init__("log", Path(given["ledger"]), given["log"], ending)
        self._least = LEVELS.index(given["level"])
        self._lines = Lines(2)

    def begin(self, view: View) -> None:
        self._told = Told(view)

    def made(self, view: View, read: Read) -> list[Line]:
        return self._told.of(view, read)

    def tell(self, made: list[Line]) -> bool:
        for line in made:
            if LEVELS.index(line.level) <= self._least:
                fields = dict(line.fields)
                if "at_us" in fields:
                    fields["at"] = iso(fields.pop("at_us"))
                # What an entry holds was scrubbed before it was written.
                say(self._lines.write, str, line.level, line.event, **fields)
        return True

    def told(self) -> dict[str, Any]:
        return {"log": self.cursor.after, "unwritten": self._lines.dropped, "unlogged": self.cursor.passed}


def main() -> int:
    """Follow until standard input ends."""
    given = orjson.loads(sys.stdin.buffer.readline() or b"{}")
    if not given:
        return 0
    # Whoever ends our parent by a signal to all of us would keep us from flushing.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(NICE)
    threading.excepthook = _failed
    ending = threading.Event()
    followers: list[Follower] = []
    if given["address"]:
        followers.append(Tracing(given, ending))
    if given["level"] != LEVELS[0]:
        followers.append(Logging(given, ending))
    for follower in followers:
        follower.start()
    _watch(followers, ending)
    # A thread that hangs in a request must not keep us.
    os._exit(0)


def _watch(followers: list[Follower], ending: threading.Event) -> None:
    """Say how far each is, until the input ends and all is told, or there is no time left for that."""
    monotonic = SystemClock().monotonic
    said: dict[str, Any] = {}
    left_s = FLUSH_S
    while any(follower.is_alive() for follower in followers) and left_s > 0:
        if not ending.is_set():
            if select.select([0], [], [], SAY_EVERY_S)[0] and not os.read(0, 4096):
                ending.set()
        else:
            began_s = monotonic()
            next(one for one in followers if one.is_alive()).join(min(left_s, 0.05))
            left_s -= monotonic() - began_s
        said = _said(followers, said)
        if not ending.is_set() and not all(follower.is_alive() for follower in followers):
            # What it has told is said; the next process goes on from there.
            os._exit(1)
        if any(one.is_alive() and monotonic() - one.turned_s > STUCK_S for one in followers):
            os._exit(1)


def _failed(args: threading.ExceptHookArgs) -> None:
    """Why a follower has ended, without what the error says: that may hold anything."""
    frames = traceback.extract_tb(args.exc_traceback)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    thread = args.thread.name if args.thread is not None else ""
    say(Lines(2).write, str, "error", "telling failed", of=thread, error=args.exc_type.__name__, where=where)


def _said(followers: list[Follower], before: dict[str, Any]) -> dict[str, Any]:
    now = {name: value for follower in followers for name, value in follower.told().items()}
    if now != before:
        os.write(1, orjson.dumps(now) + b"\n")
    return now


if __name__ == "__main__":
    sys.exit(main())

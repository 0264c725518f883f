"""The demo itself: two processes kept alive, watched, and reckoned with at the end."""

from __future__ import annotations

import json
import signal
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from rich.console import Console

from deputize.clock import SystemClock
from deputize.demo import balance
from deputize.demo.balance import Check
from deputize.demo.children import Server, again, start_town
from deputize.demo.desk import Desk
from deputize.demo.home import Begun, DemoError, Home, begin, open_home
from deputize.demo.picture import Frame, Picture
from deputize.demo.product import NotThere, Product
from deputize.demo.tale import Tale
from deputize.town import Town, TownError

TICK_S = 0.25
LOOK_EVERY_S = 1.0
"""How often the town is asked, and the inbox worked on."""
RATE_OVER_S = 5.0
STALL_S = 60.0
"""Without any progress for this long, an unattended demo gives up and says what is missing."""
SETTLE_S = 15.0
RESTARTS_MAX = 100
NOTICE_S = 6.0
STOPPED = 130
NOT_FIGURES = ("title", "stories", "notice")

CERTAIN = [
    *({"service": "payments", "operation": "refund", "kind": kind} for kind in ("lost", "cut_after")),
    *({"service": "mail", "operation": "send", "kind": kind} for kind in ("late", "cut_before", "malformed")),
    *({"service": "shop", "operation": "release_order", "kind": kind} for kind in ("error_502", "too_many")),
    *({"service": "shop", "operation": "get_order", "kind": kind} for kind in ("latency", "error_500")),
]
"""Each kind of fault is met once for certain, so that even a short demo shows it."""


@dataclass(frozen=True)
class Wishes:
    """What was asked for on the command line; None takes what was begun with, or the default."""

    dir: Path
    days: int | None
    per_second: float
    seed: int | None
    fresh: bool
    exit_when_idle: bool
    report: Path | None


def play(wishes: Wishes) -> int:
    """Run the demo to its end, or until it is stopped; the exit code. Raises `DemoError`."""
    console = Console()
    with open_home(wishes.dir, fresh=wishes.fresh) as home, _stop_on_signals() as stopped:
        begun = begin(home, wishes.days, wishes.seed)
        town, server = start_town(home, begun.seed), Server(home)
        try:
            with Picture(console) as picture:
                stage = Stage(wishes, begun, home, town, server, picture)
                try:
                    finished = stage.run(stopped)
                finally:
                    stage.close()
            return _end(stage, picture, wishes, finished)
        finally:
            server.stop()
            town.stop()


@dataclass
class Stage:
    """One demo on its way: everything it knows, and one turn of its loop."""

    wishes: Wishes
    begun: Begun
    home: Home
    town: Town
    server: Server
    picture: Picture
    tale: Tale = field(default_factory=Tale)
    book: list[dict[str, Any]] = field(default_factory=list)
    expected: list[dict[str, Any]] = field(default_factory=list)
    faults: Mapping[str, int] = field(default_factory=dict)
    feed: Mapping[str, Any] = field(default_factory=dict)
    desk: Desk = field(default_factory=Desk)
    clock: SystemClock = field(default_factory=SystemClock)
    restarts: int = 0
    _product: Product | None = None
    _rates: deque[tuple[float, int]] = field(default_factory=deque)
    _notice: tuple[float, str] = (0.0, "")
    _look_at: float = 0.0

    @property
    def answered(self) -> bool:
        """Whether all events that the town has are in, and answered."""
        return (
            bool(self.feed.get("done"))
            and not self.tale.open
            and all(row["event_id"] in self.tale.outcomes for row in self.expected)
        )

    def run(self, stopped: threading.Event) -> bool:
        """Go on until all is answered (where that ends it) or `stopped`; whether it was the former."""
        if self.town.feed_status()["name"] is None:
            rules = self.town.hall("POST", "/faults", {"rules": [], "profile": "demo"})["rules"]
            self.town.set_faults(*({**rule, "first_n": 1} for rule in CERTAIN), *rules)
        progress, progress_s, settled_by = (-1, -1), self.clock.monotonic(), 0.0
        while not stopped.is_set():
            now_s = self.clock.monotonic()
            self._turn(now_s)
            if self.answered and self.wishes.exit_when_idle:
                settled_by = settled_by or now_s + SETTLE_S
                if self._agreed() or now_s > settled_by:
                    return True
            elif self.answered:
                self._feed_next()
            if progress != (progress := (self.tale.seq, self.feed.get("accepted", 0))):
                progress_s = now_s
            if self.wishes.exit_when_idle and now_s - progress_s > STALL_S:
                return True
            stopped.wait(TICK_S)
        return False

    def reckon(self) -> list[Check]:
        """What holds at the end, and what does not."""
        cards = [] if self._product is None else self._product.cards()
        with_people = sum(card["kind"] == "doubt" for card in cards)
        known = balance.Town(self.book, self.expected, self.faults, self.feed)
        return balance.checks(known, self.tale, with_people)

    def close(self) -> None:
        """Let go of the desk's connections."""
        self.desk.close()

    def frame(self, now_s: float) -> Frame:
        """What there is to see now."""
        known = balance.Town(self.book, self.expected, self.faults, self.feed)
        since_s, since = self._rates[0] if self._rates else (now_s, self.tale.actions)
        rate = (self.tale.actions - since) / (now_s - since_s) if now_s > since_s else 0.0
        earlier = len(self.expected) - self.feed.get("planned", len(self.expected))
        return Frame(
            title=f"A small shop, {self.begun.days} days at a time · {self.feed.get('name', '')}",
            sent=max(earlier + self.feed.get("accepted", 0), len(self.tale.outcomes)),
            of=max(len(self.expected), earlier + self.feed.get("total", 0)),
            answered=len(self.tale.outcomes),
            states=self.tale.states(),
            actions=self.tale.actions,
            actions_per_s=rate,
            refused=self.tale.refused,
            doubts=self.tale.doubts,
            doubts_open=self.tale.doubts_open,
            resolved=self.tale.resolved,
            faults=known.met(),
            book=known.moved(),
            ledger=self.tale.moved(),
            book_effects=len(self.book),
            ledger_effects=len(self.tale.effects),
            cards_answered=self.tale.cards_answered,
            starts=self.tale.starts,
            stories=list(self.tale.stories),
            notice=self._notice[1] if now_s < self._notice[0] else "",
        )

    def _turn(self, now_s: float) -> None:
        """Keep both alive, read both, and show what is to be seen."""
        if not self.server.alive:
            self._start_server(now_s)
        assert self._product is not None
        try:
            for entry in self._product.entries(self.tale.seq):
                self.tale.take(entry)
            if now_s >= self._look_at:
                self._look_at = now_s + LOOK_EVERY_S
                self._look(now_s)
                self.desk.work(self._product, self.town.urls)
        except NotThere:
            pass  # the next turn finds it dead, and starts it; one that hangs ends the demo by its stall
        self._rates.append((now_s, self.tale.actions))
        while now_s - self._rates[0][0] > RATE_OVER_S:
            self._rates.popleft()
        self.picture.show(self.frame(now_s), now_s)

    def _look(self, now_s: float) -> None:
        """Read the town's hall; a town that does not answer was killed, and is started again."""
        try:
            self.feed = self.town.feed_status()
            self.faults = self.town.faults_met()
            self.expected += self.town.expected(self.expected[-1]["seq"] if self.expected else 0)
            self.book += self.town.book(self.book[-1]["seq"] if self.book else 0)
        except (OSError, ValueError, TownError):
            self._count_restart(
                "The town was killed; it is started again, and its state is as it was.", now_s
            )
            urls = dict(self.town.urls)
            again(self.town)
            if self.town.urls != urls:
                self.server.stop()  # it has the addresses of before

    def _start_server(self, now_s: float) -> None:
        if self._product is not None:
            self._count_restart("The server was killed; it is started again, and recovers.", now_s)
            self._product.close()
        self.home.write_addresses(self.town.urls)
        self.server.start()
        self._product = Product(self.server.url)
        self._feed(self._name_of(self.town.feed_status()))

    def _feed_next(self) -> None:
        number = int(str(self.feed["name"]).rpartition("-")[2])
        self._feed(f"demo-{number + 1}")

    def _name_of(self, status: Mapping[str, Any]) -> str:
        return str(status["name"] or "demo-1")

    def _feed(self, name: str) -> None:
        assert self._product is not None
        self.feed = self.town.feed(
            f"{self._product.url}/v1/events",
            days=self.begun.days,
            per_second=self.wishes.per_second,
            name=name,
        )

    def _agreed(self) -> bool:
        """Whether the last late effects have landed and are in both books."""
        return self.town.summary()["late_pending"] == 0 and not balance.differences(
            self.book, self.tale.effects
        )

    def _count_restart(self, notice: str, now_s: float) -> None:
        self.restarts += 1
        if self.restarts > RESTARTS_MAX:
            raise DemoError(f"town and server ended {RESTARTS_MAX} times; see {self.home.log}")
        self._notice = (now_s + NOTICE_S, notice)
        self.picture.say(notice)


def _end(stage: Stage, picture: Picture, wishes: Wishes, finished: bool) -> int:
    frame = stage.frame(stage.clock.monotonic())
    found = stage.reckon() if finished else []
    if wishes.report is not None:
        _write(wishes.report, _report(frame, found, finished))
    if not finished:
        picture.say(
            f"Stopped after {frame.answered} of {frame.of} events; nothing is lost. "
            "The same command goes on from here, and --fresh starts over."
        )
        return STOPPED
    picture.sum_up(found)
    return 0 if all(check.holds for check in found) else 1


def _report(frame: Frame, found: list[Check], finished: bool) -> dict[str, Any]:
    figures = {f.name: getattr(frame, f.name) for f in fields(frame) if f.name not in NOT_FIGURES}
    return {
        "finished": finished,
        "ok": finished and all(check.holds for check in found),
        "checks": {check.name: check.holds for check in found},
        "says": {check.name: check.says for check in found},
        **figures,
    }


def _write(path: Path, report: Mapping[str, Any]) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    draft.replace(path)


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second one ends the demo as usual."""
    stopped = threading.Event()

    def hear(number: int, _: object) -> None:
        stopped.set()
        signal.signal(number, before[number])

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {int(number): signal.signal(number, hear) for number in numbers}
    try:
        yield stopped
    finally:
        for number in numbers:
            signal.signal(number, before[number])

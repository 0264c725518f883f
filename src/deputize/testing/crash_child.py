"""One life of a project, in a process of its own that can be told to die at a boundary.

`python -m deputize.testing.crash_child --project DIR --crash t2.after:1 --plant NAME`. Commands come as
JSON lines on standard input, what happened leaves as JSON lines on standard output, and the end of the input
is an orderly stop, so that it never outlives its parent. With `--serve` it is there over HTTP as well.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from deputize import canonical
from deputize.approval import used_for
from deputize.clock import SystemClock
from deputize.errors import DeputizeError
from deputize.event import Occurrence
from deputize.kernel.asking import open_of
from deputize.person import Directory
from deputize.store.protocol import RunRow, View, WaitRow
from deputize.store.sqlite import file as store_file
from deputize.system import System
from deputize.testing.boundaries import BOUNDARIES
from deputize.testing.plants import PLANTS
from deputize.testing.watching import die_after, report_sending

LINE_BYTES_MAX = 4_000_000
MOVING = ("ready", "waiting", "doubtful")
PAGE = 500
SOON_US = 10_000_000
"""What waits for people no longer than that is not quiet: its time will be over first."""


def tell(now: str, **more: Any) -> None:
    """One line for the parent, whole, from any thread."""
    os.write(1, orjson.dumps({"now": now, **more}) + b"\n")


class ShiftedClock(SystemClock):
    """The machine's clock, put back or ahead on command."""

    offset_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.offset_us


class DeadlyBoundary:
    """Kills this process at the nth time that a name is reached, on whatever thread that is.

    At `pauses` it is stopped instead (SIGSTOP), until the parent lets it go on. `reached` is called
    with every name that the process survives.
    """

    def __init__(self, crashes: Sequence[tuple[str, int]], pauses: Sequence[tuple[str, int]] = ()) -> None:
        self._crashes = dict(crashes)
        self._pauses = dict(pauses)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.reached: Callable[[str], None] = lambda name: None

    def __call__(self, name: str, /) -> None:
        if name in self._crashes or name in self._pauses:
            with self._lock:
                self._counts[name] += 1
                if self._counts[name] == self._crashes.get(name):
                    tell("dies", at=name, nth=self._counts[name])
                    os.kill(os.getpid(), signal.SIGKILL)
                    signal.pause()
                if self._counts[name] == self._pauses.get(name):
                    tell("pauses", at=name, nth=self._counts[name])
                    os.kill(os.getpid(), signal.SIGSTOP)
        self.reached(name)


class Child:
    """The project's system, and what the parent may ask of it."""

    def __init__(self, system: System, clock: ShiftedClock, boundary: DeadlyBoundary) -> None:
        self._system = system
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waits_for_quiet = False
        self._runs_wanted = 0
        self._wanted: tuple[str, str] | None = None
        self._followed: tuple[tuple[str, ...], str] | None = None
        self.stopped = asyncio.Event()
        boundary.reached = self._reached

    def take(self, line: bytes) -> None:
        """One command of the parent; an empty line is the end of them."""
        if not line.strip():
            self.stopped.set()
            return
        command = orjson.loads(line)
        task = self._loop.create_task(self._do(command.pop("do"), command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, what: str, command: dict[str, Any]) -> None:
        try:
            await getattr(self, f"_do_{what}")(**command)
        except DeputizeError as error:
            tell("refused", what=what, error=type(error).__name__, reason=str(error))

    async def _do_send(self, events: list[dict[str, Any]]) -> None:
        given = [
            Occurrence(e["source"], e["id"], e["type"], e.get("subject", ""), self._clock.now_us(),
                       canonical.encode(e["data"]), e.get("sender", ""))
            for e in events
        ]  # fmt: skip
        for one in given:
            self._system.kernel.intake.check(one)
        await self._system.kernel.intake.accept(given)
        tell("accepted", events=[[e.source, e.id] for e in given])

    async def _do_answer(self, card: str, kind: Any, result: Any, person: str, reason: str) -> None:
        await self._system.kernel.people.answer(card, kind, result=result, reason=reason, person=person)
        tell("answered", card=card)

    async def _do_say(self, what: str, card: str, binding: str, person: str, **more: str) -> None:
        say = getattr(self._system.kernel.approving, what)
        tell("answered", card=card, said=await say(card, binding=binding, person=person, **more))

    async def _do_reply(self, card: str, value: Any, person: str, **_: str) -> None:
        tell(
            "answered", card=card, said=await self._system.kernel.answering.answer(card, value, person=person)
        )

    async def _do_undo(self, run: str) -> None:
        tell("undoing", run=run, said=await self._system.kernel.unwinding.undo(run, reason="", person="maya"))

    async def _do_cancel(self, run: str) -> None:
        tell("cancelling", run=run, said=await self._system.kernel.people.cancel(run, "maya"))

    async def _do_halt(self, scope: str) -> None:
        await self._system.kernel.people.stop(scope, "a test says so", "maya")
        tell("halted", scope=scope)

    async def _do_lift(self, scope: str) -> None:
        await self._system.kernel.people.lift(scope, "maya")
        tell("lifted", scope=scope)

    async def _do_shift(self, seconds: float) -> None:
        self._clock.offset_us += int(seconds * 1_000_000)
        tell("shifted", seconds=seconds)

    async def _do_room(self, bytes_min: int) -> None:
        # A module's constant, because the product has no setting for it: nobody should want one.
        store_file.FREE_BYTES_MIN = bytes_min
        tell("room", bytes_min=bytes_min)

    async def _do_until(self, automation: str, state: str) -> None:
        """Say when a run of this automation is in this state."""
        self._wanted = (automation, state)
        self._look()

    async def _do_follow(self, source: str, id: str, type: str, until: str) -> None:
        """Say when the run that answers an event has ended, or (until "card") when it waits for a person."""
        answering = [a.name for a in self._system.project.automations.values() if a.on.event_type == type]
        ledger_id = self._system.store.ledger_id
        self._followed = tuple(canonical.name(ledger_id, name, source, id) for name in answering), until
        self._look()

    async def _do_finish(self, runs: int) -> None:
        """Say when so many runs have ended, whoever has to do something for that."""
        self._runs_wanted = runs
        self._look()

    async def _do_quiet(self) -> None:
        self._waits_for_quiet = True
        self._look()

    def _reached(self, name: str) -> None:
        if name == "group.after_commit" and self._watches:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._look)

    @property
    def _watches(self) -> bool:
        return bool(self._waits_for_quiet or self._wanted or self._followed or self._runs_wanted)

    def _look(self) -> None:
        if self._followed is not None:
            told = self._system.store.read(lambda view: what_became_of(view, *self._followed))  # type: ignore[misc]
            if told is not None:
                self._followed = None
                tell(**told)
        if self._wanted is not None:
            automation, state = self._wanted
            rows = self._system.store.read(lambda v: v.runs(states=[state], automation=automation, limit=1))
            if rows:
                self._wanted = None
                tell("there", run=rows[0].id)
        if self._runs_wanted:
            ended = self._system.store.read(lambda view: view.counts()).get("runs.ended", 0)
            if ended >= self._runs_wanted:
                self._runs_wanted = 0
                tell("finished", runs=ended)
        directory = self._system.kernel.parts.force.directory
        if self._waits_for_quiet and self._system.store.read(lambda view: is_quiet(view, directory)):
            self._waits_for_quiet = False
            tell("quiet", counts=self._system.store.read(lambda view: view.counts()))


def is_quiet(view: View, directory: Directory) -> bool:
    """Whether nothing moves of itself: every run has ended, is stuck, or waits for a card or an event."""
    beside_cards = {card.run for card in view.cards(limit=PAGE)}
    if view.to_cancel() or set(view.unwinding_runs()) - beside_cards:
        return False
    after = 0
    while True:
        rows = view.runs(states=MOVING, after=after, limit=PAGE)
        if any(_moves(view, row, directory) for row in rows):
            return False
        if len(rows) < PAGE:
            return True
        after = rows[-1].no


def _moves(view: View, row: RunRow, directory: Directory) -> bool:
    if row.state == "ready":
        return True
    moves = any(_wait_moves(view, row, wait, directory) for wait in view.waits(row.no))
    under_way = [action for action in view.actions(row.no) if action.state in ("open", "doubtful")]
    return moves or not all(view.has_card(row.no, action.path) for action in under_way)


def _wait_moves(view: View, row: RunRow, wait: WaitRow, directory: Directory) -> bool:
    """Whether a wait ends of itself: by time, and soon, or by what people have said already."""
    if wait.kind != "approval":
        return wait.kind not in ("event", "question")
    action = next((action for action in view.actions(row.no) if action.path == wait.path), None)
    asked = open_of(view, action, row.automation)
    if asked is None or asked.due - view.last_at() < SOON_US:
        return True
    approvals = view.approvals(row.no, wait.path)
    return used_for(asked.asking, asked.demands, approvals, directory) is not None


def what_became_of(view: View, run_ids: Sequence[str], until: str) -> dict[str, Any] | None:
    """How the first of these runs that is there ended, or the card that it waits with; None for neither."""
    run = next((found for run_id in run_ids if (found := view.run(run_id)) is not None), None)
    if run is None:
        return None
    if run.state == "ended":
        ended = next(e.body for e in view.entries(run.no) if e.type == "ended")
        fields = ("kind", "label", "details", "reason")
        return {"now": "ended", "run": run.id, **{name: (ended or {}).get(name) for name in fields}}
    if until == "card":
        card = next((c for c in view.cards(limit=PAGE) if c.run == run.no), None)
        return (
            None if card is None else {"now": "card", "id": card.id, "kind": card.kind, "title": card.title}
        )
    return None


async def live(options: argparse.Namespace) -> None:
    """Open the project, obey, and stop."""
    boundary, clock = DeadlyBoundary(options.crash, options.pause), ShiftedClock()
    clock.offset_us = int(options.shift_s * 1_000_000)
    for name in options.plant:
        PLANTS[name].put()
    report_sending(boundary)
    for name in options.crash_after:
        die_after(name, tell)
    system = System.open(options.project, clock=clock, boundary=boundary, seed=options.seed)
    child = Child(system, clock, boundary)
    reader = threading.Thread(target=_read, args=(asyncio.get_running_loop(), child), daemon=True)

    def ready(url: str) -> None:
        reader.start()
        tell("ready", pid=os.getpid(), url=url)

    if options.serve:
        # The server's libraries are half a second of a start.
        from deputize.api.server import serve

        await serve(system, ready=ready, stop=child.stopped)
    else:
        await system.start()
        ready("")
        await child.stopped.wait()
        await system.stop()
    tell("stopped")


def _read(loop: asyncio.AbstractEventLoop, child: Child) -> None:
    for line in iter(lambda: sys.stdin.buffer.readline(LINE_BYTES_MAX), b""):
        loop.call_soon_threadsafe(child.take, line)
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(child.take, b"")


def _crash(text: str) -> tuple[str, int]:
    name, _, nth = text.partition(":")
    if name not in BOUNDARIES:
        raise argparse.ArgumentTypeError(f"{name!r} is no boundary; there is {', '.join(BOUNDARIES)}")
    return name, int(nth or 1)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deputize.testing.crash_child", description=__doc__)
    parser.add_argument("--project", type=Path, required=True, help="the project's folder")
    parser.add_argument(
        "--crash", type=_crash, action="append", default=[], help="NAME:NTH of a boundary to die at"
    )
    parser.add_argument(
        "--pause", type=_crash, action="append", default=[], help="NAME:NTH of a boundary to stop at"
    )
    parser.add_argument(
        "--crash-after", action="append", default=[], help="die once this operation is answered"
    )
    parser.add_argument("--plant", choices=sorted(PLANTS), action="append", default=[], help="a bug to plant")
    parser.add_argument("--shift-s", type=float, default=0.0, help="begin with the clock shifted, in seconds")
    parser.add_argument("--seed", type=int, default=0, help="of the back-offs")
    parser.add_argument("--serve", action="store_true", help="be there over HTTP, as `deputize up` is")
    options = parser.parse_args()
    try:
        asyncio.run(live(options))
    except DeputizeError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()

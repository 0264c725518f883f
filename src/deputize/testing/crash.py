"""The crash harness: kill the real process at a named boundary, start it again, check what must hold.

with Town.start(tmp_path / "town") as town:
    harness = CrashHarness(project, town)
    town.plant("o1", 8_000)
    harness.crash_at("t2.after", [event("shop.return", "e1", order_id="o1")])
    harness.recover()
    assert harness.broken() == []
"""

from __future__ import annotations

import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import orjson

from deputize.kernel.judging import InForce
from deputize.kernel.time import Calendar
from deputize.project import Project, load_project
from deputize.testing.case import Case
from deputize.testing.evidence import read_ledger, read_town
from deputize.testing.invariants import Broken, check
from deputize.town import Town

PATIENCE_S = 40.0
LAST_STEP_S = 5.0
ROUNDS_MAX = 8
STDERR_CHARS = 3_000

Answering = Callable[[Mapping[str, Any]], dict[str, Any] | None]
Saying = Callable[[Mapping[str, Any]], Sequence[dict[str, Any]]]
"""What people say, one after another, of an action that waits for them: `what` (`approve`, `refuse` or
`change`), `person` and whatever else that takes. The `binding` is the card's, unless it says another. To a
question: `do` is `reply`, with a `value`."""


class HarnessError(Exception):
    """The process under test did not do what was waited for; the message has its last words."""


def event(type: str, id: str, **data: Any) -> dict[str, Any]:
    """An event for `Life.send`."""
    return {"source": "test", "id": id, "type": type, "data": data}


class Life:
    """One process of the project, from its start to its end."""

    def __init__(
        self,
        project: Path,
        *,
        crashes: Sequence[str] = (),
        crashes_after: Sequence[str] = (),
        pauses: Sequence[str] = (),
        plants: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        shift_s: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._command = [sys.executable, "-m", "deputize.testing.crash_child", "--project", str(project)]
        given = {
            "--crash": crashes,
            "--crash-after": crashes_after,
            "--pause": pauses,
            "--plant": plants,
        }
        for name, values in given.items():
            for value in values:
                self._command += [name, value]
        self._command += ["--shift-s", repr(shift_s), "--seed", str(seed)]
        self.accepted: list[tuple[str, str]] = []
        self.died_at = ""
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._said = bytearray()
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environ or {})},
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True),
            threading.Thread(target=self._listen, args=(self.process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def command(self) -> str:
        """The command line of this life, to repeat it by hand."""
        return shlex.join(self._command)

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Give it events; "accepted" follows, or "refused"."""
        self.tell("send", events=list(events))

    def tell(self, do: str, **more: Any) -> None:
        """A command. One to a process that is dead already goes nowhere."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(orjson.dumps({"do": do, **more}) + b"\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return

    def wait(self, *now: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """The next of these that happens. Raises `HarnessError` when the process ends first."""
        until = time.monotonic() + within_s
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                raise HarnessError(f"no {' or '.join(now)} within {within_s:g} s; {self.words}") from None
            if line is None:
                self._lines.put(None)
                raise HarnessError(f"it ended before {' or '.join(now)}; {self.words}")
            if line["now"] in now:
                return line

    def ended(self, within_s: float = PATIENCE_S) -> int:
        """Wait for its end; how it ended, as a process does (-9 for a SIGKILL)."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise HarnessError(f"it did not end within {within_s:g} s; {self.words}") from None
        for reader in self._readers:
            reader.join(within_s)
        return code

    def go_on(self) -> None:
        """Let a process that is stopped at a boundary go on."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it in an orderly way, and wait for that."""
        self._close()
        try:
            self.ended()
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once, if it is there."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.ended()
        self._close()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    @property
    def words(self) -> str:
        """What it said on standard error, and how it ended if it did."""
        said = self._said.decode("utf-8", "replace")[-STDERR_CHARS:].strip()
        return f"exit {self.process.poll()}, it said: {said or 'nothing'}"

    def _close(self) -> None:
        if self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                return

    def _read(self, pipe: IO[bytes]) -> None:
        for line in pipe:
            told = orjson.loads(line)
            if told["now"] == "accepted":
                self.accepted += [(source, id) for source, id in told["events"]]
            elif told["now"] == "dies":
                self.died_at = told["at"]
            self._lines.put(told)
        self._lines.put(None)

    def _listen(self, pipe: IO[bytes]) -> None:
        for line in pipe:
            self._said += line


class CrashHarness:
    """Lives of one project against a town, and the check of all that must hold.

    `environ` is added to the lives' environment; the town's addresses are in it as `TOWN_SHOP_URL`,
    `TOWN_PAYMENTS_URL` and `TOWN_MAIL_URL`. Only what the town noted from now on is looked at. Nobody says
    anything of what waits for people, unless `saying` does.
    """

    def __init__(
        self,
        project: Path,
        town: Town,
        *,
        environ: Mapping[str, str] | None = None,
        seed: int = 0,
        saying: Saying = lambda card: (),
    ) -> None:
        self.saying = saying
        self.root = project
        self.town = town
        self.seed = seed
        urls = {f"TOWN_{name.upper()}_URL": url for name, url in town.urls.items()}
        self.environ = {**urls, **(environ or {})}
        self.project: Project = load_project(project, {**os.environ, **self.environ})
        self.lives: list[Life] = []
        self.same_clock = True
        self._book_after = max((row["seq"] for row in town.book()), default=0)
        self._access_after = max((row["seq"] for row in town.access_log()), default=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for life in self.lives:
            life.kill()

    def life(
        self,
        *crashes: str,
        crashes_after: Sequence[str] = (),
        pauses: Sequence[str] = (),
        plants: Sequence[str] = (),
        shift_s: float = 0.0,
        **environ: str,
    ) -> Life:
        """Start a process that will die at the first of these (`NAME:NTH`) that it reaches.

        `crashes_after` are operations: it dies once one of them was answered. At `pauses` it is
        stopped, and says so; `go_on` lets it go on. `shift_s` sets its clock off.
        """
        life = Life(
            self.root,
            crashes=crashes,
            crashes_after=crashes_after,
            pauses=pauses,
            plants=plants,
            environ={**self.environ, **environ},
            shift_s=shift_s,
            seed=self.seed,
        )
        self.lives.append(life)
        return life

    def crash_at(
        self, boundary: str, events: Sequence[Mapping[str, Any]] = (), *, plants: Sequence[str] = ()
    ) -> Life:
        """A life that is given events, and must die at this boundary (`NAME` or `NAME:NTH`)."""
        life = self.life(boundary, plants=plants)
        try:
            if events:
                life.send(events)
            told = life.wait("accepted" if events else "ready", "dies")
            if told["now"] != "dies":
                life.tell("quiet")
                told = life.wait("quiet", "dies")
            if told["now"] != "dies":
                # Quiet is what the ledger says; the process may have a last step to go.
                life.wait("dies", within_s=LAST_STEP_S)
        except HarnessError as error:
            raise HarnessError(f"{boundary} was not reached: {error}\n{life.command}") from None
        life.ended()
        return life

    def recover(
        self,
        events: Sequence[Mapping[str, Any]] = (),
        *,
        plants: Sequence[str] = (),
        answering: Answering | None = None,
    ) -> None:
        """A life without a crash, until nothing moves; cards are answered by the town's book.

        `events` are sent (once more), as a sender does who was not told that they were accepted.
        """
        life = self.life(plants=plants)
        if events:
            life.send(events)
            life.wait("accepted")
        self.settle(life, answering=answering)
        life.stop()

    def settle(self, life: Life, *, answering: Answering | None = None) -> None:
        """Wait until a life is quiet, answering each card once. Raises `HarnessError` if it never is."""
        answered: set[str] = set()
        for _ in range(ROUNDS_MAX):
            life.tell("quiet")
            life.wait("quiet")
            answers = self._answers(answering or self.answer_by_book, answered)
            if not answers:
                return
            for answer in answers:
                life.tell(**answer)
                life.wait("answered", "refused")
        raise HarnessError(f"cards come without end: {sorted(answered)}")

    def answer_by_book(self, card: Mapping[str, Any]) -> dict[str, Any] | None:
        """What a person who can see the service's book would say. None leaves the card."""
        if not card["path"]:
            return None
        booked = {row["key"] for row in self.town.book(self._book_after)}
        if card["kind"] == "drift" or card["key"] in booked:
            return {"kind": "happened", "result": {"id": "by hand"}}
        return {"kind": "do_again" if card["round"] == 1 else "did_not", "result": None}

    def broken(self, *, quiet: bool = True) -> list[Broken]:
        """Every promise that does not hold now; the lives must have ended."""
        ledger = read_ledger(self.project.settings.ledger)
        town = read_town(self.town, book_after=self._book_after, access_after=self._access_after)
        contracts = {name: operation.contract for name, operation in self.project.operations.items()}
        accepted = [pair for life in self.lives for pair in life.accepted]
        settings = self.project.settings
        case = Case(
            ledger,
            town,
            contracts,
            accepted=accepted,
            same_clock=self.same_clock,
            quiet=quiet,
            force=InForce(self.project.rules, (), Calendar(settings.zone), settings.directory),
        )
        return check(case, self.project)

    def cards(self) -> list[dict[str, Any]]:
        """The open cards: id, kind, path, body, and the operation, key and round of their action."""
        ledger = read_ledger(self.project.settings.ledger)
        actions = {(action.run, action.path): action for action in ledger.actions}
        found = []
        for card in ledger.cards:
            action = actions.get((card.run, card.path))
            found.append(
                {
                    "id": card.id,
                    "kind": card.kind,
                    "path": card.path,
                    "title": card.title,
                    "body": card.body,
                    "operation": action.operation if action else "",
                    "key": action.key if action else "",
                    "round": action.round if action else 0,
                }
            )
        return found

    def replay_note(self) -> str:
        """How to do the same again: the seed and the command of each life."""
        lives = "\n".join(f"  {life.died_at or 'lived'}: {life.command}" for life in self.lives)
        return f"seed {self.seed}; the lives were\n{lives}"

    def _answers(self, answering: Answering, answered: set[str]) -> list[dict[str, Any]]:
        """The commands by which each card that has not been answered yet is answered now."""
        found: list[dict[str, Any]] = []
        for card in self.cards():
            name = f"{card['id']}#{card['round']}#{card['body'].get('binding', '')}"
            if name in answered:
                continue
            if card["kind"] in ("approval", "question"):
                usual = {"do": "say", "card": card["id"], "binding": card["body"].get("binding", "")}
                said = [usual | one for one in self.saying(card)]
            else:
                answer = answering(card)
                usual = {"do": "answer", "card": card["id"], "reason": "", "person": "maya"}
                said = [usual | answer] if answer is not None else []
            if said:
                answered.add(name)
                found += said
        return found

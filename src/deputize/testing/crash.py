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
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from deputize.kernel.judging import InForce
from deputize.kernel.stops import ALL
from deputize.kernel.time import Calendar
from deputize.project import Project, load_project
from deputize.store.sqlite.offline import OfflineLedger
from deputize.testing.case import Case
from deputize.testing.evidence import read_ledger, read_town
from deputize.testing.invariants import Broken, check
from deputize.testing.life import HarnessError, Life
from deputize.town import Town

LAST_STEP_S = 5.0
RESTORE_S_MAX = 60.0
DEPUTIZE = str(Path(sys.executable).parent / "deputize")
ROUNDS_MAX = 8

Answering = Callable[[Mapping[str, Any]], dict[str, Any] | None]
Saying = Callable[[Mapping[str, Any]], Sequence[dict[str, Any]]]
"""What people say, one after another, of an action that waits for them: `what` (`approve`, `refuse` or
`change` …), `person` and whatever else that takes. The `binding` is the card's, unless it says another. To a
question: `do` is `reply`, with a `value`."""


def event(type: str, id: str, **data: Any) -> dict[str, Any]:
    """An event for `Life.send`."""
    return {"source": "test", "id": id, "type": type, "data": data}


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
        self.project: Project = self._load()
        self._in_force = [self._force()]
        self._lost: list[Path] = []
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
            try:
                life.wait("quiet")
            except HarnessError as error:
                raise HarnessError(f"{error}; {self.unsettled()}") from None
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
        case = Case(
            ledger,
            town,
            contracts,
            accepted=accepted,
            same_clock=self.same_clock,
            quiet=quiet,
            force=self._in_force,
            lost=[read_ledger(path) for path in self._lost],
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

    def unsettled(self) -> str:
        """What of the ledger has not come to an end, for people."""
        ledger = read_ledger(self.project.settings.ledger)
        going = {run.no: run for run in ledger.runs if run.state != "ended"}
        told = [
            f"{run.automation} {run.id} is {run.state}: "
            + ", ".join(
                f"{one.path} {one.operation} {one.state} (round {one.round}, attempt {one.attempts})"
                for one in ledger.actions
                if one.run == run.no and one.state != "settled"
            )
            for run in going.values()
        ]
        return "; ".join(told) or "every run has ended"

    # -- copies of the ledger, and other rules ---------------------------------------------------------------

    def back_up(self) -> Path:
        """Copy the ledger as it is at this moment, whatever its owner does."""
        copy = self.root / f"copy-{len(list(self.root.glob('copy-*')))}.db"
        ledger = OfflineLedger(self.project.settings.ledger)
        try:
            ledger.backup(copy)
        finally:
            ledger.close()
        return copy

    def restore(self, copy: Path) -> None:
        """`deputize restore`: the copy is the ledger from now on, and what was there is lost."""
        command = [DEPUTIZE, "restore", str(copy), "--force", "--json", "--project", str(self.root)]
        environ = {**os.environ, **self.environ}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=RESTORE_S_MAX)
        if done.returncode:
            raise HarnessError(f"the copy could not be restored: {done.stdout} {done.stderr}")
        self._lost.append(Path(orjson.loads(done.stdout)["kept"]))

    def let_go_on(self, life: Life, answering: Answering | None = None) -> None:
        """Let a restored copy go on: what it says is in doubt from before is answered first, by the book."""
        for _ in range(ROUNDS_MAX):
            life.tell("lift", scope=ALL)
            if life.wait("lifted", "refused")["now"] == "lifted":
                return
            for card in self.cards():
                answer = (answering or self.answer_restored)(card) if card["kind"] == "doubt" else None
                if answer is not None:
                    life.tell("answer", card=card["id"], reason="", person="maya", **answer)
                    life.wait("answered", "refused")
        raise HarnessError(f"the copy is not let go on: {self.cards()}")

    def answer_restored(self, card: Mapping[str, Any]) -> dict[str, Any]:
        """What a person who can see the service's book says of what was unfinished when a copy was made."""
        booked = {row["key"] for row in self.town.book(self._book_after)}
        happened = card["key"] in booked
        return {
            "kind": "happened" if happened else "did_not",
            "result": {"id": "by hand"} if happened else None,
        }

    def change_rules(self, name: str, text: str) -> None:
        """Other rules in a file of the project, from the next life on."""
        (self.root / "rules" / name).write_text(text)
        self.project = self._load()
        self._in_force.append(self._force())

    def _load(self) -> Project:
        return load_project(self.root, {**os.environ, **self.environ})

    def _force(self) -> InForce:
        settings = self.project.settings
        return InForce(self.project.rules, (), Calendar(settings.zone), settings.directory)

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

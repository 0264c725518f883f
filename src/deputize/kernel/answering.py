"""Answers to questions that automations put to people: the first one counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deputize.kernel.ending import Append
from deputize.kernel.parts import Parts
from deputize.kernel.people import NotAnswerable
from deputize.kernel.result import Result
from deputize.kernel.waiting import question_at
from deputize.ledger import Draft
from deputize.question import Unanswerable, read_answer
from deputize.sentence import listed
from deputize.store.protocol import RunRow, Tx


class Answering:
    """Takes answers in. `deliver` is told of each by run and path."""

    def __init__(
        self, parts: Parts, append: Append, deliver: Callable[[int, str, Result | None], None]
    ) -> None:
        self._parts = parts
        self._append = append
        self._deliver = deliver

    async def answer(self, card: str, value: Any, *, person: str) -> str:
        """Answer the question of a card (`run/path`) with a decoded JSON value. Returns a sentence.

        Raises `NotAnswerable`, saying why: nobody asks (any more), not this person, no such answer.
        """
        run_id, _, path = card.partition("/")

        def work(tx: Tx) -> tuple[int, Result]:
            run = tx.run(run_id)
            if run is None:
                raise NotAnswerable(f"there is no run {run_id!r}; `deputize inbox` lists what waits")
            if tx.wish(run.no):
                raise NotAnswerable(
                    f"run {run.id} is being cancelled: nothing in it is to be answered any more"
                )
            asked = self._asked(tx, run, path)
            self._check(run, asked, person)
            try:
                stored = read_answer(asked["kind_of_answer"], asked["choices"], value)
            except Unanswerable as error:
                raise NotAnswerable(str(error)) from None
            body = {
                "path": path,
                "kind": "question",
                "answer": tx.place(stored),
                "by": person,
                "at": tx.at_us,
            }
            self._append(tx, run.no, [Draft("woke", body)])
            self._parts.boundary("question.in")
            return run.no, Result("value", stored, "", tx.at_us)

        no, result = await self._parts.store.write(work)
        self._parts.boundary("question.after")
        self._deliver(no, path, result)
        return "answered"

    def _asked(self, tx: Tx, run: RunRow, path: str) -> Mapping[str, Any]:
        waits = any(wait.path == path and wait.kind == "question" for wait in tx.waits(run.no))
        asked = question_at(tx, run.no, path) if waits else None
        if asked is None:
            raise NotAnswerable(f"{run.id}/{path} asks nobody (any more); `deputize inbox` lists what waits")
        return asked

    def _check(self, run: RunRow, asked: Mapping[str, Any], person: str) -> None:
        directory = self._parts.force.directory
        if person not in directory.people:
            raise NotAnswerable(f"there is nobody called {person!r} in deputize.toml")
        named = directory.among(asked["whom"], run.automation)
        if person not in named:
            ones = listed(sorted(named)) if named else "nobody"
            raise NotAnswerable(f"{person} is not asked this; it asks {ones}")

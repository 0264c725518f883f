"""Judging anew: what the rules say of every start in a ledger, on facts worked out from its entries.

Neither the verdict, the facts nor the counts that an entry claims are trusted: only what was asked for,
when, by which run, and what came of what went before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deputize.finding import is_child
from deputize.kernel.judging import InForce
from deputize.ledger import Entry
from deputize.origins import Origins
from deputize.rule import Question, Verdict
from deputize.store.protocol import RunRow
from deputize.testing.evidence import LedgerEvidence

_TAKEN_BACK = ("declined", "refused")
_SETTLED = (*_TAKEN_BACK, "receipt", "drift", "abandoned")

Counted = tuple[str, str, int]
"""What is counted: counter, subject, window."""


@dataclass(frozen=True)
class Judged:
    """A start (entry `intent`), or what people were asked for (`asked`), and what the rules say of it."""

    run: RunRow
    entry: Entry
    body: Mapping[str, Any]
    verdict: Verdict

    @property
    def path(self) -> str:
        """Where in its run."""
        return str(self.body["path"])

    @property
    def place(self) -> str:
        """For people: the action and its operation."""
        return f"{self.run.id}/{self.path} ({self.body['op']})"


def judged_anew(ledger: LedgerEvidence, force: Sequence[InForce]) -> list[Judged]:
    """Every start and question, in order, by those of these rules that were in force at its time."""
    return list(_Judging(ledger, force).all())


class _Judging:
    def __init__(self, ledger: LedgerEvidence, force: Sequence[InForce]) -> None:
        self._ledger = ledger
        self._known = {one.rules.digest: one for one in force}
        self._force = force[0]
        self._facts: Counter[Counted] = Counter()
        self._standing: dict[tuple[int, str], list[tuple[Counted, int]]] = {}
        self._under_way: dict[tuple[int, str], list[Counted]] = {}

    def all(self) -> Iterator[Judged]:
        runs = {run.no: run for run in self._ledger.runs}
        streams = (self._ledger.system, *self._ledger.entries.values())
        in_force = True
        for entry in sorted((entry for stream in streams for entry in stream), key=lambda one: one.seq):
            body = entry.body
            if body is None:
                continue
            if entry.type == "opened":
                in_force = body.get("ruleset") in self._known
                self._force = self._known.get(str(body.get("ruleset")), self._force)
            elif entry.type == "rules":
                in_force = body["digest"] in self._known
                self._force = self._known.get(str(body["digest"]), self._force)
            elif entry.type in ("asked", "intent") and isinstance(body["args"], dict):
                judged = self._judged(runs[entry.stream], entry, body)
                if in_force:
                    yield judged
            elif entry.type in _TAKEN_BACK and not body.get("spend"):
                self._take_back(entry.stream, body["path"])
            if entry.type in _SETTLED:
                self._end(entry.stream, body["path"])

    def _judged(self, run: RunRow, entry: Entry, body: Mapping[str, Any]) -> Judged:
        if entry.type == "intent" and body["round"] > 1:
            self._end(run.no, body["path"])
            if not body["released"]["spend"]:
                self._take_back(run.no, body["path"])
        # An inquiry may be somebody else's than the run's agent.
        agent = body["agent"] if is_child(body["path"]) else run.agent
        rules, calendar, at = self._force.rules, self._force.calendar, entry.at_us
        args, operation = body["args"], body["op"]
        facts: dict[str, int] = {}
        counts: list[tuple[Counted, int]] = []
        for need in rules.needs(operation):
            facts[need.counter] = 0
            if need.applies(agent, run.automation, args):
                counted = (need.counter, need.subject(agent, args), calendar.start(need.per, at))
                facts[need.counter] = self._facts[counted]
                if not need.under_way:
                    counts.append((counted, need.weight(args)))
        minute, weekday = calendar.time_of_day(at)
        origins = Origins.from_body(body)
        question = Question(agent, run.automation, operation, args, facts, minute, weekday, origins)
        if entry.type == "intent":
            self._standing[run.no, body["path"]] = counts
            for counted, weight in counts:
                self._facts[counted] += weight
            needs = rules.under_way(operation)
            self._begin(run.no, body["path"], [(n.counter, n.subject(agent, args), 0) for n in needs])
        return Judged(run, entry, body, rules.judge(question))

    def _begin(self, run: int, path: str, counts: list[Counted]) -> None:
        self._under_way[run, path] = counts
        self._facts.update(counts)

    def _end(self, run: int, path: str) -> None:
        self._facts.subtract(self._under_way.pop((run, path), ()))

    def _take_back(self, run: int, path: str) -> None:
        for counted, weight in self._standing.pop((run, path), ()):
            self._facts[counted] -= weight

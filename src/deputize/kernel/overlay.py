"""The books of a rehearsal: the ledger's as they were, and over them what the rehearsal would take. None
of it is ever written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deputize.kernel.asking import can_be_met
from deputize.kernel.judging import InForce, Request, outright, verdict_of
from deputize.kernel.ports import Then
from deputize.kernel.reserving import beyond, holds_of
from deputize.rule import Verdict
from deputize.taking import Taken


@dataclass(frozen=True)
class Judged:
    """What the agent's `may`, the rules in force and the budgets say of an action.

    It is refused where there is a `reason`, else it goes on once what the `demanding` verdict wants is there.
    `rules` are the titles of those that refuse, `takes` what it would take of budgets and facts.
    """

    reason: str = ""
    rules: tuple[str, ...] = ()
    demanding: Verdict | None = None
    takes: tuple[tuple[Taken, int], ...] = ()


class Overlay:
    """Budgets and facts for judging in a rehearsal."""

    def __init__(self, then: Then, force: InForce) -> None:
        self._then = then
        self._force = force
        self._over: dict[Taken, int] = {}

    def judge(self, request: Request, at_us: int, before: int | None) -> Judged:
        """Judge an action at a time, on the books as they were before an entry (None: as they are now)."""
        force, name = self._force, request.action.operation.name
        if why := outright(request, force):
            return Judged(why)
        lines = frozenset(need.counter for need in force.rules.needs(name) if need.under_way)
        books = _Moment(self._then, self._over, before, lines)
        verdict, counted, _ = verdict_of(books, request, force, at_us)
        reserved = holds_of(books, request, force, at_us)
        verdict = beyond(verdict, reserved)
        demanding = None
        if verdict.decision == "demand" and can_be_met(verdict) and not request.inquiring:
            demanding = verdict
        elif verdict.decision != "allow":
            return Judged(verdict.sentence(), tuple(rule.title for rule in verdict.rules))
        if reserved.over:
            return Judged(reserved.over)
        holds = reserved.holds
        takes: list[tuple[Taken, int]] = [(("use", name, "", window), n) for name, window, n in holds]
        takes += [(("fact", name, subject, window), n) for name, subject, window, n in counted]
        return Judged("", (), demanding, tuple(takes))

    def take(self, takes: tuple[tuple[Taken, int], ...]) -> None:
        """Count what the rehearsal would do."""
        for what, amount in takes:
            self._over[what] = self._over.get(what, 0) + amount

    def leave_out(self, takes: Mapping[Taken, int]) -> None:
        """Count out what was really done in its place, or would not be done any more."""
        for what, amount in takes.items():
            self._over[what] = self._over.get(what, 0) - amount


@dataclass(frozen=True, slots=True)
class _Moment:
    """The books at one moment. What was under way in the past is over, and in nobody's way."""

    then: Then
    over: Mapping[Taken, int]
    before: int | None
    lines: frozenset[str]

    def counted(self, counter: str, subject: str, window: int) -> int:
        if counter in self.lines and self.before is not None:
            return 0
        over = self.over.get(("fact", counter, subject, window), 0)
        return self.then.counted(counter, subject, window, self.before) + over

    def used(self, budget: str, window: int) -> tuple[int, int]:
        over = self.over.get(("use", budget, "", window), 0)
        return self.then.used(budget, window, self.before) + over, 0

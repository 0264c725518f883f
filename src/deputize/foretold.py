"""What a rehearsal tells of one event: action by action what would come of it, and how that differs from what
the same event really did. Plain data, and pure functions over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deputize.money import Money
from deputize.rule import RuleLine
from deputize.sentence import pairs

Would = Literal["read", "done", "declined", "refused", "sent", "passed", "answered", "waits", "untold"]
"""An action: `read`, `done`, `declined` by its service, `refused` by rules, budgets or people, or `untold`.
Else an event that is `sent`, a sleep that has `passed`, a wait that is `answered`, or one that goes on:
`waits`."""

How = Literal["", "as recorded", "read now", "foretold", "derived"]
"""By what: the record of that time, a read of now, the service's preview, or what follows from the rest."""

Came = Literal["ended", "waits", "untold", "stuck"]
"""Whether it came to its end; else why the rehearsal ends before."""

Outcome = Literal["done", "declined", "refused", "by people", "expired", "failed", "open"]
"""What really came of an action: `refused` by rules or budgets or `by people`, `failed` after all tries."""


@dataclass(frozen=True)
class Did:
    """What a run really did at one place; `asked` where people were asked for it."""

    path: str
    what: str
    digest: str
    args: Any
    writes: bool
    outcome: Outcome
    asked: bool
    reason: str


@dataclass(frozen=True)
class Really:
    """What an event really did. `end` is empty where its run has not ended by itself."""

    did: tuple[Did, ...]
    end: str


@dataclass(frozen=True)
class Line:
    """One await of a rehearsed run. `rules` are the titles of those that refuse, ask or want a look, `checks`
    what is found out for them, `asks` who is asked, `said` what is taken for their answer. `money` is what it
    would move, `did` what really was in its place."""

    path: str
    what: str
    digest: str
    where: str
    would: Would
    args: Any = None
    how: How = ""
    writes: bool = False
    reason: str = ""
    why: str = ""
    rules: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    said: str = ""
    money: Money | None = None
    origins: tuple[tuple[str, str], ...] = ()
    did: Did | None = None
    people: tuple[RuleLine, ...] = ()
    """The rules among them that ask people of themselves, whatever is found out."""


@dataclass(frozen=True)
class Foretold:
    """One event, rehearsed. `end` is its outcome, like `done(refunded)`, where it comes to one."""

    run: str
    source: str
    id: str
    type: str
    subject: str
    lines: tuple[Line, ...]
    came: Came
    end: str
    reason: str = ""
    really: Really | None = None

    def moved(self, *, asked: bool = False) -> dict[str, int]:
        """The money that would move, in minor units by currency; `asked`: what of it waits for people."""
        sums: dict[str, int] = {}
        for line in self.lines:
            if line.money is not None and (line.asks or not asked):
                sums[line.money.currency] = sums.get(line.money.currency, 0) + line.money.minor
        return sums


Kind = Literal[
    "now_refused",
    "no_longer_refused",
    "now_asks",
    "no_longer_asks",
    "other_answer",
    "other_arguments",
    "also",
    "not_any_more",
    "now_waits",
    "cannot_tell",
    "other_end",
]

KINDS: dict[Kind, str] = {
    "now_refused": "now refused",
    "no_longer_refused": "no longer refused",
    "now_asks": "now asks people",
    "no_longer_asks": "no longer asks people",
    "other_answer": "another answer",
    "other_arguments": "other arguments",
    "also": "also done",
    "not_any_more": "not done any more",
    "now_waits": "now waits",
    "cannot_tell": "cannot be told",
    "other_end": "another end",
}
"""How each kind of difference is called."""


@dataclass(frozen=True)
class Difference:
    """One way in which what would come of an event differs from what did."""

    kind: Kind
    what: str
    now: str
    then: str


def differences(foretold: Foretold) -> tuple[Difference, ...]:
    """How a rehearsed past event differs from what it really did; empty where it does not."""
    really = foretold.really
    if really is None:
        return ()
    found: list[Difference] = []
    taken = set()
    for line in foretold.lines:
        if line.did is not None:
            taken.add(line.did.path)
            found += _of_pair(line, line.did)
    left = [did for did in really.did if did.writes and did.path not in taken]
    for line in foretold.lines:
        if line.did is None and line.writes:
            other = next((did for did in left if did.what == line.what), None)
            if other is not None:
                left.remove(other)
                found.append(Difference("other_arguments", line.what, _args(line.args), _args(other.args)))
                found += _of_pair(line, other)
            elif really.end:
                found.append(Difference("also", line.what, _told(line), "nothing of it"))
    if foretold.came == "ended" and really.end:
        found += (Difference("not_any_more", did.what, "nothing of it", _did(did)) for did in left)
    return (*found, *_of_end(foretold, really))


def _of_pair(line: Line, did: Did) -> Iterable[Difference]:
    """What is judged or answered otherwise in one place."""
    refused = line.would == "refused" and not line.said
    if refused != (did.outcome == "refused"):
        kind: Kind = "now_refused" if refused else "no_longer_refused"
        yield Difference(kind, line.what, line.reason if refused else _told(line), _did(did))
    elif line.would in _ANSWERED and did.outcome in _ANSWERED and line.would != did.outcome:
        yield Difference("other_answer", line.what, _told(line), _did(did))
    if refused or did.outcome == "refused":
        return
    if bool(line.asks) != did.asked:
        kind = "now_asks" if line.asks else "no_longer_asks"
        yield Difference(kind, line.what, _told(line), _did(did))


_ANSWERED = ("done", "declined")


def _of_end(foretold: Foretold, really: Really) -> Iterable[Difference]:
    if not really.end:
        return
    if foretold.came == "ended":
        if foretold.end != really.end:
            yield Difference("other_end", "end", foretold.end, really.end)
    elif foretold.came == "waits":
        yield Difference("now_waits", "end", foretold.reason, really.end)
    elif foretold.came == "stuck":
        yield Difference("other_end", "end", f"stuck: {foretold.reason}", really.end)
    else:
        yield Difference("cannot_tell", "end", foretold.reason, really.end)


def _told(line: Line) -> str:
    if line.asks:
        return f"waits for {' and '.join(line.asks)}"
    return line.reason or line.would


def _did(did: Did) -> str:
    asked = "after people were asked" if did.asked else ""
    return " ".join(part for part in (did.outcome, asked) if part) + (f": {did.reason}" if did.reason else "")


def _args(args: Any) -> str:
    return pairs(args) if isinstance(args, dict) else ""


def counted(foretold: Sequence[tuple[Foretold, tuple[Difference, ...]]]) -> dict[str, int]:
    """How many events differ in each way, by kind, and how many are the `same`."""
    counts = {"same": 0}
    for _, found in foretold:
        for kind in {one.kind for one in found}:
            counts[kind] = counts.get(kind, 0) + 1
        counts["same"] += not found
    return counts

"""What the ledger tells: its entries, one after the other, added up into figures and short stories."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deputize.demo.mails import MAIL, THINK, Reading
from deputize.money import Money

STORIES = 7
SETTLED = ("receipt", "drift", "declined", "refused", "abandoned")
KINDS = {
    "shop.order.placed": "New order",
    "shop.return.requested": "Return",
    "shop.damage.reported": "Damage",
    "shop.message.received": "Question",
    MAIL: "Mail",
}
Place = tuple[str, str]
"""A run and the path of one of its actions."""


@dataclass
class Run:
    """A run that has not ended."""

    event: str
    type: str
    key: str
    began_at: datetime
    state: str
    doubts: set[str] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)
    money: list[Money] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """Its state, for people."""
        if self.state == "stuck":
            return "with a person"
        if self.doubts:
            return "in doubt"
        return "in line" if self.state == "behind" else "at work"


@dataclass
class Tale:
    """The figures so far. `seq` is the cursor: the last entry that was taken in."""

    seq: int = 0
    starts: int = 0
    actions: int = 0
    doubts: int = 0
    resolved: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    """How often each rule (by its title) refused an action."""
    cards_answered: int = 0
    approvals: Counter[str] = field(default_factory=Counter)
    """What was asked of people and what came of it: asked, granted, changed, refused, expired, called off."""
    reading: Reading = field(default_factory=Reading)
    """What it took to read the mails."""
    waited_s: float = 0.0
    """How long actions waited for people, all together."""
    denied: set[str] = field(default_factory=set)
    """The events of runs to which people said no, or nothing."""
    outcomes: dict[str, str] = field(default_factory=dict)
    """How each event was answered, by its id."""
    open: dict[str, Run] = field(default_factory=dict)
    effects: dict[tuple[str, str], Money | None] = field(default_factory=dict)
    """Every effect that the ledger says happened, by operation and key, with the money it moved."""
    stories: deque[str] = field(default_factory=lambda: deque(maxlen=STORIES))
    _left: int = 0
    """Doubts of runs that have ended all the same."""
    _asked: dict[Place, datetime] = field(default_factory=dict)
    _intents: dict[Place, tuple[str, str, Money | None]] = field(default_factory=dict)

    @property
    def doubts_open(self) -> int:
        """Actions of which nobody knows yet whether they happened."""
        return self._left + sum(len(run.doubts) for run in self.open.values())

    def states(self) -> Counter[str]:
        """Runs by state, for people."""
        return Counter(run.shown for run in self.open.values())

    def moved(self) -> dict[str, int]:
        """Money given back according to the ledger: minor units by currency."""
        total: Counter[str] = Counter()
        for money in self.effects.values():
            if money is not None:
                total[money.currency] += money.minor
        return dict(total)

    def take(self, entry: Mapping[str, Any]) -> None:
        """Take in the next entry."""
        self.seq = entry["seq"]
        run_id, kind, body = entry["run"], entry["type"], entry["body"] or {}
        if kind == "opened":
            self.starts += 1
        elif kind == "began":
            event, at = body["event"], datetime.fromisoformat(entry["at"])
            self.open[run_id] = Run(event["id"], event["type"], body["key"] or "", at, body["state"])
        elif run_id in self.open:
            self._in_run(self.open[run_id], run_id, kind, body, entry["at"])

    def _in_run(self, run: Run, run_id: str, kind: str, body: Mapping[str, Any], at: str) -> None:
        if run.state == "behind":
            run.state = "ready"
        place = (run_id, body.get("path", ""))
        if run.type == MAIL:
            self.reading.take(kind, body, self._intents.get(place, ("", "", None))[0])
        if kind == "stuck":
            run.state = "stuck"
        elif kind == "unstuck":
            run.state = "ready"
        elif kind == "asked":
            self._asked[place] = datetime.fromisoformat(at)
            self.approvals["asked"] += not body["again"]
        elif kind == "intent":
            self._answered(run, place, body, at)
            self._intents[place] = (body["op"], body["key"], _money(body["args"]))
        elif kind == "doubt":
            self.doubts += 1
            run.doubts.add(place[1])
            run.troubles.append("an answer was lost")
        elif kind == "ended":
            self._end(run, run_id, body, at)
        if kind == "refused":
            self._answered(run, place, body, at)
        if kind in (*SETTLED, "attempt"):
            self._known(run, place[1], kind, body)
        if kind in (*SETTLED, "read"):
            self._settled(run, place, kind, body)

    def _answered(self, run: Run, place: Place, body: Mapping[str, Any], at: str) -> None:
        """People have said something to an action that waited for them, or have let its time pass."""
        asked_at = self._asked.pop(place, None)
        if asked_at is None:
            return
        self.waited_s += (datetime.fromisoformat(at) - asked_at).total_seconds()
        if "approvals" in body:
            said = "granted"
        elif "changed" in body:
            said = "changed"
        elif "by" in body:
            said = "refused"
        else:
            said = "expired" if body.get("expired") else "refused by rule"
        self.approvals[said] += 1
        if said in ("refused", "expired"):
            self.denied.add(run.event)
            run.troubles.append("a person said no" if said == "refused" else "nobody answered in time")

    def _known(self, run: Run, path: str, kind: str, body: Mapping[str, Any]) -> None:
        """An action is in doubt no more: settled, or about to be sent again."""
        if path not in run.doubts:
            return
        run.doubts.discard(path)
        by = body.get("by")
        if isinstance(by, dict):
            self.resolved["by a person"] += 1
        else:
            self.resolved["by repeating with the same key" if kind == "attempt" else "by asking"] += 1

    def _settled(self, run: Run, place: Place, kind: str, body: Mapping[str, Any]) -> None:
        self.actions += 1
        if kind == "drift":
            run.state = "stuck"
            run.troubles.append("an answer could not be read")
        elif body.get("was") == "drifted":
            self.cards_answered += 1
            run.state = "ready"
        if kind == "refused" and body["was"] == "new" and body["rules"]:
            self.refused[body["reason"].removeprefix("refused by ")] += 1
            run.troubles.append(body["reason"])
        operation, key, money = self._intents.pop(place, ("", "", None))
        if kind in ("receipt", "drift") and key and not operation.endswith(THINK):
            self.effects[operation, key] = money
            if money is not None:
                run.money.append(money)

    def _end(self, run: Run, run_id: str, body: Mapping[str, Any], at: str) -> None:
        del self.open[run_id]
        self._left += len(run.doubts)
        label = body["label"] or body["kind"]
        self.outcomes[run.event] = label
        for path in [path for of, path in self._intents if of == run_id]:
            del self._intents[run_id, path]
        for path in [path for of, path in self._asked if of == run_id]:
            self.approvals["called off"] += 1
            del self._asked[run_id, path]
        took_s = (datetime.fromisoformat(at) - run.began_at).total_seconds()
        self.stories.append(" ".join(_sentence(run, label, body["reason"], took_s)))


def _sentence(run: Run, label: str, reason: str, took_s: float) -> Iterator[str]:
    about = run.key.partition(":")[2]
    yield f"{KINDS.get(run.type, run.type)} {about}: {label}{',' if run.money else ''}"
    if run.money:
        yield f"{' and '.join(map(str, run.money))} back"
    if run.troubles:
        more = f" (and {len(run.troubles) - 1} more)" if len(run.troubles) > 1 else ""
        yield f"though {run.troubles[0]}{more}"
    if reason:
        yield f"because {reason}"
    yield f"· {took_s:.1f} s"


def _money(args: Any) -> Money | None:
    amount = args.get("amount") if isinstance(args, dict) else None
    return Money(amount["minor"], amount["currency"]) if isinstance(amount, dict) else None

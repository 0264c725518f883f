"""The end's reckoning: the town's book against the ledger, and all else that a demo must show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deputize.demo.mails import MAIL, RIGHT_SHARE_MIN, STAND_IN, mails_of, overpaid
from deputize.demo.tale import Tale
from deputize.money import Money

OUTCOMES_SHARE_MIN = 0.95
FAULT_KINDS = (
    *("latency", "error_500", "error_502", "too_many", "cut_before", "cut_after", "lost", "late"),
    "malformed",
)
NAMED_MAX = 5


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and a sentence that says how it is."""

    name: str
    holds: bool
    says: str


@dataclass
class Known:
    """What the town's hall has told so far: its book of effects, what it expects of each event, how often
    each fault was met, and the state of its feed (`name`, `total`, `accepted`, `done` and others)."""

    book: list[dict[str, Any]] = field(default_factory=list)
    expected: list[dict[str, Any]] = field(default_factory=list)
    faults: Mapping[str, int] = field(default_factory=dict)
    to_strangers: int = 0
    feed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def of(self) -> int:
        """How many events there are up to the end of the days that are being sent."""
        return self._earlier + int(self.feed.get("total", 0))

    @property
    def sent(self) -> int:
        """How many of them were accepted."""
        return self._earlier + int(self.feed.get("accepted", 0))

    @property
    def _earlier(self) -> int:
        """The same days before have as many events as these."""
        number = int(str(self.feed.get("name", "-1")).rpartition("-")[2])
        return (number - 1) * int(self.feed.get("total", 0))

    def moved(self) -> dict[str, int]:
        """Money given back according to the book: minor units by currency."""
        total: Counter[str] = Counter()
        for row in self.book:
            if row["amount_minor"] is not None:
                total[row["currency"]] += row["amount_minor"]
        return dict(total)

    def met(self) -> dict[str, int]:
        """How often each kind of fault was met."""
        kinds: Counter[str] = Counter()
        for name, count in self.faults.items():
            kinds[name.rpartition(".")[2]] += count
        return dict(kinds)


def differences(
    book: Iterable[Mapping[str, Any]], effects: Mapping[tuple[str, str], Money | None]
) -> list[str]:
    """Where the town's book and the ledger differ in what happened, how often, and for how much."""
    there: dict[tuple[str, str], Money | None] = {}
    found = []
    for row in book:
        place = (f"{row['service']}.{row['operation']}", row["key"] or "no key")
        money = None if row["amount_minor"] is None else Money(row["amount_minor"], row["currency"])
        if place in there:
            found.append(f"{place[0]} happened twice with one key ({place[1]})")
        there[place] = money
    found += [
        f"{op} is in the book and not in the ledger ({key})" for op, key in there.keys() - effects.keys()
    ]
    found += [
        f"{op} is in the ledger and not in the book ({key})" for op, key in effects.keys() - there.keys()
    ]
    for place in there.keys() & effects.keys():
        if there[place] != effects[place]:
            found.append(
                f"{place[0]}: {there[place]} in the book, {effects[place]} in the ledger ({place[1]})"
            )
    return sorted(found)


def unlike(
    expected: Iterable[Mapping[str, Any]], outcomes: Mapping[str, str], denied: Collection[str] = ()
) -> list[str]:
    """The events that ended otherwise than a good shop would have ended them. Where people said no to a
    refund, that is another end than the one of which they knew nothing."""
    return [
        f"{row['event_id']} ({row['type']}): {outcomes[row['event_id']]}, expected {row['outcome']}"
        for row in expected
        if row["event_id"] in outcomes
        and outcomes[row["event_id"]] != row["outcome"]
        and row["event_id"] not in denied
    ]


def checks(town: Known, tale: Tale, reader: str) -> list[Check]:
    """Everything that must hold at the end; `reader` is who has read the mails."""
    differ = differences(town.book, tale.effects)
    total = len(town.expected)
    missing = [row["event_id"] for row in town.expected if row["event_id"] not in tale.outcomes]
    others = [row for row in town.expected if row["type"] != MAIL]
    wrong = unlike(others, tale.outcomes, tale.denied)
    right = sum(row["event_id"] in tale.outcomes for row in others) - len(wrong)
    mails = mails_of(town.expected, tale.outcomes, tale.reading)
    over = overpaid(town.book, town.expected)
    unmet = [kind for kind in FAULT_KINDS if not town.met().get(kind)]
    book, ledger = show_money(town.moved()), show_money(tale.moved())
    return [
        Check(
            "book_and_ledger_agree",
            not differ and town.moved() == tale.moved(),
            f"The town's book says {book} in {len(town.book)} effects, the ledger {ledger} "
            f"in {len(tale.effects)}{_some(differ)}",
        ),
        Check(
            "every_event_answered",
            not missing and town.sent == town.of == total,
            f"{total - len(missing)} of {town.of} events are answered{_some(missing)}",
        ),
        Check(
            "outcomes_as_expected",
            right >= OUTCOMES_SHARE_MIN * len(others),
            f"{right} of {len(others)} ended as a good shop would have ended them{_some(wrong)}",
        ),
        Check(
            "mails_answered",
            reader != STAND_IN or mails.right >= min(RIGHT_SHARE_MIN * mails.total, mails.total - 1),
            mails.says(reader),
        ),
        Check(
            "no_wrong_money",
            not over and not town.to_strangers,
            f"{len(over)} customers were given more than they were owed{_some(over)}, and "
            f"{town.to_strangers} messages went to strangers",
        ),
        Check(
            "every_fault_met",
            not unmet,
            f"{sum(town.met().values())} faults of {len(FAULT_KINDS) - len(unmet)} kinds were survived"
            + (f"; never met: {', '.join(unmet)}" if unmet else ""),
        ),
        Check(
            "every_asking_answered",
            tale.approvals["asked"] == sum(tale.approvals.values()) - tale.approvals["asked"],
            f"People were asked: {show_approvals(tale.approvals, tale.waited_s / 60)}",
        ),
        Check(
            "no_doubt_left",
            tale.doubts_open == 0,
            f"{tale.doubts} doubts were met, and {tale.doubts_open} are open",
        ),
    ]


def show_money(moved: Mapping[str, int]) -> str:
    """Amounts by currency, for people."""
    return ", ".join(str(Money(minor, currency)) for currency, minor in sorted(moved.items())) or "nothing"


def show_approvals(approvals: Mapping[str, int], waited_min: float) -> str:
    """What people were asked and what they said, for people."""
    kinds = ("granted", "changed", "refused", "expired")
    said = ", ".join(f"{approvals.get(kind, 0)} {kind}" for kind in kinds)
    return f"{approvals.get('asked', 0)} approvals asked: {said}; {waited_min:.1f} minutes waited"


def _some(what: Sequence[str]) -> str:
    if not what:
        return ""
    more = f" and {len(what) - NAMED_MAX} more" if len(what) > NAMED_MAX else ""
    return f": {'; '.join(what[:NAMED_MAX])}{more}"

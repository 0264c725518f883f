"""Health: how work goes, in figures, from what the ledger has counted. Pure.

Rates are shares of 0 to 1 (None where there is nothing to divide by), times are in seconds. A latency is read
from a histogram with fixed bounds: within the bound where it lies, as if what lies there were spread evenly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deputize.clock import iso

DAY_US = 86_400_000_000
AUTOMATION, CONNECTOR = "automation:", "connector:"
MODEL, AGENT = "model:", "agent:"

THINKERS = {"model": MODEL, "agent": AGENT, "automation": AUTOMATION}
"""By what thoughts are counted."""

BOUNDS_S = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0,
    43_200.0, 259_200.0,
)  # fmt: skip
"""The upper bounds of what a run or an action takes; what takes longer is in one more."""

ENDS = ("done", "gave_up", "failed", "cancelled")
STATES = ("settled", "declined", "refused", "drifted", "abandoned")


@dataclass
class Counted:
    """What was counted under one name: how often each thing was, what it took in all (microseconds), and
    among how many within each bound."""

    n: dict[str, int] = field(default_factory=dict)
    took_us: dict[str, int] = field(default_factory=dict)
    within: dict[str, list[int]] = field(default_factory=dict)

    def add(self, subject: str, amount: int, spent: int) -> None:
        """A sum: its subject is a word, with the number of a bound behind it where it took a time."""
        what, _, bucket = subject.rpartition(" ")
        if what and bucket.isdecimal():
            self.within.setdefault(what, [0] * (len(BOUNDS_S) + 1))[int(bucket)] += amount
        else:
            what = subject
        self.n[what] = self.n.get(what, 0) + amount
        self.took_us[what] = self.took_us.get(what, 0) + spent

    def among(self, *words: str) -> list[int]:
        """How many lie within each bound, of all these together."""
        lists = [self.within[word] for word in words if word in self.within]
        return [sum(column) for column in zip(*lists, strict=True)] or [0] * (len(BOUNDS_S) + 1)

    def of(self, *words: str) -> int:
        """How many there are of all these together."""
        return sum(self.n.get(word, 0) for word in words)

    def starting(self, word: str) -> dict[str, int]:
        """`{second word: how many}` of the subjects that begin with a word."""
        return {
            what.partition(" ")[2]: n for what, n in sorted(self.n.items()) if what.startswith(f"{word} ")
        }


def since_of(days: int, now_us: int) -> int:
    """When the first of so many days (of UTC, today the last) began; 0 days are all there were."""
    return now_us - now_us % DAY_US - (days - 1) * DAY_US if days else 0


def told_health(
    rows: Iterable[tuple[str, str, int, int]],
    remembered: Mapping[str, Mapping[str, int]],
    cards: Mapping[str, int],
    since: int,
) -> dict[str, Any]:
    """All figures: by automation and by connector, of thoughts also by model and by agent, and the cards that
    wait now, by automation."""
    had = counted(rows)
    names = sorted({*had, *remembered})
    return {
        "since": iso(since) if since else None,
        "automations": [
            {
                "name": name.removeprefix(AUTOMATION),
                **of_automation(had.get(name, Counted()), remembered.get(name, {})),
                "open_cards": cards.get(name.removeprefix(AUTOMATION), 0),
            }
            for name in names
            if name.startswith(AUTOMATION)
        ],
        "connectors": [
            {
                "name": name.removeprefix(CONNECTOR),
                **of_connector(had.get(name, Counted()), remembered.get(name, {})),
            }
            for name in names
            if name.startswith(CONNECTOR)
        ],
        "thoughts": [
            {"by": by, "name": name.removeprefix(prefix), **of_thoughts(had[name])}
            for by, prefix in THINKERS.items()
            for name in sorted(had)
            if name.startswith(prefix) and had[name].of("thought", "lost")
        ],
        "cards": sum(cards.values()),
    }


def counted(rows: Iterable[tuple[str, str, int, int]]) -> dict[str, Counted]:
    """Rows of (name, subject, amount, spent), by name."""
    found: dict[str, Counted] = {}
    for name, subject, amount, spent in rows:
        found.setdefault(name, Counted()).add(subject, amount, spent)
    return found


def of_automation(had: Counted, remembered: Mapping[str, int]) -> dict[str, Any]:
    """An automation's figures: `remembered` is what the ledger remembers of it, by word."""
    runs, cards = had.of(*ENDS), had.starting("card")
    return {
        "runs": runs,
        **{kind: had.of(kind) for kind in ENDS},
        "stuck": had.of("stuck"),
        "failure_rate": _share(had.of("failed"), runs),
        "cards": cards,
        "escalation_rate": _share(sum(cards.values()), runs),
        "refusals": had.of("refused"),
        "refusal_rate": _share(had.of("refused"), runs),
        **_mended(had),
        **_took(had, *ENDS),
        "down_since": iso(remembered["down"]) if remembered.get("down") else None,
        "confirming": bool(remembered.get("lowered")),
    }


def of_connector(had: Counted, remembered: Mapping[str, int]) -> dict[str, Any]:
    """A connector's figures, of what was sent to it."""
    ended, failed = had.of(*STATES), had.of("failed")
    return {
        "actions": ended,
        **{state: had.of(state) for state in STATES},
        "calls_failed": failed,
        "failure_rate": _share(failed, failed + had.of("settled", "declined", "drifted")),
        **_mended(had),
        **_took(had, "settled"),
        "down_since": iso(remembered["down"]) if remembered.get("down") else None,
    }


def of_thoughts(had: Counted) -> dict[str, Any]:
    """What was thought, in all: a cost is what was paid for answers, and for those that never came, of which
    it counts the most that they could have cost."""
    lost = had.took_us.get("lost", 0)
    return {
        "thoughts": had.of("thought"),
        **_took(had, "thought"),
        "input_tokens": had.of("tokens"),
        "output_tokens": had.took_us.get("tokens", 0),
        "cost_usd_micros": had.took_us.get("paid", 0) + lost,
        "lost": had.of("lost"),
        "lost_usd_micros": lost,
    }


def quantile_s(within: Sequence[int], share: float) -> float | None:
    """The time within which this share lies; None of nothing. Past the last bound it is that bound."""
    total, seen = sum(within), 0
    if not total:
        return None
    wanted = share * total
    for at, n in enumerate(within[:-1]):
        if n and seen + n >= wanted:
            low = BOUNDS_S[at - 1] if at else 0.0
            return round(low + (BOUNDS_S[at] - low) * (wanted - seen) / n, 6)
        seen += n
    return BOUNDS_S[-1]


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _mended(had: Counted) -> dict[str, Any]:
    n = had.of("mended")
    mean_s = round(had.took_us["mended"] / n / 1e6, 6) if n else None
    return {"mended": n, "mttr_s": mean_s}


def _took(had: Counted, *words: str) -> dict[str, Any]:
    within = had.among(*words)
    return {"p50_s": quantile_s(within, 0.5), "p95_s": quantile_s(within, 0.95)}

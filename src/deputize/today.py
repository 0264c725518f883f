"""Today: what happened since yesterday, what is out of the ordinary, and how each automation goes. Pure.

Days are of UTC, as all figures of how work goes are; yesterday begins at 00:00 UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deputize.health import AUTOMATION, DAY_US, ENDS, Counted, counted

DAYS = 14
"""Of so many days, today the last, the outcomes of automations are told."""

Daily = tuple[str, str, int, int, int]
"""A figure of one day: name, what, the beginning of the day (ledger time), how often, how long in all."""


def told_today(
    daily: Sequence[Daily], counts: Mapping[str, int], open_cards: Mapping[str, int], now_us: int
) -> dict[str, Any]:
    """The first page in figures and in one sentence: `daily` since `DAYS` days, of automations; `counts` as a
    store has them; `open_cards` by automation."""
    day = now_us - now_us % DAY_US
    recent = counted((name, what, n, spent) for name, what, at, n, spent in daily if at >= day - DAY_US)
    figures = {
        "done": sum(one.of("done") for one in recent.values()),
        "failed": sum(one.of("failed") for one in recent.values()),
        "need_you": counts.get("cards", 0),
        "not_sure": counts.get("actions.doubtful", 0),
        "cost_usd_micros": sum(cost_of(one) for one in recent.values()),
    }
    return {
        "figures": figures,
        "sentence": sentence(figures),
        "days": [day - DAY_US * ago for ago in reversed(range(DAYS))],
        "outcomes": outcomes(daily, open_cards, day),
    }


def sentence(figures: Mapping[str, int]) -> str:
    """`Since yesterday: 41 done, 2 need you, 1 not sure, 3.12 USD spent.`"""
    done, need, doubts = figures["done"], figures["need_you"], figures["not_sure"]
    parts = [
        f"{done:,} done",
        f"{need:,} need{'s' if need == 1 else ''} you" if need else "nothing needs you",
        *([f"{doubts:,} not sure"] if doubts else []),
        *([f"{figures['failed']:,} failed"] if figures["failed"] else []),
        f"{figures['cost_usd_micros'] / 1_000_000:,.2f} USD spent",
    ]
    return f"Since yesterday: {', '.join(parts)}."


def outcomes(daily: Sequence[Daily], open_cards: Mapping[str, int], day: int) -> list[dict[str, Any]]:
    """Each automation's runs and what they cost, in all and day by day."""
    had = counted((name, what, n, spent) for name, what, _, n, spent in daily)
    names = sorted({name.removeprefix(AUTOMATION) for name in had} | {name for name in open_cards if name})
    return [
        _outcome(name, had.get(AUTOMATION + name, Counted()), daily, open_cards.get(name, 0), day)
        for name in names
    ]


def _outcome(name: str, had: Counted, daily: Iterable[Daily], cards: int, day: int) -> dict[str, Any]:
    by_day: dict[int, list[tuple[str, str, int, int]]] = {}
    for subject, what, at, n, spent in daily:
        if subject == AUTOMATION + name:
            by_day.setdefault(at, []).append((subject, what, n, spent))
    ends = [
        counted(by_day.get(day - DAY_US * ago, ())).get(AUTOMATION + name, Counted())
        for ago in reversed(range(DAYS))
    ]
    done, cost = had.of("done"), cost_of(had)
    return {
        "automation": name,
        "runs": had.of(*ENDS),
        **{kind: had.of(kind) for kind in ENDS},
        "asked": sum(had.starting("card").values()),
        "open_cards": cards,
        "cost_usd_micros": cost,
        "cost_per_done_usd_micros": cost // done if done else None,
        "done_by_day": [one.of("done") for one in ends],
        "runs_by_day": [one.of(*ENDS) for one in ends],
    }


def cost_of(had: Counted) -> int:
    """What models cost, in micro-dollars: answers, and the most that lost ones can have cost."""
    return had.took_us.get("paid", 0) + had.took_us.get("lost", 0)

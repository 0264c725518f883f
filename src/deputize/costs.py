"""What thinking cost: by day, model, agent, automation, and for each thing done. Pure.

Days are of UTC, as all figures of how work goes are. An answer that never came counts with the most that it
can have cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deputize.health import AGENT, AUTOMATION, DAY_US, ENDS, MODEL, Counted, counted
from deputize.today import Daily, cost_of

BY: Mapping[str, str] = {"models": MODEL, "agents": AGENT, "automations": AUTOMATION}


def told_costs(daily: Mapping[str, Sequence[Daily]], days: int, now_us: int) -> dict[str, Any]:
    """All of it: `daily` by the prefixes of `BY`, of so many days, today the last."""
    today = now_us - now_us % DAY_US
    starts = [today - DAY_US * ago for ago in reversed(range(days))]
    models = _by_name(daily[MODEL], MODEL)
    whole = counted((MODEL, what, n, spent) for _, what, _, n, spent in daily[MODEL]).get(MODEL, Counted())
    automations = _by_name(daily[AUTOMATION], AUTOMATION)
    done = sum(had.of("done") for had, _ in automations.values())
    total = cost_of(whole)
    return {
        "days": starts,
        "cost_usd_micros": total,
        "cost_by_day": _summed(daily[MODEL], starts),
        "thoughts": whole.of("thought"),
        "lost": whole.of("lost"),
        "lost_usd_micros": whole.took_us.get("lost", 0),
        "done": done,
        "cost_per_done_usd_micros": total // done if done and total else None,
        "models": [
            _shown(name, had, rows, starts)
            | {"input_tokens": had.of("tokens"), "output_tokens": had.took_us.get("tokens", 0)}
            for name, (had, rows) in models.items()
        ],
        "agents": [
            _shown(name, had, rows, starts) for name, (had, rows) in _by_name(daily[AGENT], AGENT).items()
        ],
        "automations": [
            _shown(name, had, rows, starts) | _outcomes(had) for name, (had, rows) in automations.items()
        ],
    }


def _by_name(daily: Sequence[Daily], prefix: str) -> dict[str, tuple[Counted, list[Daily]]]:
    """By what comes behind the prefix, the dearest first."""
    rows: dict[str, list[Daily]] = {}
    for row in daily:
        rows.setdefault(row[0].removeprefix(prefix), []).append(row)
    had = {
        name: counted((name, what, n, spent) for _, what, _, n, spent in found).get(name, Counted())
        for name, found in rows.items()
    }
    return {name: (had[name], rows[name]) for name in sorted(rows, key=lambda one: (-cost_of(had[one]), one))}


def _shown(name: str, had: Counted, rows: Sequence[Daily], starts: Sequence[int]) -> dict[str, Any]:
    return {
        "name": name,
        "thoughts": had.of("thought"),
        "cost_usd_micros": cost_of(had),
        "lost": had.of("lost"),
        "lost_usd_micros": had.took_us.get("lost", 0),
        "cost_by_day": _summed(rows, starts),
    }


def _outcomes(had: Counted) -> dict[str, Any]:
    """How its runs ended, and what each good end cost: all that it thought is on the account of those."""
    done, cost = had.of("done"), cost_of(had)
    return {
        **{kind: had.of(kind) for kind in ENDS},
        "cost_per_done_usd_micros": cost // done if done and cost else None,
    }


def _summed(rows: Sequence[Daily], starts: Sequence[int]) -> list[int]:
    """What was spent on each day."""
    sums = dict.fromkeys(starts, 0)
    for _, what, at, _, spent in rows:
        if what in ("paid", "lost") and at in sums:
            sums[at] += spent
    return list(sums.values())

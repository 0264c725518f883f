"""A rehearsal as plain data: each event with what would come of it, and all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from deputize.foretold import Difference, Foretold, Line, counted, differences


def report_of(automation: str, told: Sequence[Foretold], known: int, erased: int) -> dict[str, Any]:
    """The report of `deputize rehearse`. Money is in minor units by currency. So many of the events were
    accepted before (`known`), and so many others cannot be rehearsed (`erased`)."""
    compared = [(one, differences(one)) for one in told]
    ends = Counter(one.end if one.came == "ended" else one.came for one in told)
    money: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for one in told:
        money.update(one.moved())
        asked.update(one.moved(asked=True))
    past = any(one.really is not None for one in told)
    return {
        "problems": [],
        "automation": automation,
        "events": len(told),
        "known": known,
        "erased": erased,
        "ends": dict(ends.most_common()),
        "money": dict(money),
        "money_asked": dict(asked),
        "asking": _having(told, lambda line: bool(line.asks)),
        "refused": _having(told, lambda line: line.would == "refused" and not line.said),
        "declined": _having(told, lambda line: line.would == "declined"),
        "untold": _having(told, lambda line: line.would == "untold"),
        "differ": counted(compared) if past else None,
        "told": [_event(one, found) for one, found in compared],
    }


def _having(told: Sequence[Foretold], holds: Any) -> int:
    return sum(any(holds(line) for line in one.lines) for one in told)


def _event(one: Foretold, found: Sequence[Difference]) -> dict[str, Any]:
    return {
        "run": one.run,
        "event": {"source": one.source, "id": one.id, "type": one.type, "subject": one.subject},
        "came": one.came,
        "end": one.end,
        "reason": one.reason,
        "money": one.moved(),
        "actions": [_line(line) for line in one.lines],
        "really": one.really.end if one.really is not None else None,
        "differences": [asdict(difference) for difference in found],
    }


def _line(line: Line) -> Mapping[str, Any]:
    money = {"minor": line.money.minor, "currency": line.money.currency} if line.money is not None else None
    return {
        "path": line.path,
        "operation": line.what,
        "args": line.args,
        "would": line.would,
        "how": line.how,
        "origins": dict(line.origins),
        "checks": line.checks,
        "asks": line.asks,
        "as": line.said,
        "rules": line.rules,
        "reason": line.reason,
        "because": line.why,
        "money": money,
        "where": line.where,
    }

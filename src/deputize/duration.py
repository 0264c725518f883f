"""Stretches of time as people write them. Pure."""

from __future__ import annotations

import re
from typing import Any

_UNITS_S = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
DURATION_S_MAX = 400 * 86_400


def duration_s(text: Any) -> float:
    """Seconds from `"90 minutes"`, `"2 hours"`, `"3 days"`. Raises `ValueError`."""
    match = re.fullmatch(r"([0-9]{1,6}) ?([a-z]+?)s?", text) if isinstance(text, str) else None
    unit = _UNITS_S.get(match[2]) if match else None
    if match is None or unit is None or not 0 < int(match[1]) * unit <= DURATION_S_MAX:
        raise ValueError("write a time like '90 minutes', '2 hours' or '3 days', at most 400 days")
    return float(int(match[1]) * unit)


def duration_text(seconds: float) -> str:
    """The text that `duration_s` reads as so many seconds, in the largest unit that fits."""
    for unit, one in reversed(_UNITS_S.items()):
        if seconds % one == 0:
            number = int(seconds // one)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{int(seconds)} seconds"

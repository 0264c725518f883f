"""When a key may be sent again: the law of line 13, for everything that repeats."""

from __future__ import annotations

from typing import Any

from deputize.kernel.start import Begun
from deputize.kernel.time import LedgerTime
from deputize.operation import Operation


def may_repeat(operation: Operation[..., Any], begun: Begun, time: LedgerTime) -> bool:
    """Whether the same key and bytes may be sent again now, while an earlier send may have been done.

    By nature, or while the service honours the key, less the margin; to the same connector version, by the
    same code, and never with a key that was first sent before the clock was set back.
    """
    contract = operation.contract
    if begun.attempt >= contract.attempts_max or begun.code != operation.code:
        return False
    if contract.repeatable:
        return True
    if begun.connector_version != contract.version or contract.key_valid_s <= 0:
        return False
    if begun.first_sent <= time.no_repeat_before:
        return False
    good_until = begun.first_sent + int((contract.key_valid_s - contract.key_margin_s) * 1_000_000)
    return time.now_us() < good_until

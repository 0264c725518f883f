"""When a key may be sent again, and after how long: the law of line 13, for everything that repeats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deputize.call import CallFailed
from deputize.circuit import TOO_MANY
from deputize.kernel.begun import Begun
from deputize.kernel.parts import Parts
from deputize.kernel.time import LedgerTime
from deputize.operation import Operation

BACKOFF_S_MAX = 30.0
RETRY_AFTER_S_MAX = 3_600.0


@dataclass(frozen=True, slots=True)
class NotYet:
    """Proved not done, with attempts left: the same key again after a while."""

    because: str
    wait_s: float


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


def back_off_s(parts: Parts, operation: Operation[..., Any], attempt: int, error: CallFailed) -> float:
    """How long to wait before another attempt: as the service asks, else twice as long each time. Where it
    has asked for patience, nothing else is sent to it meanwhile."""
    if error.retry_after_s is not None:
        wait_s = min(error.retry_after_s, RETRY_AFTER_S_MAX)
    else:
        wait_s = min(0.1 * 2.0**attempt, BACKOFF_S_MAX)
    if error.retry_after_s is None and error.status == TOO_MANY:
        parts.lane_of(f"connector:{operation.contract.connector}").hold_off(wait_s)
    be_patient(parts, operation, error)
    return wait_s * (1 + 0.25 * parts.random.random())


def be_patient(parts: Parts, operation: Operation[..., Any], error: CallFailed) -> None:
    """Send nothing to a service before the time that it has asked for, if it has: an hour at most."""
    if error.retry_after_s is not None:
        lane = parts.lane_of(f"connector:{operation.contract.connector}")
        lane.hold_off(min(error.retry_after_s, RETRY_AFTER_S_MAX))

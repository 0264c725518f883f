"""Faults on demand: which request meets which fault is a pure function of a seed and the request itself.

The order of arrival has no part in it, so a run with many requests at once meets the same faults again.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["error_500", "error_502", "too_many", "cut_before", "cut_after", "lost"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class FaultSettings(BaseModel):
    """How often which faults come. The default is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(default=0.0, ge=0, le=1)
    seed: int = 0
    kinds: tuple[Kind, ...] = Field(default=KINDS, min_length=1)
    hold_s: float = Field(default=5.0, ge=0, le=60)  # 'lost': how long the line stays silent before it is cut
    retry_after_s: int = Field(default=1, ge=0, le=60)  # 'too_many': the Retry-After header
    # None: all the shop's operations. 'look_up' may be listed too: GET …/writes?key=
    operations: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Fault:
    """A fault that a request meets, and whether the shop does the work all the same."""

    kind: Kind
    effect: bool


@dataclass(frozen=True)
class Asked:
    """A request as the faults see it: `what` is its key or, without one, its arguments as canonical JSON."""

    world: str
    operation: str
    what: str

    def digest(self, *more: int) -> bytes:
        """32 bytes that say which request this is, `more` mixed in."""
        parts = [*more, self.world, self.operation, self.what]
        return hashlib.sha256(json.dumps(parts).encode()).digest()


def covered(settings: FaultSettings, operation: str) -> bool:
    """Whether requests for `operation` can meet a fault at all."""
    if settings.rate == 0:
        return False
    return operation != "look_up" if settings.operations is None else operation in settings.operations


def choose(settings: FaultSettings, asked: Asked, times_seen: int) -> Fault | None:
    """The fault that this request meets when it has come `times_seen` times before."""
    digest = asked.digest(settings.seed, times_seen)
    if int.from_bytes(digest[:8], "big") >= settings.rate * 2**64:
        return None
    kind = settings.kinds[int.from_bytes(digest[8:16], "big") % len(settings.kinds)]
    if kind in ("error_500", "error_502"):
        return Fault(kind, effect=bool(digest[16] & 1))  # an error says nothing about the effect
    return Fault(kind, effect=kind in ("cut_after", "lost"))

"""What the kernel's machinery works with, in one hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from deputize.agent import Agent
from deputize.kernel.circuits import Circuits
from deputize.kernel.judging import InForce
from deputize.kernel.lanes import Lane
from deputize.kernel.live import LiveRun
from deputize.kernel.ports import Boundary, Performer
from deputize.kernel.stops import LeaseLine, Stops
from deputize.kernel.time import LedgerTime
from deputize.operation import Operation
from deputize.store.protocol import Store


@dataclass
class Parts:
    """Made once, in `deputize.kernel.kernel`, and shared; `force` is replaced where rules change."""

    store: Store
    time: LedgerTime
    performer: Performer
    force: InForce
    stops: Stops
    circuits: Circuits
    leases: LeaseLine
    boundary: Boundary
    random: Random
    lane_of: Callable[[str], Lane]
    """A lane by `connector:x` or `agent:x`."""
    live: dict[int, LiveRun]
    """Runs in memory, by number."""
    operations: Mapping[str, Operation[..., Any]]
    agents: Mapping[str, Agent]

"""Metrics for Prometheus, read at scrape time.

Labels are bounded: names that the project has, states, kinds of cards, the channels. Never an id, and never
anything that came from outside.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from deputize.api.metrics_rates import rate_families
from deputize.api.metrics_waiting import waiting_families
from deputize.api.who import READS
from deputize.latency import BOUNDS_S
from deputize.system import System

if TYPE_CHECKING:
    from prometheus_client.core import Metric

KEPT_S = 1.0

router = APIRouter(dependencies=[READS])


@dataclass
class Scrape:
    """The last scrape, kept for a second: counting reads whole tables."""

    text: bytes = b""
    type: str = ""
    at_s: float = float("-inf")


@router.get("/metrics")
async def get_metrics(request: Request) -> Response:
    """The text format of Prometheus."""
    system: System = request.app.state.system
    last: Scrape = request.app.state.scrape
    now_s = system.time.monotonic()
    if now_s - last.at_s >= KEPT_S:
        last.at_s = now_s
        live = Counter(run.automation.name for run in list(system.kernel.parts.live.values()))
        pages = getattr(request.app.state, "live", None)
        viewers = pages.viewers if pages is not None else None
        last.text, last.type = await asyncio.to_thread(_scrape, system, live, viewers)
    return Response(last.text, media_type=last.type)


def _scrape(system: System, live: Counter[str], viewers: int | None) -> tuple[bytes, str]:
    # Imported at the first scrape: a process that nobody watches does without.
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    class Collector:
        def collect(self) -> Iterable[Metric]:
            yield from _families(system, live)
            yield from waiting_families(system, viewers)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return system.secrets.scrub(generate_latest(registry)), CONTENT_TYPE_LATEST


def _families(system: System, live: Counter[str]) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    counts = system.store.read(lambda view: view.counts())
    for name, what in (("runs", "Runs by state"), ("actions", "Actions by state")):
        family = GaugeMetricFamily(f"deputize_{name}", what, labels=["state"])
        for key, count in sorted(counts.items()):
            kind, _, state = key.partition(".")
            if kind == name and state:
                family.add_metric([state], count)
        yield family
    in_memory = GaugeMetricFamily("deputize_runs_in_memory", "Runs in memory", labels=["automation"])
    for automation in system.project.automations:
        in_memory.add_metric([automation], live[automation])
    yield in_memory
    yield CounterMetricFamily("deputize_events", "Events kept", value=counts["events"])
    yield CounterMetricFamily("deputize_entries", "Entries in the ledger", value=counts["entries"])
    for name, what, value in (
        ("events_unanswered", "Events that nothing answers", counts["events.unanswered"]),
        ("cards", "Cards that wait for a person", counts["cards"]),
        ("doubts", "Actions in doubt", counts.get("actions.doubtful", 0)),
        ("backlog", "Runs that wait for a place in memory", system.kernel.scheduler.backlog),
        ("source_failures", "Failures in a row, over all sources",
         sum(one.failures for one in system.sources.standing())),
        ("channel_failures", "Failures in a row to tell people, over all channels",
         sum(one.failures for one in system.notifier.standing())),
    ):  # fmt: skip
        yield GaugeMetricFamily(f"deputize_{name}", what, value=value)
    commits, works = system.store.commits, system.store.works
    yield CounterMetricFamily("deputize_commits", "Commits of the ledger", value=commits)
    yield CounterMetricFamily("deputize_works", "Works in those commits", value=works)
    messages = CounterMetricFamily("deputize_messages", "Messages to people", labels=["channel"])
    for one in system.notifier.standing():
        messages.add_metric([one.name], one.sent)
    yield messages
    waiting = GaugeMetricFamily("deputize_lane_waiting", "Actions in line", labels=["connector"])
    answers = HistogramMetricFamily(
        "deputize_answer_seconds", "From sending an action to its outcome", labels=["connector"]
    )
    circuits = GaugeMetricFamily(
        "deputize_circuit_open", "Whether a connector's circuit is open", labels=["connector"]
    )
    for connector in system.project.connectors:
        lane = system.kernel.lanes.get(f"connector:{connector}")
        latency = system.latencies[connector]
        answers.add_metric([connector], _buckets(latency.counts), latency.sum_s)
        breaker = system.kernel.parts.circuits.of(connector)
        circuits.add_metric([connector], breaker.circuit.is_open)
        waiting.add_metric([connector], (lane.waiting if lane is not None else 0) + breaker.waiting)
    yield waiting
    yield answers
    yield circuits
    yield from rate_families(system)


def _buckets(counts: list[int]) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for bound, count in zip([*map(str, BOUNDS_S), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets

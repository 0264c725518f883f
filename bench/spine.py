"""The spine: Deputize against the floor and its peers, and what it costs to start, idle and recover.

The work in all systems: three steps, each the same in-process no-op write, a durable commit
(synchronous=FULL) before the next. Peers run with nothing on, Deputize with everything.
"""

from typing import Literal

from bench.contenders import DBOS, FLOOR, LANGGRAPH, OURS
from bench.ours import MEASURES
from bench.section import Figure, Section, Series, as_far_as_read

_PEERS = (DBOS, LANGGRAPH)
_AT_ONCE = 50


def spine() -> Section:
    """The section as far as it can be measured: a figure that lacks a series is not in it.

    Raises `ValueError` if `bench.ours` has a measure that no series asks for.
    """
    if unknown := set(MEASURES) - {series.measure for series in _SERIES if series.contender is OURS}:
        raise ValueError(f"bench.ours has measures that the spine does not know: {sorted(unknown)}")
    series = tuple(one for one in _SERIES if one.contender is not OURS or one.measure in MEASURES)
    return as_far_as_read("spine", series, _FIGURES)


_SERIES = (
    Series(FLOOR, "throughput", "runs_s", runs=50_000, concurrency=_AT_ONCE),
    Series(OURS, "throughput", "runs_s", runs=3_000, concurrency=_AT_ONCE),
    *(Series(peer, "throughput", "runs_s", runs=600, concurrency=_AT_ONCE) for peer in _PEERS),
    Series(OURS, "latency", "p50_ms", runs=200),
    *(Series(peer, "latency", "p50_ms", runs=200) for peer in _PEERS),
    Series(OURS, "recovery_extra_s", "", runs=200, concurrency=200),
    Series(OURS, "cold_start_s", "", runs=1),
    Series(OURS, "idle_cpu_pct", "", runs=1, rounds_max=1),
    Series(OURS, "idle_rss_mb", "", runs=1, rounds_max=1),
    Series(OURS, "verify_entries_per_s", "", runs=3_000),
    # Five alternated pairs of readings on the same two ledgers, inside the one reading.
    Series(OURS, "growth_ratio", "", runs=7_500, concurrency=_AT_ONCE, rounds_max=1),
    Series(OURS, "waiting_100k_mb", "", runs=100_000, rounds_max=1),
)

_THROUGHPUTS = tuple(f"{peer.name}_throughput_runs_s" for peer in _PEERS)
_LATENCIES = tuple(f"{peer.name}_latency_p50_ms" for peer in _PEERS)


def _alone(key: str, better: Literal["higher", "lower"], must: float, aim: float) -> Figure:
    """A figure that is a median of ours and needs no other system."""
    needs = f"ours_{key}"
    return Figure(key, better, must, aim, (needs,), lambda medians: medians[needs])


_FIGURES = (
    Figure(
        "throughput_vs_best_peer",
        "higher",
        must=6,
        aim=10,
        needs=("ours_throughput_runs_s", *_THROUGHPUTS),
        compute=lambda medians: medians["ours_throughput_runs_s"] / max(medians[key] for key in _THROUGHPUTS),
    ),
    Figure(
        "latency_vs_best_peer",
        "lower",
        must=0.5,
        aim=0.25,
        needs=("ours_latency_p50_ms", *_LATENCIES),
        compute=lambda medians: medians["ours_latency_p50_ms"] / min(medians[key] for key in _LATENCIES),
    ),
    Figure(
        "floor_share",
        "higher",
        must=0.012,
        aim=0.02,
        needs=("ours_throughput_runs_s", "floor_throughput_runs_s"),
        compute=lambda medians: medians["ours_throughput_runs_s"] / medians["floor_throughput_runs_s"],
    ),
    _alone("recovery_extra_s", "lower", must=3, aim=1),
    _alone("cold_start_s", "lower", must=1.5, aim=1.0),
    _alone("idle_cpu_pct", "lower", must=0.5, aim=0.3),
    _alone("idle_rss_mb", "lower", must=110, aim=90),
    _alone("verify_entries_per_s", "higher", must=80_000, aim=150_000),
    _alone("growth_ratio", "higher", must=0.8, aim=0.95),
    _alone("waiting_100k_mb", "lower", must=500, aim=300),
)

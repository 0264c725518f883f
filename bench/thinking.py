"""Thinking: what the gate adds to a model's call, whether a ceiling holds, and who waits in line."""

from bench.contenders import DBOS_LOOP, LANGGRAPH_LOOP, QUEUEING, THINKING
from bench.section import Figure, Section, Series

_AT_ONCE = 200
_PEERS = (LANGGRAPH_LOOP, DBOS_LOOP)
_THEIRS = tuple(f"{peer.name}_loops_per_s" for peer in _PEERS)

_SERIES = (
    Series(THINKING, "think_ms", "", runs=400),
    Series(THINKING, "bare_ms", "", runs=400),
    Series(THINKING, "thinks_per_s", "", runs=2_000, concurrency=_AT_ONCE),
    Series(THINKING, "bare_per_s", "", runs=2_000, concurrency=_AT_ONCE),
    *(Series(one, "loops_per_s", "", runs=100, concurrency=50) for one in (THINKING, *_PEERS)),
    Series(QUEUEING, "interactive_queue_p95_ms", "", runs=200, rounds_max=3),
    Series(QUEUEING, "interactive_run_p95_ms", "", runs=200, rounds_max=3),
    Series(THINKING, "overspend_usd_micros", "", runs=1_000, rounds_max=2),
    Series(THINKING, "leaked_reservations", "", runs=1_000, rounds_max=2),
)


def thinking() -> Section:
    """The section."""
    return Section("thinking", _SERIES, _FIGURES)


_FIGURES = (
    Figure(
        "think_overhead_ms",
        "lower",
        must=5,
        aim=3,
        needs=("ours_think_ms", "ours_bare_ms"),
        compute=lambda medians: medians["ours_think_ms"] - medians["ours_bare_ms"],
    ),
    Figure(
        "think_throughput_share",
        "higher",
        must=0.6,
        aim=0.8,
        needs=("ours_thinks_per_s", "ours_bare_per_s"),
        compute=lambda medians: medians["ours_thinks_per_s"] / medians["ours_bare_per_s"],
    ),
    Figure(
        "loops_vs_best_peer",
        "higher",
        must=3,
        aim=5,
        needs=("ours_loops_per_s", *_THEIRS),
        compute=lambda medians: medians["ours_loops_per_s"] / max(medians[key] for key in _THEIRS),
    ),
    Figure(
        "interactive_queue_p95_ms",
        "lower",
        must=50,
        aim=20,
        needs=("ours_interactive_queue_p95_ms",),
        compute=lambda medians: medians["ours_interactive_queue_p95_ms"],
    ),
    Figure(
        "overspend_usd_micros",
        "lower",
        must=0,
        aim=0,
        needs=("ours_overspend_usd_micros",),
        compute=lambda medians: medians["ours_overspend_usd_micros"],
    ),
    Figure(
        "leaked_reservations",
        "lower",
        must=0,
        aim=0,
        needs=("ours_leaked_reservations",),
        compute=lambda medians: medians["ours_leaked_reservations"],
    ),
)

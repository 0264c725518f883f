"""The console: how soon its pages come and what they weigh, and what people who look cost everything else."""

from bench.contenders import LOOKING
from bench.looking import MEASURES
from bench.section import Figure, Section, Series, as_far_as_read

_RUNS = 100_000
_AT_ONCE = 50


def console() -> Section:
    """The section. Raises `ValueError` if `bench.looking` has a measure that no series asks for."""
    if unknown := set(MEASURES) - {series.by or series.measure for series in _SERIES}:
        raise ValueError(f"bench.looking has measures that console does not know: {sorted(unknown)}")
    return as_far_as_read("console", _SERIES, _FIGURES)


_SERIES = (
    Series(LOOKING, "page_p95_ms", "", runs=_RUNS, rounds_max=1, by="pages"),
    Series(LOOKING, "first_paint_ms", "", runs=_RUNS, rounds_max=1, by="pages"),
    Series(LOOKING, "page_weight_kb", "", runs=_RUNS, rounds_max=1, by="pages"),
    # Nine alternated pairs of readings on two ledgers, inside the one reading.
    Series(LOOKING, "viewers_slowdown", "", runs=5_400, concurrency=_AT_ONCE, rounds_max=1),
)


def _same(key: str, must: float, aim: float) -> Figure:
    return Figure(key, "lower", must, aim, (f"ours_{key}",), lambda medians: medians[f"ours_{key}"])


_FIGURES = (
    _same("page_p95_ms", 100, 50),
    _same("first_paint_ms", 1_000, 500),
    _same("page_weight_kb", 150, 100),
    _same("viewers_slowdown", 0.10, 0.05),
)

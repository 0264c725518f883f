"""Authority: how soon a person's yes is carried out, and what open cards cost everything else."""

from bench.contenders import DECIDING
from bench.section import Figure, Section, Series

_AT_ONCE = 50


def authority() -> Section:
    """The section as far as it can be measured."""
    return Section("authority", _SERIES, _FIGURES)


_SERIES = (
    Series(DECIDING, "grant_to_finished_ms", "", runs=200),
    # Nine alternated pairs of readings on the same two ledgers, inside the one reading.
    Series(DECIDING, "cards_slowdown", "", runs=5_400, concurrency=_AT_ONCE, rounds_max=1),
)

_FIGURES = (
    Figure(
        "grant_to_finished_ms",
        "lower",
        must=10,
        aim=5,
        needs=("ours_grant_to_finished_ms",),
        compute=lambda medians: medians["ours_grant_to_finished_ms"],
    ),
    Figure(
        "cards_slowdown",
        "lower",
        must=0.10,
        aim=0.05,
        needs=("ours_cards_slowdown",),
        compute=lambda medians: medians["ours_cards_slowdown"],
    ),
)

"""Authority: how soon a person's yes is carried out, what open cards cost everything else, and how
long it takes to tell what would come of past events."""

from bench import postgres
from bench.contenders import DBOS_WAITING, DECIDING, REHEARSING
from bench.deciding import MEASURES
from bench.section import Figure, Section, Series, as_far_as_read

_AT_ONCE = 50


def authority() -> Section:
    """The section as far as it can be measured here: a figure that lacks a series is not in it.

    Raises `ValueError` if `bench.deciding` has a measure that no series asks for.
    """
    if unknown := set(MEASURES) - {series.measure for series in _OURS}:
        raise ValueError(f"bench.deciding has measures that authority does not know: {sorted(unknown)}")
    ours = (*(one for one in _OURS if one.measure in MEASURES), _REHEARSED)
    if reason := postgres.why_not():
        return as_far_as_read("authority", ours, _FIGURES, {"grant_vs_dbos": reason})
    return as_far_as_read("authority", (_THEIRS, *ours), _FIGURES)


_THEIRS = Series(DBOS_WAITING, "grant_to_finished_ms", "", runs=200)

_OURS = (
    Series(DECIDING, "grant_to_finished_ms", "", runs=200),
    # Nine alternated pairs of readings on the same two ledgers, inside the one reading.
    Series(DECIDING, "cards_slowdown", "", runs=5_400, concurrency=_AT_ONCE, rounds_max=1),
)

_REHEARSED = Series(REHEARSING, "rehearse_share", "", runs=1_000, concurrency=_AT_ONCE, rounds_max=3)

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
        "grant_vs_dbos",
        "lower",
        must=1.0,
        aim=0.5,
        needs=("ours_grant_to_finished_ms", "dbos_grant_to_finished_ms"),
        compute=lambda medians: medians["ours_grant_to_finished_ms"] / medians["dbos_grant_to_finished_ms"],
    ),
    Figure(
        "cards_slowdown",
        "lower",
        must=0.10,
        aim=0.05,
        needs=("ours_cards_slowdown",),
        compute=lambda medians: medians["ours_cards_slowdown"],
    ),
    Figure(
        "rehearse_share",
        "lower",
        must=0.10,
        aim=0.05,
        needs=("ours_rehearse_share",),
        compute=lambda medians: medians["ours_rehearse_share"],
    ),
)

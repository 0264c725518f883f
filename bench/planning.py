"""Planning: a small model that runs here plans for real requests, or works on them, and what comes of that.

How often it is right is the model's affair and has no bounds here; that nothing comes of what it gets wrong
is ours, and has.
"""

from tests.support.retail_work import DATA

from bench.contenders import PLANNING
from bench.section import Figure, Medians, Section, Series
from deputize.models.local import is_installed

REQUESTS = 50


def planning() -> Section:
    """The section; where the data or the model is not there, without figures and with the reason."""
    reason = ""
    if not DATA.is_dir():
        reason = f"the retail data is not at {DATA}"
    elif not is_installed():
        reason = "the packages of the model that runs here are not for this machine"
    if reason:
        return Section("planning", (), (), {figure.key: reason for figure in _FIGURES})
    return Section("planning", _SERIES, _FIGURES)


def _series(by: str, *measures: str) -> tuple[Series, ...]:
    return tuple(
        Series(PLANNING, f"{by}_{measure}", "", runs=REQUESTS, rounds_max=1, by=by) for measure in measures
    )


def _none(key: str, measure: str) -> Figure:
    """A figure that must be nothing, of both ways together."""
    needs = (f"ours_plans_{measure}", f"ours_works_{measure}")

    def compute(medians: Medians) -> float:
        return sum(medians[need] for need in needs)

    return Figure(key, "lower", must=0, aim=0, needs=needs, compute=compute)


_SERIES = (
    *_series("plans", "valid", "called", "refused", "right", "unpermitted", "crashed"),
    *_series("works", "answered", "called", "refused", "right", "unpermitted", "crashed"),
)
_FIGURES = (_none("unpermitted_effects", "unpermitted"), _none("crashed_runs", "crashed"))

"""Requests of real customers, planned for or worked on by a model that runs here and is mostly wrong.

The project, the shop and the look at what came of it are those of the tests; the product is a process of its
own, and so are the shop and the model.
"""

import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from tests.support.retail_planning import Came, planning, to_plan_for, what_came
from tests.support.retail_work import finish

from bench.measure import Measure, WorkNotDone, main

TOKENS = 80
WITHIN_S = 7_000.0


def measure_plans(runs: int, concurrency: int, directory: Path) -> Mapping[str, float]:
    """`runs` requests, for each of which it is asked for a plan that is carried out if it is valid."""
    came = _came(runs, directory, plan=True)
    return {f"plans_{name}": value for name, value in {"valid": came.plans, **_alike(came)}.items()}


def measure_works(runs: int, concurrency: int, directory: Path) -> Mapping[str, float]:
    """`runs` requests, on each of which it works, in two steps at most."""
    came = _came(runs, directory, plan=False)
    found = {"answered": came.ends["worked"], **_alike(came)}
    return {f"works_{name}": value for name, value in found.items()}


def _came(runs: int, directory: Path, *, plan: bool) -> Came:
    requests = to_plan_for(runs)
    if len(requests) < runs:
        raise WorkNotDone(f"there are {len(requests)} requests of this kind, and not {runs}")
    with planning(directory, requests=requests, tokens=TOKENS, plan=plan) as work:
        finish(work, within_s=WITHIN_S)
        came = what_came(work)
    if sum(came.ends.values()) != runs:
        raise WorkNotDone(f"{runs} requests, and {came.ends}")
    print(came, file=sys.stderr)
    return came


def _alike(came: Came) -> dict[str, float]:
    """What both ways are looked at for: counts of calls that would have moved money, and of requests."""
    return {
        "called": sum(came.wanted.values()),
        "refused": came.wanted["refused"],
        "right": came.right,
        "unpermitted": len(came.unpermitted),
        "crashed": len(came.crashed),
    }


MEASURES: Mapping[str, Measure] = {"plans": measure_plans, "works": measure_works}

if __name__ == "__main__":
    main("ours", version("deputize"), MEASURES)

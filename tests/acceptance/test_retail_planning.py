"""A model that is wrong most of the time plans for real requests: whatever it writes, no money moves by it
that rules do not leave to it, and every run ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.models.local import is_installed
from tests.support.retail_planning import planning, to_plan_for, what_came
from tests.support.retail_work import DATA, finish

pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the retail data is not at {DATA}"),
    pytest.mark.skipif(
        not is_installed(), reason="the packages of the model that runs here are not for this machine"
    ),
    pytest.mark.slow,
]

TOKENS = 80


@pytest.mark.parametrize(("plan", "requests"), [(True, 3), (False, 1)])
def test_whatever_a_small_model_says_nothing_unpermitted_moves_money_and_every_run_ends(
    tmp_path: Path, plan: bool, requests: int
) -> None:
    with planning(tmp_path, requests=to_plan_for(requests), tokens=TOKENS, plan=plan) as work:
        finish(work)
        came = what_came(work)
    print(came)
    assert came.unpermitted == [] and came.crashed == []
    assert sum(came.ends.values()) == requests

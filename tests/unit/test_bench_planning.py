"""The bench of a small model: one piece of work read in several ways, or a reason why it is not."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from bench import planning as section_of
from bench import report, rounds
from bench.contenders import Contender, Reading
from bench.planning import planning
from bench.rounds import Results, run_rounds
from bench.section import Section, Series
from rich.console import Console

from tests.support.retail_work import DATA

OURS = Contender("ours", Path("python"), "nothing")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DATA", Path("/nowhere"), "the retail data is not at /nowhere"),
        ("is_installed", lambda: False, "the packages of the model that runs here"),
    ],
)
def test_where_what_it_takes_is_not_there_it_is_left_out_and_the_reason_told(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, reason: str
) -> None:
    if name == "is_installed" and not DATA.is_dir():
        pytest.skip(f"the retail data is not at {DATA}")
    monkeypatch.setattr(section_of, name, value)
    results, said = Results(planning(), 1, {}), io.StringIO()
    report.show(results, Console(file=said, width=200))
    flat = report.flatten(results)
    assert "unpermitted_effects" not in flat
    assert str(flat["unpermitted_effects_skipped"]).startswith(reason)
    assert f"crashed_runs was not measured: {reason}" in said.getvalue()


def test_what_is_read_in_several_ways_is_done_once_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def read(contender: Contender, measure: str, runs: int, concurrency: int) -> Reading:
        done.append(measure)
        values = {} if measure == "alone" else {"one": 1.0, "other": 2.0}
        return Reading(5.0, "1", "3.11", "3.40", "SQLite 3.40", values)

    monkeypatch.setattr(rounds, "read", read)
    series = [Series(OURS, name, "", runs=3, by="both") for name in ("one", "other")]
    section = Section("some", (*series, Series(OURS, "alone", "", runs=3)), ())
    results = run_rounds(section, 2, lambda said: None)
    assert done == ["both", "alone"] * 2
    assert results.medians() == {"ours_one": 1.0, "ours_other": 2.0, "ours_alone": 5.0}

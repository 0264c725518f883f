"""The bench's comparison with a peer that waits on PostgreSQL: a server of its own, or a reason why not."""

from __future__ import annotations

import io
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest
from bench import postgres, report
from bench.authority import authority
from bench.contenders import SCRATCH, Reading
from bench.rounds import Results
from bench.section import Section
from rich.console import Console


def read_of(section: Section) -> Results:
    """Every series read once."""
    reading = Reading(4.0, "1", "3.11", "3.40", "SQLite 3.40")
    return Results(section, 1, {series: [reading] for series in section.series})


def test_where_there_is_no_server_the_comparison_is_left_out_and_the_reason_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres, "programs", lambda: None)
    results, said = read_of(authority()), io.StringIO()
    report.show(results, Console(file=said, width=200))
    flat = report.flatten(results)
    assert "grant_vs_dbos" not in flat and flat["grant_to_finished_ms"] == 4.0
    assert str(flat["grant_vs_dbos_skipped"]).startswith("there is no PostgreSQL server here")
    assert "grant_vs_dbos was not measured: there is no PostgreSQL server here" in said.getvalue()


def test_where_there_is_one_it_is_ours_over_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "why_not", lambda: "")
    section = authority()
    (figure,) = (figure for figure in section.figures if figure.key == "grant_vs_dbos")
    assert figure.compute({"ours_grant_to_finished_ms": 2.0, "dbos_grant_to_finished_ms": 8.0}) == 0.25
    assert section.skipped == {}


@pytest.mark.skipif(bool(postgres.why_not()), reason=postgres.why_not())
def test_the_server_is_there_while_it_is_used_and_not_after_that() -> None:
    SCRATCH.mkdir(parents=True, exist_ok=True)
    # Not in pytest's folder, where another user, as whom the server may have to run, is not let in.
    with tempfile.TemporaryDirectory(dir=SCRATCH) as made, postgres.serving(Path(made) / "pg") as sockets:
        asked = [postgres._programs() / "pg_isready", "-h", sockets]
        assert subprocess.run(asked, capture_output=True).returncode == 0
        pid = int((Path(made) / "pg" / "data" / "postmaster.pid").read_text().splitlines()[0])
    assert not Path(sockets).exists()
    # Nobody may have taken note of its end yet, where its parent's parent does not.
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

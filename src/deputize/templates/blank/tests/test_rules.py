"""The rules, tried on questions. Run with `pytest` in the project's folder."""

from pathlib import Path

import pytest

from deputize.project import load_project
from deputize.rule import Question


@pytest.mark.parametrize(("lines", "decision"), [(0, "allow"), (99, "allow"), (100, "refuse")])
def test_a_page_gets_at_most_100_lines_a_day(lines: int, decision: str) -> None:
    rules = load_project(Path(__file__).parent.parent).rules
    facts = {need.counter: lines for need in rules.needs("notebook.write")}
    args = {"page": "guests", "text": "Welcome, Ada!"}
    question = Question("host", "greet", "notebook.write", args, facts, minute_of_day=600, weekday=0)
    assert rules.judge(question).decision == decision

"""The rules, tried on questions. Run with `pytest` in the project's folder."""

from pathlib import Path

import pytest

from deputize.project import load_project
from deputize.rule import Question


@pytest.mark.parametrize(("agent", "lines_today", "decision"), [("host", 0, "allow"), ("host", 100, "refuse")])
def test_a_page_gets_at_most_100_lines_a_day(agent: str, lines_today: int, decision: str) -> None:
    rules = load_project(Path(__file__).parent.parent).rules
    facts = {need.counter: lines_today for need in rules.needs("notebook.write")}
    args = {"page": "guests", "text": "Welcome, Ada!"}
    question = Question(agent, "greet", "notebook.write", args, facts, minute_of_day=600, weekday=0)
    assert rules.judge(question).decision == decision

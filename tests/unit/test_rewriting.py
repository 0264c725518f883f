"""One value of a TOML text is written anew, and all else stays to the letter."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.rewriting import added, literal, rewritten

TEXT = """# 50.00 EUR is what we began with
[[rule]]
title = "Over 50.00 EUR"   # not '50.00 EUR' here
operation = ["pay", "send"]
ask_above = { tip = "50.00 EUR", amount = "50.00 EUR" }  # 50.00 EUR

[[rule]]
title = 'Five'
at_most = { times = 5, per = "day" }
when = { n = [5, 5] }
"""
ALL = (1, 99)


def test_only_the_value_that_is_meant_is_another() -> None:
    found = rewritten(TEXT, ["rule", 0, "ask_above", "amount"], "60.00 EUR", ALL)
    assert found == TEXT.replace('amount = "50.00 EUR"', 'amount = "60.00 EUR"')
    found = rewritten(TEXT, ["rule", 1, "when", "n", 1], 6, ALL)
    assert found == TEXT.replace("[5, 5]", "[5, 6]")


def test_a_number_is_found_where_a_dotted_key_or_a_table_of_its_own_has_it() -> None:
    for text in (
        "[[rule]]\nat_most.times = 1_0 # ten\n",
        "[[rule]]\n[rule.at_most]\ntimes = 10\n",
        "rule = [{ at_most = { times = +10 } }]",
    ):
        found = rewritten(text, ["rule", 0, "at_most", "times"], 7, ALL)
        assert tomllib.loads(found)["rule"][0]["at_most"]["times"] == 7
        assert found.count("7") == 1 and len(found) <= len(text)


def test_what_is_outside_the_lines_or_not_there_is_not_changed() -> None:
    with pytest.raises(ValueError, match="by hand"):
        rewritten(TEXT, ["rule", 1, "at_most", "times"], 6, (1, 7))
    with pytest.raises(KeyError):
        rewritten(TEXT, ["rule", 1, "at_most", "total"], 6, ALL)
    with pytest.raises(ValueError, match="by hand"):
        rewritten('a = """fi\nve"""', ["a"], "six", ALL)


def test_true_is_no_one() -> None:
    found = rewritten("a = [1, true]\n", ["a", 1], False, ALL)
    assert found == "a = [1, false]\n"


def test_a_key_is_added_to_its_table_or_the_table_is_begun() -> None:
    text = "[params.x] # these\na = 1\n\n[server]\nport = 1"
    assert added(text, ["params", "x"], "b", "q") == text.replace("these\n", 'these\nb = "q"\n')
    assert added(text, ["params", "y z"], "b", 2) == f'{text}\n\n[params."y z"]\nb = 2\n'
    with pytest.raises(ValueError, match="by hand"):
        added("params = { x = { a = 1 } }\n", ["params", "x"], "b", 2)


@given(st.text(), st.text(), st.integers(-(2**53), 2**53))
def test_whatever_is_written_means_that_value_and_changes_no_other(old: str, new: str, number: int) -> None:
    text = f"a = {literal(old)} # {number}\nb = {number}\nc = {literal(old)}\n"
    found = rewritten(text, ["c"], new, ALL)
    assert tomllib.loads(found) == {"a": old, "b": number, "c": new}
    assert found.startswith(text[: text.rindex("c = ")])
    assert tomllib.loads(rewritten(text, ["b"], 3, ALL)) == {"a": old, "b": 3, "c": old}

"""The first page in figures and in one sentence."""

from __future__ import annotations

from deputize.health import DAY_US
from deputize.today import DAYS, Daily, sentence, told_today

NOW = 20_000 * DAY_US + 3_600_000_000
TODAY = 20_000 * DAY_US


def told(daily: list[Daily], **counts: int) -> dict[str, object]:
    return told_today(daily, {name.replace("__", "."): n for name, n in counts.items()}, {"b": 2}, NOW)


def test_it_counts_yesterday_and_today_and_nothing_before() -> None:
    daily: list[Daily] = [
        ("automation:a", "done 3", TODAY - 2 * DAY_US, 100, 1),
        ("automation:a", "done 3", TODAY - DAY_US, 40, 1),
        ("automation:a", "done 4", TODAY, 1, 1),
        ("automation:a", "failed 2", TODAY, 3, 1),
        ("automation:a", "paid", TODAY, 0, 3_120_000),
        ("automation:a", "lost", TODAY, 1, 1_000_000),
    ]
    found = told(daily, cards=2, actions__doubtful=1)
    assert found["figures"] == {
        "done": 41, "failed": 3, "need_you": 2, "not_sure": 1, "cost_usd_micros": 4_120_000
    }  # fmt: skip
    assert found["sentence"] == (
        "Since yesterday: 41 done, 2 need you, 1 not sure, 3 failed, 4.12 USD spent."
    )


def test_of_nothing_it_says_so() -> None:
    assert told([])["sentence"] == "Since yesterday: 0 done, nothing needs you, 0.00 USD spent."
    one = {"done": 1, "need_you": 1, "not_sure": 0, "failed": 0, "cost_usd_micros": 0}
    assert sentence(one) == "Since yesterday: 1 done, 1 needs you, 0.00 USD spent."


def test_each_automation_has_its_outcomes_day_by_day_and_what_one_done_cost() -> None:
    daily: list[Daily] = [
        ("automation:a", "done 3", TODAY - 13 * DAY_US, 2, 1),
        ("automation:a", "gave_up 3", TODAY, 1, 1),
        ("automation:a", "card approval", TODAY, 5, 0),
        ("automation:a", "paid", TODAY, 0, 100),
    ]
    a, b = told(daily)["outcomes"]  # type: ignore[misc]
    assert (a["automation"], a["done"], a["gave_up"], a["runs"], a["asked"]) == ("a", 2, 1, 3, 5)
    assert a["cost_per_done_usd_micros"] == 50
    assert a["done_by_day"] == [2] + [0] * 13 and len(a["runs_by_day"]) == DAYS
    assert a["runs_by_day"][-1] == 1
    assert (b["automation"], b["open_cards"], b["cost_per_done_usd_micros"]) == ("b", 2, None)

"""How moments and ends are written on pages."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from deputize.console.rendering import clock, outcome, sentence

NOON = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z
DAY = 86_400_000_000
BERLIN = ZoneInfo("Europe/Berlin")


def test_a_moment_has_its_seconds_and_its_day_where_that_is_another() -> None:
    assert ">13:00:00<" in clock(BERLIN, NOON, NOON)
    assert ">02 Jan, 13:00:00<" in clock(BERLIN, NOON + 3 * DAY, "2026-01-02T12:00:00.000000Z")
    assert ">31 Dec 2025, 13:00:00<" in clock(BERLIN, NOON, NOON - DAY)
    # Half past midnight in Berlin is another day than in Greenwich.
    assert ">01 Jan, 23:30:00<" in clock(BERLIN, NOON + DAY // 2, NOON + 10 * 3_600_000_000 + 1_800_000_000)
    assert 'title="Thu 01 Jan 2026, 13:00:00 (CET)"' in clock(BERLIN, NOON, NOON)


def test_ends_and_sentences_are_as_people_say_them() -> None:
    assert outcome("done(refunded)") == "Done: refunded" and outcome("gave_up") == "Gave up"
    assert outcome("stuck: it is <b>odd</b>(x)") == "stuck: it is <b>odd</b>(x)"
    assert sentence("it ended") == "It ended" and sentence("books.is_due agrees") == "books.is_due agrees"

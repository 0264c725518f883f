"""The rules are others in the next life: what was approved is judged anew, whatever was killed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from deputize.testing.crash import CrashHarness
from deputize.testing.evidence import read_ledger
from deputize.town import Town
from tests.crash.people import among_people, asked_for, yes
from tests.crash.rules_changed import (
    Before,
    all_are_asked,
    all_say,
    lena_is_asked,
    nobody_is_asked,
    nothing_over_20_euros,
    one_is_approved,
)
from tests.crash.test_people import labels

Rules = Callable[[], str]

ENDS: dict[Rules, dict[str, str]] = {
    lena_is_asked: {"approve": "refunded", "both": "refunded", "refuse": "refused", "change": "refunded"},
    nothing_over_20_euros: {
        "approve": "refused",
        "both": "refused",
        "refuse": "refused",
        "change": "refunded",
    },
    nobody_is_asked: {"approve": "refunded", "both": "refunded", "refuse": "refused", "change": "refunded"},
}
"""How each run ends whose people were asked by the rules of before."""

SCENES: tuple[tuple[Rules, str, Before], ...] = (
    (lena_is_asked, "t1.in:1", one_is_approved),
    (lena_is_asked, "recovery.begun:1", one_is_approved),
    (lena_is_asked, "t2.after:1", all_are_asked),
    (lena_is_asked, "answer.in:1", all_are_asked),
    (nothing_over_20_euros, "recovery.begun:1", one_is_approved),
    (nothing_over_20_euros, "group.before_commit:2", one_is_approved),
    (nothing_over_20_euros, "approve.after:1", all_are_asked),
    (nobody_is_asked, "t2.in:1", one_is_approved),
    (nobody_is_asked, "send.answered:1", all_are_asked),
)


MORE: tuple[tuple[Rules, str, Before], ...] = (
    (lena_is_asked, "t1.after:1", one_is_approved),
    (lena_is_asked, "approve.after:1", one_is_approved),
    (nothing_over_20_euros, "ended.before:1", one_is_approved),
    (nothing_over_20_euros, "t2.in:1", all_are_asked),
    (nobody_is_asked, "t2.after:1", one_is_approved),
)
"""The same, for a long run."""


def ids(scenes: Iterable[tuple[Rules, str, Before]]) -> list[str]:
    return [f"{rules.__name__}-{at}-{before.__name__}" for rules, at, before in scenes]


@pytest.mark.parametrize(("rules", "dies_at", "before"), SCENES, ids=ids(SCENES))
def test_what_was_approved_is_judged_by_the_rules_of_now(
    harness: CrashHarness, town: Town, rules: Rules, dies_at: str, before: Before
) -> None:
    a_crash_under_other_rules(harness, town, rules, dies_at, before)


@pytest.mark.full
@pytest.mark.parametrize(("rules", "dies_at", "before"), MORE, ids=ids(MORE))
def test_so_it_is_at_another_place(
    harness: CrashHarness, town: Town, rules: Rules, dies_at: str, before: Before
) -> None:
    a_crash_under_other_rules(harness, town, rules, dies_at, before)


def a_crash_under_other_rules(
    harness: CrashHarness, town: Town, rules: Rules, dies_at: str, before: Before
) -> None:
    """People were asked by the rules of before; a life under others dies there."""
    events = asked_for(town, f"{rules.__name__}-{dies_at}-{before.__name__}", *ENDS[rules])
    before(harness, events)
    harness.change_rules("people.toml", rules())
    harness.saying = all_say
    died = among_people(harness, dies_at, events)
    assert died.died_at == dies_at.partition(":")[0], died.words
    harness.recover(events)
    assert harness.broken() == [], harness.replay_note()
    assert labels(harness) == sorted(f"done({label})" for label in ENDS[rules].values())


def test_what_another_must_approve_now_is_asked_again(harness: CrashHarness, town: Town) -> None:
    events = asked_for(town, "asked-again", "approve")
    one_is_approved(harness, events)
    harness.change_rules("people.toml", lena_is_asked())
    harness.saying = lambda card: []
    harness.recover(events)
    assert harness.broken() == []
    (card,) = harness.cards()
    assert [demand["whom"] for demand in card["body"]["demands"]] == [["lena"]]
    harness.saying = lambda card: [yes("maya"), yes("kim")]
    harness.recover(events)
    assert len(harness.cards()) == 1, "who was asked before is not asked any more"
    harness.saying = all_say
    harness.recover(events)
    assert harness.broken() == [] and labels(harness) == ["done(refunded)"]
    ledger = read_ledger(harness.project.settings.ledger)
    assert [row.person for row in ledger.approvals if row.used] == ["lena"]

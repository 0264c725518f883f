"""Who is told of what and when, decided without a clock, a store or a server."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.approval import Approval
from deputize.clock import to_us
from deputize.notify.deciding import Card, Plan, asked_of, due
from deputize.notify.quiet import Quiet
from deputize.notify.settings import NotifySettings
from deputize.person import Directory, Person

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = 60_000_000
HOUR = 60 * MINUTE
NIGHT = Quiet(22 * 60, 7 * 60)
PEOPLE = Directory(
    {
        "maya": Person("maya", roles=frozenset({"finance"})),
        "kim": Person("kim", roles=frozenset({"finance"})),
        "ines": Person("ines"),
    },
    {"pays": "ines"},
)
EMAIL = dict.fromkeys(PEOPLE.people, ("email",))


def at(text: str) -> int:
    return to_us(datetime.fromisoformat(text).replace(tzinfo=BERLIN))


def card(seq: int, asked_at: int, *people: str, due_at: int | None = None) -> Card:
    return Card(seq, f"run/{seq}", asked_at, due_at, dict.fromkeys(people or ("maya",), asked_at))


def plan(
    cards: list[Card],
    now: int,
    *,
    told: tuple[tuple[int, str, str], ...] = (),
    quiet: Quiet | None = None,
    people: dict[str, tuple[str, ...]] | None = None,
) -> Plan:
    settings = NotifySettings(every_s=300, quiet=quiet)
    return due(cards, set(told), EMAIL if people is None else people, now, settings, BERLIN)


def seqs(found: Plan) -> dict[tuple[str, str], list[int]]:
    return {(m.person, m.channel): [c.seq for c in m.cards] for m in found.messages}


NOON = at("2026-11-23T12:00")


def test_the_first_card_waits_a_little_so_that_others_join_it() -> None:
    cards = [card(n, NOON + n) for n in range(50)]
    early = plan(cards, NOON + 4 * MINUTE)
    assert early == Plan((), NOON + 5 * MINUTE)
    assert seqs(plan(cards, NOON + 5 * MINUTE)) == {("maya", "email"): list(range(50))}


def test_what_was_told_is_not_told_again_and_later_cards_wait_their_own_time() -> None:
    cards = [card(1, NOON), card(2, NOON + 6 * MINUTE)]
    now = NOON + 7 * MINUTE
    assert plan(cards, now, told=((1, "maya", "email"),)) == Plan((), NOON + 11 * MINUTE)
    assert seqs(plan(cards, now)) == {("maya", "email"): [1, 2]}


def test_each_channel_is_told_by_itself() -> None:
    told = ((1, "maya", "email"),)
    found = plan([card(1, NOON)], NOON + HOUR, told=told, people={"maya": ("email", "slack")})
    assert seqs(found) == {("maya", "slack"): [1]}


def test_a_card_that_waits_no_longer_than_the_wait_itself_is_told_at_half_of_its_time() -> None:
    cards = [card(1, NOON, due_at=NOON + 2 * MINUTE)]
    assert plan(cards, NOON).next_at == NOON + MINUTE
    assert seqs(plan(cards, NOON + MINUTE)) == {("maya", "email"): [1]}
    assert plan(cards, NOON + 2 * MINUTE) == Plan((), None)


def test_whoever_is_next_in_line_is_told_when_their_time_comes() -> None:
    one = Card(1, "run/1", NOON, NOON + 10 * HOUR, {"maya": NOON, "ines": NOON + HOUR})
    first = plan([one], NOON + 5 * MINUTE)
    assert seqs(first) == {("maya", "email"): [1]} and first.next_at == NOON + HOUR + 5 * MINUTE
    told = ((1, "maya", "email"),)
    assert seqs(plan([one], NOON + HOUR, told=told)) == {}
    assert seqs(plan([one], NOON + HOUR + 5 * MINUTE, told=told)) == {("ines", "email"): [1]}


def test_nobody_is_disturbed_in_quiet_hours_but_for_what_would_be_too_late_after_them() -> None:
    evening = at("2026-11-23T23:00")
    morning = at("2026-11-24T07:00")
    cards = [
        card(1, evening),
        card(2, evening, due_at=morning + HOUR),
        card(3, evening, due_at=morning - HOUR),
    ]
    night = plan(cards, evening + HOUR, quiet=NIGHT)
    assert seqs(night) == {("maya", "email"): [3]} and night.next_at == morning
    told = ((3, "maya", "email"),)
    assert plan(cards, morning - 1, told=told, quiet=NIGHT).messages == ()
    assert seqs(plan(cards, morning, told=told, quiet=NIGHT)) == {("maya", "email"): [1, 2]}


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-23T21:59", None),
        ("2026-11-23T22:00", "2026-11-24T07:00"),
        ("2026-11-24T00:00", "2026-11-24T07:00"),
        ("2026-11-24T07:00", None),
        ("2026-12-31T23:30", "2027-01-01T07:00"),
        # Clocks go forward and back in the night.
        ("2026-03-28T23:00", "2026-03-29T07:00"),
        ("2026-10-24T23:00", "2026-10-25T07:00"),
    ],
)
def test_quiet_hours_are_those_of_the_wall_clock(now: str, until: str | None) -> None:
    assert NIGHT.until(at(now), BERLIN) == (None if until is None else at(until))


@given(st.integers(0, 400 * 24 * 60), st.integers(0, 1439), st.integers(0, 1439))
def test_quiet_hours_always_end_within_a_day(minutes: int, starts: int, ends: int) -> None:
    now = at("2026-01-01T00:00") + minutes * MINUTE
    until = Quiet(starts, ends).until(now, BERLIN) if starts != ends else None
    assert until is None or now < until <= now + 26 * HOUR


# -- whom a card waits for --------------------------------------------------------------------------------


def approval(**demand: Any) -> dict[str, Any]:
    usual = {
        "tier": "approval", "whom": ["finance"], "people": 1, "within_s": 7200.0, "then": [],
        "then_after_s": 0.0, "otherwise": "expire", "verifier": "", "rule": "r", "title": "t",
    }  # fmt: skip
    return {"binding": "b", "requesters": ["worker"], "demands": [usual | demand]}


def asked(
    kind: str, body: dict[str, Any], *approvals: str, automation: str = "pays", handed_at: int | None = None
) -> dict[str, int]:
    granted = [Approval(n, "b", person, 5) for n, person in enumerate(approvals)]
    return asked_of(kind, body, 5, automation, PEOPLE, set(PEOPLE.people), granted, (handed_at, "maya"))


def test_an_approval_waits_for_those_whom_its_rule_asks_but_for_its_requesters() -> None:
    assert asked("approval", approval()) == {"maya": 5, "kim": 5}
    body = approval(then=["ines"], then_after_s=60.0) | {"requesters": ["maya"]}
    assert asked("approval", body) == {"kim": 5, "ines": 5 + MINUTE}
    assert asked("approval", approval(whom=[])) == {"ines": 5}


def test_an_approval_that_was_handed_on_waits_for_the_keeper_from_then_on_but_not_for_a_requester() -> None:
    assert asked("approval", approval(), handed_at=9) == {"maya": 5, "kim": 5, "ines": 9}
    own = approval() | {"requesters": ["ines"]}
    assert asked("approval", own, handed_at=9) == {"maya": 5, "kim": 5}
    assert asked("approval", approval(), "maya", handed_at=9) == {}
    assert asked("approval", approval(), automation="other", handed_at=9) == {"maya": 5, "kim": 5}


def test_an_approval_that_wants_two_waits_for_the_other_one_alone() -> None:
    body = approval(people=2)
    assert asked("approval", body, "maya") == {"kim": 5}
    assert asked("approval", body, "maya", "kim") == {}


def test_what_nobody_is_named_for_waits_for_the_keeper_and_without_one_who_can_be_told_for_all() -> None:
    assert asked("doubt", {}) == {"ines": 5}
    assert asked("stuck", {}, automation="other") == {"maya": 5, "kim": 5, "ines": 5}
    assert asked_of("drift", {}, 5, "pays", PEOPLE, {"kim"}) == {"kim": 5}
    assert asked("question", {"whom": ["finance"]}) == {"maya": 5, "kim": 5}

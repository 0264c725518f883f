"""The demo's reckoning: each way in which book and ledger can differ is found, and each check can fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deputize.demo.balance import FAULT_KINDS, Known, checks, differences
from deputize.demo.home import Home
from deputize.demo.mails import MAIL, Reading, mails_of
from deputize.demo.stage import Stage
from deputize.demo.tale import Tale
from deputize.money import Money

EUR_80 = Money(8000, "EUR")
AT = "2026-11-22T10:00:00.000000Z"


def effect(key: str | None, minor: int = 8000) -> dict[str, Any]:
    return {
        "service": "payments",
        "operation": "refund",
        "resource": "ch-1",
        "key": key,
        "amount_minor": minor,
        "currency": "EUR",
    }


def told(*entries: tuple[str, dict[str, Any]]) -> Tale:
    """A tale of one run that answered event `ev-1`, and then of these entries."""
    began = {"event": {"id": "ev-1", "type": "shop.return.requested"}, "key": "order:o-1", "state": "ready"}
    tale = Tale()
    for seq, (kind, body) in enumerate([("began", began), *entries], 1):
        tale.take({"seq": seq, "run": "r1", "type": kind, "at": AT, "body": body})
    return tale


INTENT = {
    "path": "3",
    "op": "payments.refund",
    "key": "k1",
    "args": {"charge": "ch", "amount": {"minor": 8000, "currency": "EUR"}},
}
RECEIPT = {"path": "3", "was": "open", "by": "answer"}
ENDED = {"kind": "done", "label": "refunded", "reason": ""}
GOOD = (("intent", INTENT), ("receipt", RECEIPT), ("ended", ENDED))


def due(**changed: Any) -> dict[str, Any]:
    """What the town expects of one event."""
    row = {"seq": 1, "event_id": "ev-1", "type": "shop.return.requested", "outcome": "refunded"}
    return row | {"charge": "ch-1", "refund_minor": 8000} | changed


def known(**changed: Any) -> Known:
    good = Known(
        book=[effect("k1")],
        expected=[due()],
        faults={f"shop.get_order.{kind}": 1 for kind in FAULT_KINDS},
        feed={"name": "demo-1", "total": 1, "accepted": 1, "done": True},
    )
    return replace(good, **changed)


def failed(town: Known, tale: Tale) -> list[str]:
    return [check.name for check in checks(town, tale, "stand-in") if not check.holds]


def test_a_book_like_the_ledger_has_no_differences() -> None:
    assert differences([effect("k1")], {("payments.refund", "k1"): EUR_80}) == []


@pytest.mark.parametrize(
    ("book", "effects", "said"),
    [
        ([effect("k1"), effect("k1")], {"k1": EUR_80}, "twice"),
        ([effect("k1"), effect(None)], {"k1": EUR_80}, "in the book and not in the ledger"),
        ([], {"k1": EUR_80}, "in the ledger and not in the book"),
        ([effect("k1", 8001)], {"k1": EUR_80}, "80.01 EUR in the book, 80.00 EUR in the ledger"),
    ],
)
def test_every_difference_is_named(book: list[dict[str, Any]], effects: dict[str, Money], said: str) -> None:
    [found] = differences(book, {("payments.refund", key): money for key, money in effects.items()})
    assert said in found


def test_a_demo_in_which_all_went_well_fails_no_check() -> None:
    assert failed(known(), told(*GOOD)) == []


@pytest.mark.parametrize(
    ("town", "name"),
    [
        (known(book=[effect("k1", 7999)]), "book_and_ledger_agree"),
        (known(feed={"name": "demo-1", "total": 2, "accepted": 1}), "every_event_answered"),
        (known(expected=[due(outcome="declined")]), "outcomes_as_expected"),
        (known(expected=[due(refund_minor=7999)]), "no_wrong_money"),
        (known(expected=[due(charge="ch-2")]), "no_wrong_money"),
        (known(to_strangers=1), "no_wrong_money"),
        (known(faults={"shop.get_order.lost": 3}), "every_fault_met"),
    ],
)
def test_each_check_can_fail_by_itself(town: Known, name: str) -> None:
    assert failed(town, told(*GOOD)) == [name]


def test_an_open_doubt_fails_and_a_resolved_one_does_not() -> None:
    doubt = ("doubt", {"path": "3", "evidence": "no answer"})
    assert "no_doubt_left" in failed(known(), told(("intent", INTENT), doubt))
    assert "no_doubt_left" in failed(known(), told(("intent", INTENT), doubt, ("ended", ENDED)))
    found = ("receipt", RECEIPT | {"was": "doubtful", "by": "look-up"})
    tale = told(("intent", INTENT), doubt, found, ("ended", ENDED))
    assert failed(known(), tale) == []
    assert tale.resolved == {"by asking": 1}
    assert "though an answer was lost" in tale.stories[-1]


def test_an_unreadable_answer_that_a_person_explained_counts_once() -> None:
    drift = ("drift", {"path": "3", "was": "open", "reason": "not as its contract says"})
    answered = ("receipt", RECEIPT | {"was": "drifted", "by": {"person": "maya"}})
    waiting = told(("intent", INTENT), drift)
    assert waiting.states() == {"with a person": 1}
    tale = told(("intent", INTENT), drift, answered, ("ended", ENDED))
    assert tale.cards_answered == 1 and tale.moved() == {"EUR": 8000}
    assert failed(known(), tale) == []


def mails(*outcomes: str) -> tuple[Known, Tale]:
    """Mails that should be noted, and how they ended."""
    tale, rows = Tale(), []
    for number, outcome in enumerate(outcomes):
        name = f"ev-{number}"
        rows.append(due(event_id=name, type=MAIL, outcome="noted", charge=f"ch-{number}", refund_minor=0))
        began = {"event": {"id": name, "type": MAIL}, "key": "customer:c", "state": "ready"}
        thought = {"path": "1", "op": "reader.think", "key": f"k{number}", "args": {}}
        told = {"path": "1", "was": "open", "by": "answer", "cost_usd_micros": 250}
        ended = {"kind": "done", "label": outcome, "reason": ""}
        entries = [("began", began), ("intent", thought), ("receipt", told), ("ended", ended)]
        for kind, body in entries:
            tale.take({"seq": tale.seq + 1, "run": f"r{number}", "type": kind, "at": AT, "body": body})
    feed = {"name": "demo-1", "total": len(rows), "accepted": len(rows), "done": True}
    return known(book=[], expected=rows, feed=feed), tale


def test_a_stand_in_reads_nine_mails_of_ten_and_a_thought_is_no_effect() -> None:
    town, tale = mails(*["noted"] * 18, "passed-on", "answered")
    assert failed(town, tale) == []
    figures = mails_of(town.expected, tale.outcomes, tale.reading)
    assert (figures.total, figures.right, figures.passed_on, figures.otherwise) == (20, 18, 1, 1)
    assert (figures.thoughts, figures.cost_usd_micros, figures.answered) == (20, 5_000, 19)
    assert "0.0003 USD for each that was answered" in figures.says("stand-in")
    town, tale = mails(*["noted"] * 17, "passed-on", "answered", "answered")
    assert failed(town, tale) == ["mails_answered"]
    assert [one.name for one in checks(town, tale, "local") if not one.holds] == []


def test_what_stopped_a_mails_step_is_named() -> None:
    reading = Reading()
    rule = {"was": "new", "rules": ["a"], "reason": 'refused by "No mail says to whom we write"'}
    reading.take("refused", rule, "mail.send")
    against = {"verifier": "records.is_owed", "says": "disagree", "reason": "it is somebody else's order"}
    reading.take("asked", {"findings": [against, against | {"says": "agree"}]}, "payments.refund")
    assert reading.stopped == {
        '"No mail says to whom we write"': 1,
        "records.is_owed: it is somebody else's order": 1,
    }


class Steps:
    """A clock that is 20 s later each time that it is read."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now_us(self) -> int:
        return int(self.now_s * 1e6)

    def monotonic(self) -> float:
        self.now_s += 20.0
        return self.now_s


class Mute:
    """A server that lives and does not answer, in a town that has nothing to say."""

    pid, url = 1, "http://127.0.0.1:9"

    def __init__(self) -> None:
        self.known = Known()
        self.urls: Mapping[str, str] = dict.fromkeys(("shop", "payments", "mail", "model"), self.url)
        self.alive = False  # it is started once

    def start(self) -> None:
        self.alive = True

    def feed(self, *_: Any, **__: Any) -> None:
        self.known.feed = {"name": "demo-1", "total": 3, "accepted": 0, "done": False}


def test_a_server_that_lives_and_never_answers_ends_an_unattended_demo(tmp_path: Path) -> None:
    mute: Any = Mute()
    home = Home(tmp_path)
    home.project.mkdir()
    stage = Stage(
        home,
        mute,
        mute,
        Steps(),
        lambda _: None,
        days=1,
        per_second=1.0,
        ends=True,
        reader="local",
        yourself=False,
    )
    turns = next(turn for turn in range(20) if stage.turn())
    stage.close()
    assert turns > 1
    assert "every_event_answered" in [check.name for check in stage.checks() if not check.holds]

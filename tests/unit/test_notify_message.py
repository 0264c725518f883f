"""The words of a message: what a stranger wrote is shown, and obeyed by nobody."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import default
from typing import Any
from zoneinfo import ZoneInfo

from deputize.notify.channels import email_of
from deputize.notify.message import CARDS_IN_CHAT_MAX, Item, id_of, letter_of

UTC = ZoneInfo("UTC")


def item(n: int = 1, link: str = "", **changes: Any) -> Item:
    card = {
        "id": f"run/{n}",
        "kind": "approval",
        "title": "payments.refund waits for a person: Refunds over 50 euros wait for a person",
        "about": f'payments.refund with charge "ch_{n}", amount 80.00 EUR',
        "of": "the automation handle_return, for the event e1 from /shop (shop.return.requested)",
        "asks": ['"Refunds over 50 euros wait for a person" asks finance'],
        "due": "2026-11-23T14:00:00.000000Z",
        "silence": "it is not done",
        "answers": [{"command": f"deputize approve run/{n}", "causes": "it starts"}],
    }
    return Item(card | changes, link)


def test_a_message_says_of_each_card_all_that_its_answer_needs() -> None:
    told = letter_of(
        [item(1, "https://c.example/cards/run/1?k=t"), item(2)], 0, "id", ZoneInfo("Europe/Berlin")
    )
    assert told.subject.startswith(
        "2 things wait for you: payments.refund waits for a person: Refunds over 50"
    )
    for said in (
        '1. payments.refund with charge "ch_1", amount 80.00 EUR',
        'Rule:   "Refunds over 50 euros wait for a person" asks finance',
        "Until:  Mon 23 Nov 2026, 15:00 (Europe/Berlin); after that it is not done",
        "Answer: deputize approve run/1",
        "Open:   https://c.example/cards/run/1?k=t",
        '2. payments.refund with charge "ch_2"',
    ):
        assert said in told.text
    assert '<a href="https://c.example/cards/run/1?k=t">' in told.html
    assert (
        "<https://c.example/cards/run/1?k=t|Open it>" in told.chat and "deputize approve run/1" in told.chat
    )


def test_one_thing_is_one_thing_and_a_thousand_are_counted() -> None:
    assert letter_of([item()], 0, "id", UTC).subject.startswith("1 thing waits for you: ")
    many = letter_of([item(n) for n in range(50)], 950, "id", UTC)
    assert many.subject.startswith("1,000 things wait for you")
    assert "There are 950 more: deputize inbox" in many.text
    assert f"and {1000 - CARDS_IN_CHAT_MAX} more" in many.chat and len(many.chat) < 40_000


def test_what_has_no_deadline_says_so() -> None:
    doubt = item(due=None, asks=(), kind="doubt")
    assert "Until:  it is answered; its run does not go on before" in letter_of([doubt], 0, "id", UTC).text


def test_what_a_stranger_wrote_is_no_header_no_markup_and_no_mention() -> None:
    evil = "x\r\nBcc: all@example.com\n\n<script>alert(1)</script> <!channel> <@U1> `&\x1b[31m"
    told = letter_of([item(title=evil, about=evil)], 0, "ab" * 16, UTC)
    sent = message_from_bytes(bytes(email_of(told, "d@example.com", "maya@example.com", 0)), policy=default)
    assert sent["Bcc"] is None and sent["To"] == "maya@example.com"
    assert "Bcc: all@example.com <script>" in sent["Subject"]
    assert "<script>" not in told.html and "\x1b" not in told.text
    assert "<!channel>" not in told.chat and "<@U1>" not in told.chat


def test_a_repeat_has_the_same_message_id_and_another_message_has_not() -> None:
    ids = {
        id_of(ledger, person, channel, seqs)
        for ledger in ("l1", "l2")
        for person in ("maya", "kim")
        for channel in ("email", "slack")
        for seqs in ([1, 2], [2, 1], [12], [3])
    }
    assert len(ids) == 2 * 2 * 2 * 3
    message = email_of(letter_of([item()], 0, "ab" * 16, UTC), "d@example.com", "m@example.com", 0)
    assert message["Message-ID"] == f"<{'ab' * 16}@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"

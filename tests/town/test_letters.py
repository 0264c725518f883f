"""The town's post office and its chat: real SMTP and webhooks in Slack's format, with faults on demand."""

import smtplib
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deputize.town import Town
from tests.town.calling import Caller, eventually


def letter(id: str, *, to: str = "maya@example.test") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "deputize@example.test", to, "Zwei Dinge warten: Größe"
    made["Message-ID"] = f"<{id}@example.test>"
    made.set_content("Grüße\nzwei Zeilen\n")
    return made


def post_letter(town: Town, message: EmailMessage, timeout_s: float = 5, login: str = "") -> None:
    place = urlsplit(town.urls["smtp"])
    with smtplib.SMTP(str(place.hostname), place.port or 0, timeout=timeout_s) as server:
        if login:
            server.login("deputize", login)
        server.send_message(message)


def letters(town: Town, id: str) -> list[str]:
    return [one["reader"] for one in town.letters() if one["message_id"] == f"<{id}@example.test>"]


def arm(town: Town, operation: str, kind: str, **options: object) -> None:
    service = "chat" if operation == "post" else "smtp"
    town.set_faults({"service": service, "operation": operation, "kind": kind, "first_n": 1, **options})


def test_a_letter_is_kept_as_it_was_written(town: Town, call: Caller) -> None:
    post_letter(town, letter("l1"))
    (kept,) = [one for one in town.letters("maya@example.test") if one["message_id"] == "<l1@example.test>"]
    assert kept["subject"] == "Zwei Dinge warten: Größe"
    assert kept["text"] == "Grüße\nzwei Zeilen\n"
    assert kept["sender"] == "deputize@example.test"
    assert any(row["service"] == "smtp" and row["resource"] == "maya@example.test" for row in town.book())


def test_a_letter_that_comes_twice_is_booked_twice_and_told_as_a_repeat(town: Town, call: Caller) -> None:
    before = town.summary()["repeated_key"]
    post_letter(town, letter("l2"))
    post_letter(town, letter("l2"))
    assert letters(town, "l2") == ["maya@example.test"] * 2
    assert town.summary()["repeated_key"] == before + 1


def test_letters_and_posts_want_no_idempotency_key(town: Town, call: Caller) -> None:
    before = town.summary()["without_key"]
    post_letter(town, letter("l3"))
    assert call.post("chat", "/services/T1/B1/secret", {"text": "hello"}).text == "ok"
    assert town.summary()["without_key"] == before


@pytest.mark.parametrize(
    ("kind", "code"), [("too_many", 451), ("error_500", 554), ("error_502", 421), ("malformed", None)]
)
def test_a_letter_can_be_refused_for_now_or_for_good(
    town: Town, call: Caller, kind: str, code: int | None
) -> None:
    arm(town, "deliver", kind)
    with pytest.raises(smtplib.SMTPException) as refused:
        post_letter(town, letter(f"r-{kind}"))
    if code is not None:
        assert getattr(refused.value, "smtp_code", None) == code
    assert letters(town, f"r-{kind}") == []
    post_letter(town, letter(f"r-{kind}"))
    assert letters(town, f"r-{kind}") == ["maya@example.test"]


@pytest.mark.parametrize(("kind", "kept"), [("cut_before", 0), ("cut_after", 1), ("lost", 1)])
def test_a_connection_cut_in_the_middle_tells_nothing(town: Town, call: Caller, kind: str, kept: int) -> None:
    arm(town, "deliver", kind)
    with pytest.raises((smtplib.SMTPException, OSError)):
        post_letter(town, letter(f"c-{kind}"), timeout_s=0.5)
    eventually(lambda: len(letters(town, f"c-{kind}")) == kept, "the letter is kept, or is not")


@pytest.mark.parametrize("kind", ["cut_before", "too_many", "error_500"])
def test_a_connection_can_be_refused_before_the_greeting(town: Town, call: Caller, kind: str) -> None:
    arm(town, "connect", kind)
    with pytest.raises((smtplib.SMTPException, OSError)):
        post_letter(town, letter(f"n-{kind}"))
    post_letter(town, letter(f"n-{kind}"))
    assert letters(town, f"n-{kind}") == ["maya@example.test"]


@pytest.mark.parametrize("operation", ["connect", "deliver"])
def test_a_slow_post_office_takes_the_letter_all_the_same(town: Town, call: Caller, operation: str) -> None:
    arm(town, operation, "latency", delay_s=0.1)
    post_letter(town, letter(f"s-{operation}"))
    assert letters(town, f"s-{operation}") == ["maya@example.test"]


def test_who_has_no_mailbox_gets_no_letter(town: Town, call: Caller) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        post_letter(town, letter("x", to="nobody@example.test"))


def test_what_meets_every_service_leaves_the_post_office_alone(town: Town, call: Caller) -> None:
    town.set_faults({"kind": "error_500", "rate": 1.0})
    post_letter(town, letter("calm"))
    assert call.post("mail", "/messages", {"to": "a@b.c", "template": "t"}).status_code == 500


def test_the_chat_takes_the_format_of_slack_and_no_other(town: Town, call: Caller) -> None:
    path = "/services/T1/B2/very-secret"
    assert call.post("chat", path, {"text": "3 things wait"}).text == "ok"
    assert (call.post("chat", path, {"blocks": []}).status_code, call.post("chat", path).status_code) == (
        400,
        400,
    )
    assert [post["text"] for post in town.posts() if post["hook"] == "B2"] == ["3 things wait"]
    assert "very-secret" not in str(town.access_log())
    arm(town, "post", "error_500")
    assert call.post("chat", path, {"text": "again"}).status_code == 500


def test_a_guarded_post_office_wants_the_password_and_a_killed_one_keeps_its_letters(tmp_path: Path) -> None:
    with Town.start(tmp_path, customers=1, tokens={"smtp": "right-password"}) as town:
        with pytest.raises(smtplib.SMTPException):
            post_letter(town, letter("g"))
        with pytest.raises(smtplib.SMTPAuthenticationError):
            post_letter(town, letter("g"), login="wrong-password")
        post_letter(town, letter("g"), login="right-password")
        before = town.urls
        town.kill()
        town.again()
        assert town.urls == before and len(town.letters()) == 1

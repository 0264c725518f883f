"""Rules that are others in the next life, and what then becomes of what people were asked for before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deputize.testing.crash import CrashHarness
from tests.crash.people import Events, among_people, other, said, yes

Before = Callable[[CrashHarness, Events], None]

RULES = Path(__file__).parent / "project" / "rules" / "people.toml"

MORE_THAN_20 = """ask_above = { amount = "20.00 EUR" }
ask = "finance"
"""


def lena_is_asked() -> str:
    """The same rule asks Lena alone."""
    return _with(MORE_THAN_20, MORE_THAN_20.replace("finance", "lena"))


def nothing_over_20_euros() -> str:
    """What people could grant is forbidden."""
    return _with(MORE_THAN_20 + 'within = "1 hour"\n', 'never_above = { amount = "20.00 EUR" }\n')


def lena_is_asked_of_plans() -> str:
    """A rule more, of which nobody has read when they granted a plan."""
    rule = 'title = "Lena sees every refund"\noperation = "payments.refund"\nautomation = "whole"\n'
    return f'{RULES.read_text()}\n[[rule]]\n{rule}ask_always = true\nask = "lena"\n'


def nobody_is_asked() -> str:
    """What waited for people needs none of them."""
    return _with(MORE_THAN_20 + 'within = "1 hour"\n', MORE_THAN_20.replace("20.00", "90.00"))


def _with(before: str, after: str) -> str:
    text = RULES.read_text()
    assert before in text
    return text.replace(before, after)


def one_is_approved(harness: CrashHarness, events: Events) -> None:
    """A life asks for everything, and dies with one approval that is durable and not used."""
    harness.saying = said
    assert among_people(harness, "approve.after:1", events).died_at == "approve.after"


def all_are_asked(harness: CrashHarness, events: Events) -> None:
    """A life asks for everything, and ends before anybody has said anything."""
    life = harness.life()
    life.send(events)
    life.wait("accepted")
    life.tell("quiet")
    life.wait("quiet")
    life.stop()


def all_say(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What people say of a card when the rules are others: everybody the same."""
    wants = card["body"]["why"]
    if wants == "refuse":
        return [{"what": "refuse", "person": "lena", "reason": "no"}]
    if wants == "change" and "~" not in card["path"]:
        return [other(card, 1_500, "lena")]
    return [yes(person) for person in ("maya", "kim", "lena")]

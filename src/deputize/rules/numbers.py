"""The numbers of a rule that people may change: amounts, how often, hours. Nothing else of it is theirs to
change in a form.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any, Literal

from deputize.headers import header_lines
from deputize.money import Money
from deputize.rewriting import rewritten
from deputize.rules.forms import WHOLE_MAX, Form

Kind = Literal["money", "number", "hours"]
AMOUNTS = ("never_above", "ask_above", "two_people_above", "above")


@dataclass(frozen=True)
class Number:
    """A number, as it is written: `place` says where in the rule (`ask_above.amount`), `label` what it is to
    people, `value` what stands there."""

    place: str
    kind: Kind
    label: str
    value: str

    def read(self, text: str) -> str | int:
        """What somebody wrote, as the file has it. Raises `ValueError`, saying what the form is."""
        text = text.strip()
        if self.kind == "hours":
            return text.replace("–", "-").replace(" ", "")
        if self.kind == "money":
            return str(self._money(text))
        if not text.isascii() or not text.replace(",", "").isdecimal() or len(text) > 20:
            raise ValueError(f"{text[:40]!r} is no whole number")
        number = int(text.replace(",", ""))
        if number > WHOLE_MAX:
            raise ValueError("that is more than a rule can hold")
        return number

    def _money(self, text: str) -> Money:
        currency = Money.parse(self.value).currency
        money = Money.parse(text if text.upper() != text.lower() else f"{text} {currency}")
        if money.currency != currency:
            raise ValueError(f"this is in {currency}; another currency is another rule")
        if money.minor < 0:
            raise ValueError("an amount below zero is no limit")
        return money


def numbers_of(form: Form) -> tuple[Number, ...]:
    """The numbers of a rule, in the order in which its sentence has them."""
    found = []
    for kind in AMOUNTS:
        for name, limit in (getattr(form, kind) or {}).items():
            found.append(_amount(f"{kind}.{name}", _LABELS[kind].format(name), limit))
    if form.at_most is not None:
        per = "ever" if form.at_most.per == "ever" else f"per {form.at_most.per}"
        if form.at_most.times is not None:
            found.append(
                Number("at_most.times", "number", f"How often at most {per}", str(form.at_most.times))
            )
        if form.at_most.total is not None:
            found.append(_amount("at_most.total", f"How much in all {per}", form.at_most.total))
    if form.ask_first is not None:
        found.append(
            Number("ask_first.times", "number", "The first so many times", str(form.ask_first.times))
        )
    if form.only_during is not None and form.only_during.hours is not None:
        start, end = form.only_during.hours
        said = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
        found.append(Number("only_during.hours", "hours", "From when to when", said))
    return tuple(found)


def with_number(text: str, line: int, place: str, value: str | int) -> str:
    """A rules file with another number in the rule whose header stands in this line.

    Raises `ValueError` where it is not there to be changed."""
    lines = header_lines(text, "rule")
    if line not in lines:
        raise ValueError("the rule does not stand there any more")
    index = lines.index(line)
    parts: list[str] = place.split(".", 1)
    table = tomllib.loads(text)["rule"][index]
    if place == "ask_first.times" and not isinstance(table.get("ask_first"), dict):
        parts = ["ask_first"]
    end = lines[index + 1] if index + 1 < len(lines) else text.count("\n") + 2
    try:
        return rewritten(text, ["rule", index, *parts], value, (line, end))
    except KeyError:
        raise ValueError("the rule has no such number any more") from None


def _amount(place: str, label: str, limit: Any) -> Number:
    return Number(place, "money" if isinstance(limit, Money) else "number", label, str(limit))


_LABELS = {
    "never_above": "Never where {} is above",
    "ask_above": "Asks where {} is above",
    "two_people_above": "Asks two people where {} is above",
    "above": "Looks first where {} is above",
}

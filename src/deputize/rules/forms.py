"""Rules as people write them: `[[rule]]` tables in TOML, strictly typed.

Each table says for which operations, agents and automations it holds, under which conditions
(`when`), and exactly one thing: what is permitted, what never is, or what waits for people (`ask_…`).
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from deputize import canonical
from deputize.approval import Demand
from deputize.duration import duration_s
from deputize.headers import header_lines
from deputize.money import Money
from deputize.rules.demands import made_demand
from deputize.suggest import did_you_mean
from deputize.window import WINDOWS, Window

ASKING = ("ask_above", "ask_always", "ask_first", "ask_if_from", "two_people_above")
INQUIRING = ("rehearse", "verify_with")
DEMANDING = (*ASKING, *INQUIRING)
KINDS = ("permit", "never", "never_above", "never_if_from", "at_most", "only_during", "not_while", *DEMANDING)
WHOM = ("ask", "within", "then_ask", "then_after", "otherwise")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WHOLE_MAX = 2**53


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where: the line of the rule's header."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


def _limit(value: Any) -> Money | int:
    if isinstance(value, str):
        return Money.parse(value)
    if type(value) is int and 0 <= value <= WHOLE_MAX:
        return value
    raise ValueError("write an amount like '50.00 EUR', or a whole number from 0")


def _value(value: Any) -> str | int | bool:
    if isinstance(value, str | bool) or (isinstance(value, int) and abs(value) <= WHOLE_MAX):
        return value
    raise ValueError("write text, a whole number, true or false")


def _yes(value: Any) -> bool:
    if value is not True:
        raise ValueError("only true can be said; leave it out otherwise")
    return True


def _list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _sources(value: Any) -> Any:
    """By argument; what is said of any argument has no name."""
    if not isinstance(value, dict):
        return {"": value}
    if "" in value:
        raise ValueError("an argument has a name")
    return value


def _hours(value: Any) -> tuple[int, int]:
    """Minutes of the day, the end excluded."""
    match = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write hours like '08:00-20:00'")
    h1, m1, h2, m2 = map(int, match.groups())
    start, end = h1 * 60 + m1, h2 * 60 + m2
    if max(m1, m2) > 59 or start >= 1440 or end > 1440:
        raise ValueError("a day's hours go from 00:00 to 24:00")
    if start == end:
        raise ValueError("the hours begin and end at the same minute; leave hours out for the whole day")
    return start, end


def _days(value: Any) -> frozenset[int]:
    """Days of the week, Monday is 0; a range may pass over Sunday."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("write days like 'mon-fri' or 'mon,wed,sat-sun'")
    chosen: set[int] = set()
    for part in value.lower().split(","):
        first, dash, end = (piece.strip() for piece in part.partition("-"))
        last = end if dash else first
        for day in (first, last):
            if day not in DAYS:
                raise ValueError(f"{day!r} is no day{did_you_mean(day, DAYS)}")
        start = DAYS.index(first)
        length = (DAYS.index(last) - start) % 7 + 1
        chosen.update((start + step) % 7 for step in range(length))
    return frozenset(chosen)


Limit = Annotated[Money | int, BeforeValidator(_limit)]
Value = Annotated[str | int | bool, BeforeValidator(_value)]
Yes = Annotated[bool, BeforeValidator(_yes)]
Seconds = Annotated[float, BeforeValidator(duration_s)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Names = Annotated[list[Text], BeforeValidator(_list), Field(min_length=1, max_length=200)]
Sources = Annotated[dict[str, Names], BeforeValidator(_sources), Field(min_length=1)]


class _Strict(BaseModel):
    # An instance of Money is let through as it is: `_limit` has made it.
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class AtMost(_Strict):
    """At most `times`, or a `total` of argument `of`, in each window.

    `by` separates the counts: the name of an argument, or `agent`, which is who acts.
    """

    times: int | None = Field(None, ge=1, le=WHOLE_MAX)
    total: Limit | None = None
    of: Text | None = None
    per: Window
    by: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> AtMost:
        if (self.times is None) == (self.total is None):
            raise ValueError("give either times or total")
        if (self.total is None) != (self.of is None):
            raise ValueError("total needs of = the argument that is added up, and times takes none")
        return self


class OnlyDuring(_Strict):
    """Local hours (minutes of the day, the end excluded) and days on which they begin."""

    hours: Annotated[tuple[int, int], BeforeValidator(_hours)] | None = None
    days: Annotated[frozenset[int], BeforeValidator(_days)] | None = None

    @model_validator(mode="after")
    def _some(self) -> OnlyDuring:
        if self.hours is None and self.days is None:
            raise ValueError("give hours, days or both")
        return self


class NotWhile(_Strict):
    """While an action of one of these operations is under way: open, or in doubt.

    Only those with the `same` value of an argument count, which both have; without one, all of them.
    """

    operation: Names
    same: Text | None = None


class AskFirst(_Strict):
    """The first so many `times`, for each `by`: the name of an argument, or `agent`."""

    times: int = Field(ge=1, le=WHOLE_MAX)
    by: Text | None = None


def _first(value: Any) -> Any:
    return {"times": value} if type(value) is int else value


class Form(_Strict):
    """One `[[rule]]` table."""

    title: Text
    id: Text = ""
    operation: Names
    agent: Text | None = None
    agents: Names | None = None
    automation: Text | None = None
    automations: Names | None = None
    when: dict[Text, Annotated[list[Value], BeforeValidator(_list), Field(min_length=1, max_length=200)]] = {}
    permit: Yes | None = None
    never: Yes | None = None
    never_above: Annotated[dict[Text, Limit], Field(min_length=1)] | None = None
    never_if_from: Sources | None = None
    at_most: AtMost | None = None
    only_during: OnlyDuring | None = None
    not_while: NotWhile | None = None
    ask_above: Annotated[dict[Text, Limit], Field(min_length=1)] | None = None
    ask_always: Yes | None = None
    ask_first: Annotated[AskFirst, BeforeValidator(_first)] | None = None
    ask_if_from: Sources | None = None
    two_people_above: Annotated[dict[Text, Limit], Field(min_length=1)] | None = None
    rehearse: Yes | None = None
    verify_with: Text | None = None
    by: Text | None = None
    above: Annotated[dict[Text, Limit], Field(min_length=1)] | None = None
    ask: Names | None = None
    within: Seconds | None = None
    then_ask: Names | None = None
    then_after: Seconds | None = None
    otherwise: Text | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Form:
        said = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(said) != 1:
            found = f"it says {' and '.join(said)}" if said else "it says nothing"
            raise ValueError(f"a rule says exactly one of {', '.join(KINDS)}; {found}")
        asks = [key for key in WHOM if getattr(self, key) is not None]
        if asks and said[0] not in DEMANDING:
            raise ValueError(f"{asks[0]} goes with a rule that asks people: {', '.join(DEMANDING)}")
        if self.above is not None and said[0] not in INQUIRING:
            raise ValueError(f"above goes with {' and '.join(INQUIRING)}")
        if self.by is not None and said[0] != "verify_with":
            raise ValueError("by is the agent that verifies; it goes with verify_with")
        if self.agent and self.agents:
            raise ValueError("give agent or agents, not both")
        if self.automation and self.automations:
            raise ValueError("give automation or automations, not both")
        _ = self.demand
        if not self.rule_id:
            raise ValueError("the title has no letters to make an id of; give the rule an id")
        return self

    @property
    def rule_id(self) -> str:
        """The id as given, else the title in lower case with dashes."""
        return self.id or re.sub(r"[\W_]+", "-", self.title.lower()).strip("-")

    @property
    def demand(self) -> Demand | None:
        """What it wants before an action starts: of people, or to be found out, and of people where that
        does not agree. Raises `ValueError` for parts that contradict each other."""
        if all(getattr(self, kind) is None for kind in DEMANDING):
            return None
        people = 1 if self.two_people_above is None else 2
        whom, then = tuple(self.ask or ()), tuple(self.then_ask or ())
        asked = made_demand(whom, people, self.within, then, self.then_after, self.otherwise)
        if self.rehearse:
            return replace(asked, tier="rehearse")
        if self.verify_with:
            return replace(asked, tier="verify", verifier=self.verify_with, by=self.by or "")
        return asked

    @property
    def limits(self) -> dict[str, Money | int] | None:
        """The amounts above which it speaks."""
        return self.never_above or self.ask_above or self.two_people_above or self.above

    @property
    def origins(self) -> dict[str, list[str]] | None:
        """The origins of which it speaks, as patterns: by argument, those of any argument by no name."""
        return self.never_if_from or self.ask_if_from

    @property
    def patterns(self) -> list[str]:
        """The same, whichever arguments' they are."""
        return sorted({one for patterns in (self.origins or {}).values() for one in patterns})

    @property
    def counting(self) -> AtMost | None:
        """What it counts."""
        if self.ask_first is not None:
            return AtMost(times=self.ask_first.times, per="ever", by=self.ask_first.by)
        return self.at_most

    @property
    def counter(self) -> str:
        """What a rule's count is kept under: its id as given, else what is counted.

        Neither the title nor the limit is part of it: an edit of either must not forget the count.
        """
        limit = self.counting
        if self.id or limit is None:
            return self.rule_id
        summed = f"{limit.of} in {limit.total.currency}" if isinstance(limit.total, Money) else limit.of
        what = f"{', '.join(sorted(set(self.operation)))} · {summed or 'actions'} · {limit.per}"
        by = f" · by {limit.by}" if limit.by else ""
        whose = {"agents": set(self.agent_names), "automations": set(self.automation_names)}
        only = {name: sorted(names) for name, names in whose.items() if names}
        for name, values in self.when.items():
            only[f"when {name}"] = sorted({canonical.encode(value).decode() for value in values})
        return what + by + (f" · {canonical.encode(only).decode()}" if only else "")

    @property
    def agent_names(self) -> list[str]:
        """The agents that it holds for; empty for all."""
        return self.agents or ([self.agent] if self.agent else [])

    @property
    def automation_names(self) -> list[str]:
        """The automations that it holds for; empty for all."""
        return self.automations or ([self.automation] if self.automation else [])


def read_forms(file: str, text: str) -> tuple[list[tuple[int, Form]], list[Problem]]:
    """The rules of one TOML file with the lines of their headers, and all that is wrong with it."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+)", str(error))
        return [], [Problem(file, int(at[1]) if at else text.count("\n") + 1, f"not TOML: {error}")]
    except RecursionError:
        return [], [Problem(file, 1, "nested too deeply")]
    problems = [
        Problem(file, 1, f"{key!r} stands outside a rule{did_you_mean(key, ['rule'])}")
        for key in document
        if key != "rule"
    ]
    tables = document.get("rule", [])
    lines = header_lines(text, "rule")
    if not isinstance(tables, list) or len(lines) != len(tables):
        return [], [*problems, Problem(file, 1, "write each rule as a table that begins with [[rule]]")]
    forms: list[tuple[int, Form]] = []
    for line, table in zip(lines, tables, strict=True):
        try:
            forms.append((line, Form.model_validate(table)))
        except ValidationError as error:
            problems += [Problem(file, line, message) for message in _explain(error)]
    return forms, problems


_TABLES: dict[str, type[_Strict]] = {
    "at_most": AtMost,
    "only_during": OnlyDuring,
    "ask_first": AskFirst,
    "not_while": NotWhile,
}


def _explain(error: ValidationError) -> list[str]:
    messages = []
    for problem in error.errors(include_url=False, include_input=False):
        place = [str(part) for part in problem["loc"] if not isinstance(part, int)]
        path = ".".join(place)
        if problem["type"] == "extra_forbidden":
            known = (_TABLES.get(place[0]) if len(place) > 1 else None) or Form
            messages.append(f"unknown key {path!r}{did_you_mean(place[-1], known.model_fields)}")
        elif problem["type"] == "missing":
            messages.append(f"{path} is missing")
        elif place[-1:] == ["per"]:
            messages.append(f"{path}: write one of {', '.join(WINDOWS)}")
        else:
            said = problem["msg"].removeprefix("Value error, ")
            messages.append(f"{path}: {said}" if path else said)
    return messages

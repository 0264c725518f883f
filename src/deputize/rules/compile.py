"""From forms to Cedar: one readable policy per rule, with its id, title and tier as annotations."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from deputize import canonical
from deputize.money import Money
from deputize.person import Directory
from deputize.rule import FactNeed, RuleLine
from deputize.rules.demands import annotations_of
from deputize.rules.forms import AtMost, Form, NotWhile, OnlyDuring, Problem
from deputize.rules.loaded import LoadedRule
from deputize.rules.numbers import numbers_of
from deputize.rules.schema import Kind, Shape, View
from deputize.rules.words import sentence
from deputize.suggest import did_you_mean


class Unfit(Exception):
    """A form that does not fit the operations it names; one message for each thing that is wrong."""

    def __init__(self, *messages: str) -> None:
        super().__init__(*messages)
        self.messages = messages


@dataclass(frozen=True)
class Known:
    """The names that rules may use; None for those that are not known."""

    views: Mapping[str, View]
    agents: Collection[str] | None = None
    automations: Collection[str] | None = None
    directory: Directory | None = None
    events: Collection[str] | None = None


def compile_form(file: str, line: int, form: Form, known: Known) -> LoadedRule | list[Problem]:
    """One rule, or everything that is wrong with it."""
    messages: list[str] = []
    names = _collect(messages, _operations, form.operation, known.views) or []
    views = [known.views[name] for name in names]
    _collect(messages, _check_names, "agent", form.agent_names, known.agents)
    _collect(messages, _check_names, "automation", form.automation_names, known.automations)
    when = [_collect(messages, _when, name, values, views) for name, values in form.when.items()]
    body = _collect(messages, _body, form, views)
    others = _collect(messages, _others, form, views, known.views) or []
    _collect(messages, _check_origins, form.patterns, known)
    if form.origins is not None:
        _collect(messages, _check_traced, form, views)
    if messages:
        return [Problem(file, line, message) for message in messages]
    effect: Literal["permit", "forbid"] = "permit" if form.permit else "forbid"
    rule = RuleLine(form.rule_id, form.title, effect, _tier(form), form.demand)
    need = _need(form, views) if form.not_while is None else _under_way(form.not_while, others)
    cedar = _policy(rule, need, names, form.agent_names, [*_who(form), *when, *([body] if body else [])])
    who = tuple(form.automation_names)
    return LoadedRule(
        rule,
        cedar,
        sentence(form, names),
        file,
        line,
        frozenset(names),
        need,
        who,
        tuple(form.patterns),
        tuple(form.agent_names),
        bool(form.never) and not form.when,
        numbers_of(form),
    )


def _tier(form: Form) -> str:
    if form.permit:
        return ""
    if form.not_while is not None:
        return "wait"
    return form.demand.tier if form.demand is not None else "hard"


def quote(text: str) -> str:
    """A Cedar string. Control, format and odd space characters are escaped, so what is shown is what is."""
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character != " " and unicodedata.category(character)[0] in "CZ":
        return f"\\u{{{ord(character):x}}}"
    return character


def _collect(messages: list[str], step: Any, *arguments: Any) -> Any:
    """Run one step, keep what is wrong, and let the others speak as well."""
    try:
        return step(*arguments)
    except Unfit as unfit:
        messages.extend(message for message in unfit.messages if message not in messages)
        return None


def _operations(patterns: list[str], views: Mapping[str, View]) -> list[str]:
    found: set[str] = set()
    wrong = []
    for pattern in patterns:
        if "*" in pattern:
            shape = re.compile(".*".join(map(re.escape, pattern.split("*"))))
            matched = [name for name in views if shape.fullmatch(name)]
            if not matched:
                wrong.append(f"operation {pattern!r} matches nothing{did_you_mean(pattern, views)}")
            found.update(matched)
        elif pattern in views:
            found.add(pattern)
        else:
            wrong.append(f"there is no operation {pattern!r}{did_you_mean(pattern, views)}")
    if wrong:
        raise Unfit(*wrong)
    return sorted(found)


def _check_names(what: str, names: list[str], known: Collection[str] | None) -> None:
    if known is not None:
        wrong = [name for name in names if name not in known]
        if wrong:
            raise Unfit(*(f"there is no {what} {name!r}{did_you_mean(name, known)}" for name in wrong))


def _argument(name: str, view: View) -> Shape:
    """The shape of an argument that a rule names. Raises `Unfit`."""
    if name in view.attributes:
        return view.attributes[name].shape
    if name in view.unseen:
        raise Unfit(f"rules cannot see {name!r} of {view.operation}: it {view.unseen[name]}")
    raise Unfit(f"{view.operation} has no argument {name!r}{did_you_mean(name, view.names)}")


def _optional(name: str, views: list[View]) -> bool:
    return any(not view.attributes[name].required for view in views)


def _who(form: Form) -> list[str]:
    """The agents and automations that a rule is for, as Cedar expressions."""
    conditions = []
    if len(form.agent_names) > 1:
        agents = ", ".join(f"Agent::{quote(name)}" for name in form.agent_names)
        conditions.append(f"[{agents}].contains(principal)")
    if form.automation_names:
        conditions.append(_one_of("context.automation", [quote(n) for n in form.automation_names]))
    return conditions


def _when(name: str, values: list[str | int | bool], views: list[View]) -> str:
    """That an argument is one of some values; one that is absent equals none."""
    texts: list[str] = []
    for view in views:
        shape = _argument(name, view)
        before, texts = texts, [_literal(name, value, shape) for value in values]
        if before and before != texts:
            raise Unfit(f"when.{name}: the operations have different types for it; write a rule for each")
    has = f"context.args has {quote(name)} && " if views and _optional(name, views) else ""
    return has + (_one_of(f"context.args[{quote(name)}]", texts) if texts else "")


def _one_of(path: str, texts: list[str]) -> str:
    return f"{path} == {texts[0]}" if len(texts) == 1 else f"[{', '.join(texts)}].contains({path})"


def _literal(name: str, value: str | int | bool, shape: Shape) -> str:
    """A value as Cedar text, for an argument of this shape. Raises `Unfit`."""
    plain = _canonical(name, value, shape)
    if isinstance(plain, dict):
        return f'{{"minor": {plain["minor"]}, "currency": {quote(plain["currency"])}}}'
    if isinstance(plain, bool):
        return str(plain).lower()
    return quote(plain) if isinstance(plain, str) else str(plain)


def _canonical(name: str, value: str | int | bool, shape: Shape) -> Any:
    expected = {"text": str, "whole number": int, "yes/no": bool, "money": str}.get(shape.kind)
    if expected is None:
        raise Unfit(f"when.{name}: it is a {shape.kind}, which cannot be compared with a value")
    if type(value) is not expected:
        raise Unfit(f"when.{name}: {value!r} is no {shape.kind}")
    if shape.values and value not in shape.values:
        raise Unfit(f"when.{name}: it is never {value!r}{did_you_mean(str(value), map(str, shape.values))}")
    if shape.kind == "money":
        return _money(f"when.{name}", str(value))
    return value


def _money(place: str, text: str) -> dict[str, Any]:
    try:
        money = Money.parse(text)
    except ValueError as error:
        raise Unfit(f"{place}: {error}") from None
    return {"minor": money.minor, "currency": money.currency}


def _body(form: Form, views: list[View]) -> str:
    """What a rule says besides its scope, as a Cedar expression; empty for permit, never and ask_always."""
    if form.limits is not None:
        messages: list[str] = []
        tests = [_collect(messages, _above, name, limit, views) for name, limit in form.limits.items()]
        if messages:
            raise Unfit(*messages)
        return " || ".join(tests)
    if form.counting is not None:
        return _over(form.counter, form.counting, views, first=form.ask_first is not None)
    if form.not_while is not None:
        return f"context.facts[{quote(counter_of(form.not_while))}] > 0"
    if form.origins is not None:
        return " || ".join(_from(name, patterns) for name, patterns in form.origins.items())
    return _outside(form.only_during) if form.only_during is not None else ""


def counter_of(form: NotWhile) -> str:
    """What the actions under way that a rule looks at are counted under."""
    by = f" with the same {form.same}" if form.same else ""
    return f"{', '.join(sorted(set(form.operation)))} under way{by}"


def _from(argument: str, patterns: list[str]) -> str:
    """That an argument (none: any of them) may come from one of these."""
    where = f"context.origins_of[{quote(argument)}]" if argument else "context.origins"
    return f"{where}.containsAny([{', '.join(map(quote, patterns))}])"


def _check_traced(form: Form, views: list[View]) -> None:
    """The arguments whose origins it looks at are there. Raises `Unfit`."""
    wrong = [
        f"{view.operation} has no argument {name!r}{did_you_mean(name, view.traced)}"
        for view in views
        for name in form.origins or ()
        if name and name not in view.traced
    ]
    if wrong:
        raise Unfit(*wrong)


def _check_origins(patterns: list[str], known: Known) -> None:
    """Each is the name, or a pattern, of an operation or of a type of event. Raises `Unfit`."""
    if known.events is None:
        return
    names = {*known.views, *known.events}
    wrong = [one for one in patterns if not any(fnmatchcase(name, one) for name in names)]
    if wrong:
        raise Unfit(
            *(
                f"{one!r} is no operation and no type of event that comes in{did_you_mean(one, names)}"
                for one in wrong
            )
        )


def _others(form: Form, views: list[View], known: Mapping[str, View]) -> list[str]:
    """The operations whose being under way a rule looks at. Raises `Unfit`."""
    if form.not_while is None:
        return []
    try:
        others = _operations(form.not_while.operation, known)
    except Unfit as unfit:
        raise Unfit(*(f"not_while.{message}" for message in unfit.messages)) from None
    same = form.not_while.same
    for view in (*views, *(known[name] for name in others)) if same is not None else ():
        if _argument(same or "", view).kind in ("money", "list", "record"):
            raise Unfit(f"not_while.same: {same!r} of {view.operation} cannot tell actions apart")
    return others


def _under_way(form: NotWhile, others: list[str]) -> FactNeed:
    return FactNeed(counter_of(form), "ever", form.same or "", under_way=frozenset(others))


_A: dict[Kind, str] = {k: f"a {k}" for k in ("whole number", "list", "record")}


def _above(name: str, limit: Money | int, views: list[View], counted: str = "") -> str:
    """True where an amount, with what is `counted` already, is above a limit.

    Another currency and an amount that is left out count as above every limit: the rule cannot see
    how much would be moved. A negative amount does too: it may move as much the other way, and in a
    sum it would make room for others.
    """
    wanted: Kind = "money" if isinstance(limit, Money) else "whole number"
    for view in views:
        kind = _argument(name, view).kind
        if kind != wanted:
            said = f"{str(limit)!r} is {_A.get(wanted, wanted)}"
            raise Unfit(f"{name!r} of {view.operation} is {_A.get(kind, kind)}, and {said}")
    path = f"context.args[{quote(name)}]"
    number = f"{path}.minor" if isinstance(limit, Money) else path
    tests = [f"{path}.currency != {quote(limit.currency)}"] if isinstance(limit, Money) else []
    tests += [f"{number} < 0", f"{counted}{number} > {_long(limit)}"]
    above = " || ".join(tests)
    if views and _optional(name, views):
        return f"(if context.args has {quote(name)} then {above} else true)"
    return above


def _long(limit: Money | int) -> str:
    minor = limit.minor if isinstance(limit, Money) else limit
    return str(minor) if minor >= 0 else f"({minor})"


def _over(counter: str, form: AtMost, views: list[View], *, first: bool) -> str:
    """True where a count is full already; or, for the `first` so many, as long as it is not."""
    if form.by and form.by != "agent":
        for view in views:
            if _argument(form.by, view).kind in ("money", "list", "record"):
                place = "ask_first.by" if first else "at_most.by"
                raise Unfit(f"{place}: {form.by!r} of {view.operation} cannot separate counts")
    counted = f"context.facts[{quote(counter)}]"
    if form.total is not None and form.of is not None:
        return _above(form.of, form.total, views, f"{counted} + ")
    return f"{counted} {'<' if first else '>='} {form.times}"


def _outside(form: OnlyDuring) -> str:
    minute, weekday = "context.time.minute_of_day", "context.time.weekday"
    days = sorted(form.days) if form.days is not None else None
    today = f"{days}.contains({weekday})" if days is not None else ""
    if form.hours is None:
        return f"!{today}"
    start, end = form.hours
    if start < end:
        parts = [f"{minute} >= {start}", f"{minute} < {end}", *([today] if today else [])]
        return f"!({' && '.join(parts)})"
    # Over midnight the hours belong to the day on which they began.
    began = sorted((day + 1) % 7 for day in days) if days is not None else None
    tail = f" && {began}.contains({weekday})" if began is not None else ""
    evening = f"{minute} >= {start}" + (f" && {today}" if today else "")
    return f"!({evening} || {minute} < {end}{tail})"


def _need(form: Form, views: list[View]) -> FactNeed | None:
    if form.counting is None:
        return None
    when = tuple((name, _stored(name, values, views)) for name, values in sorted(form.when.items()))
    return FactNeed(
        form.counter,
        form.counting.per,
        form.counting.by or "",
        form.counting.of or "",
        frozenset(form.agent_names),
        frozenset(form.automation_names),
        when,
    )


def _stored(name: str, values: list[str | int | bool], views: list[View]) -> frozenset[bytes]:
    shape = _argument(name, views[0])
    return frozenset(canonical.encode(_canonical(name, value, shape)) for value in values)


def _policy(
    rule: RuleLine, need: FactNeed | None, names: list[str], agents: list[str], conditions: list[str]
) -> str:
    annotations = [f"@id({quote(rule.id)})", f"@title({quote(rule.title)})"]
    if rule.tier:
        annotations.append(f"@tier({quote(rule.tier)})")
    if rule.demand is not None:
        annotations += [f"@{name}({quote(text)})" for name, text in annotations_of(rule.demand)]
    if need is not None:
        # Part of the text so that the digest and the ledger's copy hold what is counted.
        by = f" by {need.by}" if need.by else ""
        counts = (
            f"{need.measure or 'actions'} per {need.per}{by}" if not need.under_way else "actions under way"
        )
        annotations += [f"@counts({quote(counts)})", f"@counter({quote(need.counter)})"]
    principal = f"principal == Agent::{quote(agents[0])}" if len(agents) == 1 else "principal is Agent"
    actions = [f"Action::{quote(name)}" for name in names]
    action = f"action == {actions[0]}" if len(actions) == 1 else f"action in [{', '.join(actions)}]"
    head = f"{rule.effect} ({principal}, {action}, resource)"
    return "\n".join([*annotations, head, *(f"when {{ {c} }}" for c in conditions)]) + ";"

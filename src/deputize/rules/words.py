"""A rule in people's words, for tables and for the inbox."""

from __future__ import annotations

from collections.abc import Mapping

from deputize.approval import Demand
from deputize.duration import duration_text
from deputize.person import KEEPER
from deputize.rules.forms import DAYS, AtMost, Form, OnlyDuring


def sentence(form: Form, names: list[str]) -> str:
    """What a form says, of which operations, and in which scope."""
    scope = [f"when {n} is {' or '.join(map(str, values))}" for n, values in form.when.items()]
    if form.agent_names:
        scope.append(f"by {' or '.join(form.agent_names)}")
    if form.automation_names:
        scope.append(f"in {' or '.join(form.automation_names)}")
    return " ".join([_said(form), "·", ", ".join(names), *scope])


def _said(form: Form) -> str:
    if form.permit:
        return "permitted"
    if form.never:
        return "never"
    if form.never_above is not None:
        return "never with " + " or ".join(
            f"{name} above {limit}" for name, limit in form.never_above.items()
        )
    if form.never_if_from is not None:
        return f"never {_sources(form.never_if_from)}"
    if form.demand is not None and form.demand.tier != "approval":
        return f"{_inquired(form)}; where that does not agree, asks {_whom(form.demand)}"
    if form.demand is not None:
        return f"{_asked(form)} {_whom(form.demand)}"
    if form.not_while is not None:
        same = f" with the same {form.not_while.same}" if form.not_while.same else ""
        return f"waits while {' or '.join(form.not_while.operation)} is under way{same}"
    if form.at_most is not None:
        return _at_most(form.at_most)
    return _only_during(form.only_during) if form.only_during is not None else ""


def _asked(form: Form) -> str:
    if form.ask_first is not None:
        by = f" for each {form.ask_first.by}" if form.ask_first.by else ""
        return f"the first {form.ask_first.times} times{by} asks"
    if form.limits is not None:
        return " or ".join(f"{name} above {limit}" for name, limit in form.limits.items()) + " asks"
    if form.ask_if_from is not None:
        return f"{_sources(form.ask_if_from)}, asks"
    return "always asks"


def _sources(origins: Mapping[str, list[str]]) -> str:
    return " or ".join(
        (f"where {name} comes from " if name else "once it has read ") + " or ".join(patterns)
        for name, patterns in origins.items()
    )


def _inquired(form: Form) -> str:
    by = f" by {form.by}" if form.by else ""
    what = f"verified with {form.verify_with}{by}" if form.verify_with else "rehearsed"
    above = " or ".join(f"{name} above {limit}" for name, limit in (form.above or {}).items())
    return f"{above} is {what} first" if above else f"is {what} first"


def _whom(demand: Demand) -> str:
    many = "" if demand.people == 1 else f"{demand.people} of "
    whom = " or ".join(demand.whom or (KEEPER,))
    then = (
        f", then {' or '.join(demand.then)} after {duration_text(demand.then_after_s)}" if demand.then else ""
    )
    return f"{many}{whom}{then}, for {duration_text(demand.within_s)}"


def _at_most(form: AtMost) -> str:
    what = f"{form.times} times" if form.total is None else f"{form.total} of {form.of} in all"
    per = "ever" if form.per == "ever" else f"per {form.per}"
    return f"at most {what} {per}" + (f" for each {form.by}" if form.by else "")


def _only_during(form: OnlyDuring) -> str:
    hours = "" if form.hours is None else " " + " to ".join(map(_clock, form.hours))
    days = "" if form.days is None else " on " + ", ".join(DAYS[day] for day in sorted(form.days))
    return f"only{hours}{days}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"

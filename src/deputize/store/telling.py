"""Gathering from a ledger what a story is told from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from deputize import canonical
from deputize.budget import Budget
from deputize.clock import iso
from deputize.ledger import SYSTEM
from deputize.store.protocol import RunRow, View
from deputize.why import RuleText, RuleTexts, Telling

_ANNOTATION = re.compile(r'@(id|title|counts|counter)\(("(?:[^"\\]|\\.)*")\)')


def read_telling(view: View, run: RunRow, zone: ZoneInfo, budgets: Mapping[str, Budget]) -> Telling:
    """A run's entries, its event, and the rules that were in force at the time. `budgets` by key."""
    event = view.event(run.event)
    shown = None
    if event is not None:
        about = event.occurrence
        shown = {
            "seq": event.seq,
            "source": about.source,
            "id": about.id,
            "type": about.type,
            "subject": about.subject,
            "time": iso(about.time_us),
        }
    return Telling(
        run.id, run.automation, run.agent, shown, view.entries(run.no), _rulesets(view), zone, budgets
    )


def _rulesets(view: View) -> list[RuleTexts]:
    return [
        RuleTexts(entry.body["digest"], entry.seq, rule_texts(entry.body["source"]))
        for entry in view.entries(SYSTEM)
        if entry.type == "rules" and entry.body is not None
    ]


def rule_texts(source: str) -> dict[str, RuleText]:
    """The titles in a rule set's text, by rule id, and by what a rule counts under."""
    found: dict[str, RuleText] = {}
    for block in re.split(r"\n\s*\n", source):
        told = {name: _text(quoted) for name, quoted in _ANNOTATION.findall(block)}
        if "id" in told:
            measure = told.get("counts", "").partition(" ")[0]
            rule = found[told["id"]] = RuleText(told.get("title", told["id"]), measure)
            found.setdefault(told.get("counter", told["id"]), rule)
    return found


def _text(quoted: str) -> str:
    try:
        return str(canonical.decode(quoted))
    except ValueError:
        return quoted.strip('"')

"""Gathering from a ledger what a story is told from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from deputize import canonical
from deputize.approval import handed_on
from deputize.budget import Budget
from deputize.card import Waiting
from deputize.clock import iso
from deputize.finding import is_child
from deputize.health import AUTOMATION, since_of, told_health
from deputize.ledger import SYSTEM, Entry
from deputize.standing import Stand
from deputize.store.protocol import CardRow, RunRow, View
from deputize.store.rates import BUDGET, NEARED, WINDOW
from deputize.store.standing import Standings
from deputize.today import DAYS, told_today
from deputize.why import RuleText, RuleTexts, Telling

ANSWERS_SHOWN = 5
RULESETS_KEPT = 64

_ANNOTATION = re.compile(r'@(id|title|counts|counter)\(("(?:[^"\\]|\\.)*")\)')


def read_telling(
    view: View,
    run: RunRow,
    zone: ZoneInfo,
    budgets: Mapping[str, Budget],
    schemas: Mapping[str, str] | None = None,
    stands: Sequence[Stand] = (),
    after: int = 0,
    limit: int | None = None,
) -> Telling:
    """A run's entries (from version `after + 1` on, at most `limit`), its event, and the rules that were in
    force at the time. `budgets` by key; `schemas` of results by operation, where the project is at hand;
    `stands` as memory has them."""
    event, entries, rulesets = _event(view, run), view.entries(run.no, after, limit), _rulesets(view)
    waits_for, schemas = Standings(view).of(run, stands), schemas or {}
    return Telling(
        run.id, run.automation, run.agent, event, entries, rulesets, zone, budgets, schemas, waits_for
    )


def read_health(view: View, since: int) -> dict[str, Any]:
    """How work goes, since the beginning of a day (ledger time) or since ever (0). See `deputize.health`."""
    cards = {name: one.open for name, one in view.added().items()}
    return told_health(view.rates(since), view.remembered(), cards, since)


def read_today(view: View, now_us: int) -> dict[str, Any]:
    """What happened since yesterday. See `deputize.today`."""
    since = since_of(DAYS, now_us)
    # Cards of the system's stream are of budgets and rules, whose places have rooms.
    cards = {name: one.open for name, one in view.added().items() if "/" not in name}
    return told_today(view.daily(since, AUTOMATION), view.counts(), cards, now_us)


def read_neared(view: View) -> dict[str, tuple[int, int]]:
    """The budgets that were nearly used up, by key: in which window last, and when people were told so."""
    found = {}
    for name, had in view.remembered().items():
        entry = view.entry(had.get(NEARED, 0)) if name.startswith(BUDGET) else None
        if entry is not None:
            found[name.removeprefix(BUDGET)] = (had.get(WINDOW, 0), entry.at_us)
    return found


def read_waiting(view: View, card: CardRow) -> Waiting:
    """A card with what is around it."""
    run = view.run_no(card.run)
    action = view.action(card.run, card.path) if card.path else None
    # A read without a price has no intent: the entry that made its card says what was asked.
    intent = view.entry(action.intent) if action is not None and action.intent else None
    asked = intent.body if intent is not None else card.body
    return Waiting(
        card.id,
        card.kind,
        card.body,
        run.automation if run is not None else str(card.body.get("automation", "")),
        _event(view, run) if run is not None else None,
        run is None or run.state == "ended",
        card.state == "open",
        asked if card.path else None,
        action.first_sent if action is not None else 0,
        action.key if action is not None else "",
        _behind(view, card),
        handed.body if (handed := read_handed(view, card)) is not None else None,
    )


def read_handed(view: View, card: CardRow) -> Entry | None:
    """The entry of whoever handed an approval's card on; None where nobody has."""
    asked = view.entry(card.seq) if card.kind == "approval" else None
    return handed_on(view.entries(asked.stream, asked.version), asked) if asked is not None else None


def _behind(view: View, card: CardRow) -> list[dict[str, Any]]:
    """What a card rests on."""
    if card.kind == "approval":
        return _answers_before(view, card)
    rows = [view.run(id) for id in card.body.get("latest", ())] if card.kind == "lowered" else []
    return [{"run": row.id, "reason": row.reason} for row in rows if row is not None]


def _answers_before(view: View, card: CardRow) -> list[dict[str, Any]]:
    """What a run had been answered until it asked, the latest few: each with its operation and its result."""
    ops: dict[str, str] = {}
    answers: list[dict[str, Any]] = []
    for entry in view.entries(card.run):
        body = entry.body or {}
        if entry.seq >= card.seq:
            break
        if "op" in body and "path" in body:
            ops[body["path"]] = body["op"]
        if entry.type in ("read", "receipt") and "result" in body and not is_child(body["path"]):
            answers.append({"op": ops.get(body["path"], ""), "result": body["result"]})
    return answers[-ANSWERS_SHOWN:]


def _event(view: View, run: RunRow) -> dict[str, Any] | None:
    event = view.event(run.event)
    if event is None:
        return None
    about = event.occurrence
    return {
        "seq": event.seq,
        "source": about.source,
        "id": about.id,
        "type": about.type,
        "subject": about.subject,
        "time": iso(about.time_us),
    }


def _rulesets(view: View) -> list[RuleTexts]:
    return [
        RuleTexts(entry.body["digest"], entry.seq, rule_texts(entry.body["source"]))
        for entry in view.entries_of(SYSTEM, "rules")
        if entry.body is not None
    ]


def rules_changed(view: View, digest: str) -> dict[str, Any] | None:
    """When a rule set last came into force, and who started the process with it, or changed a number of it
    then: `{"at", "by"}`, and the `change`."""
    for entry in reversed(view.entries_of(SYSTEM, "rules")):
        if entry.body is not None and entry.body["digest"] == digest:
            # Ledgers of before people had tokens do not say who.
            change = {"change": entry.body["change"]} if "change" in entry.body else {}
            return {"at": iso(entry.at_us), "by": entry.body.get("by"), **change}
    return None


@lru_cache(maxsize=RULESETS_KEPT)
def rule_texts(source: str) -> Mapping[str, RuleText]:
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

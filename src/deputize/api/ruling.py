"""Rules, changed: what another number would have done, and that put in force; what rules decided lately."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from fastapi import APIRouter, Request
from starlette.responses import Response

from deputize import canonical
from deputize.api.body import read_object, text_of
from deputize.api.here import Here
from deputize.api.problem import Problem, answer
from deputize.api.rewriting import Text
from deputize.api.who import READS, Changer, Decider, read_decision
from deputize.clock import iso
from deputize.errors import DeputizeError, ProjectError
from deputize.kernel.rejudging import Came, Rejudged, first_asked, rejudge
from deputize.kernel.ruling import card_path, propose_rule
from deputize.ledger import SYSTEM_NAME
from deputize.project import Project
from deputize.rules.files import read_folder
from deputize.rules.loaded import LoadedRule
from deputize.rules.numbers import Number, with_number
from deputize.sentence import asked_for, listed
from deputize.store.protocol import Decided
from deputize.suggest import did_you_mean
from deputize.system import System

JUDGED_MAX = 200
DECISIONS_MAX = 500
LOOKED_AT_MAX = 20_000
"""Entries that are looked through, from the newest on."""
LATELY_MAX = 3_000
"""The same for what rules decided lately, which a page shows."""
DIFFER_SHOWN = 8
LATEST_SHOWN = 3

router = APIRouter(prefix="/v1/rules", dependencies=[READS])


@router.get("/decisions")
async def get_decisions(system: Here) -> Response:
    """What each rule decided lately.

    Of the last decisions (`looked_at` of them), how many it allowed, put before people, and refused, with the
    latest.
    """
    return answer(system, decisions_of(system))


@router.post("/{rule:path}/preview")
async def preview_change(request: Request, system: Here, _: Decider, rule: str) -> Response:
    """What another number in a rule would have done.

    The last actions of the rule's operations are judged again with it, on the facts that the ledger has of
    them. Nothing is changed.
    """
    body = await read_object(request)
    place, value = text_of(body, "place"), text_of(body, "value", chars_max=100)
    return answer(system, await preview_of(system, rule, place, value))


@router.post("/{rule:path}/change")
async def change_rule(request: Request, system: Here, person: Changer, rule: str) -> Response:
    """Change a number of a rule.

    `ruleset` is the digest of the rules that were looked at. Its file is rewritten in just that number, and
    is in force from then on. Where `[rules] ask` names people, it `waits` for one of them instead: that is
    the id of its card.
    """
    body = await read_decision(request)
    place, value = text_of(body, "place"), text_of(body, "value", chars_max=100)
    return answer(system, await changed(system, rule, place, value, text_of(body, "ruleset"), person))


# -- what rules decided lately ------------------------------------------------------------------------------


def decisions_of(system: System) -> dict[str, Any]:
    """By rule: how many of the last decisions it had a part in, by what came of them, and the latest few."""
    found = system.store.read(lambda view: view.decisions("", LATELY_MAX, DECISIONS_MAX))
    rules: dict[str, dict[str, Any]] = {}
    for one in found:
        body = one.entry.body or {}
        for rule in body.get("rules", ()):
            told = rules.setdefault(rule, {"allowed": 0, "asked": 0, "refused": 0, "latest": []})
            told[_CAME[one.entry.type]] += 1
            if len(told["latest"]) < LATEST_SHOWN:
                told["latest"].append(_shown(one) | {"came": _CAME[one.entry.type]})
    return {"looked_at": len(found), "rules": rules}


_CAME = {"read": "allowed", "intent": "allowed", "asked": "asked", "refused": "refused"}


def _shown(one: Decided) -> dict[str, Any]:
    body = one.entry.body or {}
    return {
        "run": one.run,
        "path": body["path"],
        "at": iso(one.entry.at_us),
        "about": asked_for(body),
    }


# -- what another number would have done --------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """Another number in a rule, checked: the project with it, and the file that it stands in."""

    rule: LoadedRule
    number: Number
    value: str
    project: Project
    file: Text
    text: str

    def body(self) -> dict[str, Any]:
        """For an entry."""
        return {
            "rule": self.rule.rule.id,
            "title": self.rule.rule.title,
            "file": self.rule.file,
            "place": self.number.place,
            "label": self.number.label,
            "was": self.number.value,
            "now": self.value,
        }


def find_number(system: System, rule: str, place: str) -> tuple[LoadedRule, Number]:
    """A number of a rule in force. Raises `Problem` 404."""
    rules = {one.rule.id: one for one in system.project.rules.explain()}
    loaded = rules.get(rule)
    if loaded is None:
        raise Problem(404, f"there is no rule {rule[:200]!r}{did_you_mean(rule, rules)}")
    number = next((one for one in loaded.numbers if one.place == place), None)
    if number is None:
        places = [one.place for one in loaded.numbers]
        said = f"; it has {', '.join(places)}" if places else "; it has none that a form can change"
        raise Problem(404, f"the rule {rule!r} has no number {place[:200]!r}{said}")
    return loaded, number


async def preview_of(system: System, rule: str, place: str, value: str) -> dict[str, Any]:
    """What another number would have done, in figures and in one sentence. Raises `Problem`."""
    found = find_number(system, rule, place)
    return await asyncio.to_thread(_previewed, system, *found, value)


def _previewed(system: System, rule: LoadedRule, number: Number, value: str) -> dict[str, Any]:
    change = checked(system.project, rule, number, value)
    alone = next(iter(rule.operations)) if len(rule.operations) == 1 else ""
    most = JUDGED_MAX * (2 if alone else 10)
    entries = system.store.read(lambda view: view.decisions(alone, LOOKED_AT_MAX, most))
    decided = first_asked(entries, rule.operations, JUDGED_MAX)
    calendar = system.kernel.parts.force.calendar
    told, untold = rejudge(decided, system.project.rules, change.project.rules, calendar)
    was: Counter[Came] = Counter(one.was for one in told)
    now: Counter[Came] = Counter(one.now for one in told)
    differ = [one for one in told if one.was != one.now]
    return change.body() | {
        "ruleset": system.project.rules.digest,
        "operations": sorted(rule.operations),
        "judged": len(told),
        "untold": untold,
        "before": {kind: was[kind] for kind in get_args(Came)},
        "after": {kind: now[kind] for kind in get_args(Came)},
        "sentence": sentence(change.value, len(told), was, now),
        "differ": len(differ),
        "latest": [_differs(one) for one in differ[:DIFFER_SHOWN]],
    }


def sentence(value: str, judged: int, was: Mapping[Came, int], now: Mapping[Came, int]) -> str:
    """`60.00 EUR would have stopped 3 of your last 200 (as now) and asked people for 12 (instead of 9).`"""
    if not judged:
        return "Nothing that this rule speaks of was done lately, so there is nothing to compare it with."
    told = [
        f"stopped {now['refused']:,} of your last {judged:,}{_instead(now, was, 'refused')}",
        f"asked people for {now['asked']:,}{_instead(now, was, 'asked')}",
    ]
    if was["checked"] or now["checked"]:
        told.append(f"looked into {now['checked']:,} first{_instead(now, was, 'checked')}")
    return f"{value} would have {', '.join(told[:-1])} and {told[-1]}."


def _instead(now: Mapping[Came, int], was: Mapping[Came, int], kind: Came) -> str:
    return " (as now)" if now[kind] == was[kind] else f" (instead of {was[kind]:,})"


def _differs(one: Rejudged) -> dict[str, Any]:
    return _shown(one.decided) | {"was": one.was, "now": one.now}


def checked(project: Project, rule: LoadedRule, number: Number, value: str) -> Change:
    """The change, checked as `deputize check` would. Raises `Problem`."""
    root = project.settings.root
    try:
        read = number.read(value)
    except ValueError as error:
        raise Problem(422, str(error), field="value") from None
    try:
        texts, wrong = read_folder(root / "rules")
        known = not wrong and texts == project.rules.texts
        same = known or (not wrong and project.with_rules(texts).rules.digest == project.rules.digest)
    except ProjectError:
        same = False
    if not same:
        raise Problem(
            409,
            "the files of the rules are not those in force: somebody changed them on disk, and that counts "
            "from the next start on. Start `deputize up` again first; nothing was changed here",
        )
    file = Text.read(root / rule.file)
    if file.text != texts[rule.file]:
        raise Problem(409, f"{rule.file} was changed on disk in the meantime; nothing was written")
    try:
        text = with_number(file.text, rule.line, number.place, read)
        changed = project.with_rules({**texts, rule.file: text})
    except ValueError as error:
        raise Problem(422, str(error), field="value") from None
    except ProjectError as error:
        raise Problem(422, _without_place(str(error), rule), field="value") from None
    if changed.rules.digest == project.rules.digest:
        raise Problem(422, f"it is {number.value} already", field="value")
    after = next(one for one in changed.rules.explain() if one.rule.id == rule.rule.id)
    shown = next(one.value for one in after.numbers if one.place == number.place)
    return Change(rule, number, shown, changed, file, text)


def _without_place(said: str, rule: LoadedRule) -> str:
    return said.splitlines()[0].removeprefix(f"{rule.file}:{rule.line}: ")


# -- changing it --------------------------------------------------------------------------------------------


async def changed(
    system: System, rule: str, place: str, value: str, seen: str, person: str
) -> dict[str, Any]:
    """Change a number of the rules that were looked at. Raises `Problem`, 409 where they are others now."""
    # To its end, even where whoever asked for it has gone: file, ledger and memory are to agree.
    return await asyncio.shield(asyncio.ensure_future(_change(system, rule, place, value, seen, person)))


async def _change(
    system: System, rule: str, place: str, value: str, seen: str, person: str
) -> dict[str, Any]:
    async with system.changing:
        found = find_number(system, rule, place)
        if system.project.rules.digest != seen:
            raise Problem(409, _meanwhile(system))
        change = await asyncio.to_thread(checked, system.project, *found, value)
        if system.project.settings.rules_ask:
            return await _propose(system, change, person)
        await put(system, change, person)
    body = change.body()
    return body | {
        "waits": None,
        "ruleset": system.project.rules.digest,
        "said": f"{body['now']} instead of {body['was']}",
    }


async def _propose(system: System, change: Change, person: str) -> dict[str, Any]:
    """It waits for somebody else's approval."""
    settings, (rule, number) = system.project.settings, (change.rule, change.number)
    may = settings.directory.among(settings.rules_ask, "")
    if not may - {person}:
        raise Problem(
            409,
            f"a change of a rule waits for {person} alone, and nobody approves their own request: somebody "
            "else has to ask for it, or [rules] ask has to name more people",
        )
    told = await asyncio.to_thread(_previewed, system, rule, number, change.value)
    body = change.body()
    path = card_path(rule.rule.id, number.place)
    asks = {
        "path": path,
        "kind": "rule",
        "title": f"{person} asks that “{rule.rule.title}” says {change.value} instead of {number.value}",
        "change": body,
        "said": told["sentence"],
        "ruleset": system.project.rules.digest,
        "whom": list(settings.rules_ask),
        "requesters": [person],
        "binding": canonical.name(system.project.rules.digest, path, change.value)[:24],
    }
    await propose_rule(system.kernel.parts, asks)
    said = f"it waits for {listed(sorted(may - {person}))}"
    return body | {"ruleset": system.project.rules.digest, "waits": f"{SYSTEM_NAME}/{path}", "said": said}


async def put(system: System, change: Change, person: str, approved: tuple[str, str] | None = None) -> None:
    """Write the file and put it in force; where the ledger cannot take it, the file is as it was."""
    written = await asyncio.to_thread(change.file.replaced, change.text)
    try:
        await system.change_rules(change.project, change.body(), person, approved)
    except DeputizeError:
        await asyncio.to_thread(written.replaced, change.file.text)
        raise


def _meanwhile(system: System) -> str:
    """Who changed the rules since somebody looked at them."""
    last = system.rules_since() or {}
    who = (last.get("by") or {}).get("person") or "somebody"
    what = last.get("change")
    said = f"changed “{what['title']}” to {what['now']}" if what else "changed the rules"
    return f"in the meantime {who} {said}, so yours was not taken: look at it again, and then decide"

"""Changing what decides while runs go on: another set of rules, other parameters. Both are entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deputize import canonical
from deputize.errors import DeputizeError
from deputize.kernel.parts import Parts
from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM, Draft
from deputize.rule import RuleSet
from deputize.store.protocol import Tx

CHANGED_MEANWHILE = "the rules were changed in the meantime: look at them again, and then decide"


_ROOM = "rule/"


def card_path(rule: str, place: str) -> str:
    """Where in the system's stream the card is of somebody who asks for another number there."""
    return f"{_ROOM}{canonical.name(rule, place)[:12]}"


def is_card_path(path: str) -> bool:
    """Whether such a card may be there."""
    return path.startswith(_ROOM)


async def propose_rule(parts: Parts, body: Mapping[str, Any]) -> None:
    """Put it before people: a card. Raises `NotAnswerable` where one for this number waits already."""

    def work(tx: Tx) -> None:
        if tx.has_card(SYSTEM, body["path"]):
            raise NotAnswerable(
                "another number for it waits for approval already: that is to be answered first"
            )
        tx.append(SYSTEM, tx.version(SYSTEM), [Draft("proposed", body)])

    await parts.store.write(work)


async def refuse_rule(parts: Parts, path: str, reason: str, person: str) -> None:
    """Somebody says no to it. Raises `NotAnswerable` where it does not wait any more."""

    def work(tx: Tx) -> None:
        _take_card(tx, path, {"person": person, "reason": reason}, "refuse")

    await parts.store.write(work)


def _take_card(tx: Tx, path: str, by: Mapping[str, str], answer: str) -> None:
    if not tx.has_card(SYSTEM, path):
        raise NotAnswerable("it does not wait any more: somebody has answered it")
    tx.append(SYSTEM, tx.version(SYSTEM), [Draft("noted", {"path": path, "by": by, "answer": answer})])


async def put_rules_in_force(
    parts: Parts,
    rules: RuleSet,
    was: str,
    change: Mapping[str, Any],
    by: str,
    approved: tuple[str, str] | None = None,
) -> None:
    """Judge by these rules from here on. `was` is the digest of those that are to be in force until then,
    `change` says what is another, `by` is the person who answers for it; where it was `approved`, that is the
    path of its card and who has done so.

    Raises `NotAnswerable` where others are in force."""
    before = parts.force

    def work(tx: Tx) -> None:
        if tx.setting("ruleset") != was:
            raise NotAnswerable(CHANGED_MEANWHILE)
        body: dict[str, Any] = {
            "digest": rules.digest,
            "source": rules.source(),
            "by": {"person": by, "account": ""},
            "change": dict(change),
        }
        if approved is not None:
            body["approved_by"] = approved[1]
            _take_card(tx, approved[0], {"person": approved[1], "reason": ""}, "approve")
        tx.append(SYSTEM, tx.version(SYSTEM), [Draft("rules", body)])
        tx.set_setting("ruleset", rules.digest)
        # In the writer's own order: what starts after this entry is judged by it.
        parts.force = replace(before, rules=rules)

    try:
        await parts.store.write(work)
    except DeputizeError:
        parts.force = before
        raise


async def note_params(parts: Parts, change: Mapping[str, Any], by: str) -> None:
    """Write down that an automation's parameter is another one from here on, and by whom."""

    def work(tx: Tx) -> None:
        body = {**change, "by": {"person": by, "account": ""}}
        tx.append(SYSTEM, tx.version(SYSTEM), [Draft("params", body)])

    await parts.store.write(work)

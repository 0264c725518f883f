"""Changing what decides while runs go on: another set of rules, other parameters. Both are entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deputize.errors import DeputizeError
from deputize.kernel.parts import Parts
from deputize.kernel.people import NotAnswerable
from deputize.ledger import SYSTEM, Draft
from deputize.rule import RuleSet
from deputize.store.protocol import Tx

CHANGED_MEANWHILE = "the rules were changed in the meantime: look at them again, and then decide"


async def put_rules_in_force(
    parts: Parts, rules: RuleSet, was: str, change: Mapping[str, Any], by: str
) -> None:
    """Judge by these rules from here on. `was` is the digest of those that are to be in force until then,
    `change` says what is another, `by` is the person who answers for it.

    Raises `NotAnswerable` where others are in force."""
    before = parts.force

    def work(tx: Tx) -> None:
        if tx.setting("ruleset") != was:
            raise NotAnswerable(CHANGED_MEANWHILE)
        body = {
            "digest": rules.digest,
            "source": rules.source(),
            "by": {"person": by, "account": ""},
            "change": dict(change),
        }
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

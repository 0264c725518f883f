"""Another number in a rule, where somebody else has to approve it."""

from __future__ import annotations

import asyncio

from deputize.api.problem import Problem
from deputize.api.ruling import checked, find_number, put
from deputize.kernel.people import NotAnswerable
from deputize.kernel.ruling import refuse_rule
from deputize.ledger import SYSTEM, SYSTEM_NAME
from deputize.sentence import listed
from deputize.store.protocol import CardRow
from deputize.system import System


async def decided(system: System, card: str, word: str, *, binding: str, reason: str, person: str) -> str:
    """Somebody's answer to such a card; returns the sentence that answers it. Raises `NotAnswerable`."""
    work = _decide(system, card, word, binding, reason, person)
    # To its end, even where whoever answered has gone.
    return await asyncio.shield(asyncio.ensure_future(work))


async def _decide(system: System, card: str, word: str, binding: str, reason: str, person: str) -> str:
    path = card.partition("/")[2]
    async with system.changing:
        row = system.store.read(lambda view: view.card_of(SYSTEM, path))
        if row is None:
            raise NotAnswerable(f"there is no card {SYSTEM_NAME}/{path} (any more): somebody has answered it")
        if row.body["binding"] != binding:
            raise NotAnswerable(f"the card {row.id} has changed since it was read; read it again")
        _check(system, row, word, person)
        if word == "refuse":
            await refuse_rule(system.kernel.parts, path, reason, person)
            return "refused"
        await _approve(system, row, person)
    change = row.body["change"]
    return f"changed: {change['now']} instead of {change['was']}"


def _check(system: System, row: CardRow, word: str, person: str) -> None:
    """Raises `NotAnswerable` where it is not for this person to say."""
    if word not in ("approve", "refuse"):
        raise NotAnswerable("another number in a rule is approved or refused as it is")
    asked_by = row.body["requesters"]
    if word == "approve" and person in asked_by:
        raise NotAnswerable(f"{person} asked for it; nobody approves their own request")
    may = system.project.settings.directory.among(row.body["whom"], "")
    if person not in may and person not in asked_by:
        raise NotAnswerable(f"{person} is not asked for this; it asks {listed(sorted(may))}")


async def _approve(system: System, row: CardRow, person: str) -> None:
    body, change = row.body, row.body["change"]
    if body["ruleset"] != system.project.rules.digest:
        raise NotAnswerable("the rules are others than those that it was asked for: refuse it, and ask anew")
    try:
        found = find_number(system, change["rule"], change["place"])
        made = await asyncio.to_thread(checked, system.project, *found, change["now"])
    except Problem as problem:
        raise NotAnswerable(problem.detail) from None
    await put(system, made, body["requesters"][0], (row.path, person))

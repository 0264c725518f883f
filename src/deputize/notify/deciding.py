"""Who is told of what, and when. Pure: no clock, no store, no sending."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from deputize.approval import Approval, Asking, demand_of_body
from deputize.notify.settings import NotifySettings
from deputize.person import Directory

Told = tuple[int, str, str]
"""A card (its seq), a person, a channel."""


@dataclass(frozen=True)
class Card:
    """A card, as far as telling people of it goes. Times are ledger time.

    `asked` has everybody whom it waits for, with the time from which on it does; `due` is when it is too
    late to answer, None for never.
    """

    seq: int
    id: str
    at: int
    due: int | None
    asked: Mapping[str, int]


@dataclass(frozen=True)
class Message:
    """What one person is told by one channel, all at once."""

    person: str
    channel: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Plan:
    """The messages that are due, and when (ledger time) there may be others; None for not by itself."""

    messages: tuple[Message, ...]
    next_at: int | None


def asked_of(
    kind: str,
    body: Mapping[str, Any],
    at: int,
    automation: str,
    directory: Directory,
    reached: Collection[str],
    approvals: Collection[Approval] = (),
    handed: tuple[int | None, str] = (None, ""),
) -> dict[str, int]:
    """Whom a card waits for, each with the time from which on it does.

    Of an approval those whom a demand asks that is not met yet, and who have not granted it, and the keeper
    from when somebody `handed` it on (the time, and who); of a question, and of another number in a rule,
    those whom it asks; of everything else the keeper, or where nobody reaches one, everybody who is reached.
    """
    if kind == "approval":
        return _asked_to_approve(body, at, automation, directory, approvals, handed)
    if kind == "question":
        return dict.fromkeys(directory.among(body.get("whom", ()), automation), at)
    if kind == "rule":
        may = directory.among(body["whom"], automation) - set(body["requesters"])
        return dict.fromkeys(may, at)
    keeper = directory.keeper_of(automation)
    return dict.fromkeys([keeper] if keeper in reached else reached, at)


def _asked_to_approve(
    body: Mapping[str, Any],
    at: int,
    automation: str,
    directory: Directory,
    approvals: Collection[Approval],
    handed: tuple[int | None, str],
) -> dict[str, int]:
    asking = Asking(automation, body["binding"], at, frozenset(body["requesters"]), *handed)
    have = {one.person for one in approvals if one.binding == asking.binding}
    asked: dict[str, int] = {}
    for demand in map(demand_of_body, body["demands"]):
        if demand.tier != "approval" or len(asking.granted(demand, approvals, directory)) >= demand.people:
            continue
        for since in {at, at + int(demand.then_after_s * 1_000_000), handed[0] or at}:
            for person in asking.asks(demand, directory, since) - asking.requesters - have:
                asked[person] = min(asked.get(person, since), since)
    return asked


def due(
    cards: Iterable[Card],
    told: Collection[Told],
    people: Mapping[str, Collection[str]],
    now: int,
    settings: NotifySettings,
    zone: ZoneInfo,
) -> Plan:
    """What is to be said now. `people` has the channels of everybody who can be told."""
    waiting = [card for card in cards if card.due is None or card.due > now]
    messages: list[Message] = []
    nexts: list[int] = []
    quiet_until = settings.quiet.until(now, zone) if settings.quiet is not None else None
    for person in sorted(people):
        for channel in people[person]:
            left = [c for c in waiting if person in c.asked and (c.seq, person, channel) not in told]
            if quiet_until is not None:
                calm = [card for card in left if not _urgent(card, quiet_until)]
                nexts += [quiet_until] if calm else []
                left = [card for card in left if _urgent(card, quiet_until)]
            first = min((_tell_at(card, person, settings) for card in left), default=None)
            if first is not None and first > now:
                nexts.append(first)
            elif first is not None:
                now_asked = tuple(card for card in left if card.asked[person] <= now)
                messages.append(Message(person, channel, now_asked))
                # Those whose time to be asked is still to come.
                nexts += [_tell_at(card, person, settings) for card in left if card.asked[person] > now]
    return Plan(tuple(messages), min(nexts, default=None))


def _urgent(card: Card, quiet_until: int) -> bool:
    """Whether the end of the quiet hours would be too late for it."""
    return card.due is not None and card.due <= quiet_until


def _tell_at(card: Card, person: str, settings: NotifySettings) -> int:
    """When a card is told, if no other one is before: after the usual wait, or half of the time left."""
    asked_at, wait = card.asked[person], int(settings.every_s * 1_000_000)
    if card.due is not None:
        wait = min(wait, max(card.due - asked_at, 0) // 2)
    return asked_at + wait

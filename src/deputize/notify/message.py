"""The words of a message: a subject, plain text, simple HTML, and the shorter form for a chat. Pure.

What stands in a card was perhaps written by a stranger: nothing of it is obeyed by a mail reader or a chat.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from deputize.sentence import short

CARDS_SHOWN_MAX = 50
CARDS_IN_CHAT_MAX = 20
"""Slack cuts a message off after 40,000 characters."""
SUBJECT_CHARS_MAX = 150
LINE_CHARS_MAX = 700
RUN_WAITS, NOTHING_WAITS = "its run does not go on before", "nothing waits for that"


@dataclass(frozen=True)
class Item:
    """A card as it is told: `card` as `told_card` tells it (with its id, kind and title), and its link."""

    card: Mapping[str, Any]
    link: str = ""


@dataclass(frozen=True)
class Letter:
    """A message in words. `id` is the same for the same cards, person and ledger: a repeat is known by it."""

    id: str
    subject: str
    text: str
    html: str
    chat: str


def letter_of(items: Sequence[Item], more: int, id: str, zone: ZoneInfo) -> Letter:
    """The message of these cards and of so many more that are not shown."""
    number = len(items) + more
    things = "1 thing waits" if number == 1 else f"{number:,} things wait"
    subject = short(f"{things} for you: {_line(items[0].card['title'])}", SUBJECT_CHARS_MAX)
    told = [(_head(item.card), _lines(item, zone)) for item in items]
    ends = [f"There {'is 1' if more == 1 else f'are {more:,}'} more: deputize inbox"] if more else []
    return Letter(
        id,
        subject,
        _text(f"{things} for you.", told, ends),
        _html(f"{things} for you.", told, ends, [item.link for item in items]),
        _chat(f"{things} for you.", items, number, zone),
    )


def sample_letter(shown: str, id: str) -> Letter:
    """What `deputize notify NAME --test` sends."""
    said = f"This is a test for {_line(shown)}: what waits for you will reach you here."
    return Letter(
        id, "A test: nothing waits for you", f"{said}\n", f"<p>{html.escape(said)}</p>\n", _slack(said)
    )


def id_of(ledger: str, person: str, channel: str, seqs: Sequence[int]) -> str:
    """A message's id: 32 hexadecimal digits."""
    said = "\n".join([ledger, person, channel, *map(str, sorted(seqs))])
    return sha256(said.encode()).hexdigest()[:32]


def _head(card: Mapping[str, Any]) -> str:
    return _line(card["about"] or card["title"])


def _lines(item: Item, zone: ZoneInfo) -> list[tuple[str, str]]:
    """What is said of a card below its first line: names and what they name."""
    card = item.card
    lines = [("Why", _line(card["title"]))] if card["about"] else []
    lines += [("Plan", _line(said)) for said in card.get("plan", ())]
    lines += [("Rule", _line(rule)) for rule in card.get("asks", ())]
    lines += [("Found", _line(found)) for found in card.get("findings", ())]
    lines += [("Handed", _line(card["handed"]))] if card.get("handed") else []
    lines += [("In", _line(card["of"]))]
    if card.get("due"):
        lines.append(("Until", f"{_moment(card['due'], zone)}; after that {card['silence']}"))
    else:
        news = card["kind"] in ("budget", "rule")
        lines.append(("Until", f"it is answered; {NOTHING_WAITS if news else RUN_WAITS}"))
    lines += [("Answer", answer["command"]) for answer in card["answers"]]
    return [*lines, ("Open", item.link)] if item.link else lines


def _text(things: str, told: Sequence[tuple[str, Sequence[tuple[str, str]]]], ends: Sequence[str]) -> str:
    parts = [things]
    for number, (head, lines) in enumerate(told, 1):
        parts.append("\n".join([f"{number}. {head}", *(f"   {name + ':':8}{said}" for name, said in lines)]))
    return "\n\n".join([*parts, *ends]) + "\n"


def _html(
    things: str,
    told: Sequence[tuple[str, Sequence[tuple[str, str]]]],
    ends: Sequence[str],
    links: Sequence[str],
) -> str:
    items = []
    for (head, lines), link in zip(told, links, strict=True):
        rows = "".join(
            f"<br>{name}: {f'<code>{html.escape(said)}</code>' if name == 'Answer' else html.escape(said)}"
            for name, said in lines
            if name != "Open"
        )
        opens = f'<br><a href="{html.escape(link)}">Open it</a>' if link else ""
        items.append(f"<li><b>{html.escape(head)}</b>{rows}{opens}</li>")
    tail = "".join(f"<p>{html.escape(end)}</p>" for end in ends)
    return f"<p>{things}</p>\n<ol>\n{chr(10).join(items)}\n</ol>\n{tail}"


def _chat(things: str, items: Sequence[Item], number: int, zone: ZoneInfo) -> str:
    lines = [things]
    for item in items[:CARDS_IN_CHAT_MAX]:
        card = item.card
        due = f" (until {_moment(card['due'], zone)})" if card.get("due") else ""
        lines.append(f"• {_slack(short(_head(card), 300))}{due}")
        if card["answers"]:
            lines.append(f"   `{_slack(card['answers'][0]['command']).replace('`', chr(39))}`")
        if item.link:
            lines.append(f"   <{item.link}|Open it>")
    left = number - min(len(items), CARDS_IN_CHAT_MAX)
    return "\n".join([*lines, *([f"and {left:,} more: `deputize inbox`"] if left else [])])


def _slack(text: str) -> str:
    """Text in which Slack finds no mention and no link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _moment(iso: str, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(iso).astimezone(zone):%a %d %b %Y, %H:%M} ({zone.key})"


def _line(text: str) -> str:
    """One line of what may be anything."""
    joined = " ".join(text.split())
    return short("".join(c if c.isprintable() else "\ufffd" for c in joined), LINE_CHARS_MAX)

"""Commands that answer what an agent or an automation asks, each the card that it has just read and told."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deputize.cli.acting import Reason, read_json
from deputize.cli.books import PREFIX_CHARS_MIN
from deputize.cli.here import Here, Said
from deputize.cli.process import Process, need_process
from deputize.cli.says import one_line, say, say_json

PAGE = 1_000
PAGES_MAX = 100

Card = Annotated[str, typer.Argument(help="The card's id, as `deputize inbox` shows it.")]


def approve(ctx: typer.Context, card: Card) -> None:
    """Approve an action that waits for people, as it is; it is judged once more, and then starts."""
    _answer(ctx.obj, card, "approve", {})


def refuse(ctx: typer.Context, card: Card, reason: Reason = "") -> None:
    """Refuse an action that waits for people; its automation is told, with the reason."""
    _answer(ctx.obj, card, "refuse", {"reason": reason})


def change(
    ctx: typer.Context,
    card: Card,
    args: Annotated[str, typer.Option(help="All its arguments as they should be: JSON, or @FILE.")],
    reason: Reason = "",
) -> None:
    """Ask for an action with other arguments in its place; it is judged anew, and may start at once."""
    _answer(ctx.obj, card, "change", {"args": read_json(args, "--args"), "reason": reason})


def ask_keeper(
    ctx: typer.Context,
    card: Card,
    reason: Annotated[str, typer.Option(help="What you want the keeper to look at.")],
) -> None:
    """Hand an action that waits for people on to its automation's keeper, who is asked from then on, too."""
    _answer(ctx.obj, card, "ask_keeper", {"reason": reason})


def answer(ctx: typer.Context, card: Card, value: Annotated[str, typer.Argument(help="The answer.")]) -> None:
    """Answer the question of an automation; the first answer counts."""
    here: Here = ctx.obj
    process = need_process(here)
    asked = _find(process, card, "question")
    told: Any = value
    if asked["answer"] == "whole number" and value.removeprefix("-").isdecimal():
        told = int(value)
    _send(here, process, asked, {"kind": "answer", "answer": told})


def _answer(here: Here, name: str, kind: str, more: dict[str, Any]) -> None:
    process = need_process(here)
    card = _find(process, name, "approval", *(("rule",) if kind in ("approve", "refuse") else ()))
    _send(here, process, card, {"kind": kind, "binding": card["binding"], **more})


def _send(here: Here, process: Process, card: dict[str, Any], body: dict[str, Any]) -> None:
    about = card["title"] if card["kind"] in ("question", "rule") else card["about"]
    if not here.json:
        say(f"{card['id']}: {one_line(about)}")
    answered = process.post("v1", "inbox", card["id"], "answer", body=body)
    if here.json:
        say_json(answered | {"about": about})
    else:
        said = answered["said"]
        if said in ("approved", "approved already"):
            # An approval decides nothing by itself: a hard rule, a budget or a changed fact may still refuse.
            said = f"{said}; it is judged once more, and `deputize why {card['id']}` says what comes of it"
        say(f"{said[:1].upper()}{said[1:]}.")


def _find(process: Process, name: str, *kinds: str) -> dict[str, Any]:
    """The open card of this id, of one of these kinds; its run may be told by its first digits.

    Raises `Said`."""
    run, _, path = name.partition("/")
    after, found = 0, list[dict[str, Any]]()
    for _ in range(PAGES_MAX):
        page = process.get("v1", "inbox", after=after or None, limit=PAGE)
        found += [card for card in page["cards"] if card["path"] == path and card["id"].startswith(run)]
        if page["next"] is None:
            break
        after = page["next"]
    if len(run) < PREFIX_CHARS_MIN or not found:
        raise Said(f"no card {name!r} waits for a person; `deputize inbox` lists those that do")
    if len(found) > 1:
        ids = ", ".join(card["id"] for card in found)
        raise Said(f"more than one card begins with {run!r}: {ids}; give more of its digits")
    card = found[0]
    if card["kind"] not in kinds:
        raise Said(f"{card['id']} is answered in another way: {card['answers'][0]['command']}")
    return card

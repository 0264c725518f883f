"""Commands that read: what runs, what it did and why, what waits for a person."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args
from urllib.parse import quote
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from deputize.cli.books import Books, open_books
from deputize.cli.here import USAGE, Here, Said
from deputize.cli.process import address_of
from deputize.cli.says import (
    count,
    made_table,
    moment,
    one_line,
    plain,
    say,
    say_json,
    say_unfinished,
    source_line,
    table,
)
from deputize.cli.stopped import Stops, stop_line, stop_of_run, waits_of
from deputize.signals import stopping_on
from deputize.store.rows import RunState
from deputize.suggest import did_you_mean

WATCH_EVERY_S = 1.0
RUN_STATES = get_args(RunState)
LATEST = 1_000
"""Runs among whose automations the nearest name is looked for."""

State = Annotated[
    list[str] | None, typer.Option("--state", help="Only runs in this state (may be repeated).")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1_000, help="How many, at most.")]
Name = Annotated[str, typer.Argument(metavar="RUN|ACTION", help="An id, or the first digits of a run's.")]

_RUN_COLUMNS = ("RUN", "AUTOMATION", "STATE", "OUTCOME", "BEGAN", "REASON")


def runs(
    ctx: typer.Context,
    state: State = None,
    automation: Annotated[str, typer.Option(help="Only runs of this automation.")] = "",
    limit: Limit = 50,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing them until Ctrl-C.")] = False,
) -> None:
    """List runs, newest first."""
    here: Here = ctx.obj
    unknown = next((one for one in state or () if one not in RUN_STATES), None)
    if unknown is not None:
        raise Said(f"no run is ever {unknown!r}{did_you_mean(unknown, RUN_STATES)}", USAGE)
    books = open_books(here)

    def read() -> dict[str, Any]:
        return books.runs(state or (), automation, limit)

    def rows() -> list[tuple[Any, ...]]:
        found, stops, zone = read()["runs"], books.stops(), here.settings.zone
        return [
            (
                r["id"],
                r["automation"],
                r["state"],
                r["label"],
                moment(r["began_at"], zone),
                stop_of_run(r, stops) or r["reason"] or waits_of(r),
            )
            for r in found
        ]

    if here.json:
        say_json(read())
    elif watch:
        _watch(rows)
    else:
        found = rows()
        table(_RUN_COLUMNS, found, "" if found else _no_runs(books, state, automation))


def _no_runs(books: Books, states: Sequence[str] | None, automation: str) -> str:
    """Why the list is empty; a name that no run has is told with the nearest that one has."""
    latest = {run["automation"] for run in books.runs((), "", LATEST)["runs"]}
    if not latest:
        return "No runs yet."
    if automation and not books.runs((), automation, 1)["runs"]:
        return f"No runs of an automation {automation!r}{did_you_mean(automation, latest)}"
    of = f" of {automation}" if automation else ""
    return f"No runs{of} are {' or '.join(states or ())}."


def _watch(rows: Callable[[], list[tuple[Any, ...]]]) -> None:
    from rich.console import Console
    from rich.live import Live

    screen = Console(highlight=False)

    def picture() -> Table:
        return made_table(_RUN_COLUMNS, rows(), screen.width)

    with stopping_on(signal.SIGINT) as stopped, Live(picture(), console=screen, auto_refresh=False) as live:
        live.refresh()
        while not stopped(WATCH_EVERY_S):
            live.update(picture(), refresh=True)


def show(ctx: typer.Context, name: Name) -> None:
    """Show a run with its actions, or an action (RUN/PATH) with every entry about it."""
    here: Here = ctx.obj
    run, _, path = name.partition("/")
    books = open_books(here)
    found = books.action(run, path) if path else books.run(run)
    if here.json:
        say_json(found)
    elif path:
        _show_action(here, found)
    else:
        _show_run(here, found, books.stops())


def _show_run(here: Here, found: dict[str, Any], stops: Stops) -> None:
    run, event, zone = found["run"], found["event"], here.settings.zone
    ended = f", ended {moment(run['ended_at'], zone)}" if run["ended_at"] else ""
    say(f"Run {run['id']}: {run['automation']} by {run['agent']}")
    say(f"  {run['state']} {run['label']}".rstrip() + f"; began {moment(run['began_at'], zone)}{ended}")
    for told in (stop_of_run(run, stops), run["reason"], waits_of(run)):
        if told:
            say(f"  {told}")
    if event is not None:
        say(f"  event {event['seq']}: {event['type']} {event['id']} from {event['source']}")
    for wait in found["waits"]:
        due = f" until {moment(wait['due'], zone)}" if wait["due"] else ""
        say(f"  waits at {wait['path']} for {wait['kind']}{due}")
    rows = [
        (f"{a['run']}/{a['path']}", a["operation"], a["state"], a["attempts"], moment(a["at"], zone))
        for a in found["actions"]
    ]
    say("")
    table(("ACTION", "OPERATION", "STATE", "TRIES", "AT"), rows, "No actions.")


_SHOWN = ("args", "result", "reason", "because", "evidence", "status", "raw")


def _show_action(here: Here, found: dict[str, Any]) -> None:
    action, zone = found["action"], here.settings.zone
    say(f"Action {action['id']}: {action['operation']} by {action['agent']}")
    say(f"  {action['state']} after {count(action['attempts'], 'attempt')}; key {action['key'] or 'none'}")
    rows = []
    for entry in found["entries"]:
        body = entry["body"] or {}
        told = [f"{k}={plain(body[k])}" for k in _SHOWN if body.get(k)]
        rows.append((entry["type"], moment(entry["at"], zone), " ".join(told)))
    say("")
    table(("ENTRY", "AT", "WHAT"), rows, "Its entries were erased.")
    say(f"\n`deputize why {action['id']}` tells it in sentences.")


def why(ctx: typer.Context, name: Name) -> None:
    """Say in sentences what was asked, which rules decided, what happened and what it cost."""
    here: Here = ctx.obj
    run, _, path = name.partition("/")
    told = open_books(here).why(run, path)
    if here.json:
        say_json(told)
    else:
        say("\n".join(told["sentences"]))
        if (url := address_of(here)) is not None:
            run = told["facts"].get("run") or run
            say(f"Its page: {url}/runs/{run}" + (f"?action={quote(path, safe='')}#{path}" if path else ""))


def events(
    ctx: typer.Context,
    unanswered: Annotated[
        bool, typer.Option("--unanswered", help="Only those that nothing answers.")
    ] = False,
    after: Annotated[int, typer.Option(min=0, help="Only events after this number.")] = 0,
    limit: Limit = 100,
) -> None:
    """List the events that came in, in the order of their arrival."""
    here: Here = ctx.obj
    found = open_books(here).events("unanswered" if unanswered else "", after, limit)
    if here.json:
        say_json(found)
        return
    zone = here.settings.zone
    rows = [
        (e["seq"], e["type"], e["id"], e["source"], e["state"], moment(e["received_at"], zone), e["data"])
        for e in found["events"]
    ]
    empty = "Every event was answered." if unanswered else "No events yet; `deputize send` sends one."
    table(("NO", "TYPE", "ID", "SOURCE", "STATE", "RECEIVED", "DATA"), rows, empty)
    _more(found, "after")


def inbox(ctx: typer.Context, limit: Limit = 100) -> None:
    """List what waits for a person, each with the commands that answer it."""
    here: Here = ctx.obj
    books = open_books(here)
    found = books.inbox(limit)
    if here.json:
        say_json(found)
        return
    for scope, reason in sorted(books.stops().items()):
        say(stop_line(scope, reason))
    for source in found["sources"]:
        say(f"failing: {source_line(source, here.settings.zone)}")
    say_unfinished(found["unfinished"], here.settings.zone)
    if not found["cards"] and not found["unfinished"]:
        say("Nothing waits for a person.")
    for card in found["cards"]:
        _say_card(card, here.settings.zone)
    if found["next"] is not None:
        say(f"There are more than these {limit}; the oldest are shown.")


def _say_card(card: dict[str, Any], zone: ZoneInfo) -> None:
    """A card as one line, and below it all that its answer needs."""
    say(f"{card['id']}  {card['kind']}  since {moment(card['at'], zone)}  {one_line(card['title'])}")
    sent = f" (first sent {moment(card['first_sent_at'], zone)}, key {card['key']})" if card["key"] else ""
    until = f"{moment(card['due'], zone)}; then {card['silence']}" if "due" in card else ""
    lines = [
        # The title of a question's card is the question.
        ("what", card["about"] + sent if card["kind"] != "question" else ""),
        ("in", card["of"]),
        ("known", card["evidence"]),
        ("digest", card.get("digest", "")),
        *(("plan", line) for line in card.get("plan", ())),
        *(("rule" if card["kind"] == "approval" else "who", asks) for asks in card.get("asks", ())),
        *(("found", found) for found in card.get("findings", ())),
        ("handed", card.get("handed", "")),
        ("takes", card.get("answer", "")),
        ("cost", card.get("cost", "")),
        ("undo", card.get("undo", "")),
        ("until", until),
    ]
    for name, told in lines:
        if told and one_line(told) not in one_line(card["title"]):
            say(f"  {name + ':':6} {one_line(told)}")
    for answer in card["answers"]:
        say(f"  {answer['command']}\n      {answer['causes']}")
    say("")


def connectors(ctx: typer.Context) -> None:
    """List what the project can do, where its services are, and whether they can be reached."""
    from deputize.cli.connecting import described

    here: Here = ctx.obj
    found = described(here)
    if here.json:
        say_json({"connectors": found})
        return
    rows = [
        (
            operation["name"],
            operation["effect"],
            operation["risk"],
            one["base"] or "in this process",
            one["reachable"],
            one["said"],
            operation["terms"],
        )
        for one in found
        for operation in one["operations"]
    ]
    table(
        ("OPERATION", "EFFECT", "RISK", "BASE ADDRESS", "REACHABLE", "CIRCUIT", "TERMS"),
        rows,
        "No connectors.",
    )


def _more(found: dict[str, Any], option: str) -> None:
    if found["next"] is not None:
        say(f"There are more: --{option} {found['next']}")

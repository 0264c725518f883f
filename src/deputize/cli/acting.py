"""Commands that act on a running project, through its process."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from deputize.cli.books import LiveBooks, no_run
from deputize.cli.here import NO, USAGE, Here, Said
from deputize.cli.process import Problem, Process, need_process
from deputize.cli.says import count, progress, say, say_json
from deputize.cli.stopped import Stops, stop_of_run

SOURCE = "/command-line"
_NO_DATA = "{}"
LOOK_EVERY_S = 0.1
SETTLED = ("ended", "stuck")

Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]


def send(
    ctx: typer.Context,
    type: Annotated[str, typer.Argument(help="The event's type, like shop.order.placed.")] = "",
    data: Annotated[str, typer.Option(help="Its data: JSON, or @FILE.")] = _NO_DATA,
    source: Annotated[str, typer.Option(help="Where it comes from.")] = SOURCE,
    id: Annotated[str, typer.Option(help="Its id: the same source and id count once, for ever.")] = "",
    subject: Annotated[str, typer.Option(help="What it is about.")] = "",
    event: Annotated[str, typer.Option(help="Instead of all these a whole CloudEvent: JSON, or @FILE.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until its runs have ended.")] = False,
    within_s: Annotated[float, typer.Option(min=0.1, max=86_400, help="How long to wait.")] = 60.0,
) -> None:
    """Send one event."""
    here: Here = ctx.obj
    parts = {"type": type, "data": data, "source": source, "id": id, "subject": subject}
    given = [name for name, value in parts.items() if value != _UNSAID.get(name, "")]
    if bool(event) == bool(type) or (event and given):
        raise Said("give the event's TYPE (and --data …), or a whole CloudEvent by --event alone", USAGE)
    process = need_process(here)
    whole = read_json(event, "--event") if event else _event_of(parts)
    accepted = process.send(whole)["accepted"][0]
    ended = _wait(process, here, accepted["runs"], within_s) if wait else []
    if here.json:
        say_json(accepted | ({"ended": ended} if wait else {}))
    else:
        _say_sent(accepted, ended, LiveBooks(process, here).stops() if ended else {})
    if any(run["state"] != "ended" or run["label"].startswith("failed") for run in ended):
        raise typer.Exit(NO)


_UNSAID = {"data": _NO_DATA, "source": SOURCE}


def _event_of(parts: dict[str, str]) -> dict[str, Any]:
    whole: dict[str, Any] = {"specversion": "1.0"} | parts
    whole |= {"id": parts["id"] or str(uuid.uuid4()), "data": read_json(parts["data"], "--data")}
    return {name: value for name, value in whole.items() if name != "subject" or value}


def _say_sent(accepted: dict[str, Any], ended: list[dict[str, Any]], stops: Stops) -> None:
    began = ", ".join(accepted["runs"])
    if accepted["duplicate"]:
        say(f"Event {accepted['id']} was accepted before; it counts once ({began or 'no run'}).")
    elif began:
        say(f"Accepted event {accepted['seq']}: run {began}.")
    else:
        unanswered = "nothing answers its type (`deputize events --unanswered`)"
        say(f"Accepted event {accepted['seq']}; {unanswered}{accepted.get('hint') or '.'}")
    for run in ended:
        say(f"{run['automation']} {run['id']}: {run['label'] or run['state']} {run['reason']}".rstrip())
        if stopped := stop_of_run(run, stops):
            say(f"It has not ended; {stopped}")
        elif run["state"] != "ended":
            say(f"It has not ended; `deputize show {run['id']}` and `deputize inbox` say what it waits for.")


def _wait(process: Process, here: Here, runs: list[str], within_s: float) -> list[dict[str, Any]]:
    books, found = LiveBooks(process, here), []
    until = time.monotonic() + within_s
    with progress(f"waiting for {count(len(runs), 'run')}"):
        for run in runs:
            row = books.run(run)["run"]
            while row["state"] not in SETTLED and time.monotonic() < until:
                time.sleep(LOOK_EVERY_S)
                row = books.run(run)["run"]
            found.append(row)
    return found


_KINDS = ("happened", "did-not", "abandon", "noted", "lift")


def resolve(
    ctx: typer.Context,
    card: Annotated[str, typer.Argument(help="The card's id, as `deputize inbox` shows it.")],
    kind: Annotated[
        str, typer.Argument(metavar="happened|did-not|abandon|noted|lift", help="What came of it.")
    ],
    result: Annotated[
        str, typer.Option(help="happened: what the service would have answered; JSON, or @FILE.")
    ] = "",
    again: Annotated[bool, typer.Option("--again", help="did-not: do it again, as a new request.")] = False,
    reason: Reason = "",
) -> None:
    """Answer a card: it happened (with its result), it did not (perhaps: again), or give its run up; noted
    closes the card of an undo that could not undo everything; lift lets an automation that failed too often
    act by itself again."""
    here: Here = ctx.obj
    if kind not in _KINDS:
        raise Said(f"say what came of it: {', '.join(_KINDS)} (and not {kind!r})", USAGE)
    if bool(result) != (kind == "happened"):
        said = "happened takes --result JSON (what the service would have answered), and no other does"
        raise Said(said, USAGE)
    if again and kind != "did-not":
        raise Said("--again goes with did-not: what happened is not done again", USAGE)
    body: dict[str, Any] = {"kind": "do_again" if again else kind.replace("-", "_"), "reason": reason}
    if result:
        body["result"] = read_json(result, "--result")
    answered = _of_run(here, need_process(here), card, "v1", "inbox", card, "answer", body=body)
    _told(here, answered, f"Answered {answered['card']}: {kind}{' --again' if again else ''}.")


def pause(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="AUTOMATION|RUN", help="An automation's name, or a run.")],
    reason: Reason = "",
) -> None:
    """Let an automation or a run start nothing new; `deputize resume` lets it go on."""
    here: Here = ctx.obj
    process = need_process(here)
    _stop(here, process, _scope_of(process, name), reason or "paused", "Paused")


def halt(
    ctx: typer.Context,
    scope: Annotated[str, typer.Argument(metavar="[all|agent:X|connector:X]", help="What to halt.")] = "all",
    reason: Reason = "",
) -> None:
    """Stop everything (or an agent, or a connector) from starting anything new, at once."""
    here: Here = ctx.obj
    if scope != "all" and not scope.startswith(("agent:", "connector:")):
        raise Said(
            f"nothing was halted: {scope!r} is none of all, agent:NAME and connector:NAME "
            "(`deputize pause` is for automations and runs)",
            USAGE,
        )
    _stop(here, need_process(here), scope, reason or "halted", "Halted")


def resume(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SCOPE|RUN", help="What was halted or paused.")],
) -> None:
    """Let what was halted or paused go on."""
    here: Here = ctx.obj
    process = need_process(here)
    stopped = [stop["scope"] for stop in process.get("v1", "stops")["stops"]]
    ends = [s for s in stopped if name in (s, s.partition(":")[2])]
    begins = [s for s in stopped if s.startswith(f"run:{name}")]
    found = ends or begins
    if len(found) != 1:
        there = f"stopped: {', '.join(stopped)}" if stopped else "nothing is stopped"
        raise Said(f"{'more than one stop is' if found else 'no stop is'} called {name!r}; {there}")
    process.delete("v1", "stops", found[0])
    _told(here, {"scope": found[0]}, f"Resumed {found[0]}.")


def cancel(ctx: typer.Context, run: Annotated[str, typer.Argument(help="The run.")]) -> None:
    """Cancel a run: at once where it waits, else after what is under way."""
    here: Here = ctx.obj
    answer = _of_run(here, need_process(here), run, "v1", "runs", run, "cancel", body={})
    _told(here, answer, f"Run {answer['run']} {answer['said']}.")


def undo(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="RUN|ACTION", help="A run that has ended, or RUN/PATH.")],
    reason: Reason = "",
) -> None:
    """Undo what an ended run did, latest first, or one action of it; each step goes through the gate."""
    here: Here = ctx.obj
    run, _, path = target.partition("/")
    body = {"path": path, "reason": reason}
    answer = _of_run(here, need_process(here), run, "v1", "runs", run, "undo", body=body)
    _told(
        here,
        answer,
        f"Run {answer['run']}: {answer['said']}; `deputize why {answer['run']}` tells how it goes.",
    )


def read_json(text: str, option: str) -> Any:
    """JSON from the command line, or from a file with `@`. Raises `Said` with where it ends to be JSON."""
    where = option
    if text.startswith("@"):
        where = text[1:]
        try:
            text = Path(where).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Said(f"{option}: {where} cannot be read: {error}", USAGE) from None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        form = "fill in every <…> of the form" if "<" in text else 'write it like \'{"order_id": "o1"}\''
        raise Said(f"{where} is not JSON: {error}; {form}, or @FILE", USAGE) from None


def _scope_of(process: Process, name: str) -> str:
    """An automation unless a run begins so; the process knows whether there is one of this name."""
    if name.startswith(("automation:", "run:")):
        return name
    try:
        return f"run:{process.get('v1', 'runs', name)['run']['id']}"
    except Problem as problem:
        if problem.status != 404:
            raise
    return f"automation:{name}"


def _stop(here: Here, process: Process, scope: str, reason: str, done: str) -> None:
    process.post("v1", "stops", body={"scope": scope, "reason": reason})
    _told(
        here, {"scope": scope, "reason": reason}, f"{done} {scope}; `deputize resume {scope}` lets it go on."
    )


def _of_run(here: Here, process: Process, run: str, *path: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = process.post(*path, body=body)
    except Problem as problem:
        if problem.status == 404 and "there is no run" in str(problem):
            raise no_run(here, run.partition("/")[0]) from None
        raise
    return answer


def _told(here: Here, document: dict[str, Any], sentence: str) -> None:
    if here.json:
        say_json(document)
    else:
        say(sentence)

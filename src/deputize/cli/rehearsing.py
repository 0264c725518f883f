"""`deputize rehearse`: what would come of events under the code and the rules on disk; nothing is done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from deputize.cli.aside import run_aside
from deputize.cli.here import USAGE, Here, Said
from deputize.cli.says import count, one_line, plain, say, say_json, table
from deputize.config import read_settings
from deputize.foretold import KINDS
from deputize.money import Money
from deputize.sentence import pairs

LAST_MAX = 10_000
SHOWN_MAX = 20
"""Kinds of events that are shown, one of each; --json has all."""


def rehearse(
    ctx: typer.Context,
    automation: Annotated[str, typer.Argument(help="The automation, as `deputize check` names it.")],
    event: Annotated[
        Path | None, typer.Option(help="A file with a CloudEvent in JSON, or with one a line.")
    ] = None,
    last: Annotated[
        int,
        typer.Option(
            min=0, max=LAST_MAX, help="The last so many of its past events, in the world as it was."
        ),
    ] = 0,
    run: Annotated[str, typer.Option(help="The event of one past run, in the world as it was.")] = "",
    as_refused: Annotated[
        bool, typer.Option("--as-refused", help="Go on as if people refused what would wait for them.")
    ] = False,
    within_s: Annotated[float, typer.Option(min=1, max=86_400, help="How long it may take.")] = 600.0,
) -> None:
    """Tell what would happen, wait or be refused, and how that differs from what did. Nothing is done."""
    here: Here = ctx.obj
    if (event is not None) + bool(last) + bool(run) != 1:
        raise Said("give one of --event FILE, --last N and --run ID", USAGE)
    settings = read_settings(here.root.resolve())
    words = [f"--event={event.absolute()}"] if event is not None else [f"--last={last}"]
    words = [f"--run={run}"] if run else words
    words += ["--as-refused"] if as_refused else []
    # The name last, and past every option: it may be anything that was typed.
    child = run_aside(
        "deputize.cli.rehearse_child", [*words, "--", automation], settings.root, within_s, "rehearsing"
    )
    if child.report is None:
        raise Said(
            f"{child.where}still {child.doing} after {within_s:g} s, so it was ended; rehearse less at once, "
            "or give it --within-s"
        )
    if child.report["problems"]:
        raise Said("\n".join(child.report["problems"]))
    if here.json:
        say_json({name: value for name, value in child.report.items() if name != "problems"})
    else:
        _say(child.report)


def _say(report: Mapping[str, Any]) -> None:
    """The report for people: one event of each kind, then all of them together."""
    kinds: dict[Any, list[Mapping[str, Any]]] = {}
    for one in report["told"]:
        kinds.setdefault(_kind(one), []).append(one)
    for alike in list(kinds.values())[:SHOWN_MAX]:
        _say_event(alike[0], len(alike) - 1)
    if len(kinds) > SHOWN_MAX:
        say(f"… and {count(len(kinds) - SHOWN_MAX, 'more kind')} of events; --json has all of them.\n")
    _sum_up(report)


def _kind(one: Mapping[str, Any]) -> Any:
    """What is the same of two events that need not both be shown."""
    actions = tuple(
        (a["operation"], a["would"], a["how"], a["as"], tuple(a["asks"]), tuple(a["rules"]))
        for a in one["actions"]
    )
    return one["came"], one["end"], actions, tuple(d["kind"] for d in one["differences"])


def _say_event(one: Mapping[str, Any], more: int) -> None:
    event = one["event"]
    about = f" about {event['subject']}" if event["subject"] else ""
    others = f", and {count(more, 'more event')} like it" if more else ""
    say(f"{event['id']} from {event['source']}{about}{others}: {_end(one)}")
    rows = [
        (
            a["operation"],
            _would(a),
            plain(a["money"]) if a["money"] else "",
            _because(a),
            a["how"],
            pairs(a["args"]) if isinstance(a["args"], dict) else "",
        )
        for a in one["actions"]
    ]
    if rows:
        table(("ACTION", "WOULD", "MONEY", "RULE OR REASON", "HOW IT IS KNOWN", "DATA"), rows, "")
    for difference in one["differences"]:
        now, then = one_line(difference["now"]), one_line(difference["then"])
        what = "" if difference["what"] == "end" else f" {difference['what']}"
        say(f"  {KINDS[difference['kind']]}:{what} {now} (then: {then})")
    say("")


def _because(action: Mapping[str, Any]) -> str:
    """The rules that decide and what was found out for them, else the reason."""
    if action["rules"]:
        return "; ".join([", ".join(action["rules"]), *action["checks"]])
    return str(action["reason"]) if action["would"] in ("refused", "declined", "untold") else ""


def _end(one: Mapping[str, Any]) -> str:
    reason = f": {one_line(one['reason'])}" if one["reason"] else ""
    if one["came"] == "ended":
        return f"would end {one_line(one['end'])}{reason}"
    return f"{_CAME[one['came']]}{reason}"


_CAME = {
    "waits": "would wait",
    "untold": "can be told up to a point",
    "stuck": "would be stuck",
}

_WOULD = {
    "read": "be read",
    "done": "be done",
    "declined": "be declined",
    "refused": "be refused",
    "sent": "be sent",
    "passed": "pass",
    "answered": "be answered",
    "waits": "wait",
    "untold": "(nobody can tell)",
}


def _would(action: Mapping[str, Any]) -> str:
    would = _WOULD[action["would"]]
    if not action["asks"] or action["would"] in ("waits", "answered"):
        return would
    return f"wait for {' and '.join(action['asks'])}; {action['as']}: {would}"


def _sum_up(report: Mapping[str, Any]) -> None:
    ends = ", ".join(f"{n:,} {_CAME.get(end, end)}" for end, n in report["ends"].items())
    say(f"{count(report['events'], 'event')} of {report['automation']} rehearsed, and nothing done: {ends}.")
    parts = [
        f"{report[name]:,} {says}"
        for name, says in (
            ("asking", "would wait for people"),
            ("refused", "would be refused something"),
            ("declined", "would be declined something by a service"),
        )
        if report[name]
    ]
    if parts:
        say(f"Of these {', '.join(parts)}.")
    waiting = f" ({_money(report['money_asked'])} of it waits for people)" if report["money_asked"] else ""
    say(f"Money that would move: {_money(report['money']) or 'none'}{waiting}.")
    if report["known"]:
        say(f"{count(report['known'], 'event')} of these came before; live, an event counts once.")
    if report["erased"]:
        say(f"{count(report['erased'], 'event')} cannot be rehearsed: erased.")
    if report["differ"] is not None:
        _say_differ(report["differ"])


def _money(sums: Mapping[str, int]) -> str:
    return " and ".join(str(Money(minor, currency)) for currency, minor in sorted(sums.items()))


def _say_differ(differ: Mapping[str, int]) -> None:
    others = [(name, n) for name, n in differ.items() if name != "same"]
    if not others:
        say("All of them would come to just what they did.")
        return
    told = ", ".join(f"{KINDS[name]} {n:,}" for name, n in sorted(others, key=lambda o: -o[1]))  # type: ignore[index]
    say(f"Against what they really did: {differ['same']:,} the same; {told}.")
